"""One client, without a socket: nothing missed, nothing twice, nothing held up."""

from __future__ import annotations

from typing import Any, cast
from unittest.mock import patch

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfytavern.events import EventType
from comfytavern_hostapp.runs import Frames, RunFeed, Subscriber
from comfytavern_hostapp.store import RunStore

from .followed_runs import World, grow, next_of, seqs, waits

CLIENTS = st.integers(0, 2)
STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 9)),
    st.tuples(st.just("follow"), CLIENTS, st.integers(0, 40)),
    st.tuples(st.just("leave"), CLIENTS),
    st.tuples(st.just("take"), CLIENTS),
    st.tuples(st.just("cancel"), CLIENTS, st.integers(0, 4), st.integers(0, 9)),
    st.tuples(st.just("notify"), CLIENTS),
)


class Reader:
    """A client, and what it must have seen by now."""

    def __init__(self) -> None:
        self.client = Subscriber()
        self.position: int | None = None
        self.notices = 0

    def see(self, frames: Frames | None) -> None:
        """Hold what is to be sent against what came before."""
        if frames is None:
            return
        if not frames.first:
            self.notices -= len(frames.texts)
            return
        assert self.position is not None, "it follows nothing"
        found = seqs(frames)
        assert found[:1] in ([], [self.position + 1])
        self.position += len(found)


async def play(steps: list[tuple[Any, ...]]) -> None:  # Any: numbers behind a name
    """Do the steps; every client sees exactly the log after its beginning, in order."""
    world = World()
    feed = world.run()
    readers = [Reader() for _ in range(3)]
    for name, *arguments in steps:
        if name == "append":
            await grow(feed, arguments[0])
            continue
        reader = readers[arguments[0]]
        if name == "follow":
            reader.client.follow(feed, arguments[1])
            reader.position = min(arguments[1], feed.last_seq)
        elif name == "leave":
            reader.client.unfollow("r")
            reader.position = None
        elif name == "notify":
            reader.client.notify(b"{}")
            reader.notices += 1
        elif name == "take":
            if reader.notices or reader.position not in (None, feed.last_seq):
                reader.see(await next_of(reader.client))
        else:
            await take_and_cancel(reader, feed, *arguments[1:])
    await grow(feed, 1, ends=True)
    for reader in readers:
        while reader.notices or reader.position not in (None, feed.last_seq):
            reader.see(await next_of(reader.client))
        assert await waits(reader.client)


async def take_and_cancel(reader: Reader, feed: RunFeed, turns: int, added: int) -> None:
    """Take while events are appended, and cancel that after some turns of the loop."""

    async def cancel() -> None:
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        if added:
            await grow(feed, added)
        tasks.cancel_scope.cancel()

    taken: Frames | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel)
        taken = await reader.client.next()
    reader.see(taken)


@given(st.lists(STEPS, max_size=40))
def test_whatever_happens_every_client_sees_the_log_after_its_beginning(
    steps: list[tuple[Any, ...]],  # Any: numbers behind a name
) -> None:
    # So small that logs outgrow what is kept at hand, and what one take returns.
    feed = "comfytavern_hostapp.runs.feed"
    with patch(f"{feed}.TAIL", 400), patch(f"{feed}.TAKE", 3):
        anyio.run(play, steps)


# --- one client ---------------------------------------------------------------------------


async def test_a_client_is_told_of_the_end_and_follows_no_longer() -> None:
    feed, client = World().run(), Subscriber()
    client.follow(feed)
    await grow(feed, 2)
    frames = await next_of(client)
    assert (seqs(frames), frames.ends) == ([1, 2], False)
    await grow(feed, 1, ends=True)
    frames = await next_of(client)
    assert (seqs(frames), frames.ends) == ([3], True)
    assert not feed.followers
    assert await waits(client)


async def test_who_has_seen_everything_is_told_only_of_the_end() -> None:
    feed, client = World().run(), Subscriber()
    await grow(feed, 3, ends=True)
    client.follow(feed, 3)
    assert await next_of(client) == Frames(4, [], ends=True)


async def test_a_later_beginning_than_the_end_is_the_end() -> None:
    feed, client = World().run(), Subscriber()
    await grow(feed, 2)
    client.follow(feed, 99)
    await grow(feed, 1)
    assert seqs(await next_of(client)) == [3]


async def test_no_run_waits_for_another() -> None:
    world, client = World(), Subscriber()
    long, short = world.run("long"), world.run("short")
    with patch("comfytavern_hostapp.runs.feed.TAKE", 2):
        client.follow(long)
        client.follow(short)
        await grow(long, 6)
        await grow(short, 2)
        sent = [(await next_of(client)) for _ in range(4)]
    assert [len(frames.texts) for frames in sent] == [2, 2, 2, 2]
    assert [frames.first for frames in sent] == [1, 1, 3, 5]


async def test_notices_of_one_kind_take_each_others_place() -> None:
    client = Subscriber()
    client.notify(b"old", EventType.SYSTEM_QUEUE_UPDATE)
    client.notify(b"an answer")
    client.notify(b"new", EventType.SYSTEM_QUEUE_UPDATE)
    client.notify(b"another")
    assert await next_of(client) == Frames(0, [b"new", b"an answer", b"another"])


async def test_a_client_with_too_many_notices_is_stopped() -> None:
    client = Subscriber()
    for number in range(1_001):
        client.notify(b"%d" % number)
    assert client.stopped.is_set()
    assert client.fell_behind
    assert await client.next() is None


async def test_a_client_that_is_stopped_follows_nothing() -> None:
    feed, client = World().run(), Subscriber()
    client.follow(feed)
    await grow(feed, 1)
    client.stop()
    assert not feed.followers
    assert await client.next() is None
    assert not client.fell_behind


async def test_a_stop_wakes_a_client_that_waits() -> None:
    client = Subscriber()
    with anyio.fail_after(1):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.next)
            await anyio.wait_all_tasks_blocked()
            client.stop()


async def test_a_client_that_is_far_behind_reads_from_the_store_and_costs_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("comfytavern_hostapp.runs.feed.TAIL", 10_000)
    world, client = World(), Subscriber()
    feed = world.run()
    client.follow(feed)
    for _ in range(50):
        await grow(feed, 100)
    assert not client.stopped.is_set()
    seen = list[int]()
    while len(seen) < 5_000:
        seen += seqs(await next_of(client))
    assert seen == list(range(1, 5_001))
    assert world.store.reads


async def test_a_log_that_was_deleted_ends() -> None:
    world, client = World(), Subscriber()
    feed = world.run()
    await grow(feed, 5_000, ends=True)
    world.feeds.close(feed)
    stored = RunFeed(cast("RunStore", world.store), world.store.runs["r"], lambda text: text)
    stored.last_seq, stored.is_final = feed.last_seq, True
    client.follow(stored)
    assert seqs(await next_of(client)) == [1, 2, 3, 4]
    world.store.logs[1].clear()
    frames = await next_of(client)
    assert (frames.texts, frames.ends) == ([], True)
    assert await waits(client)

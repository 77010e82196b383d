"""All clients, without sockets: notices for each, and those who follow every run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import orjson
import pytest

from comfytavern.events import EventType
from comfytavern_hostapp.runs import Clients, Subscriber

from .followed_runs import World, grow, next_of, seqs, waits


@asynccontextmanager
async def told(world: World) -> AsyncIterator[Clients]:
    """Let clients be told of the queue as it changes."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.clients.run)
        yield world.clients
        world.clients.stop()


async def test_a_client_is_told_of_the_queue_at_once() -> None:
    world, client = World(lambda: {"pendingCount": 7}), Subscriber()
    world.clients.add(client)
    frames = await next_of(client)
    [text] = frames.texts
    notice = orjson.loads(text)
    assert (notice["type"], notice["payload"]) == ("SYSTEM_QUEUE_UPDATE", {"pendingCount": 7})
    assert len(world.clients) == 1


async def test_the_last_notice_shows_the_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfytavern_hostapp.runs.clients.PACE", 0.001)
    state, seen = {"count": 0}, list[int]()
    world, client = World(lambda: state), Subscriber()
    with anyio.fail_after(5):
        async with told(world) as clients:
            clients.add(client)
            for count in range(1, 101):
                state["count"] = count
                clients.queue_changed()
                if count % 7 == 0:
                    await anyio.lowlevel.checkpoint()
            while seen[-1:] != [100]:
                frames = await next_of(client)
                seen += [orjson.loads(text)["payload"]["count"] for text in frames.texts]
    assert seen == sorted(seen)


async def test_who_follows_all_sees_runs_from_their_beginning_or_from_now_on() -> None:
    world, client = World(), Subscriber()
    before = world.run("before")
    await grow(before, 3)
    world.clients.follow_all(client)
    after = world.run("after")
    await grow(before, 1)
    await grow(after, 2)
    assert [seqs(await next_of(client)) for _ in range(2)] == [[4], [1, 2]]


async def test_who_follows_all_goes_on_with_what_it_followed() -> None:
    world, client = World(), Subscriber()
    feed = world.run()
    await grow(feed, 3)
    client.follow(feed, 1)
    world.clients.follow_all(client)
    assert seqs(await next_of(client)) == [2, 3]


async def test_who_follows_all_no_longer_keeps_what_it_follows() -> None:
    world, client = World(), Subscriber()
    before = world.run("before")
    world.clients.follow_all(client)
    world.clients.unfollow_all(client)
    after = world.run("after")
    await grow(after, 1)
    await grow(before, 1)
    assert seqs(await next_of(client)) == [1]
    assert await waits(client)
    assert not after.followers


async def test_every_client_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world, clients = World(), [Subscriber(), Subscriber()]
    for client in clients:
        world.clients.add(client)
        await next_of(client)
    world.clients.tell(EventType.NODES_RELOADED, {"success": True})
    for client in clients:
        [text] = (await next_of(client)).texts
        assert orjson.loads(text)["payload"] == {"success": True}
    world.clients.remove(clients[0])
    assert len(world.clients) == 1
    world.clients.stop()
    assert await clients[1].next() is None


async def test_who_comes_while_the_host_stops_is_sent_away() -> None:
    world, client = World(), Subscriber()
    world.clients.stop()
    world.clients.add(client)
    assert await client.next() is None

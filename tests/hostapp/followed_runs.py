"""Runs whose events are kept in memory, and what a client of them is to be sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import anyio
import anyio.lowlevel
import orjson

from comfytavern.errors import UnknownRunError
from comfytavern.events import Status
from comfytavern_hostapp.runs import Clients, Feeds, Frames, RunFeed, Subscriber
from comfytavern_hostapp.store import EventBatch, RunStore, StoredRun

__all__ = ("MemoryStore", "World", "grow", "next_of", "seqs", "waits")

Json = dict[str, Any]  # Any: JSON


class MemoryStore:
    """Keeps logs as a store would; every call lets other tasks run first."""

    def __init__(self) -> None:
        self.logs: dict[int, list[bytes]] = {}
        self.runs: dict[str, StoredRun] = {}
        self.reads = 0

    def run(self, run_id: str) -> StoredRun:
        """Return a run that has just been stored."""
        number = len(self.runs) + 1
        run = StoredRun(number, run_id, "queued", 0, None, None, None, 0.0, None, None, 0, 0)
        self.logs[number] = []
        self.runs[run_id] = run
        return run

    async def append(self, number: int, batch: EventBatch, **ends: object) -> None:
        await anyio.lowlevel.checkpoint()
        self.logs[number] += batch.frames

    async def events(self, number: int, after: int) -> tuple[int, list[bytes]]:
        self.reads += 1
        await anyio.lowlevel.checkpoint()
        return after + 1, self.logs[number][after : after + 4]

    async def find(self, run_id: str) -> StoredRun:
        await anyio.lowlevel.checkpoint()
        if run_id not in self.runs:
            raise UnknownRunError(run_id)
        return self.runs[run_id]


class World:
    """A store, the feeds over it, and the clients of both."""

    def __init__(self, queue: Callable[[], Mapping[str, object]] = dict) -> None:
        self.store = MemoryStore()
        self.feeds = Feeds(cast("RunStore", self.store), lambda text: text)
        self.clients = Clients(self.feeds, queue)

    def run(self, run_id: str = "r") -> RunFeed:
        """Hand in a run."""
        return self.feeds.add(self.store.run(run_id))


async def grow(feed: RunFeed, count: int, *, ends: bool = False) -> None:
    """Append events to a log."""
    events: list[Json] = [{"type": "NODE_YIELD", "payload": {}} for _ in range(count)]
    await feed.append(events, status=Status.COMPLETE if ends else None)


def seqs(frames: Frames) -> list[int]:
    """Return the numbers of some events; they are those that the frames announce."""
    found = [orjson.loads(text)["seq"] for text in frames.texts]
    assert found == list(range(frames.first, frames.first + len(found)))
    return found


async def next_of(client: Subscriber) -> Frames:
    """Return what is to be sent next, which must be there without waiting for long."""
    with anyio.fail_after(1):
        frames = await client.next()
    assert frames is not None
    return frames


async def waits(client: Subscriber) -> bool:
    """Tell whether there is nothing to send."""
    taken: list[Frames | None] = []

    async def take() -> None:
        taken.append(await client.next())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take)
        for _ in range(5):  # more turns than a take needs
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    return not taken

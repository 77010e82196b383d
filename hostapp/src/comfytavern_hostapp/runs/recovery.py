"""What a host finds of the one before it, which may have ended at any moment."""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson

from comfytavern.events import FINAL_STATUSES, Status
from comfytavern.runner import Envelope

from ..store import RunStore, StoredRun
from .events import node_interrupted_event, status_event
from .feed import Feeds, RunFeed
from .state import RunState

__all__ = ("end_interrupted_run", "end_unfinished_run", "end_waiting_run", "stored_events")

_FINAL = {status.value for status in FINAL_STATUSES}


async def stored_events(store: RunStore, number: int) -> AsyncIterator[list[Envelope]]:
    """Give the stored events of a run, page by page.

    :raises StoreError: they cannot be read
    """
    after = 0
    while True:
        first, texts = await store.events(number, after)
        if not texts:
            return
        yield orjson.loads(b"[" + b",".join(texts) + b"]")
        after = first + len(texts) - 1


async def end_unfinished_run(store: RunStore, feeds: Feeds, run: StoredRun) -> None:
    """End a run that waits or was running. Only while nothing is executed.

    :raises StoreError: its end cannot be stored
    """
    if run.status == Status.RUNNING:
        await end_interrupted_run(store, feeds, run)
        return
    feed = feeds.add(run)
    try:
        await end_waiting_run(feed)
    finally:
        feeds.close(feed)


async def end_waiting_run(feed: RunFeed) -> None:
    """End a run before it has begun.

    :raises StoreError: its end cannot be stored
    """
    event = status_event(feed.run_id, Status.INTERRUPTED)
    await feed.append([event], status=Status.INTERRUPTED)


async def end_interrupted_run(store: RunStore, feeds: Feeds, run: StoredRun) -> None:
    """End a run that was running when the host before this one stopped.

    What had been streamed stays; every node that had not ended is ``interrupted``.
    """
    state = RunState()
    async for events in stored_events(store, run.number):
        state.take(events)
    spec = orjson.loads(await store.spec(run.run_id))
    placed = [str(node.get("id")) for node in spec["workflow"].get("nodes", ())]
    begun = [node for node, known in state.nodes.items() if known["status"] not in _FINAL]
    never = [node for node in placed if node not in state.nodes]
    streamed = state.streamed
    last = [
        node_interrupted_event(run.run_id, node, partial=node in streamed)
        for node in (*begun, *never)
    ]
    info = {"code": "host_stopped", "message": "the host stopped while the run was running"}
    last.append(status_event(run.run_id, Status.INTERRUPTED, errorInfo=info))
    state.take(last)
    feed = feeds.add(run)
    try:
        await feed.append(last, status=Status.INTERRUPTED, report=orjson.dumps(state.to_wire()))
    finally:
        feeds.close(feed)

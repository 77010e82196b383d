"""What a host finds of the one before it, which may have ended at any moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import orjson

from comfytavern.errors import WorkflowError
from comfytavern.events import FINAL_STATUSES, Status
from comfytavern.runner import Envelope, RunSpec
from comfytavern.workflow import Workflow, WorkflowNode, parse_workflow

from ..store import RunStore, StoredRun
from .events import node_interrupted_event, status_event
from .feed import Feeds, RunFeed
from .specs import decode_spec
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


async def end_interrupted_run(store: RunStore, feeds: Feeds, run: StoredRun) -> list[Envelope]:
    """End a run that was running when the host before this one stopped.

    What had been streamed stays; every node that had not ended is ``interrupted``.

    :return: the events that say so
    """
    state = RunState()
    async for events in stored_events(store, run.number):
        state.take(events)
    spec = decode_spec(run.run_id, await store.spec(run.run_id))
    begun = [node for node, known in state.nodes.items() if known["status"] not in _FINAL]
    never = [node for node in _placed(spec.workflow, spec) if node not in state.nodes]
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
    return last


def _placed(document: object, spec: RunSpec, prefix: str = "") -> Iterator[str]:
    """Give the ids of all nodes of a workflow, those inside its groups as ``group/inner``."""
    for node in _nodes(document):
        yield f"{prefix}{node.id}"
        inner = None if node.bypassed else spec.workflows.get(_reference(node))
        if inner is not None:
            yield from _placed(inner, spec, f"{prefix}{node.id}/")


def _nodes(document: object) -> list[WorkflowNode]:
    try:
        workflow: Workflow = parse_workflow(document)
    except WorkflowError:  # an earlier host has understood it
        return []
    return list(workflow.nodes)


def _reference(node: WorkflowNode) -> str:
    name = "referencedWorkflowId"
    return str(node.config_values.get(name) or node.inputs.get(name) or "")

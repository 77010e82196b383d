"""Runs a workflow of test nodes and keeps everything that it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import anyio

import comfytavern_core_nodes
from comfytavern.chunks import Chunk
from comfytavern.engine import EngineLimits, Run
from comfytavern.errors import NodeFailedError, WorkflowError
from comfytavern.events import INTERFACE_OUTPUTS_NODE, Status
from comfytavern.plan import PlanNode
from comfytavern.recorder import EventRecorder
from comfytavern.sinks import EventSink, merge_sinks
from comfytavern.testing import EventLog, pack_host
from comfytavern.workflow import Workflow, parse_workflow

from .batch_nodes import BATCH_NODES
from .bypass_nodes import BYPASS_NODES
from .clock import Clock
from .envelopes import check_envelopes
from .stream_nodes import STREAM_NODES

__all__ = ("LONGEST", "NODES", "Observed", "OnEvent", "RunInProgress", "observe")

NODES = (*BATCH_NODES, *STREAM_NODES, *BYPASS_NODES)
LONGEST = 5.0  # seconds until a run counts as hung

Json = dict[str, Any]  # Any: JSON


@dataclass(slots=True)
class RunInProgress:
    """A run as a test sees it when an event is heard."""

    clock: Clock
    run: Run | None = None

    def interrupt(self) -> None:
        """Interrupt the run."""
        assert self.run is not None
        self.run.interrupt()


# Called with the type of an event, and the node or the interface output that it is about.
OnEvent = Callable[[RunInProgress, str, str], None]


@dataclass(frozen=True, slots=True)
class Observed:
    """What a run did: its events as they go on the wire, and the values as Python has them."""

    status: Status
    states: Mapping[str, Status]
    outputs: Mapping[str, object]
    error: NodeFailedError | None
    events: EventLog
    node_outputs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def order(self, kind: str = "NODE_EXECUTING") -> list[str]:
        """Return the nodes in the order of their events of one kind."""
        return [payload["nodeId"] for payload in self.events.of(kind)]

    def index(self, kind: str, node_id: str) -> int:
        """Return where the event of a node is among all events."""
        found = [
            number
            for number, event in enumerate(self.events)
            if event["type"] == kind and event["payload"].get("nodeId") == node_id
        ]
        assert len(found) == 1, f"{kind} of {node_id} is there {len(found)} times"
        return found[0]

    def chunks(self, node_id: str) -> list[tuple[str, object, bool]]:
        """Return the chunks of a node: type, content, and whether it is called the last."""
        return [_chunk(p) for p in self.events.of("NODE_YIELD") if p["sourceNodeId"] == node_id]

    def yields(self, key: str) -> list[tuple[str, object, bool]]:
        """Return the chunks of an interface output."""
        found = self.events.of("WORKFLOW_INTERFACE_YIELD")
        return [_chunk(payload) for payload in found if payload["interfaceOutputKey"] == key]

    def interface_messages(self) -> list[Json]:
        """Return what was said of the workflow's outputs, message by message."""
        completed = self.events.of("NODE_COMPLETE")
        return [p["output"] for p in completed if p["nodeId"] == INTERFACE_OUTPUTS_NODE]

    def skipped(self) -> dict[str, str]:
        """Return the skipped nodes and the failed node that each names."""
        return {p["nodeId"]: p["causedBy"] for p in self.events.of("NODE_SKIPPED")}


def _chunk(payload: Json) -> tuple[str, object, bool]:
    content = payload["yieldedContent"]
    return content["type"], content["content"], payload["isLastChunk"]


async def observe(
    workflow: Workflow | Mapping[str, object],
    *definitions: object,
    inputs: Mapping[str, object] | None = None,
    workflows: Mapping[str, Mapping[str, object]] | None = None,
    limits: EngineLimits | None = None,
    on_event: OnEvent | None = None,
    started: Callable[[RunInProgress], None] | None = None,
    allow_missing: bool = False,
) -> Observed:
    """Run a workflow of the test nodes, of ``definitions`` and of the core pack.

    :param workflows: those that groups refer to
    :param on_event: hears every event at once, inside the run
    :param started: called when the run has been started and nothing has happened yet
    :raises WorkflowError: the workflow does not compile; then nothing has happened
    """

    def resolve(workflow_id: str) -> Workflow | None:
        document = (workflows or {}).get(workflow_id)
        return None if document is None else parse_workflow(document, source=workflow_id)

    clock = Clock()
    progress = RunInProgress(clock)
    recorder, outputs = EventRecorder("prompt"), dict[str, Mapping[str, object]]()
    sinks = [recorder.sink, EventSink(node_completed=partial(_keep, outputs))]
    if on_event is not None:
        sinks.append(hearing(partial(on_event, progress)))
    packs = (*NODES, *definitions, comfytavern_core_nodes)
    refused: WorkflowError | None = None
    with anyio.fail_after(LONGEST):
        async with pack_host(*packs, services={"clock": clock}, limits=limits) as host:
            sink = merge_sinks(sinks)
            try:
                resolver = resolve if workflows is not None else None
                plan = await host.compile(workflow, resolver, allow_missing=allow_missing)
                progress.run = run = host.start(
                    plan, inputs=inputs, run_id="prompt", sink=sink, user_id="user-1"
                )
            except WorkflowError as exc:
                refused = exc
            else:
                if started is not None:
                    started(progress)
                async with clock.running():
                    result = await run.wait()
    if refused is not None:
        assert not recorder.take(), "refused, but something has happened"
        raise refused
    events = EventLog(recorder.take())
    for number, event in enumerate(events, 1):
        event["seq"] = number
    check_envelopes(events)
    return Observed(result.status, result.states, result.outputs, result.error, events, outputs)


def _keep(
    outputs: dict[str, Mapping[str, object]],
    node: PlanNode,
    found: Mapping[str, object],
    seconds: float,
) -> None:
    outputs[node.id] = found


def hearing(tell: Callable[[str, str], None]) -> EventSink:
    """Return a sink that tells each event's type, and its node or interface output."""

    def of_node(kind: str) -> Callable[..., None]:
        return lambda node, *rest: tell(kind, node.id)

    def interface_chunk(key: str, name: str | None, chunk: Chunk, is_last: bool) -> None:
        tell("WORKFLOW_INTERFACE_YIELD", key)

    return EventSink(
        node_started=of_node("NODE_EXECUTING"),
        node_completed=of_node("NODE_COMPLETE"),
        node_failed=of_node("NODE_ERROR"),
        node_skipped=of_node("NODE_SKIPPED"),
        node_bypassed=of_node("NODE_BYPASSED"),
        node_interrupted=of_node("NODE_INTERRUPTED"),
        node_progress=of_node("NODE_PROGRESS"),
        stream=lambda node: lambda chunk: tell("NODE_YIELD", node.id),
        stream_broken=of_node("NODE_YIELD"),
        interface_chunk=interface_chunk,
        interface_outputs=lambda outputs: tell("NODE_COMPLETE", INTERFACE_OUTPUTS_NODE),
    )

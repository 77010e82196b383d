"""What a case expects, and how a run is held against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comfytavern.events import INTERFACE_OUTPUTS_NODE
from comfytavern.testing import EventLog

from .running import NODES, Observed

__all__ = ("STREAM", "Containing", "Expected", "check", "check_order", "recorded", "same", "txt")

Case = Mapping[str, Any]  # Any: JSON
Chunks = Sequence[tuple[str, object, bool]]
Values = Mapping[str, object]

# Stands for a stream where a value is compared as JSON.
STREAM = object()


@dataclass(frozen=True, slots=True)
class Containing:
    """Stands for a text with this part: the reason counts, not the wording."""

    part: str


TERMINAL = ("NODE_COMPLETE", "NODE_ERROR", "NODE_SKIPPED", "NODE_BYPASSED", "NODE_INTERRUPTED")


def txt(*texts: str) -> tuple[tuple[str, object, bool], ...]:
    """Return text chunks."""
    return tuple(("text_chunk", text, False) for text in texts)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run must have done. Every node stands in exactly one of the first five."""

    outputs: Mapping[str, Values] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)  # part of the message
    skipped: Mapping[str, str] = field(default_factory=dict)  # because of which node
    bypassed: Mapping[str, Values] = field(default_factory=dict)
    interrupted: tuple[str, ...] | None = None
    chunks: Mapping[str, Chunks] = field(default_factory=dict)
    yields: Mapping[str, Chunks] = field(default_factory=dict)
    interface: tuple[Values, ...] = ()
    # which nodes began; by default those that have outputs or an error
    started: tuple[str, ...] | None = None
    order: tuple[str, ...] | None = None  # in which nodes began, where that is said

    @property
    def status(self) -> str:
        """How the run ends."""
        if self.interrupted is not None:
            return "interrupted"
        return "error" if self.errors else "complete"

    @property
    def states(self) -> dict[str, str]:
        """The state of each node at the end."""
        states = dict.fromkeys(self.outputs, "complete") | dict.fromkeys(self.errors, "error")
        states |= dict.fromkeys((*self.skipped, *self.bypassed), "skipped")
        return states | dict.fromkeys(self.interrupted or (), "interrupted")


def recorded(case: Case) -> Expected:
    """Return what the original did, as the expectation of a case without deviations."""
    events: list[dict[str, Any]] = case["events"]  # Any: JSON
    log = EventLog(events)
    completed = {p["nodeId"]: p["output"] for p in log.of("NODE_COMPLETE")}
    interface = completed.pop(INTERFACE_OUTPUTS_NODE, None)
    chunks: dict[str, list[tuple[str, object, bool]]] = {}
    for payload in log.of("NODE_YIELD"):
        content = payload["yieldedContent"]
        chunk = (content["type"], content["content"], payload["isLastChunk"])
        chunks.setdefault(payload["sourceNodeId"], []).append(chunk)
    assert not log.of("WORKFLOW_INTERFACE_YIELD"), "all such cases have an expectation"
    expected = Expected(
        outputs=completed,
        errors={p["nodeId"]: _reason(p) for p in log.of("NODE_ERROR")},
        bypassed={p["nodeId"]: p["pseudoOutputs"] for p in log.of("NODE_BYPASSED")},
        interrupted=() if case["result"]["status"] == "interrupted" else None,
        chunks=chunks,
        interface=() if interface is None else (interface,),
        started=tuple(p["nodeId"] for p in log.of("NODE_EXECUTING")),
    )
    assert expected.status == case["result"]["status"]
    assert expected.states == case["nodeStates"]
    return expected


def _reason(payload: Mapping[str, Any]) -> str:  # Any: JSON
    message: str = payload["errorDetails"]["message"]
    # The reason, not the wording: "Critical error: Missing required input 'x' for node ...".
    return "'" + message.split("'")[1] + "'" if "Missing required input" in message else message


def check(case: Case, expected: Expected, seen: Observed) -> None:
    """Hold a run against what is expected of it."""
    _check_ends(expected, seen)
    assert same(
        {node: p["output"] for node, p in _of(seen, "NODE_COMPLETE").items()},
        dict(expected.outputs),
    )
    assert same(
        {node: p["pseudoOutputs"] for node, p in _of(seen, "NODE_BYPASSED").items()},
        dict(expected.bypassed),
    )
    _check_failures(expected, seen)
    nodes = {p["sourceNodeId"] for p in seen.events.of("NODE_YIELD")}
    assert {node: seen.chunks(node) for node in nodes} == {
        node: list(chunks) for node, chunks in expected.chunks.items() if chunks
    }
    keys = {p["interfaceOutputKey"] for p in seen.events.of("WORKFLOW_INTERFACE_YIELD")}
    assert {key: seen.yields(key) for key in keys} == {
        key: list(chunks) for key, chunks in expected.yields.items()
    }
    assert same(seen.interface_messages(), list(expected.interface))
    check_order(case["payload"], seen)


def _check_ends(expected: Expected, seen: Observed) -> None:
    assert seen.status == expected.status
    assert seen.events[-1]["payload"]["status"] == expected.status
    assert dict(seen.states) == expected.states
    began = expected.started
    if began is None:
        began = (*expected.outputs, *expected.errors)
    assert sorted(seen.order()) == sorted(began), "one NODE_EXECUTING per executed node"
    if expected.order is not None:
        assert seen.order() == list(expected.order)
    ended = [p["nodeId"] for p in seen.events.of(*TERMINAL)]
    ended = [node for node in ended if node != INTERFACE_OUTPUTS_NODE]
    assert sorted(ended) == sorted(expected.states), "one terminal event per node"


def _check_failures(expected: Expected, seen: Observed) -> None:
    failed = _of(seen, "NODE_ERROR")
    assert failed.keys() == expected.errors.keys()
    for node, reason in expected.errors.items():
        assert reason in failed[node]["errorDetails"]["message"]
    assert seen.skipped() == dict(expected.skipped)
    for position, event in enumerate(seen.events):
        if event["type"] == "NODE_SKIPPED":
            before = seen.events[position - 1]
            is_right_after = before["type"] in ("NODE_ERROR", "NODE_SKIPPED")
            assert is_right_after, f"{event} does not follow its cause"
            cause = before["payload"].get("causedBy", before["payload"]["nodeId"])
            assert cause == event["payload"]["causedBy"]
    if expected.status == "error":
        first = seen.events.of("NODE_ERROR")[0]
        info = seen.events[-1]["payload"]["errorInfo"]
        assert info["nodeId"] == first["nodeId"], "the run's error names the first failed node"
        assert expected.errors[first["nodeId"]] in info["message"]
        assert seen.error is not None
        assert seen.error.node_id == first["nodeId"]


def _of(seen: Observed, kind: str) -> dict[str, dict[str, Any]]:  # Any: JSON
    payloads = seen.events.of(kind)
    return {p["nodeId"]: p for p in payloads if p["nodeId"] != INTERFACE_OUTPUTS_NODE}


def check_order(payload: Mapping[str, Any], seen: Observed) -> None:  # Any: JSON
    """Check the order along the edges, and that chunks come while their node runs."""
    began: dict[str, int] = {}
    ended: dict[str, int] = {}
    for position, event in enumerate(seen.events):
        node = event["payload"].get("nodeId", "")
        if event["type"] in ("NODE_EXECUTING", "NODE_BYPASSED"):
            began[node] = position
        if event["type"] in TERMINAL:
            ended[node] = position
    types = {str(node["id"]): node["fullType"] for node in payload["nodes"]}
    for edge in payload["edges"]:
        source, target = edge["sourceNodeId"], edge["targetNodeId"]
        if target not in began:
            continue
        assert began[source] < began[target], f"{target} began before its source {source}"
        if _is_batch(types[source], edge["sourceHandle"]):
            assert ended[source] < began[target], f"{target} began before {source} ended"
    for position, event in enumerate(seen.events):
        if event["type"] == "NODE_YIELD":
            node = event["payload"]["sourceNodeId"]
            assert began[node] < position < ended[node], (
                f"a chunk of {node} while it is not running"
            )


_BATCH_SLOTS = {
    (f"test:{definition.type}", name)
    for definition in NODES
    for name, slot in definition.outputs.items()
    if not slot.is_stream
}


def _is_batch(full_type: str, slot: str) -> bool:
    return (full_type, slot) in _BATCH_SLOTS


def same(found: object, expected: object) -> bool:
    """Return whether two JSON values are equal; unlike Python, true is not 1."""
    if expected is STREAM:
        return isinstance(found, Mapping) and "$opaque" in found
    if isinstance(expected, Containing):
        return isinstance(found, str) and expected.part in found
    if isinstance(expected, Mapping):
        return (
            isinstance(found, Mapping)
            and found.keys() == expected.keys()
            and all(same(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list | tuple):
        return (
            isinstance(found, list | tuple)
            and len(found) == len(expected)
            and all(map(same, found, expected))
        )
    return isinstance(found, bool) is isinstance(expected, bool) and found == expected

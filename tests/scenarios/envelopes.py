"""The events of a run as DESIGN section 8 has them: keys by type, order, one end."""

from __future__ import annotations

from typing import Any

from comfytavern.events import INTERFACE_OUTPUTS_NODE
from comfytavern.testing import EventLog

__all__ = ("check_envelopes",)

# type -> keys that are always there, keys that may be there; besides promptId
_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "EXECUTION_STATUS_UPDATE": ({"status"}, {"errorInfo", "attempt", "queuePosition"}),
    "NODE_EXECUTING": ({"nodeId"}, set()),
    "NODE_COMPLETE": ({"nodeId", "output", "durationMs"}, set()),
    "NODE_PROGRESS": ({"nodeId", "value", "max"}, {"text"}),
    "NODE_ERROR": ({"nodeId", "errorDetails"}, set()),
    "NODE_SKIPPED": ({"nodeId", "reason"}, {"causedBy"}),
    "NODE_INTERRUPTED": ({"nodeId"}, {"partial"}),
    "NODE_BYPASSED": ({"nodeId", "pseudoOutputs"}, set()),
    "NODE_YIELD": ({"sourceNodeId", "yieldedContent", "isLastChunk"}, set()),
    "WORKFLOW_INTERFACE_YIELD": (
        {"interfaceOutputKey", "yieldedContent", "isLastChunk"},
        {"interfaceOutputDisplayName"},
    ),
}
_NESTED: dict[str, tuple[set[str], set[str]]] = {
    "errorInfo": ({"message", "code"}, {"nodeId"}),
    "errorDetails": ({"message", "code", "nodeType", "pack"}, {"traceback", "partial"}),
    "yieldedContent": ({"type", "content"}, set()),
}
_FINAL = {"complete", "error", "interrupted"}


def check_envelopes(events: EventLog) -> None:
    """Check the shape of every event, and that the run's end is told once and last."""
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    for event in events:
        assert event.keys() == {"type", "payload", "seq", "ts"}, event
        _check(event["type"], event["payload"])
    statuses = [payload["status"] for payload in events.of("EXECUTION_STATUS_UPDATE")]
    assert [status for status in statuses if status in _FINAL] == statuses[-1:]
    assert events[-1]["type"] == "EXECUTION_STATUS_UPDATE"


def _check(kind: str, payload: dict[str, Any]) -> None:  # Any: JSON
    always, sometimes = _KEYS[kind]
    assert payload["promptId"] == "prompt", payload
    keys = payload.keys() - {"promptId"}
    if kind == "NODE_COMPLETE" and payload["nodeId"] == INTERFACE_OUTPUTS_NODE:
        always = always - {"durationMs"}  # it is no node that takes time
    assert always <= keys <= always | sometimes, (kind, payload)
    for name, (required, optional) in _NESTED.items():
        if name in payload:
            found = payload[name].keys()
            assert required <= found <= required | optional, (kind, payload)
    if kind == "EXECUTION_STATUS_UPDATE":
        # a run that is interrupted after a failure may say so
        allowed = {"error": {True}, "interrupted": {True, False}}.get(payload["status"], {False})
        assert ("errorInfo" in payload) in allowed, payload

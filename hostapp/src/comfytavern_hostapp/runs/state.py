"""Where a run stands, from its events alone: each node's status, outputs, errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from comfytavern.events import FINAL_STATUSES, INTERFACE_OUTPUTS_NODE, EventType, Status
from comfytavern.runner import Envelope

__all__ = ("RunState",)

# Characters of one stream output that are kept; the whole of it is in the events.
MAX_STREAM = 1 << 20

_Json = dict[str, Any]  # Any: JSON values


class RunState:
    """What the events so far say of a run."""

    def __init__(self) -> None:
        self.nodes: dict[str, _Json] = {}
        self.error: _Json | None = None
        self.status: Status | None = None
        self.streamed: set[str] = set()  # the nodes that have streamed something
        self._outputs: _Json = {}
        self._streams: dict[str, list[str]] = {}
        self._lengths: dict[str, int] = {}
        self._cut: set[str] = set()

    def take(self, events: Iterable[Envelope]) -> None:
        """Take the next events in."""
        for event in events:
            take = _TAKES.get(event["type"])
            if take is not None:
                take(self, event["payload"])

    def to_wire(self) -> _Json:
        """Return nodes, outputs and error as JSON; stream outputs as the text so far."""
        streams = {key: "".join(parts) for key, parts in self._streams.items()}
        wire: _Json = {
            "nodes": self.nodes,
            "outputs": {**self._outputs, **streams},
            "error": self.error,
        }
        return wire | ({"cutOutputs": sorted(self._cut)} if self._cut else {})

    def _node(self, payload: _Json, status: Status, **more: object) -> None:
        known = {key: value for key, value in more.items() if value is not None}
        self.nodes[payload["nodeId"]] = {"status": status.value, **known}

    def _executing(self, payload: _Json) -> None:
        self._node(payload, Status.RUNNING)

    def _progress(self, payload: _Json) -> None:
        shown = {key: payload[key] for key in ("value", "max", "text") if key in payload}
        self.nodes.setdefault(payload["nodeId"], {"status": Status.RUNNING.value})
        self.nodes[payload["nodeId"]]["progress"] = shown

    def _complete(self, payload: _Json) -> None:
        if payload["nodeId"] != INTERFACE_OUTPUTS_NODE:
            self._node(payload, Status.COMPLETE, durationMs=payload.get("durationMs"))
            return
        for key, value in payload["output"].items():
            if not _is_placeholder(value):
                self._outputs[key] = value

    def _failed(self, payload: _Json) -> None:
        details = payload["errorDetails"]
        partial = details.get("partial")
        self._node(payload, Status.ERROR, error=details, partial=partial)
        if self.error is None:
            code, message = details.get("code"), details.get("message")
            self.error = {"code": code, "message": message, "nodeId": payload["nodeId"]}

    def _skipped(self, payload: _Json) -> None:
        why = {"reason": payload.get("reason"), "causedBy": payload.get("causedBy")}
        self._node(payload, Status.SKIPPED, **why)

    def _bypassed(self, payload: _Json) -> None:
        self._node(payload, Status.SKIPPED, bypassed=True)

    def _interrupted(self, payload: _Json) -> None:
        self._node(payload, Status.INTERRUPTED, partial=payload.get("partial"))

    def _yield(self, payload: _Json) -> None:
        self.streamed.add(payload["sourceNodeId"])

    def _interface_yield(self, payload: _Json) -> None:
        key, content = payload["interfaceOutputKey"], payload["yieldedContent"]
        parts = self._streams.setdefault(key, [])
        text = content.get("content")
        if content.get("type") != "text_chunk" or not isinstance(text, str):
            return
        room = MAX_STREAM - self._lengths.get(key, 0)
        if len(text) > room:
            self._cut.add(key)
            text = text[:room]
        self._lengths[key] = self._lengths.get(key, 0) + len(text)
        parts.append(text)

    def _status(self, payload: _Json) -> None:
        self.status = Status(payload["status"])
        info = payload.get("errorInfo")
        if self.status in FINAL_STATUSES and info:
            self.error = dict(info)
        elif self.status is Status.RUNNING and payload.get("attempt", 1) > 1:
            # Another attempt begins: what the one before has brought does not count.
            self.__init__()  # type: ignore[misc]  # on purpose: as new
            self.status = Status.RUNNING


def _is_placeholder(value: object) -> bool:
    return isinstance(value, Mapping) and value.get("type") == "stream_placeholder"


_TAKES: Mapping[str, Callable[[RunState, _Json], None]] = {
    EventType.NODE_EXECUTING: RunState._executing,
    EventType.NODE_PROGRESS: RunState._progress,
    EventType.NODE_COMPLETE: RunState._complete,
    EventType.NODE_ERROR: RunState._failed,
    EventType.NODE_SKIPPED: RunState._skipped,
    EventType.NODE_BYPASSED: RunState._bypassed,
    EventType.NODE_INTERRUPTED: RunState._interrupted,
    EventType.NODE_YIELD: RunState._yield,
    EventType.WORKFLOW_INTERFACE_YIELD: RunState._interface_yield,
    EventType.EXECUTION_STATUS_UPDATE: RunState._status,
}

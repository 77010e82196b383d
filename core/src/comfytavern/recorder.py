"""What happens in a run, as envelopes for the wire.

The engine only appends cheap tuples; envelopes are built in batches by whoever reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from time import time
from typing import Any

import anyio

from .chunks import Chunk
from .encoding import MAX_TEXT, BlobSink, to_json, to_key
from .errors import NodeFailedError
from .events import INTERFACE_OUTPUTS_NODE, EventType, Status
from .plan import PlanNode
from .runner import Envelope
from .sinks import EventSink

__all__ = ("EventRecorder",)

# (what builds the payload, when, its arguments...); the frequent kinds of records begin
# with a mark instead and are built in place.
_Record = tuple[Any, ...]  # Any: each builder takes its own
_CHUNKS, _STARTED, _COMPLETED = range(3)


class EventRecorder:
    """Collects the events of one run. ``sink`` goes to the engine; ``next_batch`` reads them."""

    def __init__(self, run_id: str, *, blobs: BlobSink | None = None) -> None:
        self.run_id = run_id
        self._records: list[_Record] = []
        # the chunks of each node that streams now, since the last batch
        self._streams: dict[str, list[Chunk]] = {}
        self._has_chunks = False
        self._arrival: anyio.Event | None = None
        self._finished = False
        self._encode: Callable[[object], Any] = partial(to_json, blobs=blobs)  # Any: JSON
        self.sink = self._make_sink()

    async def next_batch(self) -> list[Envelope]:
        """Return the events since the last call, as soon as there are any.

        An empty list says that the run has ended and everything has been returned.
        """
        while not (self._records or self._has_chunks):
            if self._finished:
                return []
            self._arrival = anyio.Event()
            await self._arrival.wait()
        return self.take()

    def take(self) -> list[Envelope]:
        """Return the events since the last call, without waiting.

        Events of one node are in order. What nodes are still streaming comes last, node
        by node.
        """
        records = self._records.copy()
        self._records.clear()
        run_id, encode = self.run_id, self._encode
        stamp, shown = 0.0, ""
        batch: list[Envelope] = []
        for record in records:
            mark, when = record[0], record[1]
            if when - stamp >= 0.001:
                stamp, shown = when, _timestamp(when)
            if mark is _STARTED:
                kind, payload = _EXECUTING, {"promptId": run_id, "nodeId": record[2]}
            elif mark is _CHUNKS:
                batch += self._yields(record[2], record[3], shown)
                continue
            else:
                build = _complete if mark is _COMPLETED else mark
                kind, payload = build(encode, *record[2:])
                payload["promptId"] = run_id
            batch.append({"type": kind, "payload": payload, "ts": shown})
        if self._has_chunks:
            self._has_chunks = False
            shown = _timestamp(time())
            for node_id, chunks in self._streams.items():
                batch += self._yields(node_id, chunks, shown)
                chunks.clear()
        return batch

    def _yields(self, node_id: str, chunks: list[Chunk], shown: str) -> list[Envelope]:
        run_id = self.run_id
        if not _are_plain(chunks):
            chunks = [Chunk(to_key(kind), self._encode(content)) for kind, content in chunks]
        return [
            {
                "type": _YIELD,
                "payload": {
                    "promptId": run_id,
                    "sourceNodeId": node_id,
                    "yieldedContent": {"type": kind, "content": content},
                    "isLastChunk": kind == "finish_reason_chunk",
                },
                "ts": shown,
            }
            for kind, content in chunks
        ]

    def _make_sink(self) -> EventSink:
        return EventSink(
            run_started=self._notes(_running),
            run_finished=self._run_finished,
            node_started=self._node_started,
            node_completed=self._node_completed,
            node_failed=self._notes(_error),
            node_skipped=self._notes(_skipped),
            node_bypassed=self._notes(_bypassed),
            node_interrupted=self._notes(_interrupted),
            node_progress=self._notes(_progress),
            stream=self._open_stream,
            stream_broken=self._notes(_broken),
            interface_outputs=self._notes(_interface_outputs),
            interface_chunk=self._notes(_interface_yield),
        )

    def _notes(self, build: Callable[..., _Built]) -> Callable[..., None]:
        """Return what records one kind of event, with the arguments that ``build`` takes."""
        append, ends = self._records.append, build in _ENDS

        def tell(*arguments: Any) -> None:  # Any: those of ``build``
            if ends:
                self._end_stream(arguments[0])
            append((build, time(), *arguments))
            self._wake()

        return tell

    def _node_started(self, node: PlanNode) -> None:
        self._records.append((_STARTED, time(), node.id))
        if self._arrival is not None:
            self._wake()

    def _node_completed(
        self, node: PlanNode, outputs: Mapping[str, object], seconds: float
    ) -> None:
        if self._streams:
            self._end_stream(node)
        self._records.append((_COMPLETED, time(), node.id, outputs, seconds))
        if self._arrival is not None:
            self._wake()

    def _run_finished(self, status: Status, error: NodeFailedError | None, seconds: float) -> None:
        self._finished = True
        self._records.append((_status, time(), status, error))
        self._wake()

    def _open_stream(self, node: PlanNode) -> Callable[[Chunk], None]:
        chunks = self._streams[node.id] = []
        keep = chunks.append

        def tell(chunk: Chunk) -> None:
            if not chunks:
                self._has_chunks = True
                self._wake()
            keep(chunk)

        return tell

    def _end_stream(self, node: PlanNode) -> None:
        if node.id in self._streams:
            self._records.append((_CHUNKS, time(), node.id, self._streams.pop(node.id)))

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None


def _are_plain(chunks: list[Chunk]) -> bool:
    """Return whether all chunks hold ordinary text, which JSON takes as it is."""
    try:
        # One look at all of it: most of what is streamed are short texts.
        text = "".join([kind + content for kind, content in chunks])  # type: ignore[operator]  # else TypeError
        return len(text.encode()) < MAX_TEXT
    except (TypeError, UnicodeEncodeError):
        return False


def _timestamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")


# --- payloads: (encode, what the sink was told...) -> (type, payload) ---------------------

_Encode = Callable[[object], Any]  # Any: a JSON value
_Built = tuple[str, dict[str, Any]]  # Any: a JSON value

_EXECUTING = EventType.NODE_EXECUTING.value
_COMPLETE = EventType.NODE_COMPLETE.value
_YIELD = EventType.NODE_YIELD.value


def _complete(
    encode: _Encode, node_id: str, outputs: Mapping[str, object], seconds: float | None
) -> _Built:
    shown = {
        key if key.__class__ is str and key.isascii() else to_key(key): encode(value)
        for key, value in outputs.items()
    }
    payload: dict[str, Any] = {"nodeId": node_id, "output": shown}
    if seconds is not None:
        payload["durationMs"] = int(seconds * 1_000_000) / 1000
    return _COMPLETE, payload


def _interface_outputs(encode: _Encode, outputs: Mapping[str, object]) -> _Built:
    return _complete(encode, INTERFACE_OUTPUTS_NODE, outputs, None)


def _broken(encode: _Encode, node: PlanNode, chunk: Chunk) -> _Built:
    said = {"type": to_key(chunk.type), "content": encode(chunk.content)}
    return _YIELD, {"sourceNodeId": node.id, "yieldedContent": said, "isLastChunk": True}


def _running(encode: _Encode, node_count: int) -> _Built:
    return _status(encode, Status.RUNNING, None)


def _interface_yield(
    encode: _Encode,
    key: str,
    display_name: str | None,
    chunk: Chunk,
    is_last: bool,
) -> _Built:
    payload: dict[str, Any] = {
        "interfaceOutputKey": key,
        "yieldedContent": {"type": to_key(chunk.type), "content": encode(chunk.content)},
        "isLastChunk": is_last,
    }
    if display_name is not None:
        payload["interfaceOutputDisplayName"] = display_name
    return EventType.WORKFLOW_INTERFACE_YIELD.value, payload


def _status(encode: _Encode, status: Status, error: NodeFailedError | None) -> _Built:
    payload: dict[str, Any] = {"status": status.value}
    if error is not None:
        message = encode(str(error))
        payload["errorInfo"] = {"message": message, "code": error.error_code}
        payload["errorInfo"]["nodeId"] = error.node_id
    return EventType.EXECUTION_STATUS_UPDATE.value, payload


def _error(encode: _Encode, node: PlanNode, error: NodeFailedError, partial: bool) -> _Built:
    details = {
        **{to_key(key): encode(value) for key, value in error.details.items()},
        "message": encode(error.reason),
        "code": error.error_code,
        "nodeType": error.node_type,
        "pack": error.pack,
    }
    if partial:
        details["partial"] = True
    return EventType.NODE_ERROR.value, {"nodeId": node.id, "errorDetails": details}


def _skipped(encode: _Encode, node: PlanNode, reason: str, caused_by: str) -> _Built:
    payload = {"nodeId": node.id, "reason": reason, "causedBy": caused_by}
    return EventType.NODE_SKIPPED.value, payload


def _bypassed(encode: _Encode, node: PlanNode, outputs: Mapping[str, object]) -> _Built:
    shown = {to_key(key): encode(value) for key, value in outputs.items()}
    return EventType.NODE_BYPASSED.value, {"nodeId": node.id, "pseudoOutputs": shown}


def _interrupted(encode: _Encode, node: PlanNode, partial: bool) -> _Built:
    payload: dict[str, Any] = {"nodeId": node.id}
    if partial:
        payload["partial"] = True
    return EventType.NODE_INTERRUPTED.value, payload


def _progress(
    encode: _Encode, node: PlanNode, value: float, maximum: float, text: str | None
) -> _Built:
    payload: dict[str, Any] = {"nodeId": node.id, "value": encode(value), "max": encode(maximum)}
    if text is not None:
        payload["text"] = encode(text)
    return EventType.NODE_PROGRESS.value, payload


# What may come only after everything that the node has streamed.
_ENDS = frozenset({_error, _interrupted, _broken})

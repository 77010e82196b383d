"""Where a run tells what happens: plain callables, resolved once per run.

A sink that nobody fills in is None, so that an event without a listener costs one
comparison. The engine never waits for a sink.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .chunks import Chunk
from .errors import NodeFailedError
from .events import Status
from .plan import PlanNode

__all__ = ("EventSink", "merge_sinks")


@dataclass(slots=True)
class EventSink:
    """One callable per kind of event; None where nobody listens."""

    run_started: Callable[[int], None] | None = None
    run_finished: Callable[[Status, NodeFailedError | None, float], None] | None = None
    node_started: Callable[[PlanNode], None] | None = None
    node_completed: Callable[[PlanNode, Mapping[str, object], float], None] | None = None
    node_failed: Callable[[PlanNode, NodeFailedError, bool], None] | None = None
    node_skipped: Callable[[PlanNode, str, str], None] | None = None
    node_bypassed: Callable[[PlanNode, Mapping[str, object]], None] | None = None
    node_interrupted: Callable[[PlanNode, bool], None] | None = None
    node_progress: Callable[[PlanNode, float, float, str | None], None] | None = None
    # called once when a node begins to stream; what it returns is called with each chunk
    stream: Callable[[PlanNode], Callable[[Chunk], None]] | None = None
    stream_broken: Callable[[PlanNode, Chunk], None] | None = None
    interface_outputs: Callable[[Mapping[str, object]], None] | None = None
    interface_chunk: Callable[[str, str | None, Chunk, bool], None] | None = None


def merge_sinks(sinks: Iterable[EventSink]) -> EventSink:
    """Return one sink that tells all of them, in order."""
    listed = list(sinks)
    merged = EventSink()
    for field in fields(EventSink):
        found = [getattr(sink, field.name) for sink in listed]
        calls = [call for call in found if call is not None]
        if calls:
            join = _open_all if field.name == "stream" else _tell_all
            setattr(merged, field.name, calls[0] if len(calls) == 1 else join(calls))
    return merged


def _tell_all(calls: list[Callable[..., None]]) -> Callable[..., None]:
    def tell(*arguments: Any) -> None:  # Any: each field has its own arguments
        for call in calls:
            call(*arguments)

    return tell


def _open_all(calls: list[Callable[..., Any]]) -> Callable[..., Any]:  # Any: as in ``stream``
    def open_stream(node: PlanNode) -> Callable[..., None]:
        return _tell_all([call(node) for call in calls])

    return open_stream

"""What a person sees of a run: progress while it goes on, then its results.

The first stream output of the workflow is written to stdout as it arrives; whatever else
the workflow gives follows when the run has ended. On a terminal progress is one status line;
in a pipe it is a line on stderr per node that ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from comfytavern.events import INTERFACE_OUTPUTS_NODE, EventType, Status
from comfytavern.plan import Plan
from comfytavern.runner import Envelope
from comfytavern.workflow import Workflow

from ..console import Console

__all__ = ("Collected", "Outline", "RunView", "duration", "ended_node", "waiting")

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MOST_NAMED = 3
# Seconds between two drawings at the least: a replay would do nothing else.
_PACE = 0.05
_ENDS = {
    EventType.NODE_COMPLETE.value: "complete",
    EventType.NODE_ERROR.value: "error",
    EventType.NODE_SKIPPED.value: "skipped",
    EventType.NODE_BYPASSED.value: "bypassed",
    EventType.NODE_INTERRUPTED.value: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Outline:
    """What can be told of a workflow before it runs.

    ``nodes`` is how many there are, as far as that is known. ``outputs`` are those that
    something feeds, ``order`` is how the file lists all; ``streams`` are some of them.
    """

    nodes: int
    outputs: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    @classmethod
    def of_plan(cls, plan: Plan) -> Outline:
        """Return the outline of a workflow that was compiled."""
        return cls(
            sum(1 for _ in plan.visible_nodes),
            tuple(output.key for output in plan.outputs),
            tuple(output.key for output in plan.outputs if output.is_stream),
            tuple(plan.interface_outputs),
        )

    @classmethod
    def of_workflow(cls, workflow: Workflow) -> Outline:
        """Return what a workflow itself says; what its groups hold is not known."""
        slots = workflow.interface_outputs
        mapped = workflow.output_mappings
        outputs = tuple(slots if mapped is None else mapped)
        streams = tuple(key for key in outputs if key in slots and slots[key].is_stream)
        return cls(len(workflow.nodes), outputs, streams, tuple(slots))


class Collected:
    """What the events of a run bring, kept for the end."""

    def __init__(self, outline: Outline, *, keep_events: bool = False) -> None:
        self.outline = outline
        self.events: list[Envelope] | None = [] if keep_events else None
        self.failures: list[Mapping[str, Any]] = []  # Any: JSON
        self._streams: dict[str, list[str]] = {key: [] for key in outline.streams}

    def take(self, batch: Iterable[Envelope]) -> None:
        """Take the next events in."""
        for event in batch:
            kind, payload = event["type"], event["payload"]
            if self.events is not None:
                self.events.append(event | {"seq": len(self.events) + 1})
            if kind == EventType.WORKFLOW_INTERFACE_YIELD:
                key, text = payload["interfaceOutputKey"], _text(payload)
                if text:
                    self._streams.setdefault(key, []).append(text)
            elif kind == EventType.NODE_ERROR:
                self.failures.append(payload)

    @property
    def streams(self) -> dict[str, str]:
        """The text of each stream output, as far as it came."""
        return {key: "".join(parts) for key, parts in self._streams.items()}

    def outputs(self, batch: Mapping[str, object]) -> dict[str, object]:
        """Return every output, streams as their text, in the order of the workflow file.

        :param batch: those that are no streams
        """
        outputs: dict[str, object] = {**self.streams, **batch}
        order = [key for key in self.outline.order if key in outputs]
        return {key: outputs[key] for key in [*order, *outputs]}


class RunView:
    """Shows the events of a run as they come.

    :param elapsed: seconds that the run has taken already
    """

    def __init__(
        self, console: Console, outline: Outline, *, quiet: bool = False, elapsed: float = 0.0
    ) -> None:
        self._console = console
        self._quiet = quiet
        self._live = console.is_live and not quiet
        self._total = outline.nodes
        self._done = 0
        self._frame = 0
        self._drawn = 0.0
        self._began = monotonic() - elapsed
        self._waits = ""
        self._running: dict[str, str] = {}
        self.streamed = next(iter(outline.streams), None)

    def show(self, batch: Iterable[Envelope]) -> None:
        """Show the next events. Writes: call it from a thread."""
        text: list[str] = []
        for event in batch:
            kind, payload = event["type"], event["payload"]
            if kind == EventType.WORKFLOW_INTERFACE_YIELD:
                if self.streamed is None:  # the file did not say that it is a stream
                    self.streamed = payload["interfaceOutputKey"]
                if payload["interfaceOutputKey"] == self.streamed:
                    text.append(_text(payload))
                    if payload["isLastChunk"]:
                        self._write(text)
                        self._console.end_line()
            elif kind == EventType.NODE_EXECUTING:
                self._running[payload["nodeId"]] = ""
            elif kind == EventType.NODE_PROGRESS:
                self._running[payload["nodeId"]] = _share(payload)
            elif kind == EventType.EXECUTION_STATUS_UPDATE:
                self._status_changed(payload)
            elif (said := ended_node(kind, payload)) is not None:
                self._ended(payload["nodeId"], said)
        self._write(text)
        self.tick()

    def tick(self) -> None:
        """Draw the status line anew."""
        now = monotonic()
        if self._live and now - self._drawn >= _PACE:
            self._drawn = now
            self._frame += 1
            self._console.status(self._status())

    def close(self) -> None:
        """Leave the screen ready for something else."""
        self._console.status("")
        self._console.end_line()

    def _write(self, text: list[str]) -> None:
        if text:
            self._console.write("".join(text))
            text.clear()

    def _ended(self, node_id: str, said: str) -> None:
        self._running.pop(node_id, None)
        self._done += 1
        if not (self._live or self._quiet):
            self._console.say(said)

    def _status_changed(self, payload: Mapping[str, Any]) -> None:  # Any: JSON
        self._waits = waiting(payload) if payload["status"] == Status.QUEUED else ""
        if self._waits and not (self._live or self._quiet):
            self._console.say(self._waits)

    def _status(self) -> str:
        # Here, so that only a terminal loads rich: it knows how wide each character is.
        from rich.console import Console as RichConsole
        from rich.text import Text

        names = [name + share for name, share in self._running.items()]
        shown = ", ".join(names[:_MOST_NAMED])
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        elapsed = int(monotonic() - self._began)
        frame = _FRAMES[self._frame % len(_FRAMES)]
        total = max(self._total, self._done + len(names))  # those inside groups are not known
        progress = self._waits or f"{self._done}/{total} nodes"
        line = f"{frame} {progress} · {elapsed} s · {shown}{more}"
        text = Text(line.removesuffix(" · "), end="")
        text.truncate(RichConsole(stderr=True).width - 1, overflow="ellipsis")
        return text.plain


def ended_node(kind: str, payload: Mapping[str, Any]) -> str | None:  # Any: JSON
    """Say how a node has ended; None if the event tells nothing of the kind."""
    end = _ENDS.get(kind)
    if end is None or payload["nodeId"] == INTERFACE_OUTPUTS_NODE:
        return None
    took = payload.get("durationMs")
    more = f" ({duration(took / 1000)})" if took is not None else ""
    if kind == EventType.NODE_SKIPPED:
        more = f" ({payload['reason']})"
    return f"node {payload['nodeId']}: {end}{more}"


def waiting(payload: Mapping[str, Any]) -> str:  # Any: JSON
    """Say that a run waits, and where."""
    position = payload.get("queuePosition")
    return "waits in the queue" + (f", position {position}" if position is not None else "")


def _text(payload: Mapping[str, Any]) -> str:  # Any: JSON
    content = payload["yieldedContent"]
    is_text = content["type"] == "text_chunk"
    return str(content["content"]) if is_text and content["content"] is not None else ""


def _share(payload: Mapping[str, Any]) -> str:  # Any: JSON
    share = f" {payload['value'] / payload['max']:.0%}" if payload["max"] else ""
    return share + (f" {payload['text']}" if payload.get("text") else "")


def duration(seconds: float) -> str:
    """Write a time as a person reads it."""
    if seconds < 60:
        return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"

"""What a person sees of a run: progress while it goes on, then its results.

The first stream output of the workflow is written to stdout as it arrives; whatever else
the workflow gives follows when the run has ended. On a terminal progress is one status line;
in a pipe it is a line on stderr per node that ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from comfytavern.events import INTERFACE_OUTPUTS_NODE, EventType
from comfytavern.plan import Plan
from comfytavern.runner import Envelope

from ..console import Console

__all__ = ("Collected", "RunView", "duration")

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MOST_NAMED = 3
_ENDS = {
    EventType.NODE_COMPLETE.value: "complete",
    EventType.NODE_ERROR.value: "error",
    EventType.NODE_SKIPPED.value: "skipped",
    EventType.NODE_BYPASSED.value: "bypassed",
    EventType.NODE_INTERRUPTED.value: "interrupted",
}


class Collected:
    """What the events of a run bring, kept for the end."""

    def __init__(self, plan: Plan, *, keep_events: bool = False) -> None:
        self.events: list[Envelope] | None = [] if keep_events else None
        self.failures: list[Mapping[str, Any]] = []  # Any: JSON
        self._order = tuple(plan.interface_outputs)
        self._streams: dict[str, list[str]] = {o.key: [] for o in plan.outputs if o.is_stream}

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
        outputs: dict[str, object] = {**batch, **self.streams}
        order = [key for key in self._order if key in outputs]
        return {key: outputs[key] for key in [*order, *outputs]}


class RunView:
    """Shows the events of a run as they come."""

    def __init__(self, console: Console, plan: Plan, *, quiet: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._live = console.is_live and not quiet
        self._total = sum(1 for _ in plan.visible_nodes)
        self._done = 0
        self._frame = 0
        self._began = monotonic()
        self._running: dict[str, str] = {}
        streams = (output.key for output in plan.outputs if output.is_stream)
        self.streamed = next(streams, None)

    def show(self, batch: Iterable[Envelope]) -> None:
        """Show the next events. Writes: call it from a thread."""
        text: list[str] = []
        for event in batch:
            kind, payload = event["type"], event["payload"]
            if kind == EventType.WORKFLOW_INTERFACE_YIELD:
                if payload["interfaceOutputKey"] == self.streamed:
                    text.append(_text(payload))
                    if payload["isLastChunk"]:
                        self._write(text)
                        self._console.end_line()
            elif kind == EventType.NODE_EXECUTING:
                self._running[payload["nodeId"]] = ""
            elif kind == EventType.NODE_PROGRESS:
                self._running[payload["nodeId"]] = _share(payload)
            elif kind in _ENDS and payload["nodeId"] != INTERFACE_OUTPUTS_NODE:
                self._ended(payload["nodeId"], kind, payload)
        self._write(text)
        self.tick()

    def tick(self) -> None:
        """Draw the status line anew."""
        if self._live:
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

    def _ended(self, node_id: str, kind: str, payload: Mapping[str, Any]) -> None:  # Any: JSON
        self._running.pop(node_id, None)
        self._done += 1
        if self._live or self._quiet:
            return
        took = payload.get("durationMs")
        more = f" ({duration(took / 1000)})" if took is not None else ""
        if kind == EventType.NODE_SKIPPED:
            more = f" ({payload['reason']})"
        self._console.say(f"node {node_id}: {_ENDS[EventType(kind)]}{more}")

    def _status(self) -> str:
        # Here, so that only a terminal loads rich: it knows how wide each character is.
        from rich.console import Console as RichConsole
        from rich.text import Text

        names = [name + share for name, share in self._running.items()]
        shown = ", ".join(names[:_MOST_NAMED])
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        elapsed = int(monotonic() - self._began)
        frame = _FRAMES[self._frame % len(_FRAMES)]
        line = f"{frame} {self._done}/{self._total} nodes · {elapsed} s · {shown}{more}"
        text = Text(line.removesuffix(" · "), end="")
        text.truncate(RichConsole(stderr=True).width - 1, overflow="ellipsis")
        return text.plain


def _text(payload: Mapping[str, Any]) -> str:  # Any: JSON
    content = payload["yieldedContent"]
    is_text = content["type"] == "text_chunk"
    return str(content["content"]) if is_text and content["content"] is not None else ""


def _share(payload: Mapping[str, Any]) -> str:  # Any: JSON
    share = f" {payload['value'] / payload['max']:.0%}" if payload["max"] else ""
    return share + (f" {payload['text']}" if payload.get("text") else "")


def duration(seconds: float) -> str:
    """Write a time as a person reads it."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"

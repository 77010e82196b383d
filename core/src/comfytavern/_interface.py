"""What a run hands out as a whole: batch values at the end, stream chunks as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from .plan import InterfaceOutput
from .sinks import EventSink
from .streams import StreamReader, StreamWriter

__all__ = ("InterfaceOutputs",)


class InterfaceOutputs:
    """The interface outputs of one run.

    Chunks are never held back: where streams are mapped, an early message carries their
    placeholders, and a final one everything if there is more to say by then.
    """

    def __init__(self, outputs: Iterable[InterfaceOutput], sink: EventSink) -> None:
        self._outputs = tuple(outputs)
        self._sink = sink
        self._started: set[str] = set()
        self._sent_early = False
        self.values: dict[str, object] = {}
        self.sources: dict[int, list[InterfaceOutput]] = {}
        for output in self._outputs:
            if output.node >= 0:
                self.sources.setdefault(output.node, []).append(output)

    @property
    def batch_values(self) -> dict[str, object]:
        """The batch values that have come, in the order of the workflow's outputs."""
        return {o.key: self.values[o.key] for o in self._outputs if o.key in self.values}

    def streams_of(self, node: int) -> set[str]:
        """Return the slots of a node whose streams are handed out."""
        return {output.slot for output in self.sources.get(node, ()) if output.is_stream}

    def collect(self, node: int, outputs: Mapping[str, object]) -> None:
        """Keep the batch values that a node brought."""
        for output in self.sources[node]:
            if not output.is_stream:
                value = outputs.get(output.slot)
                self.values[output.key] = None if isinstance(value, StreamReader) else value

    def attach(self, node: int, slot: str, stream: StreamWriter | StreamReader) -> None:
        """Hand out a stream that has begun."""
        found = [o for o in self.sources.get(node, ()) if o.is_stream and o.slot == slot]
        if not found:
            return
        self._started.update(output.key for output in found)
        self._send_early()
        tell = self._sink.interface_chunk
        if tell is None:
            return
        for output in found:
            tap = partial(tell, output.key, output.display_name)
            if isinstance(stream, StreamWriter):
                stream.taps = [*stream.taps, tap]
            else:
                stream.hand_to_tap(tap)

    def _send_early(self) -> None:
        if self._sent_early or self._sink.interface_outputs is None:
            return
        self._sent_early = True
        streams = {o.key: _placeholder(o) for o in self._outputs if o.is_stream}
        self._sink.interface_outputs(streams)

    def send_final(self) -> None:
        """Hand out everything, unless the early message has said it all."""
        for output in self._outputs:
            if not output.is_stream:
                self.values.setdefault(output.key, None)
        missing = any(o.is_stream and o.key not in self._started for o in self._outputs)
        if not self._outputs or self._sink.interface_outputs is None:
            return
        if self._sent_early and not self.values and not missing:
            return
        self._sink.interface_outputs({o.key: self._final(o) for o in self._outputs})

    def _final(self, output: InterfaceOutput) -> object:
        if not output.is_stream:
            return self.values[output.key]
        return _placeholder(output) if output.key in self._started else None


def _placeholder(output: InterfaceOutput) -> dict[str, str]:
    message = f"Stream started for {output.key} ({output.display_name or ''})"
    return {"type": "stream_placeholder", "message": message}

"""The values on their way between nodes, and which nodes they make ready."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from .plan import InputKey, Plan, PlanNode, Target
from .streams import StreamReader, StreamWriter
from .types import ABSENT

__all__ = ("Values",)


class Values:
    """Inputs that have arrived, node by node.

    An output is handed to its readers as soon as it is there and kept nowhere else, so a
    value lives until its last reader has begun.
    """

    __slots__ = ("_inputs", "_interface", "_nodes", "_readers", "ready", "remaining")

    def __init__(self, plan: Plan, interface: Mapping[str, object]) -> None:
        self._nodes = plan.nodes
        self._interface = interface
        self._inputs: list[dict[InputKey, object] | None] = [None] * len(plan.nodes)
        self._readers: dict[int, list[StreamReader]] = {}
        self.remaining = list(plan.remaining)
        self.ready: deque[int] = deque(plan.roots)

    def take(self, node: PlanNode) -> dict[str, object]:
        """Return a node's inputs, edges over presets over defaults, and let go of them."""
        given = self._inputs[node.index]
        self._inputs[node.index] = None
        inputs: dict[InputKey, object] = {**node.static} if given is None else given  # type: ignore[dict-item]  # text keys
        if node.multi:
            _gather(inputs, node.multi)
        if node.is_interface_input:
            inputs.update(self._interface)
        return inputs  # type: ignore[return-value]  # the tuple keys are gone

    def deliver(self, targets: Iterable[Target], value: object) -> None:
        """Hand a value, or the news that there is none, to inputs."""
        inputs, remaining = self._inputs, self.remaining
        for index, key, convert in targets:
            if value is not ABSENT:
                given = inputs[index]
                if given is None:
                    given = inputs[index] = {**self._nodes[index].static}  # type: ignore[dict-item]  # text keys
                given[key] = convert(value) if convert is not None else value
            remaining[index] -= 1
            if not remaining[index]:
                self.ready.append(index)

    def deliver_order(self, indexes: Iterable[int]) -> None:
        """Tell nodes that wait without an edge that they need not wait any more."""
        for index in indexes:
            self.remaining[index] -= 1
            if not self.remaining[index]:
                self.ready.append(index)

    def deliver_stream(
        self, target: Target, slot: str, stream: StreamWriter | StreamReader
    ) -> bool:
        """Hand a reader of its own to an input; return whether that made the node ready."""
        index = target.node
        if isinstance(stream, StreamReader):
            reader = stream.hand_on(index)
        else:
            reader = stream.subscribe(index, slot)
        self._readers.setdefault(index, []).append(reader)
        given = self._inputs[index]
        if given is None:
            given = self._inputs[index] = {**self._nodes[index].static}  # type: ignore[dict-item]  # text keys
        given[target.key] = reader
        self.remaining[index] -= 1
        if self.remaining[index]:
            return False
        # In front: a reader runs beside its writer, whatever else is ready.
        self.ready.appendleft(index)
        return True

    def close_readers(self, index: int) -> None:
        """Close what a node was reading."""
        if index in self._readers:
            for reader in self._readers.pop(index):
                reader.close()

    def drop(self, index: int) -> None:
        """Let go of what has arrived for a node that will not run."""
        self._inputs[index] = None
        self.close_readers(index)

    def drop_all(self) -> None:
        """Let go of everything."""
        self.ready.clear()
        for index in range(len(self._inputs)):
            self._inputs[index] = None


def _gather(inputs: dict[InputKey, object], multi: Iterable[tuple[str, int]]) -> None:
    """Put what came for the positions of each multi slot into one list."""
    for slot, count in multi:
        keys = [(slot, position) for position in range(count)]
        values = [inputs.pop(key) for key in keys if key in inputs]
        if values:
            inputs[slot] = values

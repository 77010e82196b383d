"""Who waits for whom among the nodes of a run, as far as streams are concerned."""

from __future__ import annotations

from typing import Protocol

from .breath import Breath

__all__ = ("GraphState", "StreamNetwork", "WaitingWriter")


class WaitingWriter(Protocol):
    """A writer that waits for room."""

    def look_again(self) -> None:
        """Look whether waiting is still right."""
        ...


class GraphState(Protocol):
    """What the streams need to know of the run that they belong to."""

    def has_begun(self, node: int) -> bool:
        """Return whether a node runs or has run."""
        ...

    def waits_for(self, node: int) -> list[int]:
        """Return the nodes that must go on before a node that has not begun can begin."""
        ...

    def label(self, node: int) -> str:
        """Return how messages name a node."""
        ...

    def suspend(self, node: int) -> None:
        """Hear that a node waits on a stream, so another may run in its place."""
        ...

    def resume(self, node: int) -> None:
        """Hear that the node goes on."""
        ...


class StreamNetwork:
    """The streams of one run: bounds, and who waits for whom right now."""

    __slots__ = ("_waits", "blocked", "bound", "breath", "graph", "low_water", "overflow")

    def __init__(self, graph: GraphState, breath: Breath, *, bound: int, overflow: int) -> None:
        self.graph = graph
        self.breath = breath
        self.bound = bound
        # A slow reader lets its writer go on in small steps; a fast one empties its buffer
        # anyway before the writer gets its turn.
        self.low_water = bound - max(1, bound // 16)
        self.overflow = max(bound, overflow)
        self.blocked: set[WaitingWriter] = set()
        self._waits: dict[int, list[int]] = {}

    def begin_wait(self, node: int, on: int) -> None:
        """Note that ``node`` waits for ``on``; writers that this locks in look again."""
        self._waits.setdefault(node, []).append(on)
        self.graph.suspend(node)
        for writer in self.blocked:
            writer.look_again()

    def end_wait(self, node: int, on: int) -> None:
        """Note that the wait is over."""
        waits = self._waits[node]
        waits.remove(on)
        if not waits:
            del self._waits[node]
        self.graph.resume(node)

    def depends(self, reader: int, writer: int) -> bool:
        """Return whether ``reader`` cannot go on before ``writer`` does."""
        seen: set[int] = set()
        pending = [reader]
        while pending:
            node = pending.pop()
            if node == writer:
                return True
            if node in seen:
                continue
            seen.add(node)
            if self.graph.has_begun(node):
                pending.extend(self._waits.get(node, ()))
            else:
                pending.extend(self.graph.waits_for(node))
        return False

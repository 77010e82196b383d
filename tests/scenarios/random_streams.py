"""Random graphs of streams, and what must be read in them: worked out without the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from comfytavern.engine import EngineLimits

from .building import flow, place
from .ordered_readers import SLOTS

__all__ = ("LIMITS", "Streams", "streams")

Json = dict[str, Any]  # Any: JSON

LIMITS = st.builds(
    EngineLimits,
    nodes_in_parallel=st.sampled_from([1, 2, 256]),
    stream_buffer=st.sampled_from([1, 2, 8]),
)


@dataclass(slots=True)
class Streams:
    """A workflow of streams. Handles are ``node.slot``."""

    payload: Json = field(default_factory=dict)
    # what each stream output carries, and which of these are outputs of the workflow
    carried: dict[str, list[str]] = field(default_factory=dict)
    shown: dict[str, str] = field(default_factory=dict)
    # what each node that writes has written, and what each reader has read from each input
    written: dict[str, list[str]] = field(default_factory=dict)
    read: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    # the nodes that each node waits for or reads from, and theirs
    sources: dict[str, set[str]] = field(default_factory=dict)


class _Builder:
    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.graph = Streams()
        self.nodes: list[Json] = []
        self.edges: list[str] = []
        self.batch_outputs: list[str] = []

    def add(self, node_id: str) -> None:
        kinds = ["Write", "Relay", "Relay", "Read", "Read", "Bypassed"]
        kind = self.draw(st.sampled_from(kinds)) if self.graph.carried else "Write"
        if self.draw(st.booleans()) and self.batch_outputs:
            handles = st.lists(st.sampled_from(self.batch_outputs), max_size=2, unique=True)
            self.edges += [f"{handle} > {node_id}.after" for handle in self.draw(handles)]
        if kind == "Write":
            self._write(node_id)
        elif kind == "Bypassed":
            self._bypassed(node_id)
        else:
            self._reading(node_id, kind)
        self.batch_outputs.append(f"{node_id}.{'read' if kind == 'Read' else 'count'}")

    def _write(self, node_id: str) -> None:
        count, pause = self.draw(st.integers(0, 30)), self.draw(st.booleans())
        self.nodes.append(place(node_id, "Write", n=count, pause=pause))
        self._carry(node_id, [f"{node_id}:{number}" for number in range(count)])

    def _carry(self, node_id: str, chunks: list[str]) -> None:
        graph = self.graph
        graph.written[node_id] = graph.carried[f"{node_id}.left"] = chunks
        graph.carried[f"{node_id}.right"] = chunks

    def _connect(self, node_id: str) -> dict[str, list[str]]:
        """Return what the inputs of a node carry, slot by slot."""
        found: dict[str, list[str]] = {}
        for slot in SLOTS[: self.draw(st.integers(1, 3))]:
            handle = self.draw(st.sampled_from(sorted(self.graph.carried)))
            self.edges.append(f"{handle} > {node_id}.{slot}")
            found[slot] = self.graph.carried[handle]
        return found

    def _reading(self, node_id: str, kind: str) -> None:
        inputs = self._connect(node_id)
        order = self.draw(st.permutations(list(inputs)))
        leave = self.draw(st.dictionaries(st.sampled_from(order), st.integers(0, 9), max_size=1))
        self.nodes.append(place(node_id, kind, config={"order": order, "leave": leave}))
        read = {slot: inputs[slot][: leave.get(slot)] for slot in order}
        if kind == "Relay":
            self._carry(node_id, [chunk for slot in order for chunk in read[slot]])
        else:
            self.graph.read[node_id] = read

    def _bypassed(self, node_id: str) -> None:
        """Add a relay whose outputs take the first streams that come in; or none."""
        streams = list(self._connect(node_id).values())
        self.nodes.append(place(node_id, "Relay", bypassed=True))
        self.graph.carried[f"{node_id}.left"] = streams[0]
        self.graph.carried[f"{node_id}.right"] = streams[1] if len(streams) > 1 else []

    def finish(self) -> Streams:
        graph, sources = self.graph, self.graph.sources
        for edge in self.edges:
            source, target = edge.split(".")[0], edge.split(" > ")[1].split(".")[0]
            sources.setdefault(target, set()).update({source}, sources.get(source, set()))
        handles = st.lists(st.sampled_from(sorted(graph.carried)), max_size=3)
        graph.shown = {f"o{i}": handle for i, handle in enumerate(self.draw(handles))}
        nodes = self.draw(st.permutations(self.nodes))
        graph.payload = flow(*nodes, *self.edges, outputs=graph.shown)
        return graph


@st.composite
def streams(draw: st.DrawFn) -> Streams:
    """Return writers, relays and readers, each reading earlier ones in random order."""
    builder = _Builder(draw)
    for number in range(draw(st.integers(2, 8))):
        builder.add(f"n{number}")
    return builder.finish()

"""The nodes and workflows that are measured."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import anyio

from comfytavern.chunks import Chunk, Outputs
from comfytavern.compiler import compile_workflow
from comfytavern.context import NodeContext
from comfytavern.definitions import Execute, InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.plan import Plan
from comfytavern.registry import NodeRegistry
from comfytavern.workflow import Workflow, parse_workflow

CHUNKS = 20_000
SLEEP = 0.05

Inputs = Mapping[str, Any]  # Any: whatever the benchmark sends along


async def no_op(inputs: Inputs, context: NodeContext | None) -> dict[str, object]:
    """Return the input."""
    return {"out": inputs.get("in")}


async def first(inputs: Inputs, context: NodeContext | None) -> dict[str, object]:
    """Return one of two inputs."""
    return {"out": inputs.get("a")}


async def sleeper(inputs: Inputs, context: NodeContext | None) -> dict[str, object]:
    """Wait as a node waits for a network."""
    await anyio.sleep(SLEEP)
    return {}


async def source(inputs: Inputs, context: NodeContext | None) -> AsyncIterator[Any]:  # Any: chunks
    """Stream as fast as it goes."""
    for _ in range(CHUNKS):
        yield Chunk("text_chunk", "x")
    yield Outputs()


async def relay(inputs: Inputs, context: NodeContext | None) -> AsyncIterator[Any]:  # Any: chunks
    """Pass a stream on."""
    async for chunk in inputs["in"]:
        yield chunk


async def count(inputs: Inputs, context: NodeContext | None) -> dict[str, object]:
    """Count a stream."""
    counted = 0
    async for _ in inputs["in"]:
        counted += 1
    return {"out": counted}


def _definition(
    name: str, execute: Execute, inputs: str, *, reads: bool, writes: bool
) -> NodeDefinition:
    slots = {key: InputDefinition(is_stream=reads) for key in inputs.split()}
    return NodeDefinition(
        type=name,
        inputs=slots,
        outputs={"out": OutputDefinition(is_stream=writes)},
        execute=execute,
    )


def registry() -> NodeRegistry:
    """Return a registry with the nodes above as the pack ``bench``."""
    definitions = [
        _definition("NoOp", no_op, "in", reads=False, writes=False),
        _definition("First", first, "a b", reads=False, writes=False),
        NodeDefinition(type="Sleeper", execute=sleeper),
        _definition("Source", source, "", reads=False, writes=True),
        _definition("Relay", relay, "in", reads=True, writes=True),
        _definition("Count", count, "in", reads=True, writes=False),
    ]
    nodes = NodeRegistry()
    nodes.add_pack("bench", "1", definitions)
    return nodes


def _edge(source_id: str, target_id: str, slot: str = "in") -> dict[str, str]:
    ends = {"sourceNodeId": source_id, "sourceHandle": "out"}
    return ends | {"targetNodeId": target_id, "targetHandle": slot}


def _workflow(nodes: list[tuple[str, str]], edges: list[dict[str, str]]) -> Workflow:
    placed = [{"id": node_id, "fullType": f"bench:{kind}"} for node_id, kind in nodes]
    return parse_workflow({"nodes": placed, "edges": edges})


def chain(size: int) -> Workflow:
    """Return nodes one behind the other."""
    edges = [_edge(f"n{i}", f"n{i + 1}") for i in range(size - 1)]
    return _workflow([(f"n{i}", "NoOp") for i in range(size)], edges)


def wide(size: int, kind: str = "NoOp") -> Workflow:
    """Return nodes that have nothing to do with each other."""
    return _workflow([(f"n{i}", kind) for i in range(size)], [])


def layered(layers: int = 50, width: int = 20) -> Workflow:
    """Return layers of nodes, each with two inputs from the layer before."""
    nodes = [(f"{layer}.{i}", "First") for layer in range(layers) for i in range(width)]
    edges = [
        _edge(f"{layer - 1}.{(i + step) % width}", f"{layer}.{i}", "ab"[step])
        for layer in range(1, layers)
        for i in range(width)
        for step in (0, 1)
    ]
    return _workflow(nodes, edges)


def stream() -> Workflow:
    """Return a writer, a relay and a reader."""
    nodes = [("source", "Source"), ("relay", "Relay"), ("count", "Count")]
    return _workflow(nodes, [_edge("source", "relay"), _edge("relay", "count")])


def compiled(workflow: Workflow) -> Plan:
    """Return the plan of a workflow of the nodes above."""
    return compile_workflow(workflow, registry())

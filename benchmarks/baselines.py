"""What one would write by hand: graphlib and a task per node, queues between streams."""

from __future__ import annotations

import asyncio
from graphlib import TopologicalSorter
from typing import Any

from graphs import first, no_op, sleeper, source

from comfytavern.plan import Plan

QUEUE = 256


async def run_graph(plan: Plan) -> None:
    """Run a plan's graph with one task per node, started when its inputs are there."""
    graph = {node.index: {index for index, _ in node.predecessors} for node in plan.nodes}
    slots = [list(node.input_types) for node in plan.nodes]
    before = [[index for index, _ in node.predecessors] for node in plan.nodes]
    calls = [_call_of(node.full_type) for node in plan.nodes]
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    results: dict[int, Any] = {}  # Any: what the nodes return
    ended: asyncio.Queue[int] = asyncio.Queue()

    async def run_node(index: int) -> None:
        sources = zip(slots[index], before[index], strict=False)
        inputs = {slot: results[other].get("out") for slot, other in sources}
        results[index] = await calls[index](inputs, None)
        ended.put_nowait(index)

    async with asyncio.TaskGroup() as group:
        while sorter.is_active():
            for index in sorter.get_ready():
                group.create_task(run_node(index))
            sorter.done(await ended.get())
            while not ended.empty():
                sorter.done(ended.get_nowait())


def _call_of(full_type: str) -> Any:  # Any: an async function
    return {"bench:NoOp": no_op, "bench:First": first, "bench:Sleeper": sleeper}[full_type]


async def run_stream() -> None:
    """Send chunks through two bounded queues."""
    to_relay: asyncio.Queue[Any] = asyncio.Queue(QUEUE)  # Any: chunks, and None at the end
    to_reader: asyncio.Queue[Any] = asyncio.Queue(QUEUE)  # Any: chunks, and None at the end

    async def write() -> None:
        async for chunk in source({}, None):
            await to_relay.put(chunk)
        await to_relay.put(None)

    async def pass_on() -> None:
        while (chunk := await to_relay.get()) is not None:
            await to_reader.put(chunk)
        await to_reader.put(None)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(pass_on())
        counted = 0
        while await to_reader.get() is not None:
            counted += 1

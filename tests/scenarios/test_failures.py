"""What becomes of nodes that fail, however they do it (rules 7 and 14)."""

from __future__ import annotations

import anyio
import pytest

from comfytavern.chunks import Chunk, Outputs
from comfytavern.context import NodeContext

from .building import flow, place
from .made_nodes import Chunks, Inputs, made, reason
from .running import observe


@pytest.mark.parametrize("junk", [5, None, ["list"], {"out": 1}, b"bytes"])
async def test_yielding_what_is_no_chunk(junk: object) -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> Chunks:
        yield "first"
        yield junk

    seen = await observe(
        flow(place("m", "Made"), place("c", "CollectSafe"), "m.stream > c.in"), made(execute)
    )
    assert seen.states == {"m": "error", "c": "complete"}
    assert seen.node_outputs["c"]["text"] == "first"
    assert seen.chunks("m")[-1][0] == "error_chunk"
    assert seen.events.of("NODE_ERROR")[0]["errorDetails"]["partial"] is True


@pytest.mark.parametrize("last", ["late", Outputs(out=2), Chunk.error("late")])
async def test_nothing_comes_after_the_outputs(last: object) -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> Chunks:
        yield Outputs(out=1)
        yield last

    seen = await observe(flow(place("m", "Made")), made(execute))
    assert seen.states == {"m": "error"}


class Panic(BaseException):
    """What Rust extensions raise when they panic: no ``Exception``."""


@pytest.mark.parametrize("error_type", [SystemExit, Panic, StopIteration])
@pytest.mark.parametrize("in_thread", [False, True])
async def test_whatever_a_node_raises_ends_the_node_only(
    error_type: type[BaseException], in_thread: bool
) -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> object:
        raise error_type("odd")

    def execute_in_thread(inputs: Inputs, context: NodeContext) -> object:
        raise error_type("odd")

    seen = await observe(
        flow(place("m", "Made"), place("e", "Echo"), place("x", "Const"), "m.out > e.in"),
        made(execute_in_thread if in_thread else execute),
    )
    assert seen.states == {"m": "error", "e": "skipped", "x": "complete"}


async def test_exception_group_of_one_shows_the_one() -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> object:
        async def fail() -> None:
            raise ValueError("in a task")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)
        return {}

    seen = await observe(flow(place("m", "Made")), made(execute))
    assert reason(seen) == "in a task"

"""Cancelled nodes, callers and hosts: the pitfalls that a prototype met."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import comfytavern_core_nodes
from comfytavern import _node_run
from comfytavern.chunks import Outputs
from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition
from comfytavern.engine import EngineLimits
from comfytavern.sinks import EventSink
from comfytavern.testing import pack_host

from .batch_nodes import clock_of
from .building import flow, interface, place
from .made_nodes import Chunks, Inputs, made, reason
from .running import NODES, RunInProgress, observe
from .slots import give, take

LOOSE = {"out": give("W")}


# --- pitfall 3: a cancel scope around a yield ------------------------------------------------


async def _hold(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    """Read one chunk, wait, and read the rest."""
    first = await inputs["in"].receive()
    await clock_of(context).sleep(100)
    return {"out": first.content + await inputs["in"].text()}


HOLD = NodeDefinition(
    type="Hold", inputs={"in": take("W~!")}, outputs={"out": give("W")}, execute=_hold
)


async def test_cancel_scope_around_a_yield_that_waits_for_a_reader() -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> Chunks:
        written, scope = 0, anyio.CancelScope()
        clock_of(context).call_in(10, scope.cancel)
        with scope:
            while True:
                yield str(written)
                written += 1
        yield "after"
        yield Outputs(out=scope.cancelled_caught)

    seen = await observe(
        flow(place("m", "Made"), place("r", "Hold"), "m.stream > r.in"),
        made(execute),
        HOLD,
        limits=EngineLimits(stream_buffer=2),
    )
    assert seen.states == {"m": "complete", "r": "complete"}
    assert seen.node_outputs["m"] == {"out": True}
    texts = [content for _, content, _ in seen.chunks("m")]
    assert texts == [*map(str, range(len(texts) - 1)), "after"]
    assert seen.node_outputs["r"] == {"out": "".join(map(str, texts))}


async def test_own_timeout_around_a_yield_is_the_error_of_the_node() -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> Chunks:
        with anyio.fail_after(60) as scope:
            # as if the minute were over, when the clock of the test says so
            clock_of(context).call_in(10, lambda: setattr(scope, "deadline", anyio.current_time()))
            while True:
                yield "x"

    seen = await observe(
        flow(place("m", "Made"), place("r", "Hold"), "m.stream > r.in"),
        made(execute),
        HOLD,
        limits=EngineLimits(stream_buffer=2),
    )
    assert seen.states == {"m": "error", "r": "error"}
    assert reason(seen) == "TimeoutError"


# --- pitfall 4 and 5: interrupts and what node code does about them ---------------------------


def _interrupt_on_first_chunk(progress: RunInProgress, kind: str, about: str) -> None:
    if kind == "NODE_YIELD":
        progress.clock.call_in(1, progress.interrupt)


@pytest.mark.parametrize("waits_for", ["its reader", "itself"])
async def test_awaiting_finally_is_carried_out_on_interrupt(waits_for: str) -> None:
    done: list[str] = []

    async def execute(inputs: Inputs, context: NodeContext) -> Chunks:
        try:
            while True:
                yield "x"
                if waits_for == "itself":
                    await anyio.sleep_forever()
        finally:
            done.append("began")
            await anyio.lowlevel.checkpoint()
            done.append("ended")

    seen = await observe(
        flow(place("m", "Made"), place("r", "Hold"), "m.stream > r.in"),
        made(execute),
        HOLD,
        limits=EngineLimits(stream_buffer=2),
        on_event=_interrupt_on_first_chunk,
    )
    assert seen.states == {"m": "interrupted", "r": "interrupted"}
    if waits_for == "its reader":
        assert done == ["began", "ended"]
    else:
        # The node itself is cancelled where it waits, as any code that awaits in `finally`.
        assert done[0] == "began"


async def test_finally_that_hangs_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_node_run, "CLEANUP", 0.01)

    async def execute(inputs: Inputs, context: NodeContext) -> Chunks:
        try:
            while True:
                yield "x"
        finally:
            await anyio.sleep_forever()

    seen = await observe(
        flow(place("m", "Made"), place("r", "Hold"), "m.stream > r.in"),
        made(execute),
        HOLD,
        limits=EngineLimits(stream_buffer=2),
        on_event=_interrupt_on_first_chunk,
    )
    assert seen.states == {"m": "interrupted", "r": "interrupted"}


async def test_reader_that_breaks_out_of_its_loop_frees_its_writer_at_once() -> None:
    ended = anyio.Event()

    async def write(inputs: Inputs, context: NodeContext) -> Chunks:
        for number in range(100):
            yield str(number)
        ended.set()

    async def read(inputs: Inputs, context: NodeContext) -> dict[str, object]:
        async for _ in inputs["in"]:
            break
        await ended.wait()  # never, if the writer waits for this reader
        return {"out": "freed"}

    seen = await observe(
        flow(place("m", "Made"), place("r", "Read"), "m.stream > r.in"),
        made(write),
        NodeDefinition(type="Read", inputs={"in": take("W~!")}, outputs=LOOSE, execute=read),
        limits=EngineLimits(stream_buffer=1),
    )
    assert seen.node_outputs["r"] == {"out": "freed"}


async def test_node_that_swallows_its_cancellation_does_not_hold_the_run() -> None:
    release = anyio.Event()

    async def execute(inputs: Inputs, context: NodeContext) -> object:
        with anyio.CancelScope(shield=True):
            await release.wait()
        return {"out": "I was not stopped"}

    limits = EngineLimits(interrupt_grace=0.01)
    with anyio.fail_after(5):
        async with pack_host(made(execute), *NODES, limits=limits) as host:
            plan = await host.compile(flow(place("m", "Made"), place("e", "Echo"), "m.out > e.in"))
            run = host.start(plan, run_id="stubborn")
            await anyio.wait_all_tasks_blocked()
            run.interrupt()
            result = await run.wait()
            assert result.states == {"m": "interrupted", "e": "interrupted"}
            assert list(host.engine.abandoned) == ["stubborn"]
            release.set()
            await run.released.wait()
            assert not host.engine.abandoned


async def test_cancelled_caller_interrupts_its_run() -> None:
    """Also then every node ends in a final state, and is told of."""
    heard: list[str] = []

    async def execute(inputs: Inputs, context: NodeContext) -> object:
        await anyio.sleep_forever()
        return {}

    def interrupted(node: Any, partial: bool) -> None:  # Any: a PlanNode
        heard.append(node.id)

    def finished(status: Any, error: object, seconds: float) -> None:  # Any: a Status
        heard.append(status.value)

    sink = EventSink(node_interrupted=interrupted, run_finished=finished)
    with anyio.fail_after(5):
        async with pack_host(made(execute), *NODES) as host:
            payload = flow(place("m", "Made"), place("e", "Echo"), "m.out > e.in")
            plan = await host.compile(payload)

            async def run() -> None:
                await host.run(plan, sink=sink)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            assert heard == ["m", "e", "interrupted"]


async def test_host_that_is_cancelled_ends_its_runs() -> None:
    heard: list[str] = []

    async def execute(inputs: Inputs, context: NodeContext) -> object:
        await anyio.sleep_forever()
        return {}

    def finished(status: Any, error: object, seconds: float) -> None:  # Any: a Status
        heard.append(status.value)

    with anyio.fail_after(5), anyio.CancelScope() as scope:
        async with pack_host(made(execute)) as host:
            plan = await host.compile(flow(place("m", "Made")))
            run = host.start(plan, sink=EventSink(run_finished=finished))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await run.wait()
    assert heard == ["interrupted"]
    assert run.result is not None
    assert run.result.states == {"m": "interrupted"}


async def test_two_runs_of_one_plan_at_the_same_time() -> None:
    payload = flow(
        place("g", "core:GroupInput"),
        place("m", "Made"),
        place("c", "Collect"),
        "g.v > m.after",
        "m.stream > c.in",
        interfaceInputs=interface(v="STRING"),
        outputs={"text": "c.text"},
    )

    async def execute(inputs: Inputs, context: NodeContext) -> Chunks:
        for _ in range(100):
            yield inputs["after"]
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(5):
        async with pack_host(made(execute), *NODES, comfytavern_core_nodes) as host:
            plan = await host.compile(payload)
            runs = [host.start(plan, inputs={"v": value}) for value in "ab"]
            runs[1].interrupt()
            runs.append(host.start(plan, inputs={"v": "c"}))
            results = [await run.wait() for run in runs]
    assert [result.status for result in results] == ["complete", "interrupted", "complete"]
    assert [result.outputs.get("text") for result in results] == ["a" * 100, None, "c" * 100]

"""Measure the engine against what one would write by hand, as ratios in one process.

    python benchmarks/engine.py [--rounds N]

CPU time of a compiled plan with full semantics; medians of interleaved runs. Exits with 1
when a ratio is above its bound.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter

import anyio
import graphs
from anyio.lowlevel import checkpoint
from baselines import run_graph, run_stream
from measure import Table, interleaved

from comfytavern.compiler import compile_workflow
from comfytavern.engine import Engine
from comfytavern.plan import Plan
from comfytavern.recorder import EventRecorder


async def ours(engine: Engine, plan: Plan) -> None:
    """Run a plan without any listener."""
    result = await engine.start(plan).wait()
    assert result.error is None, result.error


async def ours_with_events(engine: Engine, plan: Plan) -> None:
    """Run a plan for one listener that reads every event as the wire has it."""
    recorder = EventRecorder("run")
    engine.start(plan, sink=recorder.sink)
    while await recorder.next_batch():
        pass


async def ratios(table: Table, rounds: int) -> None:
    """Compare CPU time with the hand-written loops."""
    cases: list[tuple[str, Plan, Callable[[Plan], Awaitable[None]], float, float]] = [
        ("chain 10,000", graphs.compiled(graphs.chain(10_000)), run_graph, 0.5, 1.0),
        ("wide 5,000", graphs.compiled(graphs.wide(5_000)), run_graph, 0.5, 1.0),
        ("layered 50 x 20", graphs.compiled(graphs.layered()), run_graph, 0.6, 1.0),
        ("stream 20,000 chunks", graphs.compiled(graphs.stream()), _stream, 1.0, 1.6),
    ]
    # As a host does once it has loaded: what stays is not looked at again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    async with Engine() as engine:
        for name, plan, baseline, bound, bound_with_events in cases:
            by_hand = partial(baseline, plan)
            a, b = await interleaved(partial(ours, engine, plan), by_hand, rounds)
            items = graphs.CHUNKS if baseline is _stream else len(plan.nodes)
            note = f"{a / items * 1e6:.2f} against {b / items * 1e6:.2f} us per item"
            table.row(name, a / b, bound, note)
            a, b = await interleaved(partial(ours_with_events, engine, plan), by_hand, rounds)
            note = f"{a / items * 1e6:.2f} against {b / items * 1e6:.2f} us per item"
            table.row(f"{name}, with wire events", a / b, bound_with_events, note)


async def _stream(plan: Plan) -> None:
    await run_stream()


async def growth(table: Table, rounds: int) -> None:
    """Compare the cost per node of a large chain with that of a small one."""
    small, large = (graphs.compiled(graphs.chain(size)) for size in (1_000, 10_000))
    async with Engine() as engine:

        async def ten_small() -> None:
            for _ in range(10):
                await ours(engine, small)

        a, b = await interleaved(partial(ours, engine, large), ten_small, rounds)
    table.row("cost per node, 10,000 against 1,000", a / b, 1.2)


async def sleepers(table: Table, rounds: int) -> None:
    """Compare wall time of nodes that wait."""
    plan = graphs.compiled(graphs.wide(200, "Sleeper"))
    async with Engine() as engine:
        run = partial(ours, engine, plan)
        a, b = await interleaved(run, partial(run_graph, plan), rounds, wall=True)
    table.row("200 nodes that sleep 50 ms, wall time", a / b, 1.1, f"{a:.4f} against {b:.4f} s")


def compiling(table: Table, rounds: int) -> None:
    """Measure compiling, in microseconds per node."""
    workflow, registry = graphs.chain(10_000), graphs.registry()
    best = float("inf")
    for _ in range(rounds):
        gc.collect()
        began = perf_counter()
        compile_workflow(workflow, registry)
        best = min(best, perf_counter() - began)
    table.row("compiling, microseconds per node", best / 10_000 * 1e6, 15)


async def gaps(table: Table, runs: int, bound: float, backend: str) -> None:
    """Measure the longest time that a bystander waits for its turn, in milliseconds."""
    plans = [graphs.compiled(graphs.wide(5_000)), graphs.compiled(graphs.stream())]
    worst = 0.0
    over = anyio.Event()

    async def bystander() -> None:
        nonlocal worst
        last = perf_counter()
        while not over.is_set():
            await checkpoint()
            worst = max(worst, perf_counter() - last)
            last = perf_counter()

    async with Engine() as engine, anyio.create_task_group() as group:
        group.start_soon(bystander)
        started = [engine.start(plans[i % 2]) for i in range(runs)]
        for run in started:
            await run.wait()
        over.set()
    name = f"longest turn of the loop, {runs} runs, {backend}, ms"
    table.row(name, worst * 1000, bound)


def main() -> int:
    """Run everything and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    table = Table()
    compiling(table, rounds)
    anyio.run(ratios, table, rounds)
    anyio.run(growth, table, rounds)
    anyio.run(sleepers, table, rounds)
    for backend, bound in (("asyncio", 10.0), ("trio", 15.0)):
        for runs in (1, 8):
            anyio.run(gaps, table, runs, bound, backend, backend=backend)
    return int(table.failed)


if __name__ == "__main__":
    sys.exit(main())

"""Interleaved measurements, and a table of ratios with what they must hold."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from statistics import median
from time import perf_counter, process_time

Run = Callable[[], Awaitable[object]]


async def interleaved(
    ours: Run, baseline: Run, rounds: int, *, wall: bool = False
) -> tuple[float, float]:
    """Return the median seconds of both, measured in turn: CPU time, or wall time."""
    clock = perf_counter if wall else process_time
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, times in zip((ours, baseline), taken, strict=True):
            gc.collect()
            began = clock()
            await run()
            times.append(clock() - began)
    return median(taken[0]), median(taken[1])


class Table:
    """Rows of ``name: figure <= bound``; ``failed`` says whether one did not hold."""

    def __init__(self) -> None:
        self.failed = False

    def row(self, name: str, figure: float, bound: float, note: str = "") -> None:
        """Print one row."""
        holds = figure <= bound
        self.failed |= not holds
        mark = "ok" if holds else "TOO SLOW"
        print(f"{name:<44} {figure:8.3f} <= {bound:<6g} {mark:<9} {note}")

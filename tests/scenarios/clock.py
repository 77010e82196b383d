"""The time of the test nodes: it moves on only when nothing else can happen.

A node that waits 60 ms waits for the clock, which jumps to the next thing that is due once
every task is blocked. The order of what happens is that of the real times, and no test sleeps.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

import anyio

__all__ = ("Clock",)


class Clock:
    """Milliseconds since the start of a run, for the nodes and the test alike."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._number = count()
        self._wanted = anyio.Event()

    def call_in(self, milliseconds: float, call: Callable[[], object]) -> None:
        """Call something when that much time has passed."""
        heapq.heappush(self._due, (self.now + milliseconds, next(self._number), call))
        self._wanted.set()

    async def sleep(self, milliseconds: float) -> None:
        """Wait for the clock."""
        woken = anyio.Event()
        self.call_in(milliseconds, woken.set)
        await woken.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let time pass inside the block."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            yield
            tasks.cancel_scope.cancel()

    async def _run(self) -> None:
        while True:
            if not self._due:
                self._wanted = anyio.Event()
                await self._wanted.wait()
            await anyio.wait_all_tasks_blocked()
            self.now, _, call = heapq.heappop(self._due)
            call()

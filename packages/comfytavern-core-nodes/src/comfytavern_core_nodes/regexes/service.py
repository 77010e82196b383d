"""Expressions with a time limit: the worker process, as the nodes of an event loop use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Any, cast

import anyio
from anyio import to_thread
from anyio.lowlevel import RunVar, checkpoint

from .errors import RegexError
from .limits import NODE_SECONDS, RULE_SECONDS
from .process import WorkerProcess
from .steps import MAX_TEXT_HERE, Job, StepError, literal_of, replaced_here

__all__ = ("Budget", "Matches", "RegexWorker")

_START_SECONDS = 20.0  # a machine that is very busy may take this long to start Python
# The worker gives up by itself a little earlier, by its own clock, and is kept.
_OWN_SHARE = 0.85
_NO_TIME_LEFT = "the time that all rules of a node have together is used up"


@dataclass(slots=True)
class Budget:
    """The time that all rules of one node have together; waiting for others costs nothing."""

    seconds: float = NODE_SECONDS


@dataclass(frozen=True, slots=True)
class Matches:
    """Where each pattern first matches each text, and what was wrong with a pattern.

    ``positions[pattern][text]`` is None without a match; a pattern with a problem has none.
    """

    positions: Sequence[Sequence[int | None]]
    problems: Mapping[int, RegexError]


@dataclass(slots=True)
class _Lane:
    """What one event loop has: a process, and the right to talk to it."""

    process: WorkerProcess = field(default_factory=WorkerProcess)
    lock: anyio.Lock = field(default_factory=anyio.Lock)
    # A limiter of its own: nodes that wait for this in threads may have taken all the others.
    threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))


@dataclass(slots=True)
class _Exchange:
    """One request and what has been heard so far; filled by a thread, watched by the loop."""

    request: Mapping[str, object]
    items: int
    rule_seconds: float
    budget: Budget
    began: float = 0.0
    first: float | None = None
    since: float = 0.0
    at: tuple[int, int] = (0, 0)
    done: dict[int, Any] = field(default_factory=dict)  # Any: JSON that the worker has written
    failed: dict[int, tuple[int, RegexError]] = field(default_factory=dict)
    stops_at_failure: bool = False

    def hear(self, frame: object) -> bool:
        """Take one answer; return whether it is the last."""
        self.since = monotonic()
        if self.first is None:
            self.first = self.since
        kind, item, *rest = cast("list[Any]", frame)
        if kind == "step":
            self.at = (item, rest[0])
        elif kind == "done":
            self.done[item] = rest[0]
        else:
            self.failed[item] = (rest[0], RegexError(*rest[1]))
            if self.stops_at_failure:
                return True
        return self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether there is an answer for every item."""
        return len(self.done) + len(self.failed) == self.items

    def left(self) -> float:
        """Return how long the loop may still wait without another answer."""
        if self.first is None:
            return self.began + _START_SECONDS - monotonic()
        end = min(self.since + self.rule_seconds, self.first + self.budget.seconds)
        return end - monotonic()

    def patience(self) -> float:
        """Return how long to wait before looking again.

        Never longer than a rule may take, as its time begins unnoticed, with an answer.
        """
        return max(min(self.left(), self.rule_seconds, self.budget.seconds), 0)

    def too_late(self) -> RegexError:
        """Return the error for the step at which time ran out."""
        if self.first is None:
            return RegexError("worker_failed", "the process for expressions does not start")
        if self.first + self.budget.seconds <= self.since + self.rule_seconds:
            return RegexError("timeout", _NO_TIME_LEFT)
        return RegexError("timeout", f"it takes longer than {self.rule_seconds:g} s")


class RegexWorker:
    """The service ``regex_worker``: one process per event loop, started by its first use.

    Whatever a pattern does, the loop stays live and a call ends in time. Calls may be cancelled.
    """

    def __init__(
        self, *, rule_seconds: float = RULE_SECONDS, node_seconds: float = NODE_SECONDS
    ) -> None:
        self._rule_seconds = rule_seconds
        self._node_seconds = node_seconds
        self._lane: RunVar[_Lane | None] = RunVar("comfytavern regex worker")

    async def __aenter__(self) -> RegexWorker:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the process of this event loop; a later call would start another."""
        lane = self._lane.get(None)
        if lane is not None:
            self._lane.set(None)
            with anyio.CancelScope(shield=True):  # killing is quick, and must happen
                await to_thread.run_sync(lane.process.close, limiter=lane.threads)

    def budget(self) -> Budget:
        """Return the time that one node has for all its calls."""
        return Budget(self._node_seconds)

    async def replace(self, jobs: Sequence[Job], budget: Budget | None = None) -> list[list[str]]:
        """Do the jobs and return the pieces of each text; joined, they are the result.

        :param budget: shared by the calls of a node; without one this call has its own
        :raises StepError: a step cannot be done; it says which and why
        """
        results = [replaced_here(job) for job in jobs]
        there = [number for number, result in enumerate(results) if result is None]
        if not there:
            await checkpoint()
            return [result or [] for result in results]
        request = {"do": "replace", "jobs": [(jobs[n].text, jobs[n].steps) for n in there]}
        exchange = self._exchange(request, len(there), budget)
        exchange.stops_at_failure = True
        problem = await self._run(exchange)
        for item, (step, failure) in exchange.failed.items():
            raise StepError(there[item], step, failure)
        if problem is not None:
            raise StepError(there[exchange.at[0]], exchange.at[1], problem)
        for item, pieces in exchange.done.items():
            results[there[item]] = pieces
        return [result or [] for result in results]

    async def match_many(
        self,
        patterns: Sequence[tuple[str, str]],
        texts: Sequence[str],
        budget: Budget | None = None,
    ) -> Matches:
        """Search every text for every pattern, given as pattern and flags.

        A pattern that is wrong or too slow matches nothing, and is named in ``problems``.

        :param budget: shared by the calls of a node; without one this call has its own
        """
        budget = budget or self.budget()
        here = sum(map(len, texts)) <= MAX_TEXT_HERE
        positions: dict[int, Sequence[int | None]] = {}
        for number, (pattern, flags) in enumerate(patterns):
            literal = literal_of(pattern, flags) if here else None
            if literal is not None:
                positions[number] = [None if p < 0 else p for p in _found(literal, texts)]
        problems: dict[int, RegexError] = {}
        waiting = [number for number in range(len(patterns)) if number not in positions]
        while waiting:
            request = {"do": "match", "patterns": [patterns[n] for n in waiting], "texts": texts}
            exchange = self._exchange(request, len(waiting), budget)
            problem = await self._run(exchange)
            positions |= {waiting[item]: places for item, places in exchange.done.items()}
            problems |= {waiting[item]: fault for item, (_, fault) in exchange.failed.items()}
            if problem is None:
                break
            # The rest goes on without the one that was too much, as long as there is time.
            last = exchange.at[0] + 1 if budget.seconds > 0 and exchange.first else len(waiting)
            problems |= {n: problem for n in waiting[exchange.at[0] : last] if n not in positions}
            waiting = waiting[last:]
        nothing = [None] * len(texts)
        return Matches([positions.get(n, nothing) for n in range(len(patterns))], problems)

    def _exchange(
        self, request: Mapping[str, object], items: int, budget: Budget | None
    ) -> _Exchange:
        budget = budget or self.budget()
        seconds = min(self._rule_seconds, budget.seconds) * _OWN_SHARE
        return _Exchange({**request, "seconds": seconds}, items, self._rule_seconds, budget)

    async def _run(self, exchange: _Exchange) -> RegexError | None:
        """Have the exchange; return why it ended early, if it did."""
        if exchange.budget.seconds <= 0:
            return RegexError("timeout", _NO_TIME_LEFT)
        lane = self._lane.get(None)
        if lane is None:
            self._lane.set(lane := _Lane())
        async with lane.lock:
            if lane.process.ended:
                lane.process = WorkerProcess()
            try:
                return await _watched(lane.process, exchange, lane.threads)
            finally:
                if exchange.first is not None:
                    exchange.budget.seconds -= monotonic() - exchange.first


async def _watched(
    process: WorkerProcess, exchange: _Exchange, threads: anyio.CapacityLimiter
) -> RegexError | None:
    ended = anyio.Event()
    problem: RegexError | None = None

    async def talk() -> None:
        await to_thread.run_sync(
            process.talk, exchange.request, exchange.hear, abandon_on_cancel=True, limiter=threads
        )
        ended.set()

    exchange.began = monotonic()
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(talk)
            while not ended.is_set():
                with anyio.move_on_after(exchange.patience()):
                    await ended.wait()
                if not ended.is_set() and exchange.left() <= 0:
                    problem = problem or exchange.too_late()
                    process.kill()
                    await ended.wait()
    finally:
        if not ended.is_set():  # cancelled: the thread is left behind, and ends with the process
            process.kill()
    if problem is None and process.ended:
        how = "cannot be started" if exchange.first is None else "has ended by itself"
        problem = RegexError("worker_failed", f"the process for expressions {how}")
    return None if exchange.is_whole else problem


def _found(literal: str, texts: Sequence[str]) -> list[int]:
    return [text.find(literal) for text in texts]

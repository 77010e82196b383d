"""How one pack hears events: at once, or in order by way of its bounded lane.

Nothing that a pack's code does gets out of here: it is reported instead.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter
from typing import Any, Protocol

import anyio
import anyio.to_thread
from anyio.lowlevel import checkpoint_if_cancelled

from .breath import current_breath

__all__ = ("Ear", "Lane", "ListenerReport", "PackListener", "ReportKind", "Reports")

SLOW = 0.005  # seconds that a plain function may hold up the loop
ERRORS = 5  # in a row, then a listener is cut off
# Calls that a worker thread takes at a time. They no longer wait, so nothing drops them.
AT_A_TIME = 64

LEFT_OVER = "the host stopped before it had heard everything"


class PackListener(Protocol):
    """One pack's implementation of an event hook."""

    @property
    def distribution(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def function(self) -> Callable[..., Any]: ...  # Any: coroutine functions return awaitables
    @property
    def argument_names(self) -> tuple[str, ...]: ...


class ReportKind(StrEnum):
    """What is wrong with a listener."""

    RAISED = "raised"
    CUT_OFF = "cut-off"  # it is not called any more
    SLOW = "slow"  # it held up the loop; its pack is called in a thread from now on
    DROPPED = "dropped"  # it fell behind and did not hear everything


@dataclass(slots=True)
class ListenerReport:
    """What is wrong with one listener; ``count`` rises each time it happens again."""

    distribution: str
    version: str
    hook: str
    kind: ReportKind
    message: str
    traceback: str = ""
    count: int = 1


class Reports:
    """What went wrong with listeners: logged, and kept once per listener and kind."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Ear, ReportKind], ListenerReport] = {}

    def listed(self) -> list[ListenerReport]:
        """Return the reports in the order of their first occurrence."""
        return list(self._kept.values())

    def note(self, ear: Ear, kind: ReportKind, message: str, trace: str = "") -> None:
        """Report something, from the loop or from the thread that serves the pack."""
        who = ear.listener
        report = self._kept.get((ear, kind))
        if report is None:
            report = ListenerReport(who.distribution, who.version, ear.hook, kind, message, trace)
            self._kept[ear, kind] = report
        else:
            report.message, report.traceback = message, trace
            report.count += 1
        if report.count & (report.count - 1) == 0:  # 1, 2, 4, 8: often is not a flood of lines
            logging.getLogger(f"comfytavern.packs.{who.distribution}").warning(
                "pack %r %s, hook %s: %s (%d so far)%s",
                who.distribution,
                who.version,
                ear.hook,
                message,
                report.count,
                f"\n{trace}" if trace else "",
            )


class Ear:
    """One hook implementation, and how it fares."""

    __slots__ = ("call", "cut_off", "hook", "is_async", "lane", "listener", "streak")

    def __init__(self, hook: str, listener: PackListener, lane: Lane) -> None:
        function = listener.function
        self.hook = hook
        self.listener = listener
        self.lane = lane
        self.call: Callable[[object], Any] = (  # Any: see ``PackListener``
            function if listener.argument_names else lambda event: function()
        )
        self.is_async = inspect.iscoroutinefunction(function)
        self.cut_off = False
        self.streak = 0

    def hear(self, event: object) -> None:
        """Pass an event on, now or by way of the lane. Never waits, never raises."""
        lane = self.lane
        if self.is_async or lane.threaded:
            lane.put(self, event)
        elif not self.cut_off:
            clock = lane.clock
            began = clock()
            self.call_now(event)
            took = clock() - began
            if took > SLOW:
                lane.leave_the_loop(self, took)

    def call_now(self, event: object) -> None:
        """Call a plain function."""
        if self.cut_off:
            return
        try:
            answer = self.call(event)
            if answer is not None:
                _refuse(answer)
        except KeyboardInterrupt:
            raise
        except BaseException as exc:
            self._failed(exc)
        else:
            self.streak = 0

    async def call_async(self, event: object) -> None:
        """Call a coroutine function. Only the lane's own cancellation gets out."""
        if self.cut_off:
            return
        try:
            await self.call(event)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as exc:
            if not isinstance(exc, Exception | SystemExit):
                await checkpoint_if_cancelled()  # else the listener has cancelled itself
            self._failed(exc)
        else:
            self.streak = 0

    def _failed(self, exc: BaseException) -> None:
        frames = exc.__traceback__.tb_next if exc.__traceback__ else None  # without our own frame
        shown = "".join(traceback.format_exception(type(exc), exc, frames, limit=-12))
        reason = "".join(traceback.format_exception_only(exc)).partition("\n")[0]
        notes = self.lane.reports
        notes.note(self, ReportKind.RAISED, f"raised {reason}", shown)
        self.streak += 1
        if self.streak == ERRORS:
            self.cut_off = True
            message = f"raised {ERRORS} times in a row and is not called again until a restart"
            notes.note(self, ReportKind.CUT_OFF, message)


class Lane:
    """What one pack has yet to hear, in order. Lives with the host, not with a run."""

    def __init__(
        self,
        reports: Reports,
        *,
        queue: int,
        clock: Callable[[], float],
        start: Callable[[Lane], None],
    ) -> None:
        self.reports = reports
        self.clock = clock
        self.threaded = False
        self._limit = queue
        self._start = start
        self._waiting: deque[tuple[Ear, object]] = deque()
        self._closed = False
        self._stopped = False
        self._bell: anyio.Event | None = None

    def put(self, ear: Ear, event: object) -> None:
        """Let an event wait; where too many do, the oldest is dropped."""
        if ear.cut_off:
            return
        if self._closed:
            self.reports.note(ear, ReportKind.DROPPED, "the host has stopped telling events")
            return
        waiting = self._waiting
        if len(waiting) >= self._limit:
            oldest, _ = waiting.popleft()
            message = f"is behind by {self._limit} events or batches; the oldest are dropped"
            self.reports.note(oldest, ReportKind.DROPPED, message)
        waiting.append((ear, event))
        if self._bell is not None:
            self._bell.set()
        else:
            self._bell = anyio.Event()
            self._scope = anyio.CancelScope(shield=True)  # stopping is the hub's to decide
            self.done = anyio.Event()
            self._start(self)

    def leave_the_loop(self, ear: Ear, took: float) -> None:
        """Call the pack's plain functions in a worker thread from now on."""
        self.threaded = True
        message = f"held up the event loop for {took * 1000:.0f} ms; its pack moves to a thread"
        self.reports.note(ear, ReportKind.SLOW, message)

    def close(self) -> bool:
        """Take nothing more; return whether there is anybody to wait for."""
        self._closed = True
        if self._bell is None:
            return False
        self._bell.set()
        return True

    def stop(self) -> None:
        """Give up what still waits."""
        self._stopped = True
        for ear, _ in self._waiting:
            self.reports.note(ear, ReportKind.DROPPED, LEFT_OVER)
        self._waiting.clear()
        self._scope.cancel()

    async def serve(self) -> None:
        """Tell what waits until the lane is closed and empty."""
        breath = current_breath()
        threads = anyio.CapacityLimiter(1)
        try:
            with self._scope:
                while await self._something_waits():
                    ear, event = self._waiting.popleft()
                    if ear.is_async:
                        await ear.call_async(event)
                    else:
                        calls = [(ear, event), *self._more_for_the_thread()]
                        await anyio.to_thread.run_sync(
                            self._call_all, calls, limiter=threads, abandon_on_cancel=True
                        )
                    if perf_counter() > breath.deadline:
                        await breath.pause()
        finally:
            self.done.set()

    async def _something_waits(self) -> bool:
        while not self._waiting:
            if self._closed:
                return False
            self._bell = anyio.Event()
            await self._bell.wait()
        return True

    def _more_for_the_thread(self) -> list[tuple[Ear, object]]:
        calls: list[tuple[Ear, object]] = []
        waiting = self._waiting
        while waiting and not waiting[0][0].is_async and len(calls) < AT_A_TIME - 1:
            calls.append(waiting.popleft())
        return calls

    def _call_all(self, calls: Sequence[tuple[Ear, object]]) -> None:
        for ear, event in calls:
            if self._stopped:  # the thread was left behind at the stop
                self.reports.note(ear, ReportKind.DROPPED, LEFT_OVER)
            else:
                ear.call_now(event)


def _refuse(answer: object) -> None:
    """Complain of a plain function that leaves something to await."""
    if inspect.isawaitable(answer) or inspect.isasyncgen(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError(f"it returned a {type(answer).__name__}; make it an async def function")

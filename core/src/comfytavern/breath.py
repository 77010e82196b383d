"""Let the event loop breathe: work that never waits gives others a turn in time.

One clock per event loop, whatever number of runs share it. A *turn* is one round of the
loop; whoever resumes first in a new turn starts it, and the time of a turn is divided
among those who paused in the turn before.
"""

from __future__ import annotations

from time import perf_counter

from anyio.lowlevel import RunVar, checkpoint

__all__ = ("Breath", "current_breath")

# Seconds of work between two turns, all runs of the loop together. What a turn does
# besides (timers, sockets, a bystander that trio shuffles back one turn) comes on top.
TURN = 0.003
# Nobody gets less than this, or pausing would cost more than the work.
LEAST_SHARE = 0.000_25


class Breath:
    """The breathing clock of one event loop.

    Usage, after each piece of work: ``if perf_counter() > breath.deadline: await
    breath.pause()``. The comparison is left to the caller because it runs per item.
    """

    __slots__ = ("_paused", "_share", "_turn", "deadline")

    def __init__(self) -> None:
        self.deadline = perf_counter() + TURN
        self._turn = 0
        self._paused = 0
        self._share = TURN

    async def pause(self) -> None:
        """Give everybody else a turn, and begin a new share of the time."""
        self._paused += 1
        turn = self._turn
        await checkpoint()
        if self._turn == turn:  # the first to come back: a new turn begins
            self._turn += 1
            self._share = max(LEAST_SHARE, TURN / self._paused)
            self._paused = 0
        self.deadline = perf_counter() + self._share


_breath: RunVar[Breath] = RunVar("comfytavern_breath")


def current_breath() -> Breath:
    """Return the clock of the running event loop."""
    try:
        return _breath.get()
    except LookupError:
        breath = Breath()
        _breath.set(breath)
        return breath

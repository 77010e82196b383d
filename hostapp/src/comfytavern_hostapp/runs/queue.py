"""The runs that wait for a slot: by priority, then in the order of submission."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import NamedTuple

from ..store import StoredRun

__all__ = ("RunQueue", "WaitingRun")


class WaitingRun(NamedTuple):
    """Sorts as runs are to be started: ``before`` is the priority, negated.

    No two have the same number, so it never comes to comparing ``run``.
    """

    before: int
    number: int
    run: StoredRun

    @property
    def priority(self) -> int:
        """Higher ones are started first."""
        return -self.before


class RunQueue:
    """Waiting runs in the order in which they will be started."""

    def __init__(self) -> None:
        self._order: list[WaitingRun] = []
        self._by_id: dict[str, WaitingRun] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._by_id

    def __iter__(self) -> Iterator[WaitingRun]:
        return iter(self._order)

    def add(self, run: StoredRun, priority: int) -> None:
        """Put a run in its place."""
        waiting = self._by_id[run.run_id] = WaitingRun(-priority, run.number, run)
        insort(self._order, waiting)

    def put_back(self, waiting: WaitingRun) -> None:
        """Put a run where it was."""
        self._by_id[waiting.run.run_id] = waiting
        insort(self._order, waiting)

    def pop(self) -> WaitingRun:
        """Take out the run whose turn it is.

        :raises IndexError: none waits
        """
        waiting = self._order.pop(0)
        del self._by_id[waiting.run.run_id]
        return waiting

    def remove(self, run_id: str) -> WaitingRun:
        """Take out a run.

        :raises KeyError: it does not wait
        """
        waiting = self._by_id.pop(run_id)
        del self._order[bisect_left(self._order, waiting)]
        return waiting

    def get(self, run_id: str) -> WaitingRun:
        """Return a run that waits.

        :raises KeyError: it does not wait
        """
        return self._by_id[run_id]

    def position(self, run_id: str) -> int | None:
        """Return when it is a run's turn, from 1; None if it does not wait."""
        waiting = self._by_id.get(run_id)
        return None if waiting is None else bisect_left(self._order, waiting) + 1

    def ahead_of(self, priority: int) -> int:
        """Return how many runs a new one of this priority would wait for."""
        return bisect_right(self._order, -priority, key=lambda waiting: waiting.before)

"""Runs as the data directory alone has them, while no host uses it.

Reading changes nothing and needs no lock. Ending runs takes the lock, as a host does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import orjson

from comfytavern.errors import UnknownRunError
from comfytavern.events import Status
from comfytavern.runner import Envelope

from ..runs import Feeds, RunQueue, RunState, end_unfinished_run, stored_detail, stored_entry
from ..store import FILE_NAME, RunFilter, RunStore, StoredRun
from ..store.database import open_connection
from ..store.errors import store_error
from ..store.queries import find_run, find_spec, list_runs, list_unfinished, read_events
from ..store.schema import require_current
from ..wire import AbandonedWork, HistoryPage, StoredRunDetail

__all__ = ("StoredRuns",)

# Bytes of events that are read at once.
_PAGE = 1 << 20

_T = TypeVar("_T")


class StoredRuns:
    """The runs in a data directory, which may hold none yet.

    :raises StoreError: from every method, when the file of runs cannot be used
    """

    is_live = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME
        self._connection: sqlite3.Connection | None = None

    @property
    def place(self) -> str:
        """The data directory."""
        return str(self._folder)

    def page(self, wanted: RunFilter) -> HistoryPage:
        """Return runs, newest first."""
        if not self._path.exists():
            return HistoryPage(runs=(), total=0)
        found = self._query(lambda connection: list_runs(connection, wanted))
        queue = self._queue()
        runs = tuple(stored_entry(run, queue) for run in found.runs)
        return HistoryPage(runs=runs, next_before=found.next_before, total=found.total)

    def show(self, run_id: str) -> StoredRunDetail:
        """Return one run with everything but its events.

        :raises UnknownRunError: there is none of this id
        """
        run = self._find(run_id)
        state = RunState()
        state.take(self._events(run, 0))
        detail = stored_detail(run, self._queue(), state)
        spec = orjson.loads(self._query(lambda connection: find_spec(connection, run_id)))
        return StoredRunDetail(**dict(detail), workflow=spec["workflow"], inputs=spec["inputs"])

    def follow(self, run_id: str, after: int = 0) -> Generator[Envelope, None, None]:
        """Give the stored events after one.

        :raises UnknownRunError: there is none of this id
        """
        return self._events(self._find(run_id), after)

    def interrupt(self, run_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
        """End runs as a host would, all at once; give each with how it has ended.

        :raises DataDirectoryInUseError: a host has just been started
        :raises UnknownRunError: there is none of this id
        """
        for run_id in run_ids:
            self._find(run_id)
        self.close()
        yield from anyio.run(_end, self._folder, run_ids).items()

    def has_ended(self, run_id: str, after: int, seconds: float) -> bool:
        """Return whether a run has ended; nothing could change that."""
        return self._find(run_id).finished is not None

    def abandoned(self, run_id: str) -> Sequence[AbandonedWork]:
        """Return nothing: without a host nothing goes on."""
        return ()

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Inside --------------------------------------------------------------------------

    def _find(self, run_id: str) -> StoredRun:
        if not self._path.exists():
            raise UnknownRunError(run_id)
        return self._query(lambda connection: find_run(connection, run_id))

    def _queue(self) -> RunQueue:
        queue = RunQueue()
        for run in self._query(list_unfinished):
            if run.status == Status.QUEUED:
                queue.add(run, run.priority)
        return queue

    def _events(self, run: StoredRun, after: int) -> Generator[Envelope, None, None]:
        while True:
            first, frames = self._query(partial(_events_after, run.number, after))
            if not frames:
                return
            yield from map(orjson.loads, frames)
            after = first + len(frames) - 1

    def _query(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            if self._connection is None:
                self._connection = open_connection(self._path, write=False)
                require_current(self._connection, self._path)
            return query(self._connection)
        except sqlite3.Error as exc:
            raise store_error(self._path, exc) from exc


def _events_after(
    number: int, after: int, connection: sqlite3.Connection
) -> tuple[int, list[bytes]]:
    return read_events(connection, number, after, _PAGE)


async def _end(folder: Path, run_ids: Sequence[str]) -> Mapping[str, str]:
    """End runs with the data directory locked; return how each has ended."""
    store, ended = RunStore(folder), {}
    await store.start()
    try:
        feeds = Feeds(store, str)
        for run_id in run_ids:
            run = await store.find(run_id)
            if run.finished is None:
                await end_unfinished_run(store, feeds, run)
            ended[run_id] = (await store.find(run_id)).status
    finally:
        with anyio.CancelScope(shield=True):
            await store.close()
    return ended

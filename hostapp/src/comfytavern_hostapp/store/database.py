"""The SQLite file: one writer that commits in groups, and a few readers, all in threads.

What must stay true: ``write`` returns only after its change is committed, so whatever a
client was told survives the end of this process. A change that fails takes no other with it.
Commits are not flushed to the disk one by one (WAL, ``synchronous = NORMAL``): when the
machine itself loses power, the last moments may be missing, and the file is whole.
"""

from __future__ import annotations

import asyncio  # noqa: TID251  # the writer's thread hands results back without waiting for the loop
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, Generic, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from .errors import StoreDamagedError, StoreError, store_error
from .schema import MIGRATIONS, prepare, require_known

__all__ = ("Database", "open_connection")

_T = TypeVar("_T")

READERS = 4
# The most changes that one transaction takes.
GROUP = 500
# Pages that the log takes until they are brought into the file itself, with a flush to the disk.
CHECKPOINT = 4000
# Writers wait that long for a reader of another process, in milliseconds.
BUSY = 5000
# Looking for damage must not hold up the start; a large file is looked through in part.
CHECK_SECONDS = 2.0
_WHERE = "*** in database main *** "


@dataclass(slots=True, eq=False)
class _Job(Generic[_T]):
    change: Callable[[sqlite3.Connection], _T]
    done: asyncio.Future[_T]
    result: _T | None = None
    error: BaseException | None = None


class Database:
    """A file, once ``start`` has opened it. Belongs to one asyncio loop."""

    def __init__(self, path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
        self.path = path
        # Why the last change could not be committed; None as soon as one could.
        self.trouble: StoreError | None = None
        self._migrations = migrations
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()  # Any: each its own result
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed: anyio.Event | None = None
        self._few = CapacityLimiter(READERS)
        self._readers: list[sqlite3.Connection] = []

    async def start(self) -> None:
        """Open the file.

        :raises StoreError: it cannot be used; it was not changed
        """
        writer = await to_thread.run_sync(self._open)
        self._loop = asyncio.get_running_loop()
        self._closed = anyio.Event()
        Thread(target=self._commit_until_closed, args=(writer,), name="store writer").start()

    async def close(self) -> None:
        """Commit what was handed in, and close the file. Closing it again does nothing."""
        if self._loop is not None:
            self._loop = None
            self._jobs.put(None)
        if self._closed is not None:
            with anyio.CancelScope(shield=True):
                await self._closed.wait()

    async def write(self, change: Callable[[sqlite3.Connection], _T]) -> _T:
        """Make a change in a transaction; return its result once it is committed.

        A caller that is cancelled waits all the same, so that it knows whether it was.

        :param change: called in a thread, perhaps more than once; does nothing but SQL
        :raises StoreError: it could not be committed, and nothing of it was
        """
        if self._loop is None:
            raise self._is_closed()
        job = _Job(change, self._loop.create_future())
        self._jobs.put(job)
        with anyio.CancelScope(shield=True):
            result: _T = await job.done
        return result

    async def read(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        """Return what a query finds, among everything that is committed.

        :raises StoreError: the file cannot be read
        """
        if self._loop is None:
            raise self._is_closed()
        return await to_thread.run_sync(self._read, query, limiter=self._few)

    def _is_closed(self) -> StoreError:
        return StoreError(self.path, "is closed, the host is stopping")

    # In threads ----------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        writer = None
        try:
            if self.path.exists():
                self._look_through()
            writer = open_connection(self.path)
            prepare(writer, self.path, self._migrations)
            writer.execute("PRAGMA foreign_keys = ON")
        except BaseException as exc:
            if writer is not None:
                writer.close()
            if isinstance(exc, sqlite3.Error):
                raise store_error(self.path, exc) from exc
            raise
        return writer

    def _look_through(self) -> None:
        """Look for what keeps the file from being used, while nothing can change it.

        Whoever could write would bring the log into the file at the end, damaged or not.
        """
        with closing(open_connection(self.path, write=False)) as reader:
            require_known(reader, self.path, len(self._migrations))
            _check(reader, self.path)

    def _close(self, writer: sqlite3.Connection) -> None:
        self._close_readers()
        with suppress(sqlite3.Error):
            writer.execute("PRAGMA optimize")
        writer.close()

    def _close_readers(self) -> None:
        with suppress(IndexError):
            while True:
                self._readers.pop().close()

    def _read(self, query: Callable[[sqlite3.Connection], _T]) -> _T:
        try:
            idle = self._readers
            reader = idle.pop() if idle else open_connection(self.path, write=False)
            try:
                return query(reader)
            finally:
                self._readers.append(reader)
                if self._loop is None:  # the others are closed, or will be
                    self._close_readers()
        except sqlite3.Error as exc:
            raise store_error(self.path, exc) from exc

    # The writer ----------------------------------------------------------------------

    def _commit_until_closed(self, writer: sqlite3.Connection) -> None:
        loop, closed = self._loop, self._closed
        assert loop is not None  # as ``start`` has set them
        assert closed is not None
        try:
            while jobs := self._next_jobs():
                self._commit(writer, jobs)
                loop.call_soon_threadsafe(_settle, jobs)
        finally:
            self._close(writer)
            with suppress(RuntimeError):  # the loop is gone: nobody waits
                loop.call_soon_threadsafe(closed.set)

    def _next_jobs(self) -> list[_Job[Any]]:
        """Wait for a change and return it with those behind it; none at the end."""
        job, jobs = self._jobs.get(), list[_Job[Any]]()
        while job is not None:
            jobs.append(job)
            if len(jobs) == GROUP:
                break
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
        else:
            if jobs:
                self._jobs.put(None)  # the end comes after these
        return jobs

    def _commit(self, writer: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
        try:
            self._transact(writer, jobs)
        except BaseException as exc:
            if len(jobs) == 1:
                jobs[0].error = self._told(exc)
            else:
                # One of them is to blame: each by itself, so that only that one fails.
                for job in jobs:
                    self._commit(writer, [job])
        else:
            self.trouble = None

    def _transact(self, writer: sqlite3.Connection, jobs: list[_Job[Any]]) -> None:
        try:
            writer.execute("BEGIN IMMEDIATE")
            for job in jobs:
                job.result = job.change(writer)
            writer.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                writer.execute("ROLLBACK")
            raise

    def _told(self, error: BaseException) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error
        self.trouble = store_error(self.path, error)
        self.trouble.__cause__ = error
        return self.trouble


def _settle(jobs: list[_Job[Any]]) -> None:
    """Hand the results to those who wait. On the loop."""
    for job in jobs:
        if job.done.done():
            continue  # whoever waited was cancelled
        if job.error is not None:
            job.done.set_exception(job.error)
        else:
            job.done.set_result(job.result)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Look through the file for damage, as far as the time for that goes.

    :raises StoreDamagedError: there is some
    """
    until = monotonic() + CHECK_SECONDS
    connection.set_progress_handler(lambda: monotonic() > until, 10_000)
    try:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
    else:
        if found != "ok":
            told = " ".join(str(found).split()).removeprefix(_WHERE)
            raise StoreDamagedError(path, told.lower())
    finally:
        connection.set_progress_handler(None, 0)


def open_connection(path: Path, *, write: bool = True) -> sqlite3.Connection:
    """Open the file in this thread, for use in any.

    :raises sqlite3.Error: it cannot be opened
    """
    mode = "rwc" if write else "ro"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY}")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}")
        if not write:
            connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection

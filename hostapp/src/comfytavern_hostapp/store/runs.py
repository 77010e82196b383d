"""Runs, their events and the queue, in one file below the data directory.

The scheduler is the only one who writes; what it is told is durable when the call returns.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio
from anyio import to_thread

from comfytavern.events import Status

from .blobs import BlobFolder
from .database import Database
from .errors import StoreError, StoreFullError
from .lock import DataDirectoryLock
from .queries import (
    find_key,
    find_run,
    find_spec,
    has_blob,
    list_runs,
    list_unfinished,
    put_events,
    read_events,
    remove_run,
)
from .records import Blob, EventBatch, NewRun, RunFilter, RunPage, StoredRun
from .retention import Retention, give_back, prune

__all__ = ("FILE_NAME", "Created", "RunStore", "set_aside")

FILE_NAME = "runs.sqlite3"
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
# How much of a log is read at once, in bytes.
PAGE = 1 << 20


class Created(NamedTuple):
    """A run as it is stored, whether it is new, and what it was first asked for with."""

    run: StoredRun
    is_new: bool
    fingerprint: str


class RunStore:
    """The stored runs of one host.

    :raises StoreError: from every method, when the file cannot be read or written
    """

    def __init__(self, data_dir: Path) -> None:
        self.lock = DataDirectoryLock(data_dir)
        self.database = Database(data_dir / FILE_NAME)
        self.blobs = BlobFolder(data_dir / "blobs")

    async def start(self) -> None:
        """Take the data directory and open the file.

        :raises DataDirectoryInUseError: another host has it
        """
        await to_thread.run_sync(self.lock.acquire)
        try:
            await self.database.start()
        except BaseException:
            await self._release()
            raise

    async def close(self) -> None:
        """Commit what is on its way, close the file and let go of the directory."""
        await self.database.close()
        await self._release()

    async def _release(self) -> None:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self.lock.release)

    # Writing -------------------------------------------------------------------------

    async def create(self, new: NewRun) -> Created:
        """Store a run that waits.

        With an idempotency key that was used before, nothing is stored and the run of
        that time is returned.
        """
        body = b"\n".join(new.batch.frames)

        def change(connection: sqlite3.Connection) -> Created:
            if new.idempotency_key is not None:
                known = find_key(connection, new.idempotency_key)
                if known is not None:
                    return Created(known.run, False, known.fingerprint)
            size = len(body) + len(new.spec)
            number = connection.execute(
                "INSERT INTO runs (run_id, status, priority, workflow_id, workflow_name, user_id,"
                " created, last_seq, bytes, spec) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(new.run_id, Status.QUEUED, new.priority),
                    *(new.workflow_id, new.workflow_name, new.user_id),
                    *(new.created, new.batch.last, size, new.spec),
                ),
            ).lastrowid
            assert number is not None  # a row was inserted
            put_events(connection, number, new.batch, body)
            if new.idempotency_key is not None:
                connection.execute(
                    "INSERT INTO idempotency VALUES (?, ?, ?)",
                    (new.idempotency_key, new.fingerprint, number),
                )
            run = StoredRun(
                number=number,
                run_id=new.run_id,
                status=Status.QUEUED,
                priority=new.priority,
                workflow_id=new.workflow_id,
                workflow_name=new.workflow_name,
                user_id=new.user_id,
                created=new.created,
                started=None,
                finished=None,
                last_seq=new.batch.last,
                size=size,
            )
            return Created(run, True, new.fingerprint)

        return await self.database.write(change)

    async def find_key(self, key: str) -> Created | None:
        """Return the run that an idempotency key was used for; None if it is new."""
        known = await self.database.read(lambda connection: find_key(connection, key))
        return None if known is None else Created(known.run, False, known.fingerprint)

    async def begin(self, number: int, started: float) -> bytes:
        """Note that a run is about to be executed, and return its spec."""

        def change(connection: sqlite3.Connection) -> bytes:
            sql = "UPDATE runs SET status = ?, started = ? WHERE number = ? RETURNING spec"
            row = connection.execute(sql, (Status.RUNNING, started, number)).fetchone()
            return bytes(row[0])

        return await self.database.write(change)

    async def append(
        self,
        number: int,
        batch: EventBatch,
        *,
        status: Status | None = None,
        report: bytes | None = None,
    ) -> None:
        """Store events of a run; with a final status also how it ended."""
        body = b"\n".join(batch.frames)
        finished = time.time() if status is not None else None

        def change(connection: sqlite3.Connection) -> None:
            self._save_blobs(batch.blobs)
            put_events(connection, number, batch, body)
            size = len(body) + sum(len(blob.data) for blob in batch.blobs)
            if status is None:
                connection.execute(
                    "UPDATE runs SET last_seq = ?, bytes = bytes + ? WHERE number = ?",
                    (batch.last, size, number),
                )
            else:
                connection.execute(
                    "UPDATE runs SET last_seq = ?, bytes = bytes + ?, status = ?, finished = ?,"
                    " report = ? WHERE number = ?",
                    (batch.last, size + len(report or b""), status, finished, report, number),
                )

        await self.database.write(change)

    def _save_blobs(self, blobs: Sequence[Blob]) -> None:
        try:
            self.blobs.save(blobs)
        except OSError as exc:
            path = self.database.path
            full = exc.errno is not None and exc.errno in _NO_ROOM
            reason = f"has blobs beside it that cannot be written: {exc.strerror or exc}".lower()
            raise (StoreFullError(path) if full else StoreError(path, reason)) from exc

    async def set_priority(self, number: int, priority: int) -> None:
        """Change the priority of a run."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE runs SET priority = ? WHERE number = ?", (priority, number))

        await self.database.write(change)

    async def delete(self, run_ids: Sequence[str]) -> int:
        """Remove finished runs with all that belongs to them; return how many there were."""

        def change(connection: sqlite3.Connection) -> tuple[int, list[str]]:
            removed, orphans = 0, list[str]()
            for run_id in run_ids:
                sql = "SELECT number FROM runs WHERE run_id = ? AND finished IS NOT NULL"
                row = connection.execute(sql, (run_id,)).fetchone()
                if row is not None:
                    removed += 1
                    orphans += remove_run(connection, row[0])
            return removed, orphans

        removed, orphans = await self.database.write(change)
        await self._remove_blobs(orphans)
        return removed

    async def prune(self, retention: Retention) -> int:
        """Remove the oldest finished runs beyond the bounds; return how many.

        The room that these, and deleted ones, took in the file is given back.
        """
        total, removed = 0, 1
        while removed:
            step = partial(prune, retention=retention, now=time.time())
            removed, orphans = await self.database.write(step)
            await self._remove_blobs(orphans)
            total += removed
        while await self.database.write(give_back):
            pass
        return total

    async def _remove_blobs(self, hashes: Sequence[str]) -> None:
        """Remove the files of blobs, but not of one that a run has brought meanwhile."""

        def change(connection: sqlite3.Connection) -> None:
            # In the writer's turn, so that no run brings one between the look and the end of it.
            self.blobs.remove([sha256 for sha256 in hashes if not has_blob(connection, sha256)])

        if hashes:
            await self.database.write(change)

    async def set(self, key: str, value: str) -> None:
        """Keep a setting of the host itself."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))

        await self.database.write(change)

    # Reading -------------------------------------------------------------------------

    async def get(self, key: str) -> str | None:
        """Return a setting of the host itself."""

        def query(connection: sqlite3.Connection) -> str | None:
            row = connection.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
            return None if row is None else str(row[0])

        return await self.database.read(query)

    async def find(self, run_id: str) -> StoredRun:
        """Return a run with its report.

        :raises UnknownRunError: there is none of this id
        """
        return await self.database.read(lambda connection: find_run(connection, run_id))

    async def spec(self, run_id: str) -> bytes:
        """Return the spec of a run as it was handed in.

        :raises UnknownRunError: there is none of this id
        """
        return await self.database.read(lambda connection: find_spec(connection, run_id))

    async def unfinished(self) -> list[StoredRun]:
        """Return the runs that wait or run, in the order of submission."""
        return await self.database.read(list_unfinished)

    async def page(self, wanted: RunFilter) -> RunPage:
        """Return runs, newest first."""
        return await self.database.read(lambda connection: list_runs(connection, wanted))

    async def events(self, number: int, after: int, size: int = PAGE) -> tuple[int, list[bytes]]:
        """Return events that come after ``after``, and the ``seq`` of the first of them."""
        return await self.database.read(
            lambda connection: read_events(connection, number, after, size)
        )

    async def size(self) -> tuple[int, int]:
        """Return how many runs are stored, and how many bytes they take."""

        def query(connection: sqlite3.Connection) -> tuple[int, int]:
            sql = "SELECT count(*), coalesce(sum(bytes), 0) FROM runs"
            count, size = connection.execute(sql).fetchone()
            return int(count), int(size)

        return await self.database.read(query)

    async def blob(self, sha256: str) -> tuple[Path, str] | None:
        """Return where a blob is and what it holds; None if no stored run has it."""

        def query(connection: sqlite3.Connection) -> tuple[Path, str] | None:
            sql = "SELECT mime FROM blobs WHERE sha256 = ? LIMIT 1"
            row = connection.execute(sql, (sha256,)).fetchone()
            with suppress(ValueError):
                return None if row is None else (self.blobs.path(sha256), str(row[0]))
            return None

        return await self.database.read(query)


def set_aside(data_dir: Path) -> Path | None:
    """Give the file of runs another name, whatever is in it; return that name.

    :return: None if there is no file
    """
    file = data_dir / FILE_NAME
    if not file.exists():
        return None
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number, target = 0, file
    while target.exists():
        number += 1
        target = file.with_name(f"runs.{stamp}{f'-{number}' if number > 1 else ''}.sqlite3")
    os.rename(file, target)
    # What was not yet taken into the file belongs to it, under the same new name.
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(f"{file}{suffix}", f"{target}{suffix}")
    return target

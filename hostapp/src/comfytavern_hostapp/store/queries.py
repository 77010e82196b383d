"""Questions to the file of runs, for the host and for commands that read it on their own."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from comfytavern.errors import UnknownRunError

from .records import EventBatch, RunFilter, RunPage, StoredRun

__all__ = (
    "COLUMNS",
    "KnownKey",
    "find_key",
    "find_run",
    "find_spec",
    "has_blob",
    "list_runs",
    "list_unfinished",
    "put_events",
    "read_events",
    "remove_run",
)

COLUMNS = (
    "number, run_id, status, priority, workflow_id, workflow_name, user_id,"
    " created, started, finished, last_seq, bytes"
)


class KnownKey(NamedTuple):
    """The run that an idempotency key was first used for, and with which content."""

    run: StoredRun
    fingerprint: str


def find_run(connection: sqlite3.Connection, run_id: str) -> StoredRun:
    """Return a run with its report.

    :raises UnknownRunError: there is none of this id
    """
    sql = f"SELECT {COLUMNS}, report FROM runs WHERE run_id = ?"
    row = connection.execute(sql, (run_id,)).fetchone()
    if row is None:
        raise UnknownRunError(run_id)
    return StoredRun(*row)


def find_spec(connection: sqlite3.Connection, run_id: str) -> bytes:
    """Return the spec of a run as it was handed in.

    :raises UnknownRunError: there is none of this id
    """
    row = connection.execute("SELECT spec FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is None:
        raise UnknownRunError(run_id)
    return bytes(row[0])


def find_key(connection: sqlite3.Connection, key: str) -> KnownKey | None:
    """Return what an idempotency key was used for; None if it is new."""
    sql = f"SELECT fingerprint, {COLUMNS} FROM idempotency JOIN runs ON run = number WHERE key = ?"
    row = connection.execute(sql, (key,)).fetchone()
    return None if row is None else KnownKey(StoredRun(*row[1:]), row[0])


def list_unfinished(connection: sqlite3.Connection) -> list[StoredRun]:
    """Return the runs that wait or run, in the order of submission."""
    sql = f"SELECT {COLUMNS} FROM runs WHERE finished IS NULL ORDER BY number"
    return [StoredRun(*row) for row in connection.execute(sql)]


def list_runs(connection: sqlite3.Connection, wanted: RunFilter) -> RunPage:
    """Return runs, newest first, and how many there are in all pages."""
    where, values = _conditions(wanted)
    count = f"SELECT count(*) FROM runs{_joined(where)}"
    total = connection.execute(count, values).fetchone()[0]
    if wanted.before is not None:
        where.append("number < ?")
        values.append(wanted.before)
    sql = f"SELECT {COLUMNS} FROM runs{_joined(where)} ORDER BY number DESC LIMIT ?"
    rows = connection.execute(sql, (*values, wanted.limit + 1)).fetchall()
    runs = [StoredRun(*row) for row in rows[: wanted.limit]]
    return RunPage(runs, runs[-1].number if len(rows) > wanted.limit else None, total)


def _conditions(wanted: RunFilter) -> tuple[list[str], list[object]]:
    text = _pattern(wanted.text) if wanted.text else None
    given: list[tuple[str, object]] = [
        ("workflow_id = ?", wanted.workflow_id),
        ("created >= ?", wanted.since),
        ("created < ?", wanted.until),
    ]
    where = [sql for sql, value in given if value is not None]
    values = [value for _, value in given if value is not None]
    if text is not None:
        where.append(
            "(run_id LIKE ? ESCAPE '~' OR workflow_name LIKE ? ESCAPE '~'"
            " OR workflow_id LIKE ? ESCAPE '~')"
        )
        values += [text] * 3
    if wanted.statuses:
        where.append(f"status IN ({', '.join('?' * len(wanted.statuses))})")
        values += wanted.statuses
    if wanted.finished is not None:
        where.append(f"finished IS {'NOT ' if wanted.finished else ''}NULL")
    return where, values


def _joined(where: list[str]) -> str:
    return f" WHERE {' AND '.join(where)}" if where else ""


def _pattern(text: str) -> str:
    escaped = text.replace("~", "~~").replace("%", "~%").replace("_", "~_")
    return f"%{escaped}%"


def put_events(connection: sqlite3.Connection, number: int, batch: EventBatch, body: bytes) -> None:
    """Store a batch of events as one row."""
    connection.execute(
        "INSERT INTO events (run, first, last, body) VALUES (?, ?, ?, ?)",
        (number, batch.first, batch.last, body),
    )
    if batch.blobs:
        connection.executemany(
            "INSERT OR IGNORE INTO blobs (run, sha256, mime, size) VALUES (?, ?, ?, ?)",
            [(number, blob.sha256, blob.mime, len(blob.data)) for blob in batch.blobs],
        )


def read_events(
    connection: sqlite3.Connection, number: int, after: int, size: int
) -> tuple[int, list[bytes]]:
    """Return events that come after ``after``, and the ``seq`` of the first of them.

    :param size: from how many bytes on no further batch is read
    :return: no events if there are none after it
    """
    rows = connection.execute(
        "SELECT first, body FROM events WHERE run = ? AND last > ? AND first >= coalesce("
        "(SELECT max(first) FROM events WHERE run = ? AND first <= ?), 0) ORDER BY first",
        (number, after, number, after + 1),
    )
    begins, frames, taken = after + 1, list[bytes](), 0
    for first, body in rows:
        found = bytes(body).split(b"\n")
        frames += found[max(0, begins - first) :] if not frames else found
        taken += len(body)
        if taken >= size:
            break
    rows.close()
    return begins, frames


def remove_run(connection: sqlite3.Connection, number: int) -> list[str]:
    """Remove a run with all that belongs to it; return the blobs that nobody needs any more."""
    sql = (
        "SELECT sha256 FROM blobs AS own WHERE run = ? AND NOT EXISTS"
        " (SELECT 1 FROM blobs WHERE sha256 = own.sha256 AND run != own.run)"
    )
    orphans = [str(row[0]) for row in connection.execute(sql, (number,))]
    connection.execute("DELETE FROM runs WHERE number = ?", (number,))
    return orphans


def has_blob(connection: sqlite3.Connection, sha256: str) -> bool:
    """Tell whether any run has a blob."""
    sql = "SELECT EXISTS (SELECT 1 FROM blobs WHERE sha256 = ?)"
    return bool(connection.execute(sql, (sha256,)).fetchone()[0])

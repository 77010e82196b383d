"""The layout of the file of runs, and how an older one becomes it.

The layout's number is SQLite's ``user_version``. Each migration takes the file one number
further, inside one transaction; a copy of the older file is kept beside it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from .errors import StoreDamagedError, StoreError, StoreVersionError

__all__ = ("APPLICATION_ID", "MIGRATIONS", "prepare", "require_current", "require_known")

# "CTav": tells a file of ours from any other database.
APPLICATION_ID = 0x43546176

# STRICT: whoever has written into the file, a column holds values of its own kind. ``number`` is
# the order of submission. A row of ``events`` is one batch: the events from ``first`` to ``last``,
# a line of JSON each.
_FIRST = """
CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0,
    workflow_id TEXT,
    workflow_name TEXT,
    user_id TEXT,
    created REAL NOT NULL,
    started REAL,
    finished REAL,
    last_seq INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    spec BLOB NOT NULL,
    report BLOB
) STRICT;
CREATE INDEX runs_finished ON runs (finished) WHERE finished IS NOT NULL;
CREATE TABLE events (
    run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (run, first)
) WITHOUT ROWID, STRICT;
CREATE TABLE blobs (
    run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    sha256 TEXT NOT NULL,
    mime TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (run, sha256)
) WITHOUT ROWID, STRICT;
CREATE INDEX blobs_by_content ON blobs (sha256);
CREATE TABLE idempotency (
    key TEXT NOT NULL PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE
) WITHOUT ROWID, STRICT;
CREATE INDEX idempotency_run ON idempotency (run);
CREATE TABLE settings (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID, STRICT;
"""

MIGRATIONS: tuple[str, ...] = (_FIRST,)


def prepare(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[str] = MIGRATIONS
) -> None:
    """Bring the file to the newest layout.

    :param migrations: the n-th takes layout n to n + 1
    :raises StoreVersionError: a newer host has written it; nothing was changed
    :raises StoreDamagedError: it is somebody else's database; nothing was changed
    """
    found, is_empty = _layout(connection, path, len(migrations))
    if found == len(migrations):
        return
    if not is_empty:
        _keep_copy(connection, path.with_name(f"{path.stem}.layout-{found}{path.suffix}"))
    else:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
    for number in range(found, len(migrations)):
        steps = f"PRAGMA user_version = {number + 1}; PRAGMA application_id = {APPLICATION_ID};"
        connection.executescript(f"BEGIN IMMEDIATE; {migrations[number]} {steps} COMMIT;")


def require_current(connection: sqlite3.Connection, path: Path) -> None:
    """Refuse to read a file that does not have the newest layout.

    :raises StoreError: it has not
    """
    found, _ = _layout(connection, path, len(MIGRATIONS))
    if found < len(MIGRATIONS):
        reason = f"has layout {found}, and this command reads {len(MIGRATIONS)}"
        raise StoreError(path, f"{reason}; start the host once, which brings it up to date")


def require_known(connection: sqlite3.Connection, path: Path, known: int) -> None:
    """Refuse a file that is not ours, or that a newer host has written.

    :param known: the number of the newest layout
    :raises StoreVersionError: a newer host has written it
    :raises StoreDamagedError: it is somebody else's database
    """
    _layout(connection, path, known)


def _layout(connection: sqlite3.Connection, path: Path, known: int) -> tuple[int, bool]:
    """Return the number of the layout, and whether there is nothing in the file.

    :raises StoreVersionError: a newer host has written it
    :raises StoreDamagedError: it is somebody else's database
    """
    found = _number(connection, "user_version")
    owner = _number(connection, "application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and owner != APPLICATION_ID:
        raise StoreDamagedError(path, "it is the database of another program")
    if found > known:
        raise StoreVersionError(path, found, known)
    return found, not tables


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _keep_copy(connection: sqlite3.Connection, target: Path) -> None:
    target.unlink(missing_ok=True)
    with sqlite3.connect(target) as copy:
        connection.backup(copy)
    copy.close()

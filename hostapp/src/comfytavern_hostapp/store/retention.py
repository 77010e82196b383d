"""How long finished runs stay: by count, age and bytes. What waits or runs always stays."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from .queries import remove_run

__all__ = ("Retention", "give_back", "prune")

DAY = 86_400.0
# So many runs are removed in one transaction, so that nobody waits long for it.
STEP = 200
# So many free pages of the file are given back to the system in one transaction.
PAGES = 500


@dataclass(frozen=True, slots=True)
class Retention:
    """Bounds on what stays; see ``history`` in the configuration."""

    runs: int
    days: float
    bytes: int


def prune(
    connection: sqlite3.Connection, retention: Retention, now: float
) -> tuple[int, list[str]]:
    """Remove some of the runs beyond the bounds, the oldest first.

    :return: how many, none if all is within the bounds; and the blobs that nobody needs
    """
    count, size = connection.execute(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM runs WHERE finished IS NOT NULL"
    ).fetchone()
    oldest = connection.execute(
        "SELECT number, bytes, finished FROM runs WHERE finished IS NOT NULL"
        " ORDER BY finished, number LIMIT ?",
        (STEP,),
    ).fetchall()
    removed, orphans = 0, list[str]()
    for number, run_size, finished in oldest:
        too_old = finished < now - retention.days * DAY
        if not too_old and count <= retention.runs and size <= retention.bytes:
            break
        orphans += remove_run(connection, number)
        removed, count, size = removed + 1, count - 1, size - run_size
    return removed, orphans


def give_back(connection: sqlite3.Connection) -> bool:
    """Let the file shrink by some of its free pages; return whether any are left."""
    free = int(connection.execute("PRAGMA freelist_count").fetchone()[0])
    for _ in range(min(free, PAGES)):
        # One by one: the driver takes no more than the first step of this statement.
        connection.execute("PRAGMA incremental_vacuum(1)")
    return free > PAGES

"""What is stored of runs, as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ("Blob", "EventBatch", "NewRun", "RunFilter", "RunPage", "StoredRun")


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that events refer to by their hash."""

    sha256: str
    mime: str
    data: bytes


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Consecutive events of one run, at least one, each as the JSON text that is sent."""

    first: int
    frames: Sequence[bytes]
    blobs: Sequence[Blob] = ()

    @property
    def last(self) -> int:
        """The ``seq`` of the last event."""
        return self.first + len(self.frames) - 1

    @property
    def size(self) -> int:
        """How many bytes the events take."""
        return sum(map(len, self.frames))


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that is handed in. ``spec`` is the JSON of what the runner needs."""

    run_id: str
    spec: bytes
    created: float
    batch: EventBatch
    priority: int = 0
    workflow_id: str | None = None
    workflow_name: str | None = None
    user_id: str | None = None
    idempotency_key: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What is known of a run without its events. ``report`` is JSON, written at its end."""

    number: int
    run_id: str
    status: str
    priority: int
    workflow_id: str | None
    workflow_name: str | None
    user_id: str | None
    created: float
    started: float | None
    finished: float | None
    last_seq: int
    size: int
    report: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which finished runs are asked for; None means any. Times are seconds since 1970."""

    statuses: tuple[str, ...] = ()
    workflow_id: str | None = None
    text: str | None = None
    since: float | None = None
    until: float | None = None
    before: int | None = None
    limit: int = 50
    finished: bool | None = None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs, newest first, and where the next page begins."""

    runs: Sequence[StoredRun]
    next_before: int | None
    total: int

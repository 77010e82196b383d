"""Runs from the request to the last event: checked, queued, executed, recorded, followed."""

from __future__ import annotations

from .clients import Clients, notice
from .feed import Feeds, Follower, RunFeed, timestamp
from .following import Frames, Subscriber
from .logs import RunLogWriter
from .queue import RunQueue
from .recovery import end_unfinished_run, stored_events
from .scheduler import IdempotencyError, Scheduler, SlotsAbandonedError, Submission
from .state import RunState
from .submission import Checked, Request, Submissions
from .views import (
    executions,
    queue_payload,
    run_detail,
    run_entry,
    stored_detail,
    stored_entry,
)

__all__ = (
    "Checked",
    "Clients",
    "Feeds",
    "Follower",
    "Frames",
    "IdempotencyError",
    "Request",
    "RunFeed",
    "RunLogWriter",
    "RunQueue",
    "RunState",
    "Scheduler",
    "SlotsAbandonedError",
    "Submission",
    "Submissions",
    "Subscriber",
    "end_unfinished_run",
    "executions",
    "notice",
    "queue_payload",
    "run_detail",
    "run_entry",
    "stored_detail",
    "stored_entry",
    "stored_events",
    "timestamp",
)

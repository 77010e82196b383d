"""Runs as clients see them: stored records, what runs and what waits, as wire models."""

from __future__ import annotations

from typing import Any

import orjson

from comfytavern.events import Status

from ..store import StoredRun
from ..wire import Executions, RunDetail, RunEntry
from .execution import Execution
from .feed import timestamp
from .queue import RunQueue
from .scheduler import Scheduler
from .state import RunState

__all__ = (
    "executions",
    "queue_payload",
    "run_detail",
    "run_entry",
    "stored_detail",
    "stored_entry",
)

# A notice of the queue names so many waiting runs; ``/api/executions`` names all.
NAMED = 100


def run_entry(run: StoredRun, scheduler: Scheduler) -> RunEntry:
    """Return a run as lists show it."""
    return RunEntry(**_fields(run, scheduler.queue))


def stored_entry(run: StoredRun, queue: RunQueue) -> RunEntry:
    """Return a run as lists show it, where no host is needed for that.

    :param queue: what waits
    """
    return RunEntry(**_fields(run, queue))


def stored_detail(run: StoredRun, queue: RunQueue, state: RunState) -> RunDetail:
    """Return one run with its nodes and outputs, where no host is needed for that.

    :param state: by its events
    """
    return RunDetail(**_fields(run, queue), **state.to_wire())


def run_detail(run: StoredRun, scheduler: Scheduler, state: RunState | None = None) -> RunDetail:
    """Return one run with its nodes and outputs.

    :param state: by its events; without one it is what was stored at its end
    """
    execution = scheduler.execution(run.run_id)
    if state is not None:
        told = state.to_wire()
    elif run.report is not None:
        told = orjson.loads(run.report)
    else:
        told = execution.to_wire() if execution is not None else {}
    return RunDetail(**_fields(run, scheduler.queue), **told)


def executions(scheduler: Scheduler, named: int | None = None) -> Executions:
    """Return what runs and what waits.

    :param named: of how many waiting runs; None for all
    """
    running = [_running_entry(execution) for execution in scheduler.running]
    pending = []
    for position, waiting in enumerate(scheduler.queue, 1):
        if named is not None and position > named:
            break
        run = waiting.run
        pending.append(
            RunEntry(
                prompt_id=run.run_id,
                status=Status.QUEUED,
                workflow_id=run.workflow_id,
                workflow_name=run.workflow_name,
                priority=waiting.priority,
                queue_position=position,
                created_at=timestamp(run.created),
                last_seq=run.last_seq,
            )
        )
    return Executions(
        running_executions=tuple(running),
        pending_executions=tuple(pending),
        paused=scheduler.is_paused,
        slots=scheduler.slots,
    )


def queue_payload(scheduler: Scheduler) -> dict[str, Any]:  # Any: JSON
    """Return the payload of SYSTEM_QUEUE_UPDATE."""
    shown = executions(scheduler, NAMED).model_dump(mode="json", by_alias=True, exclude_none=True)
    return shown | {"pendingCount": len(scheduler.queue)}


def _running_entry(execution: Execution) -> RunEntry:
    run = execution.waiting.run
    return RunEntry(
        prompt_id=run.run_id,
        status=Status.RUNNING,
        workflow_id=run.workflow_id,
        workflow_name=run.workflow_name,
        priority=execution.waiting.priority,
        created_at=timestamp(run.created),
        started_at=None if execution.started is None else timestamp(execution.started),
        last_seq=execution.feed.last_seq,
    )


def _fields(run: StoredRun, queue: RunQueue) -> dict[str, Any]:  # Any: fields of RunEntry
    fields: dict[str, Any] = {
        "prompt_id": run.run_id,
        "status": Status(run.status),
        "workflow_id": run.workflow_id,
        "workflow_name": run.workflow_name,
        "priority": run.priority,
        "queue_position": queue.position(run.run_id),
        "created_at": timestamp(run.created),
        "last_seq": run.last_seq,
    }
    if run.started is not None:
        fields["started_at"] = timestamp(run.started)
    if run.finished is not None:
        fields["finished_at"] = timestamp(run.finished)
        if run.started is not None:
            fields["duration_ms"] = round((run.finished - run.started) * 1000, 3)
    return fields

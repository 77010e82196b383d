"""``/api/executions`` and ``/api/queue``: what runs, what waits, and in which order."""

from __future__ import annotations

from starlette.responses import Response

from ..runs import executions, run_entry
from ..service import Service
from ..wire import Executions, PriorityBody, QueueState, RunEntry
from .endpoint import Answer, Call, Endpoint, as_json

__all__ = ("ENDPOINTS",)


async def _list(call: Call[None, None]) -> Response:
    return as_json(executions(call.service.scheduler))


async def _set_priority(call: Call[None, PriorityBody]) -> Response:
    service, run_id = call.service, call.path("prompt_id")
    await service.scheduler.set_priority(run_id, call.body.priority)
    return as_json(run_entry(await service.store.find(run_id), service.scheduler))


async def _pause(call: Call[None, None]) -> Response:
    await call.service.scheduler.pause(paused=True)
    return as_json(_state(call.service))


async def _resume(call: Call[None, None]) -> Response:
    await call.service.scheduler.pause(paused=False)
    return as_json(_state(call.service))


def _state(service: Service) -> QueueState:
    scheduler = service.scheduler
    running, pending = len(scheduler.running), len(scheduler.queue)
    return QueueState(paused=scheduler.is_paused, running=running, pending=pending)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/executions",
        _list,
        "List what runs and what waits, in order",
        "queue",
        {200: Answer("all of it", Executions)},
    ),
    Endpoint(
        "PATCH",
        "/api/executions/{prompt_id}",
        _set_priority,
        "Give a waiting run another priority; one that does not wait stays as it is",
        "queue",
        {200: Answer("the run with its position", RunEntry)},
        refusals=(404, 422, 503),
        body=PriorityBody,
    ),
    Endpoint(
        "POST",
        "/api/queue/pause",
        _pause,
        "Start no more runs; those that run go on. Survives a restart",
        "queue",
        {200: Answer("the queue", QueueState)},
        refusals=(503,),
    ),
    Endpoint(
        "POST",
        "/api/queue/resume",
        _resume,
        "Start runs again",
        "queue",
        {200: Answer("the queue", QueueState)},
        refusals=(503,),
    ),
)

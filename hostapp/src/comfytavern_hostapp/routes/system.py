"""``/health`` and ``/api/system_stats``: whether the host works, and what it does."""

from __future__ import annotations

import platform
from collections import Counter
from pathlib import Path

from anyio import to_thread
from starlette.responses import Response

from ..service import Service
from ..wire import AbandonedWork, Health, ListenerTrouble, SystemStats
from .endpoint import Answer, Call, Endpoint, as_json

__all__ = ("ENDPOINTS",)


async def _health(call: Call[None, None]) -> Response:
    service = call.service
    problems = tuple(service.problems)
    health = Health(
        status="degraded" if problems else "ok",
        problems=problems,
        version=service.version,
        packs_digest=service.host.packs.digest(),
    )
    return as_json(health)


async def _stats(call: Call[None, None]) -> Response:
    service = call.service
    scheduler, host = service.scheduler, service.host
    runs, size = await service.store.size()
    states = Counter(record.state.value for record in host.records)
    troubles = [
        ListenerTrouble(
            pack=report.distribution,
            version=report.version,
            hook=report.hook,
            kind=report.kind,
            message=report.message,
            count=report.count,
        )
        for report in host.listener_reports
    ]
    stats = SystemStats(
        version=service.version,
        python=platform.python_version(),
        platform=platform.system(),
        uptime_seconds=round(service.uptime, 1),
        memory_bytes=await to_thread.run_sync(_memory),
        slots=scheduler.slots,
        running=len(scheduler.running),
        pending=len(scheduler.queue),
        paused=scheduler.is_paused,
        clients=len(service.clients),
        threads_busy=host.engine.threads.borrowed_tokens,
        abandoned=_abandoned(service),
        packs=dict(states),
        node_types=len(host.registry),
        stored_runs=runs,
        store_bytes=size,
        listener_troubles=tuple(troubles),
    )
    return as_json(stats)


def _abandoned(service: Service) -> tuple[AbandonedWork, ...]:
    return tuple(
        AbandonedWork(
            prompt_id=run_id,
            node_id=node.node_id,
            node_type=node.node_type,
            pack=node.pack,
            version=node.version,
        )
        for run_id, nodes in service.scheduler.abandoned.items()
        for node in nodes
    )


def _memory() -> int | None:
    """Return how much memory this process has, where the system tells it in a file."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * 4096


ENDPOINTS = (
    Endpoint(
        "GET",
        "/health",
        _health,
        "Tell whether the host can take runs; needs no token",
        "host",
        {200: Answer("how it is", Health)},
    ),
    Endpoint(
        "GET",
        "/api/system_stats",
        _stats,
        "Tell what the host is doing, and with what",
        "host",
        {200: Answer("the numbers", SystemStats)},
        refusals=(503,),
    ),
)

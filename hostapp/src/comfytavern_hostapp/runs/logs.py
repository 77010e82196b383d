"""Writes the run logs in a thread, beside the runs and never in their way."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from anyio import CapacityLimiter, to_thread

from comfytavern.runlog import RunLogs
from comfytavern.runner import Envelope, RunSpec

from .events import final_status

__all__ = ("RunLogWriter",)

# Events that may wait to be written; whoever brings more has to wait.
WAITING = 20_000


# run id, its next events, and at the beginning what it is about
_Entry = tuple[str, Sequence[Envelope], RunSpec | None]


class RunLogWriter:
    """Takes the events of all runs and writes them to their logs, in order."""

    def __init__(self, logs: RunLogs) -> None:
        self._logs = logs
        self._pending: list[_Entry] = []
        self._waiting = 0
        self._wake = anyio.Event()
        self._room = anyio.Event()
        self._closing = False
        self._closed = anyio.Event()
        self._one = CapacityLimiter(1)

    def start(self, spec: RunSpec) -> None:
        """Begin the log of a run."""
        self._pending.append((spec.run_id, (), spec))
        self._wake.set()

    async def write(self, run_id: str, events: Sequence[Envelope]) -> None:
        """Write events of a run; the one with a final status closes its log."""
        while self._waiting > WAITING and not self._closing:
            await self._room.wait()
        self._pending.append((run_id, events, None))
        self._waiting += len(events)
        self._wake.set()

    async def run(self) -> None:
        """Write what comes in, until ``close``, and close every log. A task of its own."""
        try:
            while self._pending or not self._closing:
                if not self._pending:
                    await self._wake.wait()
                self._wake = anyio.Event()
                pending, self._pending = self._pending, []
                self._waiting = 0
                self._room.set()
                self._room = anyio.Event()
                await to_thread.run_sync(self._write, pending, limiter=self._one)
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(self._logs.close, limiter=self._one)
            self._closed.set()

    async def prune(self) -> None:
        """Remove logs that are kept too long."""
        await to_thread.run_sync(self._logs.prune, limiter=self._one)

    async def close(self) -> None:
        """Write what is on its way, then end."""
        self._closing = True
        self._wake.set()
        self._room.set()
        await self._closed.wait()

    def _write(self, pending: list[_Entry]) -> None:
        for run_id, events, spec in pending:
            log = self._logs.open(run_id)
            if spec is not None:
                log.start(spec.workflow, spec.inputs)
            log.write(events)
            status = final_status(events[-1]) if events else None
            if status is not None:
                log.close(status)

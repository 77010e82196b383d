"""One run in its slot: from the queue to the end of its work, every event stored on the way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any

import anyio
import orjson

from comfytavern.events import Status
from comfytavern.runner import Envelope, Runner

from ..store import BlobIntake, RunStore, StoreError
from .events import final_status, status_event
from .feed import RunFeed
from .logs import RunLogWriter
from .queue import WaitingRun
from .specs import decode_spec
from .state import RunState

__all__ = ("Execution",)

_log = logging.getLogger(__name__)

# Seconds until events that could not be stored are tried again.
RETRY = 1.0
# The most events that are stored as one batch.
PORTION = 4000


class Execution:
    """A run that has a slot. ``ended`` is set with its terminal event; ``run`` returns when
    its work has really stopped.

    :param on_end: called when the terminal event is stored
    """

    def __init__(
        self,
        waiting: WaitingRun,
        feed: RunFeed,
        *,
        store: RunStore,
        runner: Runner,
        logs: RunLogWriter,
        blobs: BlobIntake,
        stopping: anyio.Event,
        on_end: Callable[[Execution], None],
    ) -> None:
        self.waiting = waiting
        self.feed = feed
        self.state = RunState()
        self.started: float | None = None
        self.is_interrupted = False
        self.ended = anyio.Event()
        self._store = store
        self._runner = runner
        self._logs = logs
        self._blobs = blobs
        self._stopping = stopping
        self._on_end = on_end

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.feed.run_id

    async def run(self) -> None:
        """Execute the run. A task of its own.

        :raises StoreError: it could not be noted as running, so it has not begun
        """
        started, text = time.time(), b""
        try:
            text = await self._store.begin(self.feed.number, started)
        except StoreError:
            # Interrupted by somebody it ends here; by the end of the host it goes on waiting.
            if not self.is_interrupted or self._stopping.is_set():
                raise
        self.started = started
        try:
            if self.is_interrupted:
                await self._take([status_event(self.run_id, Status.INTERRUPTED)])
            else:
                await self._work(text)
        except StoreError as exc:
            # The host is stopping. The next start finds the run as one that was running.
            _log.error("the end of run %s is not stored: %s", self.run_id, exc)
        finally:
            self._blobs.take(self.run_id)

    async def _work(self, text: bytes) -> None:
        try:
            spec = decode_spec(self.run_id, text)
            self._logs.start(spec)
            async with aclosing(self._runner.run(spec)) as batches:
                async for batch in batches:
                    await self._take(batch)
            fault = "the runner ended without a final status"
        except StoreError:
            raise
        except Exception as exc:  # runners may come from packs
            _log.exception("run %s ended by a fault of its runner", self.run_id)
            fault = f"{type(exc).__name__}: {exc}"
        if not self.ended.is_set():
            await self._take([self._fault(fault)])

    async def interrupt(self) -> None:
        """Ask the runner to stop the run."""
        self.is_interrupted = True
        try:
            await self._runner.cancel(self.run_id)
        except Exception:  # runners may come from packs
            _log.exception("the runner does not stop run %s", self.run_id)

    def to_wire(self) -> dict[str, Any]:  # Any: JSON
        """Return how the run stands; see ``RunState.to_wire``."""
        return self.feed.without_secrets(self.state.to_wire())

    async def _take(self, batch: Sequence[Envelope]) -> None:
        if not batch or self.ended.is_set():
            return  # whatever comes after the terminal event is no part of the run
        events, status = _until_the_end(batch)
        # In portions: whoever follows reads whole batches.
        while len(events) > PORTION:
            await self._pass_on(events[:PORTION])
            events = events[PORTION:]
        await self._pass_on(events, status)

    async def _pass_on(self, events: Sequence[Envelope], status: Status | None = None) -> None:
        self.state.take(events)
        # A runner may have said what is no JSON; that is its fault, told as such.
        report = None if status is None else orjson.dumps(self.to_wire(), default=repr)
        await self._keep(events, status, report)
        await self._logs.write(self.run_id, events)
        if status is not None:
            self.ended.set()
            self._on_end(self)

    async def _keep(
        self, events: Sequence[Envelope], status: Status | None, report: bytes | None
    ) -> None:
        """Store events however long it takes: an interrupted run brings no more of them.

        :raises StoreError: they cannot be stored, and the host is stopping
        """
        blobs = self._blobs.take(self.run_id)
        while True:
            try:
                await self.feed.append(events, blobs=blobs, status=status, report=report)
            except StoreError as exc:
                if self._stopping.is_set():
                    raise
                if not self.is_interrupted:
                    _log.error("run %s is interrupted: %s", self.run_id, exc)
                    await self.interrupt()
                with anyio.move_on_after(RETRY):
                    await self._stopping.wait()
            else:
                return

    def _fault(self, reason: str) -> Envelope:
        info = {"code": "runner_failed", "message": f"the run ended by a fault: {reason}"}
        return status_event(self.run_id, Status.ERROR, errorInfo=info)


def _until_the_end(batch: Sequence[Envelope]) -> tuple[Sequence[Envelope], Status | None]:
    """Return a batch up to the first event with a final status, and that status."""
    for number, event in enumerate(batch, 1):
        status = final_status(event)
        if status is not None:
            return batch[:number], status
    return batch, None

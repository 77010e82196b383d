"""One run on the command line, from the host's start to its end, and Ctrl-C in between.

The first Ctrl-C interrupts the run, the second leaves at once. Writing may block (a pager
that waits, a terminal that is stopped), so it happens in threads and the loop stays free to
hear either.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import NoReturn, Protocol

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup, TaskStatus

from comfytavern.context import ResourceReader
from comfytavern.engine import Run
from comfytavern.host import PackHost
from comfytavern.plan import Plan
from comfytavern.recorder import EventRecorder
from comfytavern.runner import Envelope
from comfytavern.sinks import EventSink, merge_sinks

from ..console import Console
from .failures import BROKEN_PIPE, INTERRUPTED, TERMINATED

__all__ = ("Audience", "RunProcess")

TICK = 0.1  # seconds between two drawings of the status line
PATIENCE = 0.5  # seconds that an interrupt may take before anything is said about it


class Audience(Protocol):
    """Who hears of a run. All of it may block and is called in a thread, one at a time."""

    def show(self, batch: list[Envelope]) -> None:
        """Take the next events; an empty batch says that time passes."""
        ...

    def finish(self, run: Run) -> int:
        """Print what came of the run and return the exit code."""
        ...

    def close(self) -> None:
        """Let go of what is open, however the run ended."""
        ...


class RunProcess:
    """Runs a plan before an audience.

    :param sink: hears of the run as well, on the event loop, with the values as they are
    """

    def __init__(
        self,
        console: Console,
        host: PackHost,
        plan: Plan,
        audience: Audience,
        sink: EventSink | None = None,
    ) -> None:
        self._console = console
        self._host = host
        self._plan = plan
        self._audience = audience
        self._sinks = [] if sink is None else [sink]
        self._run: Run | None = None
        self._signal = 0
        self._code = INTERRUPTED

    def __call__(self, run_id: str, inputs: Mapping[str, object], resources: ResourceReader) -> int:
        """Run to the end and return the exit code.

        :raises WorkflowError: the inputs do not fit; nothing has run
        """
        return anyio.run(self._main, run_id, inputs, resources)

    async def _main(
        self, run_id: str, inputs: Mapping[str, object], resources: ResourceReader
    ) -> int:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen, tasks)
            async with self._host:
                recorder = EventRecorder(run_id)
                run = self._run = self._host.start(
                    self._plan,
                    inputs=inputs,
                    run_id=run_id,
                    sink=merge_sinks([recorder.sink, *self._sinks]),
                    resources=resources,
                )
                try:
                    await self._follow(recorder)
                    await run.wait()
                    self._code = await to_thread.run_sync(self._audience.finish, run)
                except OSError as exc:
                    self._code = BROKEN_PIPE if exc.errno == errno.EPIPE else self._code
                    raise
                finally:
                    await self._settle(run)
            tasks.cancel_scope.cancel()
        return TERMINATED if self._signal == signal.SIGTERM else self._code

    async def _follow(self, recorder: EventRecorder) -> None:
        """Show events until there are no more."""
        pause = TICK if self._console.is_live else None
        while True:
            batch: list[Envelope] | None = None
            with anyio.move_on_after(pause):
                batch = await recorder.next_batch()
            if batch is not None and not batch:
                return
            await to_thread.run_sync(self._audience.show, batch or [])

    async def _listen(
        self, tasks: TaskGroup, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        try:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for number in signals:
                    self._interrupt(number, tasks)
        except NotImplementedError:
            # Windows: there Ctrl-C cancels everything, which interrupts the run as well.
            task_status.started()

    def _interrupt(self, number: int, tasks: TaskGroup) -> None:
        if self._signal:
            self._audience.close()
            _leave(INTERRUPTED if number == signal.SIGINT else TERMINATED, b"\ninterrupted\n")
        self._signal = number
        if self._run is None or self._run.result is not None:
            tasks.cancel_scope.cancel()
            return
        self._run.interrupt()
        tasks.start_soon(self._ask_for_patience)

    async def _ask_for_patience(self) -> None:
        """Say that something holds us up: a node, or whoever reads stdout."""
        with anyio.move_on_after(PATIENCE):
            await anyio.sleep_forever()
        text = "stopping; Ctrl-C again leaves at once"
        await to_thread.run_sync(self._console.say, text, abandon_on_cancel=True)

    async def _settle(self, run: Run) -> None:
        """See to it that the run is over; leave the process if a node refuses to stop."""
        with anyio.CancelScope(shield=True):
            if run.result is None:
                run.interrupt()
                await run.done.wait()
            await to_thread.run_sync(self._audience.close)
        stuck = self._host.engine.abandoned.get(run.run_id)
        if stuck is None:
            return
        # A thread cannot be stopped, and the end of the process would wait for it.
        for node in stuck:
            where = f"node {node.id!r} of pack {node.pack!r} {node.version}"
            self._console.say(f"{where} still runs; leaving without it")
        self._console.flush()
        _leave(TERMINATED if self._signal == signal.SIGTERM else self._code)


def _leave(code: int, last_words: bytes = b"") -> NoReturn:
    """Leave at once: no thread is waited for, and no lock that one may hold."""
    with suppress(OSError):
        os.write(2, last_words)
    os._exit(code)

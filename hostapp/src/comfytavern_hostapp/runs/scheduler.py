"""Which run is executed when: run slots, the queue, interrupts, and what follows a crash.

What must stay true: a run is stored before its id is given out, and noted as running before
the runner hears of it, so that after any crash what waited goes on waiting, what ran is
``interrupted``, and nothing runs twice. A slot is free when the work in it has really stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from secrets import token_hex
from time import time

import anyio
from anyio.abc import TaskGroup

from comfytavern.errors import HostError, QueueFullError
from comfytavern.events import Status
from comfytavern.runner import AbandonedNode, Runner, RunSpec

from ..store import BlobIntake, Created, EventBatch, NewRun, RunStore, StoredRun, StoreError
from .events import accepted_event, status_event
from .execution import RETRY, Execution
from .feed import Feeds, RunFeed, numbered
from .logs import RunLogWriter
from .queue import RunQueue
from .recovery import end_interrupted_run, end_waiting_run
from .specs import encode_spec

__all__ = ("IdempotencyError", "IdempotencyKey", "Scheduler", "SlotsAbandonedError", "Submission")

_log = logging.getLogger(__name__)

_PAUSED = "paused"
# Between these, in seconds, a client that was refused is told to come back.
SOONEST, LATEST = 1, 60
# Seconds that the end of running runs may take beyond their grace period.
PATIENCE = 2.0


class IdempotencyError(HostError):
    """An idempotency key was used before, for something else."""

    code = "idempotency_conflict"

    def __init__(self, key: str) -> None:
        super().__init__(f"the Idempotency-Key {key!r} was used for another request; use a new key")


class SlotsAbandonedError(HostError):
    """Every slot is held by work that does not stop."""

    code = "slots_abandoned"

    def __init__(self, nodes: Sequence[AbandonedNode]) -> None:
        self.retry_after = float(LATEST)
        packs = sorted({f"{node.pack} {node.version}".strip() for node in nodes})
        super().__init__(
            f"every run slot is held by nodes that do not stop, of pack {', '.join(packs)};"
            " restart the host, or disable that pack"
        )


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's own name for a request, and a hash of what the request asks for."""

    text: str
    asked: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A checked run that is about to be queued. The run id is given by the scheduler."""

    spec: RunSpec
    workflow_id: str | None = None
    workflow_name: str | None = None
    priority: int = 0
    key: IdempotencyKey | None = None


class Scheduler:
    """Executes stored runs in slots. All on the event loop.

    :param slots: how many runs are executed at once
    :param capacity: how many may wait; None for any number
    :param on_change: called when the queue or what runs has changed
    """

    def __init__(
        self,
        store: RunStore,
        feeds: Feeds,
        runner: Runner,
        *,
        slots: int,
        capacity: int | None,
        grace: float,
        logs: RunLogWriter,
        blobs: BlobIntake,
        on_change: Callable[[], None],
        on_finished: Callable[[], None],
    ) -> None:
        self.slots = slots
        self.is_paused = False
        self.queue = RunQueue()
        self._store = store
        self._feeds = feeds
        self._runner = runner
        self._capacity = capacity
        self._grace = grace
        self._logs = logs
        self._blobs = blobs
        self._on_change = on_change
        self._on_finished = on_finished
        self._active: dict[str, Execution] = {}
        self._feed_of: dict[str, RunFeed] = {}
        self._tasks: TaskGroup | None = None
        self._stopping = anyio.Event()
        self._arriving = 0
        self._is_blocked = False
        self._average = float(SOONEST)

    # Start and stop ------------------------------------------------------------------

    async def start(self, tasks: TaskGroup, *, paused: bool = False) -> None:
        """Take up what the host before this one has left, then execute.

        :param paused: begin paused, whatever was the case before
        """
        self._tasks = tasks
        self.is_paused = paused or await self._store.get(_PAUSED) == "yes"
        for run in await self._store.unfinished():
            if run.status == Status.RUNNING:
                events = await end_interrupted_run(self._store, self._feeds, run)
                await self._logs.write(run.run_id, events)
                said = "run %s was running when the host stopped; it is interrupted"
                _log.warning(said, run.run_id)
            else:
                self._enqueue(run)
        self._dispatch()

    async def stop(self) -> None:
        """Interrupt what runs and wait until that is stored; what waits goes on waiting."""
        self._stopping.set()
        active = list(self._active.values())
        with anyio.move_on_after(self._grace + PATIENCE):
            for execution in active:
                await execution.interrupt()
            for execution in active:
                await execution.ended.wait()

    # Commands ------------------------------------------------------------------------

    async def find_again(self, key: IdempotencyKey) -> Created | None:
        """Return the run that a key was used for; None if it is new.

        :raises IdempotencyError: it was used for something else
        """
        known = await self._store.find_key(key.text)
        return None if known is None else _same(known, key)

    async def submit(self, submission: Submission) -> Created:
        """Store a run and queue it.

        :return: the run; not new if its idempotency key was used before for the same
        :raises QueueFullError: too many wait already
        :raises SlotsAbandonedError: nothing could be executed
        :raises IdempotencyError: the key was used for something else
        :raises StoreError: it cannot be stored
        """
        self._require_room()
        key = submission.key
        run_id = token_hex(16)
        position = self.queue.ahead_of(submission.priority) + self._arriving + 1
        events = [
            accepted_event(run_id),
            status_event(run_id, Status.QUEUED, queuePosition=position),
        ]
        new = NewRun(
            run_id,
            encode_spec(submission.spec),
            time(),
            EventBatch(1, numbered(events, 1)),
            submission.priority,
            submission.workflow_id,
            submission.workflow_name,
            submission.spec.user_id,
            None if key is None else key.text,
            "" if key is None else key.asked,
        )
        self._arriving += 1
        try:
            created = await self._store.create(new)
        finally:
            self._arriving -= 1
        if not created.is_new:
            assert key is not None  # else it would be new
            return _same(created, key)
        self._enqueue(created.run)
        self._dispatch()
        self._on_change()
        return created

    async def interrupt(self, run_id: str) -> Status | None:
        """Interrupt a run that waits or runs.

        :return: how it has ended, None if a running one was told to
        :raises UnknownRunError: there is no such run
        :raises StoreError: its end cannot be stored; it goes on waiting
        """
        execution = self._active.get(run_id)
        if execution is not None and not execution.ended.is_set():
            await execution.interrupt()
            return None
        if run_id in self.queue:
            await self._interrupt_waiting(run_id)
            return Status.INTERRUPTED
        return Status((await self._store.find(run_id)).status)

    async def _interrupt_waiting(self, run_id: str) -> None:
        waiting = self.queue.remove(run_id)
        feed = self._feed_of[run_id]
        try:
            await end_waiting_run(feed)
        except BaseException:
            if not feed.is_final:
                self.queue.put_back(waiting)
            raise
        self._forget(feed)
        self._on_change()

    async def set_priority(self, run_id: str, priority: int) -> int | None:
        """Give a waiting run another priority.

        :return: its position, from 1; None if it does not wait any more
        :raises UnknownRunError: there is no such run
        """
        if run_id not in self.queue:
            await self._store.find(run_id)
            return None
        await self._store.set_priority(self.queue.get(run_id).number, priority)
        if run_id in self.queue:
            waiting = self.queue.remove(run_id)
            self.queue.add(waiting.run, priority)
            self._on_change()
        return self.queue.position(run_id)

    async def pause(self, *, paused: bool) -> None:
        """Start no more runs, or start them again; what runs goes on. Survives a restart."""
        await self._store.set(_PAUSED, "yes" if paused else "no")
        self.is_paused = paused
        self._dispatch()
        self._on_change()

    # What is going on ----------------------------------------------------------------

    @property
    def running(self) -> list[Execution]:
        """The runs that are executed now, in the order of their start."""
        return [execution for execution in self._active.values() if not execution.ended.is_set()]

    def execution(self, run_id: str) -> Execution | None:
        """Return the execution of a run, None if it is not executed now."""
        execution = self._active.get(run_id)
        return None if execution is None or execution.ended.is_set() else execution

    @property
    def abandoned(self) -> Mapping[str, Sequence[AbandonedNode]]:
        """What goes on after the end of its run, by run id."""
        return self._runner.abandoned()

    @property
    def free_slots(self) -> int:
        """How many runs could be started now."""
        return max(0, self.slots - len(self._active))

    # Inside --------------------------------------------------------------------------

    def _require_room(self) -> None:
        abandoned = self.abandoned
        held = [abandoned[run_id] for run_id in self._active if run_id in abandoned]
        if len(held) >= self.slots:
            raise SlotsAbandonedError([node for nodes in held for node in nodes])
        # Whoever finds a slot does not wait.
        found = 0 if self.is_paused or self._is_blocked else self.free_slots
        waiting = len(self.queue) + self._arriving - found
        if self._capacity is not None and waiting >= self._capacity:
            wait = min(max(ceil(self._average), SOONEST), LATEST)
            raise QueueFullError(self._capacity, float(wait))

    def _enqueue(self, run: StoredRun) -> None:
        self._feed_of[run.run_id] = self._feeds.add(run)
        self.queue.add(run, run.priority)

    def _dispatch(self) -> None:
        """Start what may be started."""
        while (
            len(self.queue)
            and len(self._active) < self.slots
            and not (self.is_paused or self._is_blocked or self._stopping.is_set())
        ):
            waiting = self.queue.pop()
            execution = Execution(
                waiting,
                self._feed_of[waiting.run.run_id],
                store=self._store,
                runner=self._runner,
                logs=self._logs,
                blobs=self._blobs,
                stopping=self._stopping,
                on_end=self._ended,
            )
            self._active[execution.run_id] = execution
            assert self._tasks is not None  # started
            self._tasks.start_soon(self._execute, execution, name=f"execution {execution.run_id}")

    async def _execute(self, execution: Execution) -> None:
        try:
            self._on_change()
            await execution.run()
        except StoreError as exc:
            _log.error("run %s cannot be started, it is tried again: %s", execution.run_id, exc)
            self._active.pop(execution.run_id)
            self.queue.put_back(execution.waiting)
            await self._unblock_later()
        else:
            self._active.pop(execution.run_id)
        self._dispatch()
        self._on_change()

    async def _unblock_later(self) -> None:
        self._is_blocked = True
        with anyio.move_on_after(RETRY):
            await self._stopping.wait()
        self._is_blocked = False

    def _ended(self, execution: Execution) -> None:
        """Hear that a run's terminal event is stored; its work may go on for a while."""
        assert execution.started is not None  # it has begun
        self._average += 0.2 * (time() - execution.started - self._average)
        self._forget(execution.feed)
        self._on_change()

    def _forget(self, feed: RunFeed) -> None:
        self._feed_of.pop(feed.run_id, None)
        self._feeds.close(feed)
        self._on_finished()


def _same(known: Created, key: IdempotencyKey) -> Created:
    """Return the run that was asked for before.

    :raises IdempotencyError: something else was asked for
    """
    if known.fingerprint != key.asked:
        raise IdempotencyError(key.text)
    return known

"""One run of a plan: who works on what is ready, how it is stopped, and how it ends."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup

from ._facts import NodeServices
from ._interface import InterfaceOutputs
from ._node_run import execute_node
from ._outcomes import Outcomes
from ._values import Values
from .breath import current_breath
from .errors import NodeFailedError
from .events import Status
from .plan import Plan, PlanNode
from .sinks import EventSink
from .streams import StreamNetwork, StreamWriter

if TYPE_CHECKING:
    from .engine import Engine, EngineLimits, Facilities

__all__ = ("Run", "RunResult")

_log = logging.getLogger("comfytavern.engine")


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. ``outputs`` are the batch interface outputs by key."""

    run_id: str
    status: Status
    outputs: Mapping[str, object]
    states: Mapping[str, Status]
    error: NodeFailedError | None
    seconds: float


class Run:
    """One run. ``await run.wait()`` for its end, ``run.interrupt()`` to stop it.

    Its work is done by a few workers, each of which takes the next ready node when its
    own has ended; another is started only when one waits while something is ready.
    ``done`` is set when the run has ended, ``released`` when its work has really stopped.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        run_id: str,
        inputs: Mapping[str, object],
        sink: EventSink,
        user_id: str | None,
        limits: EngineLimits,
        facilities: Facilities,
        engine: Engine,
    ) -> None:
        self.plan = plan
        self.run_id = run_id
        self.user_id = user_id
        self.sink = sink
        self.facilities = facilities
        self.engine = engine
        self.interrupted = False
        self.done = anyio.Event()
        self.released = anyio.Event()
        self.result: RunResult | None = None
        self.breath = current_breath()
        self.network = StreamNetwork(
            self, self.breath, bound=limits.stream_buffer, overflow=limits.stream_overflow
        )
        self.writers: dict[int, StreamWriter] = {}
        self.group_began: dict[int, float] = {}
        self.values = Values(plan, inputs)
        self.outputs = InterfaceOutputs(plan.outputs, sink)
        self.outcomes = Outcomes(self)
        self.services = NodeServices(self)
        self._states = self.outcomes.states
        self._limit = limits.nodes_in_parallel
        self._grace = limits.interrupt_grace
        self._stopped: set[int] = set()
        self._active = 0
        self._workers = 0
        self._starting = 0
        self._pausing = 0
        self._group: TaskGroup | None = None
        self._began = perf_counter()

    async def wait(self) -> RunResult:
        """Wait for the end of the run and return how it ended."""
        await self.done.wait()
        assert self.result is not None  # set before `done`
        return self.result

    def interrupt(self) -> None:
        """Stop the run. Async work is cancelled at once; threads are told, and awaited a while."""
        if self.interrupted or self.result is not None:
            return
        self.interrupted = True
        self.values.drop_all()
        if self._group is not None:
            self._group.cancel_scope.cancel()
        self.engine.in_background(self._settle)

    def running_nodes(self) -> list[PlanNode]:
        """Return the nodes that are executing now; after an interrupt, those that hang."""
        running = (i for i, state in enumerate(self._states) if state is Status.RUNNING)
        return [self.plan.nodes[index] for index in running if index not in self._stopped]

    async def _settle(self) -> None:
        try:
            with anyio.move_on_after(self._grace):
                await self.released.wait()
        finally:
            if not self.released.is_set():
                self.engine.abandon(self, self.running_nodes())
            self._conclude(Status.INTERRUPTED)

    async def supervise(self) -> None:
        """Do the whole run. Called by the engine, as a task of its own."""
        try:
            async with anyio.create_task_group() as group:
                self._group = group
                if not self.interrupted:
                    if self.sink.run_started is not None:
                        self.sink.run_started(sum(1 for _ in self.plan.visible_nodes))
                    if not self.plan.nodes:
                        self.all_final()
                    self._starting = 1
                    await self._work()
        except Exception:
            # Node code never gets here; a fault of the engine must not end the host.
            _log.exception("run %s ended by a fault of the engine", self.run_id)
            reason = "a fault of the engine; see the host's log"
            fault = NodeFailedError("", "engine", reason, code="internal_error")
            self.outcomes.error = self.outcomes.error or fault
            self._conclude(Status.ERROR)
        finally:
            self.released.set()
            self.engine.let_go(self)
            if not self.interrupted:
                # Without a result by now only if an outer scope was cancelled.
                self._conclude(Status.INTERRUPTED)

    async def _work(self) -> None:
        """Take ready nodes one after the other until there are none."""
        self._starting -= 1
        if self._pausing:
            return  # a worker that only lets the loop breathe takes what is ready
        self._workers += 1
        nodes, states = self.plan.nodes, self._states
        ready, breath = self.values.ready, self.breath
        try:
            while ready:
                index = ready.popleft() if self._active < self._limit else self._take_exempt()
                if index is None:
                    break
                if ready and self._starting < self._workers:
                    self._start_worker()
                if states[index] is None:
                    await execute_node(self, nodes[index])
                    if perf_counter() > breath.deadline:
                        self._pausing += 1
                        try:
                            await breath.pause()
                        finally:
                            self._pausing -= 1
        finally:
            self._workers -= 1

    def call_worker(self) -> None:
        """Start a worker for what is ready, unless enough are on their way."""
        if self._starting < max(1, self._workers):
            self._start_worker()

    def _start_worker(self) -> None:
        if self._group is not None and not self.interrupted:
            self._starting += 1
            self._group.start_soon(self._work)

    def _take_exempt(self) -> int | None:
        """Return a ready reader of streams: the limit never keeps one from its writer."""
        for index in self.values.ready:
            if self.plan.nodes[index].reads_streams:
                self.values.ready.remove(index)
                return index
        return None

    def enter(self, node: PlanNode) -> None:
        """Count a node that begins to execute."""
        self._states[node.index] = Status.RUNNING
        if not node.reads_streams:
            self._active += 1

    def leave(self, node: PlanNode) -> None:
        """Count a node that has ended, and close what it was reading."""
        if not node.reads_streams:
            self._active -= 1
        self.values.close_readers(node.index)
        if self.interrupted:
            self._stopped.add(node.index)

    def all_final(self) -> None:
        """Hear that every node is final."""
        if not self.interrupted and self.result is None:
            self.outputs.send_final()
            failed = self.outcomes.error is not None
            self._conclude(Status.ERROR if failed else Status.COMPLETE)

    def _conclude(self, status: Status) -> None:
        """Set the result, once; every node that is not final is interrupted."""
        if self.result is not None:
            return
        if status is not Status.COMPLETE:
            self.outcomes.interrupt_rest()
        seconds = perf_counter() - self._began
        error = self.outcomes.error
        shown = self.plan.visible_nodes
        states = {node.id: self._states[node.index] or Status.IDLE for node in shown}
        outputs = self.outputs.batch_values
        self.result = RunResult(self.run_id, status, outputs, states, error, seconds)
        if self.sink.run_finished is not None:
            self.sink.run_finished(status, error, seconds)
        self.values.drop_all()
        self.done.set()

    def note(self, node: PlanNode, message: str) -> None:
        """Log something about a node that changes nothing for the run."""
        name = f"comfytavern.packs.{node.pack or 'unknown'}"
        logging.getLogger(name).warning("run %s, node %s: %s", self.run_id, node.id, message)

    # --- GraphState, for the streams ------------------------------------------------------

    def has_begun(self, node: int) -> bool:
        """Return whether a node runs or has run."""
        return self._states[node] is not None

    def waits_for(self, node: int) -> list[int]:
        """Return what a node that has not begun waits for."""
        waiting = self.plan.nodes[node]
        before = [(index, False) for index in waiting.members] + waiting.predecessors
        return [
            index
            for index, is_stream in before
            if (state := self._states[index]) is None
            or (state is Status.RUNNING and not (is_stream and index in self.writers))
        ]

    def label(self, node: int) -> str:
        """Return how messages name a node."""
        return self.plan.nodes[node].id

    def suspend(self, node: int) -> None:
        """Let another node run while one waits on a stream."""
        if not self.plan.nodes[node].reads_streams:
            self._active -= 1
        if self.values.ready:
            self.call_worker()

    def resume(self, node: int) -> None:
        """Count the node again."""
        if not self.plan.nodes[node].reads_streams:
            self._active += 1

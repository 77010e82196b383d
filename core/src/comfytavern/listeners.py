"""Tells packs what happens in runs: their event hooks, resolved once per run into a sink.

A run never waits for a listener and never fails because of one. Plain functions are
called at once; coroutine functions, and the functions of a pack that held up the loop,
by way of the pack's lane. There is one lane per pack, not one per function, so that what
waits is heard in order: nothing of a run comes after its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from ._listener_lanes import Ear, Lane, ListenerReport, PackListener, ReportKind, Reports
from .breath import current_breath
from .chunks import Chunk
from .errors import NodeFailedError
from .events import (
    InterfaceChunk,
    NodeBypassed,
    NodeChunk,
    NodeCompleted,
    NodeFailed,
    NodeInterrupted,
    NodeProgress,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    RunStarted,
    Status,
)
from .hookspecs import EVENT_HOOKS
from .plan import PlanNode
from .sinks import EventSink

__all__ = ("ListenerHub", "ListenerReport", "PackListener", "ReportKind")

QUEUE = 1024  # events or batches that may wait for one pack
DRAIN = 5.0  # seconds that packs get at the end for what still waits


class ListenerHub:
    """The listeners of a host. An async context manager: leaving it tells what still waits.

    :param listeners: who implements each event hook, in the order to call them
    :param queue: how many events or batches may wait for one pack
    :param drain: seconds that packs get at the end for what still waits
    """

    def __init__(
        self,
        listeners: Mapping[str, Sequence[PackListener]],
        *,
        queue: int = QUEUE,
        drain: float = DRAIN,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._queue = queue
        self._drain = drain
        self._clock = clock
        self._reports = Reports()
        self._ears: dict[str, tuple[Ear, ...]] = {}
        self._lanes: dict[str, Lane] = {}
        self._due: deque[_RunEvents] = deque()
        self._bell = anyio.Event()
        self._group: TaskGroup | None = None
        self.use(listeners)

    @property
    def reports(self) -> list[ListenerReport]:
        """What went wrong so far: one report per listener and kind."""
        return self._reports.listed()

    def use(self, listeners: Mapping[str, Sequence[PackListener]]) -> None:
        """Replace the listeners, for runs that start from now on; packs may come and go."""
        known = {(e.hook, e.listener.function): e for ears in self._ears.values() for e in ears}
        self._ears = {
            hook: tuple(
                known.get((hook, listener.function))
                or Ear(hook, listener, self._lane(listener.distribution))
                for listener in listeners[hook]
            )
            for hook in EVENT_HOOKS
            if hook in listeners
        }

    def sink(self, run_id: str) -> EventSink:
        """Return where a run tells its events; what nobody listens to is None.

        :raises RuntimeError: somebody listens, but outside ``async with``
        """
        hearing = {
            hook: tuple(e for e in ears if not e.cut_off) for hook, ears in self._ears.items()
        }
        listening = {hook: ears for hook, ears in hearing.items() if ears}
        if listening and self._group is None:
            raise RuntimeError("the listeners are not served: use 'async with hub:'")
        return _RunEvents(run_id, listening, self._mark_due).sink()

    async def __aenter__(self) -> ListenerHub:
        group = anyio.create_task_group()
        self._group = await group.__aenter__()
        group.start_soon(self._flush_by_turns, name="chunks for listeners")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        group, self._group = self._group, None
        assert group is not None  # entered before
        try:
            while self._due:
                self._due.popleft().flush()
            serving = [lane for lane in self._lanes.values() if lane.close()]
            with anyio.move_on_after(self._drain, shield=True):
                for lane in serving:
                    await lane.done.wait()
            for lane in serving:
                lane.stop()
        finally:
            group.cancel_scope.cancel()
        if isinstance(error, Exception | KeyboardInterrupt | SystemExit):
            await group.__aexit__(None, None, None)  # not with the error: it would be wrapped
            return None
        return await group.__aexit__(kind, error, traceback)

    def _lane(self, distribution: str) -> Lane:
        lane = self._lanes.get(distribution)
        if lane is None:
            lane = Lane(self._reports, queue=self._queue, clock=self._clock, start=self._serve)
            self._lanes[distribution] = lane
        return lane

    def _serve(self, lane: Lane) -> None:
        assert self._group is not None  # lanes are closed before the group ends
        self._group.start_soon(lane.serve, name="listeners of a pack")

    def _mark_due(self, run: _RunEvents) -> None:
        """Have a run's chunks told in the next turn of the loop."""
        self._due.append(run)
        self._bell.set()

    async def _flush_by_turns(self) -> None:
        breath = current_breath()
        while True:
            await self._bell.wait()
            self._bell = anyio.Event()
            while self._due:
                self._due.popleft().flush()
                if perf_counter() > breath.deadline:
                    await breath.pause()


class _RunEvents:
    """Makes the events of one run, for those who listened when it started."""

    def __init__(
        self,
        run_id: str,
        ears: Mapping[str, tuple[Ear, ...]],
        mark_due: Callable[[_RunEvents], None],
    ) -> None:
        self._run_id = run_id
        self._ears = ears
        self._mark_due = mark_due
        self._is_due = False
        self._over = False
        self._chunks: list[tuple[str, Chunk, bool]] = []
        self._interface: list[tuple[str, str | None, Chunk, bool]] = []

    def sink(self) -> EventSink:
        heard = self._ears
        # The end of a run tells what chunks are left, whoever hears of the end itself.
        streams = "node_chunks" in heard or "interface_chunks" in heard
        return EventSink(
            run_started=self._run_started if "run_started" in heard else None,
            run_finished=self._run_finished if streams or "run_finished" in heard else None,
            node_started=self._node_started if "node_started" in heard else None,
            node_completed=self._node_completed if "node_completed" in heard else None,
            node_failed=self._node_failed if "node_failed" in heard else None,
            node_skipped=self._node_skipped if "node_skipped" in heard else None,
            node_bypassed=self._node_bypassed if "node_bypassed" in heard else None,
            node_interrupted=self._node_interrupted if "node_interrupted" in heard else None,
            node_progress=self._node_progress if "node_progress" in heard else None,
            stream=self._stream if "node_chunks" in heard else None,
            stream_broken=self._stream_broken if "node_chunks" in heard else None,
            interface_chunk=self._interface_chunk if "interface_chunks" in heard else None,
        )

    def _tell(self, hook: str, event: object) -> None:
        for ear in self._ears[hook]:
            ear.hear(event)

    # Chunks wait for the next turn of the loop, or for an event that must come after them.

    def flush(self) -> None:
        """Tell what was streamed since the last time."""
        self._is_due = False
        self._tell_chunks()

    def _tell_chunks(self) -> None:
        run_id = self._run_id
        if self._chunks:
            chunks, self._chunks = self._chunks, []
            self._tell("node_chunks", tuple(NodeChunk(run_id, *chunk) for chunk in chunks))
        if self._interface:
            handed_out, self._interface = self._interface, []
            events = tuple(InterfaceChunk(run_id, *chunk) for chunk in handed_out)
            self._tell("interface_chunks", events)

    def _stream(self, node: PlanNode) -> Callable[[Chunk], None]:
        node_id = node.id

        def tell(chunk: Chunk) -> None:
            if not self._over:
                self._chunks.append((node_id, chunk, chunk.type == "finish_reason_chunk"))
                if not self._is_due:
                    self._becomes_due()

        return tell

    def _stream_broken(self, node: PlanNode, chunk: Chunk) -> None:
        if not self._over:
            self._chunks.append((node.id, chunk, True))
            self._becomes_due()

    def _becomes_due(self) -> None:
        if not self._is_due:
            self._is_due = True
            self._mark_due(self)

    def _interface_chunk(
        self, key: str, display_name: str | None, chunk: Chunk, is_last: bool
    ) -> None:
        if not self._over:
            self._interface.append((key, display_name, chunk, is_last))
            self._becomes_due()

    def _run_started(self, node_count: int) -> None:
        self._tell("run_started", RunStarted(self._run_id, node_count))

    def _run_finished(self, status: Status, error: NodeFailedError | None, seconds: float) -> None:
        self._over = True
        self._tell_chunks()
        if "run_finished" in self._ears:
            reason = None if error is None else str(error)
            self._tell("run_finished", RunFinished(self._run_id, status, reason, seconds * 1000))

    def _node_started(self, node: PlanNode) -> None:
        self._tell("node_started", NodeStarted(self._run_id, node.id, node.full_type))

    def _node_completed(
        self, node: PlanNode, outputs: Mapping[str, object], seconds: float
    ) -> None:
        self._tell_chunks()
        event = NodeCompleted(self._run_id, node.id, node.full_type, outputs, seconds * 1000)
        self._tell("node_completed", event)

    def _node_failed(self, node: PlanNode, error: NodeFailedError, partial: bool) -> None:
        self._tell_chunks()
        event = NodeFailed(
            run_id=self._run_id,
            node_id=error.node_id,
            node_type=error.node_type,
            pack=error.pack,
            code=error.error_code,
            message=error.reason,
            traceback=str(error.details.get("traceback", "")),
            partial=partial,
        )
        self._tell("node_failed", event)

    def _node_skipped(self, node: PlanNode, reason: str, caused_by: str) -> None:
        self._tell(
            "node_skipped", NodeSkipped(self._run_id, node.id, node.full_type, reason, caused_by)
        )

    def _node_bypassed(self, node: PlanNode, outputs: Mapping[str, object]) -> None:
        self._tell("node_bypassed", NodeBypassed(self._run_id, node.id, node.full_type, outputs))

    def _node_interrupted(self, node: PlanNode, partial: bool) -> None:
        self._tell_chunks()
        self._tell(
            "node_interrupted", NodeInterrupted(self._run_id, node.id, node.full_type, partial)
        )

    def _node_progress(
        self, node: PlanNode, value: float, maximum: float, text: str | None
    ) -> None:
        event = NodeProgress(self._run_id, node.id, node.full_type, value, maximum, text)
        self._tell("node_progress", event)

"""How nodes end, and what follows: values handed on, nodes skipped, groups and runs ended."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING

from .errors import NodeFailedError
from .events import Status
from .plan import NodeKind, PlanNode
from .streams import StreamReader, StreamWriter
from .types import ABSENT

if TYPE_CHECKING:
    from ._run import Run

__all__ = ("Outcomes",)


class Outcomes:
    """The states of one run's nodes, and the rules by which they become final."""

    def __init__(self, run: Run) -> None:
        nodes = run.plan.nodes
        self.states: list[Status | None] = [None] * len(nodes)
        self.error: NodeFailedError | None = None
        self.unfinished = len(nodes)
        self._run = run
        self._nodes = nodes
        self._sink = run.sink
        self._values = run.values
        self._outputs = run.outputs
        self._pending = {n.index: len(n.members) for n in nodes if n.members}
        self._group_errors: dict[int, NodeFailedError] = {}
        self._skipped_groups: dict[int, tuple[str, str]] = {}

    def complete(self, node: PlanNode, outputs: Mapping[str, object], seconds: float) -> None:
        """Note that a node has completed and hand its outputs on."""
        if self._run.interrupted:
            return  # whatever the node says, it counts as interrupted
        self.states[node.index] = Status.COMPLETE
        tell = self._sink.node_completed
        if tell is not None and node.kind is not NodeKind.ENTRY:
            tell(node, outputs, seconds)
        if node.is_plain:
            for slot, targets in node.batch_out.items():
                self._values.deliver(targets, outputs.get(slot, ABSENT))
        else:
            self._hand_on(node, outputs)
        self.unfinished -= 1
        if node.group >= 0 or not self.unfinished:
            self._count(node)

    def bypass(self, node: PlanNode, outputs: Mapping[str, object]) -> None:
        """Note that a node was bypassed and hand its pseudo-outputs on."""
        if self._run.interrupted:
            return
        self.states[node.index] = Status.SKIPPED
        if self._sink.node_bypassed is not None:
            self._sink.node_bypassed(node, outputs)
        self._hand_on(node, outputs)
        self._final(node)

    def fail(self, node: PlanNode, error: NodeFailedError, *, partial: bool = False) -> None:
        """Note that a node has failed; what follows it and does not run yet is skipped."""
        if self._run.interrupted:
            return
        self.states[node.index] = Status.ERROR
        if self.error is None:
            self.error = error
        # The exit of a group reports for its entry, when all inside has ended.
        if self._sink.node_failed is not None and node.kind is not NodeKind.ENTRY:
            self._sink.node_failed(node, error, partial)
        if node.group >= 0:
            self._group_errors.setdefault(node.group, error)
        self._skip_after(node, f"node {node.id!r} failed", node.id)
        self._final(node)

    def interrupt_rest(self) -> None:
        """Make every node that is not final interrupted."""
        for node in self._nodes:
            state = self.states[node.index]
            if state is not None and state is not Status.RUNNING:
                continue
            self.states[node.index] = Status.INTERRUPTED
            if node.kind is not NodeKind.ENTRY and self._sink.node_interrupted is not None:
                writer = self._run.writers.get(node.index)
                self._sink.node_interrupted(node, writer is not None and writer.begun)

    def hand_on_stream(
        self, node: PlanNode, slot: str, stream: StreamWriter | StreamReader
    ) -> list[int]:
        """Give each reader of a stream slot its own; return the nodes that are ready now."""
        readied = [
            target.node
            for target in node.stream_out.get(slot, ())
            # else it was skipped meanwhile
            if self.states[target.node] is None
            and self._values.deliver_stream(target, slot, stream)
        ]
        self._outputs.attach(node.index, slot, stream)
        if readied:
            self._run.call_worker()
        return readied

    def _hand_on(self, node: PlanNode, outputs: Mapping[str, object]) -> None:
        if node.index in self._outputs.sources:
            self._outputs.collect(node.index, outputs)
        for slot, targets in node.batch_out.items():
            value = outputs.get(slot, ABSENT)
            if isinstance(value, StreamReader):
                # A dynamic slot may turn out to carry a stream.
                for target in targets:
                    self._values.deliver_stream(target, slot, value)
            else:
                self._values.deliver(targets, value)
        if node.index not in self._run.writers:
            self._hand_on_streams(node, outputs)
        self._values.deliver_order(node.unordered)

    def _hand_on_streams(self, node: PlanNode, outputs: Mapping[str, object]) -> None:
        """Pass streams on; a stream slot of a node that did not stream is an empty stream."""
        for slot in node.stream_out.keys() | self._outputs.streams_of(node.index):
            stream = outputs.get(slot)
            if isinstance(stream, StreamReader):
                self.hand_on_stream(node, slot, stream)
            else:
                empty = StreamWriter(self._run.network, node.index)
                self.hand_on_stream(node, slot, empty)
                empty.finish()

    def _skip_after(self, node: PlanNode, reason: str, cause: str) -> None:
        pending = list(reversed(node.successors))
        seen: set[int] = set()
        while pending:
            index = pending.pop()
            if index in seen:
                continue
            seen.add(index)
            following = self._nodes[index]
            if following.kind is NodeKind.EXIT:
                continue  # it reports when all of its members are final
            if self.states[index] is None:
                self._skip(following, reason, cause)
            pending.extend(reversed(following.successors))

    def _skip(self, node: PlanNode, reason: str, cause: str) -> None:
        self.states[node.index] = Status.SKIPPED
        self._values.drop(node.index)
        if node.kind is NodeKind.ENTRY:
            self._skipped_groups[node.group] = (reason, cause)
        elif self._sink.node_skipped is not None:
            self._sink.node_skipped(node, reason, cause)
        self._final(node)

    def _final(self, node: PlanNode) -> None:
        self.unfinished -= 1
        self._count(node)

    def _count(self, node: PlanNode) -> None:
        group = node.group
        if group >= 0:
            self._pending[group] -= 1
            if not self._pending[group]:
                self._end_group(self._nodes[group])
        if not self.unfinished:
            self._run.all_final()

    def _end_group(self, exit_: PlanNode) -> None:
        """Report a group whose members are all final."""
        skipped = self._skipped_groups.get(exit_.index)
        failed = self._group_errors.get(exit_.index)
        if skipped is not None:
            self._skip(exit_, *skipped)
            self._skip_after(exit_, *skipped)
        elif failed is not None:
            self._values.drop(exit_.index)
            self.fail(exit_, _group_error(exit_, failed))
        else:
            inputs = self._values.take(exit_)
            outputs = {slot: inputs[slot] for slot in exit_.output_types if slot in inputs}
            began = self._run.group_began.get(exit_.index, perf_counter())
            self.complete(exit_, outputs, perf_counter() - began)


def _group_error(exit_: PlanNode, failed: NodeFailedError) -> NodeFailedError:
    inside = f"inside the group, node {failed.node_id!r} failed: {failed.reason}"
    reason = failed.reason if failed.node_id == exit_.id else inside
    error = NodeFailedError(
        exit_.id, exit_.full_type, reason, pack=exit_.pack, code=failed.error_code
    )
    error.__cause__ = failed
    return error

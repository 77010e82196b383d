"""Edges: which slots they join, whether those fit, and in which order multi slots fill."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from ._placeholders import is_placeholder
from ._scopes import Findings, Group, Scope, Source, source_of
from .errors import Finding
from .plan import InputKey, NodeKind, PlanNode, Target
from .types import Converter, SlotType, can_connect, converter
from .workflow import Edge

__all__ = ("Wiring", "find_cycle")

_SUB_HANDLE = re.compile(r"(.+)__(0|[1-9]\d{0,8})")
_LAST = 1 << 60


class _Incoming(NamedTuple):
    """What reaches a multi slot, before the order is known."""

    order: tuple[int, int, int]
    source: Source
    convert: Converter | None


_Slot = tuple[int, str]


class Wiring:
    """Joins the nodes of a plan; reports into ``findings`` what does not fit."""

    def __init__(self, nodes: list[PlanNode], findings: Findings) -> None:
        self._nodes = nodes
        self._findings = findings
        self._fits: dict[tuple[SlotType, SlotType], tuple[bool, Converter | None]] = {}

    def connect(self, scope: Scope) -> None:
        """Join the nodes of one workflow by its edges."""
        placed = scope.workflow.nodes
        orders = {n.id: n.input_connection_orders for n in placed if n.input_connection_orders}
        single: dict[_Slot, Source] = {}
        multi: dict[_Slot, list[_Incoming]] = {}
        blamed: set[_Slot] = set()
        for number, edge in enumerate(scope.workflow.edges):
            if edge.target in scope.group_outputs:
                scope.outputs.setdefault(edge.target_slot, (edge.source, edge.source_slot))
            source, target = self._source(scope, edge), self._target(scope, edge)
            if target is None:
                continue
            slot, position = _target_slot(target, edge.target_slot)
            if source is None:
                blamed.add((target.index, slot))  # connected, if only to something broken
                continue
            if not self._slot_exists(target, slot):
                continue
            fit, convert = self._match(source, target, slot)
            if not fit:
                continue
            if _is_multi(target, slot):
                ranks = orders.get(edge.target, {}).get(slot, ())
                incoming = _Incoming(_rank(edge, ranks, position, number), source, convert)
                multi.setdefault((target.index, slot), []).append(incoming)
            elif (target.index, slot) in single and not is_placeholder(target.shape):
                self._two_edges(target, slot, single[target.index, slot], source)
            else:
                single[target.index, slot] = source
                self.link(source, target, slot, convert)
        self._order(multi)
        self._check_required(scope, (single, multi, blamed))

    def link(
        self, source: Source, target: PlanNode, key: InputKey, convert: Converter | None
    ) -> None:
        """Hand what ``source`` brings to an input of ``target``."""
        node, is_stream = source.node, source.is_stream
        out = node.stream_out if is_stream else node.batch_out
        out.setdefault(source.slot, []).append(Target(target.index, key, convert))
        target.remaining += 1
        target.reads_streams = target.reads_streams or is_stream
        target.predecessors.append((node.index, is_stream))
        node.successors.append(target.index)

    def order(self, source: PlanNode, target: PlanNode) -> None:
        """Let ``target`` wait for ``source`` although nothing flows between them."""
        source.unordered = (*source.unordered, target.index)
        source.successors.append(target.index)
        target.predecessors.append((source.index, False))
        target.remaining += 1

    def _source(self, scope: Scope, edge: Edge) -> Source | None:
        if edge.source not in scope.nodes:
            self._missing_end(scope, edge.source, "from")
            return None
        found = source_of(scope, edge.source, edge.source_slot)
        if found is None:
            node_id, slots = scope.prefix + edge.source, scope.output_names(edge.source)
            hint = self._findings.hint(edge.source_slot, slots) or f"; outputs: {_listed(slots)}"
            message = f"node {node_id!r} has no output {edge.source_slot!r}{hint}"
            self._findings.problem("unknown_slot", message, node_id, edge.source_slot)
        return found

    def _target(self, scope: Scope, edge: Edge) -> PlanNode | None:
        if edge.target not in scope.nodes:
            self._missing_end(scope, edge.target, "to")
        return scope.entry_of(edge.target)

    def _missing_end(self, scope: Scope, node_id: str, preposition: str) -> None:
        if node_id in scope.placed_ids:
            return  # the node is there; what is wrong with it has been reported
        full = scope.prefix + node_id
        message = f"an edge leads {preposition} node {full!r}, which does not exist"
        hint = self._findings.hint(node_id, scope.nodes)
        self._findings.problem("unknown_node", message + hint, full)

    def _slot_exists(self, target: PlanNode, slot: str) -> bool:
        if slot in target.input_types or (target.dynamic and target.kind is not NodeKind.ENTRY):
            return True
        hint = self._findings.hint(slot, target.input_types)
        message = f"node {target.id!r} has no input {slot!r}"
        message += hint or f"; inputs: {_listed(target.input_types)}"
        self._findings.problem("unknown_slot", message, target.id, slot)
        return False

    def _match(self, source: Source, target: PlanNode, slot: str) -> tuple[bool, Converter | None]:
        target_type = target.input_types.get(slot)
        if source.type is None or target_type is None:
            return True, None
        key = (source.type, target_type)
        known = self._fits.get(key)
        if known is None:
            known = self._fits[key] = (can_connect(*key), converter(*key))
        if not known[0]:
            self._mismatch(source, source.type, target, slot, target_type)
        return known

    def _mismatch(
        self, source: Source, given: SlotType, target: PlanNode, slot: str, wanted: SlotType
    ) -> None:
        if given.is_stream != wanted.is_stream:
            reason = "a stream connects only to a stream"
            reason += "; put a Collect node between them" if given.is_stream else ""
        else:
            others = [n for n, t in target.input_types.items() if can_connect(given, t)]
            fitting = f"; inputs of {target.id!r} that fit: {', '.join(others)}" if others else ""
            reason = f"no conversion{fitting}"
        message = (
            f"cannot connect {source.node.slot_label(source.slot)!r} ({given})"
            f" to {target.slot_label(slot)!r} ({wanted}): {reason}"
        )
        self._findings.problem("slot_mismatch", message, target.id, slot)

    def _two_edges(self, target: PlanNode, slot: str, first: Source, second: Source) -> None:
        ends = (source.node.slot_label(source.slot) for source in (first, second))
        message = f"two edges lead into {target.slot_label(slot)!r}, which takes one"
        message += "; remove the one from {!r} or from {!r}".format(*ends)
        self._findings.problem("two_edges", message, target.id, slot)

    def _order(self, multi: Mapping[_Slot, list[_Incoming]]) -> None:
        for (index, slot), incoming in multi.items():
            target = self._nodes[index]
            target.multi = (*target.multi, (slot, len(incoming)))
            for position, one in enumerate(sorted(incoming, key=lambda item: item.order)):
                self.link(one.source, target, (slot, position), one.convert)

    def _check_required(self, scope: Scope, fed: Sequence[Container[_Slot]]) -> None:
        for placed in scope.nodes.values():
            node = placed.entry if isinstance(placed, Group) else placed
            if not node.required or node.kind is NodeKind.BYPASSED:
                continue
            for slot in node.required:
                key = (node.index, slot)
                if slot in node.static or any(key in connected for connected in fed):
                    continue
                if self._findings.reported(node.id, slot):
                    continue  # its edge or its value is the problem
                message = f"node {node.id!r} needs a value for input {slot!r}"
                message += f" ({node.input_types.get(slot)}); connect it or set it"
                self._findings.problem("missing_input", message, node.id, slot)


def _target_slot(target: PlanNode, handle: str) -> tuple[str, int]:
    if handle not in target.input_types:
        match = _SUB_HANDLE.fullmatch(handle)
        if match and match[1] in target.input_types:
            return match[1], int(match[2])
    return handle, _LAST


def _is_multi(target: PlanNode, slot: str) -> bool:
    return slot in target.multi_slots


def _rank(edge: Edge, ranks: Sequence[str], position: int, number: int) -> tuple[int, int, int]:
    if edge.id is not None and edge.id in ranks:
        return 0, ranks.index(edge.id), 0
    return 1, position, number


def _listed(slots: Iterable[str]) -> str:
    return ", ".join(slots) or "none"


def find_cycle(nodes: Sequence[PlanNode]) -> Finding | None:
    """Return the cycle that keeps nodes from ever starting, or None."""
    waiting = [0] * len(nodes)
    exits: dict[int, int] = {}
    for node in nodes:
        for index in node.successors:
            waiting[index] += 1
        for index in node.members:
            exits[index] = node.index
            waiting[node.index] += 1
    ready = [index for index, count in enumerate(waiting) if not count]
    unstarted = len(nodes)
    while ready:
        index = ready.pop()
        unstarted -= 1
        for after in nodes[index].successors:
            waiting[after] -= 1
            if not waiting[after]:
                ready.append(after)
        if exits and index in exits:
            waiting[exits[index]] -= 1
            if not waiting[exits[index]]:
                ready.append(exits[index])
    return _cycle_in(nodes, waiting) if unstarted else None


def _cycle_in(nodes: Sequence[PlanNode], waiting: Sequence[int]) -> Finding:
    """Return one cycle among the nodes that still wait."""

    def blocker(index: int) -> int:
        node = nodes[index]
        before = (*node.members, *(source for source, _ in node.predecessors))
        return next(source for source in before if waiting[source] > 0)

    trail: dict[int, int] = {}
    index = next(index for index, count in enumerate(waiting) if count > 0)
    while index not in trail:
        trail[index] = len(trail)
        index = blocker(index)
    circle = [other for other, place in trail.items() if place >= trail[index]]
    # The two ends of a group are one to whoever reads this.
    names = [name for name, _ in groupby(nodes[other].id for other in reversed(circle))]
    if len(names) > 1 and names[0] == names[-1]:
        names.pop()
    first = nodes[index].id
    place = names.index(first) + 1
    shown = _shortened([first, *names[place:], *names[:place]])
    message = f"the workflow has a cycle: {shown}; remove one of these edges"
    return Finding("cycle", message, first)


def _shortened(names: Sequence[str]) -> str:
    if len(names) > 24:
        return " -> ".join([*names[:12], f"({len(names) - 24} more)", *names[-12:]])
    return " -> ".join(names)

"""The nodes of one workflow while it is compiled, and where their outputs come from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .errors import Finding, did_you_mean
from .plan import PlanNode
from .types import DataFlowType, SlotType
from .workflow import InterfaceSlot, Workflow

__all__ = ("ANY", "Findings", "Group", "Scope", "Source", "source_of")

ANY = SlotType(DataFlowType.WILDCARD)
MAX_HINTS = 50


class Findings:
    """What is wrong so far (``problems``), and what is merely odd (``warnings``)."""

    def __init__(self) -> None:
        self.problems: list[Finding] = []
        self.warnings: list[Finding] = []
        self._reported: set[tuple[str | None, str | None]] = set()
        self._hints = 0

    def hint(self, name: str, candidates: Collection[str]) -> str:
        """Return the nearest name as a clause; nobody reads hundreds, and each takes time."""
        self._hints += 1
        return did_you_mean(name, candidates) if self._hints <= MAX_HINTS else ""

    def problem(
        self, code: str, message: str, node: str | None = None, slot: str | None = None
    ) -> None:
        """Add a problem; the workflow will not run."""
        self.problems.append(Finding(code, message, node, slot))
        self._reported.add((node, slot))

    def warn(
        self, code: str, message: str, node: str | None = None, slot: str | None = None
    ) -> None:
        """Add a warning; the workflow runs all the same."""
        self.warnings.append(Finding(code, message, node, slot, severity="warning"))

    def reported(self, node: str, slot: str) -> bool:
        """Return whether a problem of this slot has been reported already."""
        return (node, slot) in self._reported


@dataclass(slots=True)
class Group:
    """A group after inlining: where its inputs go in, and what is inside."""

    entry: PlanNode
    exit: PlanNode
    scope: Scope


@dataclass(slots=True)
class Scope:
    """The nodes of one workflow by their ids there, and what feeds its group outputs."""

    workflow: Workflow
    prefix: str
    group: int = -1
    nodes: dict[str, PlanNode | Group] = field(default_factory=dict)
    placed_ids: frozenset[str] = frozenset()
    group_inputs: list[PlanNode] = field(default_factory=list)
    group_outputs: set[str] = field(default_factory=set)
    outputs: dict[str, tuple[str, str]] = field(default_factory=dict)

    def entry_of(self, node_id: str) -> PlanNode | None:
        """Return the node that edges to ``node_id`` really lead to."""
        placed = self.nodes.get(node_id)
        return placed.entry if isinstance(placed, Group) else placed

    def output_names(self, node_id: str) -> Mapping[str, object]:
        """Return the outputs of a node or group, by name."""
        placed = self.nodes[node_id]
        return placed.scope.outputs if isinstance(placed, Group) else placed.output_types


class Source(NamedTuple):
    """Where a value comes from. ``type`` is None where a dynamic slot leaves it open."""

    node: PlanNode
    slot: str
    type: SlotType | None

    @property
    def is_stream(self) -> bool:
        """Whether the slot is known to carry a stream."""
        return self.type is not None and self.type.is_stream


def source_of(scope: Scope, node_id: str, slot: str) -> Source | None:
    """Return where an output's value really comes from, or None if there is no such output.

    Batch outputs of a group come from its exit, once the whole group is complete; a
    stream comes straight from the node inside, so that it flows while the group runs.
    """
    placed = scope.nodes.get(node_id)
    if placed is None:
        return None
    if not isinstance(placed, Group):
        slot_type = placed.output_types.get(slot)
        if slot_type is None and not placed.dynamic:
            return None
        return Source(placed, slot, slot_type)
    fed_by = placed.scope.outputs.get(slot)
    inner = source_of(placed.scope, *fed_by) if fed_by else None
    if inner is None or inner.is_stream:
        return inner
    return Source(placed.exit, slot, inner.type)


def interface_types(slots: Mapping[str, InterfaceSlot]) -> dict[str, SlotType]:
    """Return the slot types of a workflow's interface."""
    return {name: slot.slot_type for name, slot in slots.items()}

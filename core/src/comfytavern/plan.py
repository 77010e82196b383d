"""The compiled workflow: nodes by index, who feeds whom, and what each hands on.

A plan is immutable once compiled and may be run any number of times, also at once.
Groups are already inlined: an *entry* node hands the group's inputs to the nodes inside,
an *exit* node waits for all of them and reports as the group itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from ._presets import as_wanted, misfit
from ._shapes import CallKind, Shape
from .definitions import Execute, InputDefinition, NodeDefinition
from .errors import Finding, WorkflowError, did_you_mean
from .types import ABSENT, Converter, SlotType, parse_text
from .workflow import InterfaceSlot

__all__ = (
    "InputKey",
    "InterfaceOutput",
    "NodeKind",
    "Plan",
    "PlanNode",
    "Target",
    "as_input",
    "check_interface_inputs",
    "plan_node",
)


class NodeKind(IntEnum):
    """How the engine treats a node."""

    NORMAL = 0
    BYPASSED = 1
    ENTRY = 2  # start of a group
    EXIT = 3  # end of a group; shares its id with the entry and reports for both


# A multi slot receives under (slot, position), every other slot under its name.
InputKey: TypeAlias = str | tuple[str, int]


class Target(NamedTuple):
    """Where an output value goes: a node by its index, and one of its inputs."""

    node: int
    key: InputKey
    convert: Converter | None


@dataclass(slots=True, eq=False)
class PlanNode:
    """One node of a plan. ``remaining`` counts the edges that must bring news before it starts."""

    index: int
    id: str
    full_type: str
    pack: str
    version: str
    definition: NodeDefinition
    shape: Shape
    kind: NodeKind
    config: Mapping[str, object]
    mode: str | None
    execute: Execute | str | None
    call_kind: CallKind
    static: dict[str, object]
    input_types: Mapping[str, SlotType]
    output_types: Mapping[str, SlotType]
    required: tuple[str, ...] = ()
    # (slot, number of connections) of each multi slot that is connected
    multi: tuple[tuple[str, int], ...] = ()
    multi_slots: frozenset[str] = frozenset()
    is_interface_input: bool = False
    dynamic: bool = False
    reads_streams: bool = False
    group: int = -1
    members: tuple[int, ...] = ()
    remaining: int = 0
    # slot -> targets; streams are handed on when the node starts, the rest when it completes
    stream_out: dict[str, list[Target]] = field(default_factory=dict)
    batch_out: dict[str, list[Target]] = field(default_factory=dict)
    predecessors: list[tuple[int, bool]] = field(default_factory=list)
    successors: list[int] = field(default_factory=list)
    unordered: tuple[int, ...] = ()
    # nothing but batch values to hand on, and nobody outside the plan wants them
    is_plain: bool = False

    def slot_label(self, slot: str) -> str:
        """Return how messages name one of the node's slots."""
        return f"{self.id}.{slot}"


class InterfaceOutput(NamedTuple):
    """One output of the workflow; ``node`` is -1 where nothing feeds it."""

    key: str
    node: int
    slot: str
    is_stream: bool
    display_name: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A workflow that can run. ``warnings`` are findings that do not stop it."""

    nodes: tuple[PlanNode, ...]
    roots: tuple[int, ...]
    interface_inputs: Mapping[str, InterfaceSlot]
    interface_outputs: Mapping[str, InterfaceSlot]
    outputs: tuple[InterfaceOutput, ...]
    warnings: tuple[Finding, ...]
    remaining: tuple[int, ...]

    @property
    def visible_nodes(self) -> Iterable[PlanNode]:
        """The nodes as a user knows them: a group counts once."""
        return (node for node in self.nodes if node.kind is not NodeKind.ENTRY)

    def bind_inputs(self, values: Mapping[str, object]) -> dict[str, object]:
        """Return what the workflow's inputs are: given values, else defaults.

        An input with neither stays out of the mapping.

        :raises WorkflowError: unknown, missing required, or wrongly typed inputs, all at once
        """
        bound, findings = check_interface_inputs(self.interface_inputs, values)
        if findings:
            raise WorkflowError(findings)
        return bound

    def parse_inputs(self, texts: Mapping[str, str]) -> dict[str, object]:
        """Parse interface inputs given as text by the types of their slots.

        Unknown names are passed on as they are, for ``bind_inputs`` to report.

        :raises WorkflowError: texts that do not spell a value of their type
        """
        parsed: dict[str, object] = {}
        findings: list[Finding] = []
        for name, text in texts.items():
            slot = self.interface_inputs.get(name)
            try:
                parsed[name] = parse_text(text, slot.data_flow_type) if slot else text
            except ValueError as exc:
                message = f"input {name!r} is {text[:60]!r}: {exc}"
                findings.append(Finding("bad_input", message, slot=name))
        if findings:
            raise WorkflowError(findings)
        return parsed


def check_interface_inputs(
    slots: Mapping[str, InterfaceSlot], values: Mapping[str, object]
) -> tuple[dict[str, object], list[Finding]]:
    """Return the bound inputs and what is wrong with them."""
    bound: dict[str, object] = {}
    findings: list[Finding] = []
    for name in values:
        if name not in slots:
            known = did_you_mean(name, slots) or f"; inputs: {', '.join(slots) or 'none'}"
            message = f"the workflow has no input {name!r}{known}"
            findings.append(Finding("unknown_input", message, slot=name))
    for name, slot in slots.items():
        value = values.get(name, slot.config.get("default", ABSENT))
        if value is ABSENT:
            if slot.required:
                message = f"input {name!r} ({slot.slot_type}) is required; give it by name"
                findings.append(Finding("missing_input", message, slot=name))
            continue
        reason = None if slot.is_stream else misfit(value, as_input(slot))
        if reason:
            findings.append(Finding("bad_input", f"input {name!r} {reason}", slot=name))
        bound[name] = value if reason else as_wanted(value, slot.data_flow_type)
    return bound, findings


def as_input(slot: InterfaceSlot) -> InputDefinition:
    """Return an interface slot as an input definition, for the checks that those share."""
    config = {key: value for key, value in slot.config.items() if key in ("min", "max")}
    return InputDefinition(
        data_flow_type=slot.data_flow_type,
        match_categories=slot.match_categories,
        is_stream=slot.is_stream,
        multi=slot.multi,
        config=config,
    )


def plan_node(index: int, node_id: str, shape: Shape, kind: NodeKind) -> PlanNode:
    """Return a node of the given shape, without any edges yet."""
    definition = shape.definition
    return PlanNode(
        index=index,
        id=node_id,
        full_type=shape.full_type,
        pack=shape.registered.distribution,
        version=shape.registered.version,
        definition=definition,
        shape=shape,
        kind=kind,
        config=shape.config_defaults,
        mode=shape.mode,
        execute=shape.execute,
        call_kind=shape.call_kind,
        static=shape.defaults,  # type: ignore[arg-type]  # copied before anything is changed
        input_types=shape.input_types,
        output_types=shape.output_types,
        required=shape.required,
        multi_slots=shape.multi,
        dynamic=definition.dynamic_slots,
        reads_streams=shape.reads_streams,
    )

"""``-i KEY=VALUE`` and ``--set NODE.KEY=VALUE``: values that a command line gives to a run.

A value is parsed by the type of its slot. ``@FILE`` stands for the content of a file (``@-``
for what is piped in, ``@@`` for one literal ``@``): as text, as bytes for a BINARY slot. A
slot that takes a resource gets the file itself: its path, which is admitted for this run.
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from comfytavern.compiler import WorkflowResolver
from comfytavern.definitions import GraphRole, InputDefinition, NodeDefinition
from comfytavern.errors import Finding, WorkflowError, did_you_mean
from comfytavern.migrations import heir_of
from comfytavern.plan import check_interface_inputs
from comfytavern.registry import NodeRegistry
from comfytavern.types import DataFlowType, MatchCategory, parse_text
from comfytavern.workflow import InterfaceSlot, Workflow, WorkflowNode

from ..library.workflow_files import FileError, read_file, read_text
from .upto import GROUP_REFERENCE

__all__ = ("Assignments",)

_TEXT_OR_ANY = frozenset({DataFlowType.STRING, DataFlowType.WILDCARD, DataFlowType.CONVERTIBLE_ANY})
_RESOURCES = frozenset(
    {
        MatchCategory.RESOURCE_ID.value,
        MatchCategory.FILE_PATH.value,
        MatchCategory.CHARACTER_PROFILE.value,
    }
)

Slot = InputDefinition | InterfaceSlot


@dataclass
class Assignments:
    """Collects values, the files they admit, and everything that is wrong with them.

    :param base: the folder of the workflow file; a resource there needs no admission
    """

    base: Path | None = None
    admitted: list[Path] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)

    def bind_inputs(self, workflow: Workflow, given: Sequence[str]) -> dict[str, object]:
        """Return the workflow's inputs by name, from ``KEY=VALUE`` texts."""
        slots, values, unread = workflow.interface_inputs, dict[str, object](), set[str]()
        for text in given:
            name, equals, value = text.partition("=")
            if not (name and equals):
                self._problem("bad_argument", f"-i {text!r} is not KEY=VALUE")
                continue
            slot = slots.get(name)
            try:
                values[name] = value if slot is None else self._read(value, slot)
            except ValueError as exc:
                unread.add(name)
                self._problem("bad_input", f"input {name!r} is {_cut(value)!r}: {exc}", slot=name)
        checked = {name: slot for name, slot in slots.items() if name not in unread}
        findings = check_interface_inputs(checked, values)[1]
        self.problems += findings
        return values

    def set_values(
        self,
        workflow: Workflow,
        given: Sequence[str],
        registry: NodeRegistry,
        resolver: WorkflowResolver,
    ) -> Workflow:
        """Return the workflow with the values of ``NODE.KEY=VALUE`` texts in it."""
        nodes = {node.id: node for node in workflow.nodes}
        changed: dict[str, WorkflowNode] = {}
        for text in given:
            target, equals, value = text.partition("=")
            node_id, key = _split_target(target, nodes)
            if not (node_id and key and equals):
                self._problem("bad_argument", f"--set {text!r} is not NODE.KEY=VALUE")
            elif node_id not in nodes:
                self._unknown_node(target, node_id, nodes)
            else:
                setter = _Setter(self, workflow, registry, resolver)
                nodes[node_id] = changed[node_id] = setter.set(nodes[node_id], key, value)
        placed = tuple(changed.get(node.id, node) for node in workflow.nodes)
        return workflow.model_copy(update={"nodes": placed})

    def _unknown_node(self, target: str, node_id: str, nodes: Mapping[str, object]) -> None:
        group = node_id.partition("/")[0]
        if "/" in node_id and group in nodes:
            message = (
                f"--set {target!r}: the nodes inside group {group!r} cannot be set from here;"
                " change the workflow that the group refers to, or give the group an input"
            )
            self._problem("unknown_node", message, node=group)
            return
        known = did_you_mean(node_id, nodes) or f"; nodes: {_listed(nodes)}"
        self._problem("unknown_node", f"--set {target!r}: there is no node {node_id!r}{known}")

    def _read(self, text: str, slot: Slot) -> object:
        """Parse a value by the type of its slot.

        :raises ValueError: it does not fit; the text says why
        """
        if slot.is_stream:
            raise ValueError("the slot is a stream; it takes no value")
        flow = slot.data_flow_type
        is_file = text.startswith("@") and not text.startswith("@@")
        if text.startswith("@"):
            text = text[1:]
        try:
            if flow in _TEXT_OR_ANY and _RESOURCES.intersection(slot.match_categories):
                return self._resource(text, must_exist=is_file)
            if is_file and flow is DataFlowType.BINARY:
                return read_file(text)
            return parse_text(read_text(text) if is_file else text, flow)
        except FileError as exc:
            raise ValueError(str(exc)) from exc

    def _resource(self, text: str, *, must_exist: bool) -> str:
        """Return a resource's name; a file of this machine is admitted.

        :raises ValueError: it looks like a path, and there is no such file
        """
        if not text or ("://" in text and not must_exist):
            return text
        if os.path.isfile(text):
            self.admitted.append(Path(os.path.abspath(text)))
            return os.path.abspath(text)
        beside = self.base is not None and os.path.isfile(os.path.join(self.base, text))
        if beside and not os.path.isabs(text):
            return text
        if must_exist or "/" in text or os.sep in text or os.path.splitext(text)[1]:
            raise ValueError(f"file {text!r} does not exist")
        return text

    def _problem(
        self, code: str, message: str, node: str | None = None, slot: str | None = None
    ) -> None:
        self.problems.append(Finding(code, message, node=node, slot=slot))


@dataclass
class _Setter:
    """Sets values of one workflow's nodes by what their definitions declare."""

    into: Assignments
    workflow: Workflow
    registry: NodeRegistry
    resolver: WorkflowResolver

    def set(self, node: WorkflowNode, key: str, text: str) -> WorkflowNode:
        """Return the node with one more value, or unchanged if it does not fit."""
        heir = heir_of(node.full_type, self.registry)
        registered = self.registry.get(node.full_type if heir is None else heir.type)
        if registered is None:
            return node  # told when the workflow is compiled
        definition = registered.definition
        if heir is not None:  # as the slot is called now
            key = heir.config.get(key) or heir.inputs.get(key) or key
        # A loader declares its resource twice; the configuration is where it belongs.
        config, inputs = _config_slots(definition), self._inputs(node, definition)
        slot = config.get(key) or inputs.get(key)
        if slot is None and definition.dynamic_slots and definition.graph_role is GraphRole.NONE:
            slot = InputDefinition()  # it takes any slot, so anything goes
        if slot is None:
            known = {*config, *inputs}
            hint = did_you_mean(key, known) or f"; it has: {_listed(known)}"
            if definition.graph_role is GraphRole.GROUP_INPUT:
                hint = f"; inputs of the workflow are given with -i {key}=..."
            message = (
                f"--set '{node.id}.{key}': node {node.id!r} ({node.full_type})"
                f" has no input or config value {key!r}{hint}"
            )
            self.into._problem("unknown_slot", message, node.id, key)
            return node
        try:
            # Resolved by the host and never opened by a node, so it is no resource.
            value = text if key == GROUP_REFERENCE else self.into._read(text, slot)
        except ValueError as exc:
            message = f"--set '{node.id}.{key}' is {_cut(text)!r}: {exc}"
            self.into._problem("bad_value", message, node.id, key)
            return node
        field = "config_values" if key in config else "inputs"
        renamed = {} if heir is None else heir.config if key in config else heir.inputs
        names = {key, *(old for old, new in renamed.items() if new == key)}
        if field == "inputs":
            self._warn_if_connected(node, key, names)
        before: Mapping[str, object] = getattr(node, field)
        kept = {name: old for name, old in before.items() if name not in names}
        return node.model_copy(update={field: kept | {key: value}})

    def _inputs(self, node: WorkflowNode, definition: NodeDefinition) -> dict[str, Slot]:
        slots: dict[str, Slot] = dict(definition.inputs)
        for mode in definition.modes.values():
            slots |= mode.inputs
        if definition.graph_role is GraphRole.GROUP:
            reference = node.config_values.get(GROUP_REFERENCE)
            try:
                inner = self.resolver(str(reference)) if reference else None
            except WorkflowError:
                inner = None  # told when the workflow is compiled
            slots |= inner.interface_inputs if inner is not None else {}
        return slots

    def _warn_if_connected(self, node: WorkflowNode, key: str, names: Container[str]) -> None:
        for edge in self.workflow.edges:
            if edge.target == node.id and edge.target_slot.partition("__")[0] in names:
                message = f"--set '{node.id}.{key}' has no effect: an edge brings that input"
                self.into.warnings.append(Finding("connected_input", message, node.id, key))
                return


def _config_slots(definition: NodeDefinition) -> dict[str, Slot]:
    slots: dict[str, Slot] = dict(definition.config_schema)
    if definition.mode_config_key and definition.mode_config_key not in slots:
        slots[definition.mode_config_key] = InputDefinition(data_flow_type=DataFlowType.STRING)
    return slots


def _split_target(target: str, nodes: Mapping[str, object]) -> tuple[str, str]:
    """Split ``NODE.KEY``; ids may hold dots, so the longest one that exists counts."""
    places = [index for index, letter in enumerate(target) if letter == "."]
    for index in reversed(places):
        if target[:index] in nodes:
            return target[:index], target[index + 1 :]
    node_id, _, key = target.partition(".")
    return node_id, key


def _listed(names: Mapping[str, object] | set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:20]) + (", ..." if len(shown) > 20 else "") or "none"


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."

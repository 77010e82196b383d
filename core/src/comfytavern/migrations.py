"""Old workflows brought up to date: renamed nodes and slots, by what packs declare.

The same rules for a parsed workflow, which every run goes through, and for the document of a
file, of which nothing else is touched: unknown fields and the order of keys stay.

What must stay true: a type that exists is never replaced, a name that a value has already is
never overwritten, and what was migrated once is not changed a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ._shapes import NodeSource, RegisteredLike
from .errors import Finding
from .workflow import Edge, OutputMapping, Workflow, WorkflowNode

__all__ = (
    "Heir",
    "Migrated",
    "MigratedDocument",
    "heir_of",
    "migrate",
    "migrate_document",
    "node_now",
)

T = TypeVar("T")
Json = dict[str, Any]  # Any: JSON

# The keys under which the two formats keep the same thing; see ``workflow``.
_TYPE = ("fullType", "type", "full_type")
_INPUTS = ("inputs", "inputValues")
_CONFIG = ("configValues", "config_values")
_ORDERS = ("inputConnectionOrders", "input_connection_orders")
_SOURCE = (("sourceNodeId", "source"), ("sourceHandle", "source_slot"))
_TARGET = (("targetNodeId", "target"), ("targetHandle", "target_slot"))
_MAPPINGS = ("outputInterfaceMappings", "output_mappings")
_MAPPED = (("sourceNodeId", "source_node_id"), ("sourceSlotKey", "source_slot_key"))


@dataclass(frozen=True, slots=True)
class Migrated:
    """A workflow as it is now, and what was changed in it; each note is a warning."""

    workflow: Workflow
    notes: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class MigratedDocument:
    """The same of a document."""

    document: Json
    notes: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Heir:
    """What the nodes of one type become: their type now, and old names with the new ones."""

    type: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    config: Mapping[str, str]


def heir_of(full_type: str, registry: NodeSource) -> Heir | None:
    """Return what became of a node type; None if nothing changed, or nobody knows.

    A type that was named by an alias stays named by it where that leads to the same node.
    """
    node, current = registry.get(full_type), full_type
    maps: tuple[dict[str, str], ...] = ({}, {}, {})
    while node is None:
        step = registry.replacement(current)
        if step is None:
            return None
        maps = _followed_by(maps, (step.inputs, step.outputs, step.config))
        current = step.new
        node = registry.get(current)
    own = registry.replacement(node.full_type)
    if own is not None and own.new == node.full_type:
        maps = _followed_by(maps, (own.inputs, own.outputs, own.config))
    elif current == full_type:
        return None
    if current != full_type:
        aliased = f"{full_type.partition(':')[0]}:{node.definition.type}"
        same = registry.get(aliased)
        is_same = same is not None and same.full_type == node.full_type
        current = aliased if is_same else node.full_type
    return Heir(current, *maps)


def node_now(full_type: str, registry: NodeSource) -> RegisteredLike | None:
    """Return the node that a type stands for, also an old one; None if there is none."""
    heir = heir_of(full_type, registry)
    return registry.get(full_type if heir is None else heir.type)


def _followed_by(
    first: tuple[dict[str, str], ...], then: tuple[Mapping[str, str], ...]
) -> tuple[dict[str, str], ...]:
    """Return the names of two steps taken one after the other."""
    return tuple(
        {old: new for old, new in names.items() if old not in earlier}
        | {old: names.get(new, new) for old, new in earlier.items()}
        for earlier, names in zip(first, then, strict=True)
    )


def migrate(workflow: Workflow, registry: NodeSource, *, prefix: str = "") -> Migrated:
    """Return a workflow with the types and names of now.

    :param prefix: stands before the ids of nodes in the notes: the group that they are in
    """
    types = {node.full_type for node in workflow.nodes}
    heirs = {name: heir for name in types if (heir := heir_of(name, registry)) is not None}
    if not heirs:
        return Migrated(workflow)
    changes = _Changes(
        prefix, {n.id: heirs[n.full_type] for n in workflow.nodes if n.full_type in heirs}
    )
    update: dict[str, object] = {
        "nodes": tuple(changes.node(node) for node in workflow.nodes),
        "edges": tuple(changes.edge(edge) for edge in workflow.edges),
    }
    if workflow.output_mappings is not None:
        mapped = workflow.output_mappings.items()
        update["output_mappings"] = {key: changes.mapping(one) for key, one in mapped}
    changed = workflow.model_copy(update=update)
    return Migrated(changed, tuple(changes.notes.values()))


def migrate_document(document: Mapping[str, Any], registry: NodeSource) -> MigratedDocument:
    """Return the document of a workflow of either format with the types and names of now.

    What does not change is taken over as it is.

    :param document: one that ``parse_workflow`` accepts
    """
    heirs: dict[str, Heir] = {}
    for node in document["nodes"]:
        heir = heir_of(_first(node, _TYPE), registry)
        if heir is not None:
            heirs[str(node["id"])] = heir
    if not heirs:
        return MigratedDocument(dict(document))
    changes = _Changes("", heirs)
    changed = dict(document)
    changed["nodes"] = [changes.node_document(node) for node in document["nodes"]]
    if document.get("edges"):
        changed["edges"] = [changes.edge_document(edge) for edge in document["edges"]]
    for key in _MAPPINGS:
        if changed.get(key):
            mapped = changed[key].items()
            changed[key] = {name: changes.end(one, *_MAPPED, "output") for name, one in mapped}
    return MigratedDocument(changed, tuple(changes.notes.values()))


@dataclass(slots=True)
class _Changes:
    """Changes the parts of one workflow; notes what was changed, each thing once."""

    prefix: str
    heirs: Mapping[str, Heir]
    notes: dict[tuple[str, str, str], Finding] = field(default_factory=dict)

    def node(self, node: WorkflowNode) -> WorkflowNode:
        heir = self.heirs.get(node.id)
        if heir is None:
            return node
        self._note_type(node.id, node.full_type, heir.type)
        update = {
            "full_type": heir.type,
            "inputs": self.values(node.id, node.inputs, heir.inputs, "input"),
            "config_values": self.values(node.id, node.config_values, heir.config, "config"),
            "input_connection_orders": self.values(
                node.id, node.input_connection_orders, heir.inputs, "input"
            ),
        }
        return node.model_copy(update=update)

    def edge(self, edge: Edge) -> Edge:
        source_slot = self.slot(edge.source, edge.source_slot, "output")
        target_slot = self.slot(edge.target, edge.target_slot, "input")
        if (source_slot, target_slot) == (edge.source_slot, edge.target_slot):
            return edge
        return edge.model_copy(update={"source_slot": source_slot, "target_slot": target_slot})

    def mapping(self, mapping: OutputMapping) -> OutputMapping:
        key = self.slot(mapping.source_node_id, mapping.source_slot_key, "output")
        return mapping.model_copy(update={"source_slot_key": key})

    def node_document(self, node: Json) -> Json:
        node_id = str(node["id"])
        heir = self.heirs.get(node_id)
        if heir is None:
            return node
        self._note_type(node_id, _first(node, _TYPE), heir.type)
        changed = dict(node)
        changed[next(key for key in _TYPE if key in node)] = heir.type
        parts = ((_INPUTS, heir.inputs, "input"), (_CONFIG, heir.config, "config"))
        for keys, names, word in (*parts, (_ORDERS, heir.inputs, "input")):
            for key in keys:
                if isinstance(node.get(key), dict):
                    changed[key] = self.values(node_id, node[key], names, word)
        return changed

    def edge_document(self, edge: Json) -> Json:
        return self.end(self.end(edge, *_SOURCE, "output"), *_TARGET, "input")

    def end(self, part: Json, nodes: tuple[str, ...], slots: tuple[str, ...], word: str) -> Json:
        """Return a part of a document that names a slot of a node."""
        node_id, slot = str(_first(part, nodes)), _first(part, slots)
        changed = self.slot(node_id, slot, word)
        if changed == slot:
            return part
        return part | {next(key for key in slots if key in part): changed}

    def slot(self, node_id: str, slot: str, word: str) -> str:
        """Return the name that a slot of a node has now."""
        heir = self.heirs.get(node_id)
        if heir is None:
            return slot
        names = heir.outputs if word == "output" else heir.inputs
        base, mark, number = slot.rpartition("__")
        if slot in names:
            base, rest = slot, ""
        elif base in names and number.isdecimal():  # one of several edges into a multi slot
            rest = mark + number
        else:
            return slot
        self._note_name(node_id, base, names[base], word)
        return names[base] + rest

    def values(
        self, node_id: str, values: Mapping[str, T], names: Mapping[str, str], word: str
    ) -> dict[str, T]:
        """Return values under the names of now, in their order."""
        taken = {name for name in values if name not in names}
        changed: dict[str, T] = {}
        for name, value in values.items():
            new = names.get(name, name)
            if new != name and new in taken:
                self._note_taken(node_id, name, new, word)
                new = name
            elif new != name:
                self._note_name(node_id, name, new, word)
                taken.add(new)
            changed[new] = value
        return changed

    def _note_type(self, node_id: str, old: str, new: str) -> None:
        if old != new:
            message = f"node {self.prefix + node_id!r}: its type {old!r} is {new!r} now"
            self._note("node_replaced", message, node_id, None)

    def _note_name(self, node_id: str, old: str, new: str, word: str) -> None:
        if old != new:
            shown = "config value" if word == "config" else word
            message = f"node {self.prefix + node_id!r}: {shown} {old!r} is {new!r} now"
            self._note(f"{word}_renamed", message, node_id, old)

    def _note_taken(self, node_id: str, old: str, new: str, word: str) -> None:
        shown = "config value" if word == "config" else word
        message = (
            f"node {self.prefix + node_id!r}: {shown} {old!r} is {new!r} now, and both have a"
            f" value; that of {new!r} counts"
        )
        self._note("rename_taken", message, node_id, old)

    def _note(self, code: str, message: str, node_id: str, slot: str | None) -> None:
        note = Finding(code, message, self.prefix + node_id, slot, severity="warning")
        self.notes.setdefault((code, node_id, slot or ""), note)


def _first(part: Mapping[str, Any], keys: tuple[str, ...]) -> Any:  # Any: JSON
    return next(part[key] for key in keys if key in part)

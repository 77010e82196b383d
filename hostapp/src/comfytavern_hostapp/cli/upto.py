"""A workflow cut down to some of its nodes and what those need, inside groups too."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from comfytavern.compiler import WorkflowResolver
from comfytavern.definitions import GraphRole, NodeDefinition
from comfytavern.errors import WorkflowError
from comfytavern.migrations import node_now
from comfytavern.registry import NodeRegistry
from comfytavern.workflow import Edge, Workflow, WorkflowNode

__all__ = ("GROUP_REFERENCE", "Wanted", "reduced")

Wanted = Callable[[NodeDefinition], bool]

GROUP_REFERENCE = "referencedWorkflowId"
# Deeper than any host lets groups nest; what is deeper is left to the compiler to refuse.
_MAX_DEPTH = 64


def reduced(
    workflow: Workflow, registry: NodeRegistry, resolver: WorkflowResolver, wanted: Wanted
) -> tuple[Workflow, WorkflowResolver]:
    """Return the workflow with the wanted nodes and whatever they need, and its resolver.

    Of a group that only holds wanted nodes, what they need inside is kept, and all that the
    group itself is given. A group that a wanted node needs stays whole. Without any wanted node
    no node is left. The workflow has no outputs any more.
    """
    reducer = _Reducer(registry, resolver, wanted)
    return reducer.part_of(workflow), reducer.resolve


class _Reducer:
    """Remembers the part of each group's workflow, however often it is referred to."""

    def __init__(self, registry: NodeRegistry, resolver: WorkflowResolver, wanted: Wanted) -> None:
        self._registry = registry
        self._resolver = resolver
        self._wanted = wanted
        self._names: dict[str, str | None] = {}  # a group's reference -> that of its part
        self._parts: dict[str, Workflow] = {}
        self._depth = 0

    def resolve(self, reference: str) -> Workflow | None:
        """Return a part that was cut, or what the given resolver knows."""
        return self._parts.get(reference) or self._resolver(reference)

    def part_of(self, workflow: Workflow) -> Workflow:
        asked: set[str] = set()
        groups: dict[str, str] = {}
        for node in workflow.nodes:
            registered = node_now(node.full_type, self._registry)
            if registered is None:
                continue  # told when the workflow is compiled, if it is needed at all
            if self._wanted(registered.definition):
                asked.add(node.id)
            elif registered.definition.graph_role is GraphRole.GROUP and not node.bypassed:
                part = self._part_named(_reference(node))
                if part is not None:
                    groups[node.id] = part
        kept = _with_ancestors(asked | groups.keys(), workflow.edges)
        needed = {edge.source for edge in workflow.edges if edge.target in kept}
        nodes = (
            _referring(node, groups[node.id])
            if node.id in groups and node.id not in needed
            else node
            for node in workflow.nodes
            if node.id in kept
        )
        edges = (edge for edge in workflow.edges if {edge.source, edge.target} <= kept)
        update = {"nodes": tuple(nodes), "edges": tuple(edges)}
        nothing: dict[str, object] = {"interface_outputs": {}, "output_mappings": {}}
        return workflow.model_copy(update=update | nothing)

    def _part_named(self, reference: str) -> str | None:
        """Return the name of the wanted part of a group's workflow; None if it has none."""
        if reference not in self._names:
            self._names[reference] = None  # while it is looked at: it may contain itself
            inner = self._inner(reference)
            if inner is not None:
                self._depth += 1
                part = self.part_of(inner)
                self._depth -= 1
                if part.nodes:
                    name = f"{reference} (part {len(self._parts) + 1})"
                    self._parts[name] = part
                    self._names[reference] = name
        return self._names[reference]

    def _inner(self, reference: str) -> Workflow | None:
        if self._depth >= _MAX_DEPTH:
            return None
        try:
            return self._resolver(reference)
        except WorkflowError:
            return None  # as with unknown types


def _with_ancestors(nodes: Iterable[str], edges: Iterable[Edge]) -> set[str]:
    sources: dict[str, list[str]] = {}
    for edge in edges:
        sources.setdefault(edge.target, []).append(edge.source)
    kept, waiting = set(nodes), list(nodes)
    while waiting:
        for source in sources.get(waiting.pop(), ()):
            if source not in kept:
                kept.add(source)
                waiting.append(source)
    return kept


def _reference(node: WorkflowNode) -> str:
    value = node.config_values.get(GROUP_REFERENCE) or node.inputs.get(GROUP_REFERENCE) or ""
    return str(value)


def _referring(node: WorkflowNode, reference: str) -> WorkflowNode:
    config = node.config_values | {GROUP_REFERENCE: reference}
    return node.model_copy(update={"config_values": config})

"""Turn a workflow into a plan, or report every problem that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ._placeholders import is_placeholder, placeholder
from ._presets import check_values
from ._scopes import ANY, Findings, Group, Scope, Source, interface_types, source_of
from ._shapes import NodeSource, Shape, make_shape
from ._wiring import Wiring, find_cycle
from .definitions import GraphRole
from .errors import WorkflowError, did_you_mean
from .migrations import migrate
from .plan import InterfaceOutput, NodeKind, Plan, PlanNode, as_input, plan_node
from .workflow import Workflow, WorkflowNode

__all__ = ("CompileLimits", "WorkflowResolver", "compile_workflow")

# Gives the workflow that a group refers to, or None; raises WorkflowError if it is broken.
WorkflowResolver = Callable[[str], Workflow | None]

REFERENCE = "referencedWorkflowId"
# An exit starts when its members are final, however many of its edges brought something.
NEVER = 1 << 60


@dataclass(frozen=True, slots=True)
class CompileLimits:
    """How deep groups may nest, and how many nodes a plan may have in all."""

    group_depth: int = 16
    nodes: int = 100_000


def compile_workflow(
    workflow: Workflow,
    source: NodeSource,
    *,
    resolver: WorkflowResolver | None = None,
    limits: CompileLimits | None = None,
    allow_missing: bool = False,
) -> Plan:
    """Return the plan of a workflow. Pure computation; call it in a thread when it is large.

    Old types and names are brought up to date; the plan's warnings say so.

    :param source: where node definitions come from
    :param resolver: gives the workflows that groups refer to
    :param allow_missing: nodes of unknown types become placeholders, each with a warning;
        a placeholder fails when it runs, so that what does not need it runs
    :raises WorkflowError: with every finding at once
    """
    compiler = _Compiler(source, resolver, limits or CompileLimits(), allow_missing)
    return compiler.compile(workflow)


class _Compiler:
    def __init__(
        self,
        source: NodeSource,
        resolver: WorkflowResolver | None,
        limits: CompileLimits,
        allow_missing: bool,
    ) -> None:
        self._source = source
        self._resolver = resolver
        self._limits = limits
        self._allow_missing = allow_missing
        self._nodes: list[PlanNode] = []
        self._shapes: dict[tuple[str, str | None], Shape] = {}
        self._findings = Findings()
        self._wiring = Wiring(self._nodes, self._findings)

    def compile(self, workflow: Workflow) -> Plan:
        scope = Scope(workflow, "")
        self._build(scope, ())
        outputs = self._outputs(scope)
        cycle = find_cycle(self._nodes)
        if cycle is not None:
            self._findings.problems.append(cycle)
        if self._findings.problems:
            raise WorkflowError(self._findings.problems)
        shown = {output.node for output in outputs}
        for node in self._nodes:
            streams = node.stream_out or node.shape.stream_outputs or node.dynamic
            node.is_plain = not (streams or node.unordered or node.index in shown)
        return Plan(
            nodes=tuple(self._nodes),
            roots=tuple(node.index for node in self._nodes if not node.remaining),
            interface_inputs=workflow.interface_inputs,
            interface_outputs=workflow.interface_outputs,
            outputs=outputs,
            warnings=tuple(self._findings.warnings),
            remaining=tuple(node.remaining for node in self._nodes),
        )

    def _build(self, scope: Scope, path: tuple[str, ...]) -> None:
        migrated = migrate(scope.workflow, self._source, prefix=scope.prefix)
        scope.workflow = migrated.workflow
        self._findings.warnings += migrated.notes
        scope.placed_ids = frozenset(node.id for node in scope.workflow.nodes)
        seen: set[str] = set()
        for placed in scope.workflow.nodes:
            node_id = scope.prefix + placed.id
            if placed.id in seen:
                message = f"two nodes have the id {node_id!r}; ids are unique"
                self._findings.problem("duplicate_id", message, node_id)
                continue
            seen.add(placed.id)
            if len(self._nodes) >= self._limits.nodes:
                message = f"the workflow has more than {self._limits.nodes} nodes, groups included"
                self._findings.problem("too_many_nodes", message)
                raise WorkflowError(self._findings.problems)
            shape = self._shape_of(placed, node_id)
            if shape is None:
                continue
            if shape.definition.graph_role is GraphRole.GROUP:
                group = self._group(scope, placed, node_id, shape, path)
                if group is not None:
                    scope.nodes[placed.id] = group
            else:
                scope.nodes[placed.id] = self._node(scope, placed, node_id, shape)
        self._wiring.connect(scope)

    def _shape_of(self, placed: WorkflowNode, node_id: str) -> Shape | None:
        registered = self._source.get(placed.full_type)
        if registered is None:
            return self._missing(placed, node_id)
        definition = registered.definition
        mode = definition.default_mode_id
        if definition.modes and definition.mode_config_key:
            named = placed.config_values.get(definition.mode_config_key)
            if named is not None and (not isinstance(named, str) or named not in definition.modes):
                hint = did_you_mean(str(named), definition.modes)
                known = hint or f"; modes: {', '.join(definition.modes)}"
                message = f"node {node_id!r} has no mode {named!r}{known}"
                key = definition.mode_config_key
                self._findings.problem("unknown_mode", message, node_id, key)
                return None
            mode = named if isinstance(named, str) else mode
        key_of_shape = (registered.full_type, mode)
        shape = self._shapes.get(key_of_shape)
        if shape is None:
            shape = self._shapes[key_of_shape] = make_shape(registered, mode)
        return shape

    def _missing(self, placed: WorkflowNode, node_id: str) -> Shape | None:
        reason = self._source.explain_missing(placed.full_type, placed.pack)
        message = f"node {node_id!r} has unknown type {placed.full_type!r}"
        message += f"; {reason}" if reason else ""
        if self._allow_missing:
            self._findings.warn("unknown_node_type", message, node_id)
            return placeholder(placed, reason)
        self._findings.problem("unknown_node_type", message, node_id)
        return None

    def _add(self, scope: Scope, node_id: str, shape: Shape, kind: NodeKind) -> PlanNode:
        node = plan_node(len(self._nodes), node_id, shape, kind)
        node.group = scope.group
        self._nodes.append(node)
        return node

    def _node(self, scope: Scope, placed: WorkflowNode, node_id: str, shape: Shape) -> PlanNode:
        # What a missing node would pass on when bypassed, only its pack knows: it fails as well.
        is_bypassed = placed.bypassed and not is_placeholder(shape)
        kind = NodeKind.BYPASSED if is_bypassed else NodeKind.NORMAL
        node = self._add(scope, node_id, shape, kind)
        self._give_values(node, placed, shape)
        role = shape.definition.graph_role
        if role is GraphRole.GROUP_INPUT:
            node.is_interface_input = scope.group < 0
            node.output_types = interface_types(scope.workflow.interface_inputs)
            scope.group_inputs.append(node)
        elif role is GraphRole.GROUP_OUTPUT:
            scope.group_outputs.add(placed.id)
        if kind is NodeKind.NORMAL and shape.execute is None:
            message = f"node {node_id!r} ({shape.full_type}) has no code to execute"
            self._findings.problem("no_execute", message, node_id)
        return node

    def _give_values(self, node: PlanNode, placed: WorkflowNode, shape: Shape) -> None:
        if placed.config_values or shape.mode:
            node.config = self._config(node, placed, shape)
        if placed.inputs:
            kept = placed.inputs
            if not node.dynamic:
                kept = check_values(node.id, kept, shape.inputs, "input", self._findings)
            node.static = {**shape.defaults, **kept}
        if shape.required_if:
            node.required = (*shape.required, *self._required_now(node, shape))

    def _config(self, node: PlanNode, placed: WorkflowNode, shape: Shape) -> Mapping[str, object]:
        schema = shape.definition.config_schema
        mode_key = shape.definition.mode_config_key
        given = {name: value for name, value in placed.config_values.items() if name != mode_key}
        if schema:
            given = check_values(node.id, given, schema, "config value", self._findings)
        mode = {mode_key: shape.mode} if mode_key and shape.mode else {}
        return {**shape.config_defaults, **given, **mode}

    def _required_now(self, node: PlanNode, shape: Shape) -> list[str]:
        names = []
        for name, is_required in shape.required_if.items():
            try:
                if is_required(node.config):
                    names.append(name)
            except Exception as exc:
                message = (
                    f"node {node.id!r}: pack {node.pack!r} cannot say whether input {name!r}"
                    f" is required: {type(exc).__name__}: {exc}"
                )
                self._findings.problem("pack_error", message, node.id, name)
        return names

    def _group(
        self,
        scope: Scope,
        placed: WorkflowNode,
        node_id: str,
        shape: Shape,
        path: tuple[str, ...],
    ) -> PlanNode | Group | None:
        inner = self._referenced(placed, node_id, path)
        if inner is None:
            return None
        types = interface_types(inner.interface_inputs)
        if placed.bypassed:
            node = self._node(scope, placed, node_id, shape)
            node.input_types = types
            node.output_types = interface_types(inner.interface_outputs)
            return node
        entry = self._add(scope, node_id, shape, NodeKind.ENTRY)
        self._give_values(entry, placed, shape)
        slots = inner.interface_inputs
        defaults = {n: s.config["default"] for n, s in slots.items() if "default" in s.config}
        entry.input_types = entry.output_types = types
        wanted = {name: as_input(slot) for name, slot in slots.items()}
        presets = {name: value for name, value in placed.inputs.items() if name != REFERENCE}
        given = check_values(node_id, presets, wanted, "input", self._findings)
        entry.multi_slots = frozenset(name for name, slot in slots.items() if slot.multi)
        entry.static = {**defaults, **given}
        entry.required = tuple(name for name, slot in slots.items() if slot.required)
        exit_ = self._add(scope, node_id, shape, NodeKind.EXIT)
        entry.group = exit_.index
        sub = Scope(inner, f"{node_id}/", group=exit_.index)
        self._build(sub, (*path, _reference(placed)))
        group = Group(entry, exit_, sub)
        self._close_group(group)
        return group

    def _close_group(self, group: Group) -> None:
        """Join the entry with what is inside, and that with the exit."""
        entry, exit_, sub = group.entry, group.exit, group.scope
        for node in sub.group_inputs:
            for slot, slot_type in entry.output_types.items():
                self._wiring.link(Source(entry, slot, slot_type), node, slot, None)
        for inner_id in sub.nodes:
            first = sub.entry_of(inner_id)
            if first is not None and not first.remaining:
                self._wiring.order(entry, first)
        for slot, fed_by in sub.outputs.items():
            source = source_of(sub, *fed_by)
            if source is not None and not source.is_stream:
                self._wiring.link(source, exit_, slot, None)
                exit_.output_types = {**exit_.output_types, slot: source.type or ANY}
        exit_.members = tuple(n.index for n in self._nodes[entry.index :] if n.group == exit_.index)
        exit_.remaining += NEVER

    def _referenced(
        self, placed: WorkflowNode, node_id: str, path: tuple[str, ...]
    ) -> Workflow | None:
        reference = _reference(placed)
        problem = self._findings.problem
        if not reference:
            message = f"node {node_id!r} names no workflow; set its {REFERENCE!r}"
            problem("missing_workflow", message, node_id, REFERENCE)
            return None
        if reference in path:
            trail = " -> ".join((*path[path.index(reference) :], reference))
            message = f"node {node_id!r}: workflow {reference!r} contains itself: {trail}"
            problem("recursive_group", message, node_id, REFERENCE)
            return None
        if len(path) >= self._limits.group_depth:
            depth = self._limits.group_depth
            message = f"node {node_id!r}: groups nest more than {depth} deep (limits.group_depth)"
            problem("group_depth", message, node_id, REFERENCE)
            return None
        try:
            inner = self._resolver(reference) if self._resolver is not None else None
        except WorkflowError as exc:
            for finding in exc.findings:
                problem(finding.code, f"node {node_id!r}: {finding.message}", node_id, REFERENCE)
            return None
        if inner is None:
            message = f"node {node_id!r} refers to workflow {reference!r}, which is not known here"
            problem("unknown_workflow", message, node_id, REFERENCE)
        return inner

    def _outputs(self, scope: Scope) -> tuple[InterfaceOutput, ...]:
        workflow = scope.workflow
        if workflow.output_mappings is None:
            # A saved canvas says it with edges into its GroupOutput.
            named = workflow.interface_outputs if scope.group_outputs else {}
            mappings = dict.fromkeys(named, ("", "")) | scope.outputs
        else:
            mapped = workflow.output_mappings.items()
            mappings = {key: (m.source_node_id, m.source_slot_key) for key, m in mapped}
        outputs = []
        for key, (node_id, slot) in mappings.items():
            found = source_of(scope, node_id, slot)
            described = workflow.interface_outputs.get(key)
            name = described.display_name if described else None
            if found is None:
                message = f"output {key!r} of the workflow has no source and will be null"
                self._findings.warn("unfed_output", message, slot=key)
            index = found.node.index if found else -1
            is_stream = found is not None and found.is_stream
            inner_slot = found.slot if found else slot
            outputs.append(InterfaceOutput(key, index, inner_slot, is_stream, name))
        return tuple(outputs)


def _reference(placed: WorkflowNode) -> str:
    value = placed.config_values.get(REFERENCE) or placed.inputs.get(REFERENCE) or ""
    return str(value)

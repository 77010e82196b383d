"""Compiling: every finding, one by one and at once; order of multi slots; interface inputs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from comfytavern.compiler import CompileLimits, WorkflowResolver, compile_workflow
from comfytavern.definitions import (
    GraphRole,
    InputDefinition,
    NodeDefinition,
    NodeMode,
    OutputDefinition,
)
from comfytavern.errors import Finding, WorkflowError
from comfytavern.plan import NodeKind, Plan, PlanNode
from comfytavern.types import DataFlowType
from comfytavern.workflow import Workflow, parse_workflow

Json = Any  # Any: JSON
T = DataFlowType
Flow = tuple[str, DataFlowType]


def slot(flow: DataFlowType = T.WILDCARD, **more: Any) -> InputDefinition:  # Any: its fields
    return InputDefinition(data_flow_type=flow, **more)


def out(flow: DataFlowType = T.WILDCARD, **more: Any) -> OutputDefinition:  # Any: its fields
    return OutputDefinition(data_flow_type=flow, **more)


async def execute(inputs: Mapping[str, object], context: object) -> dict[str, object]:
    return {}


FIELDS: dict[str, Any] = {"execute": execute}  # Any: fields of a definition


def define(name: str, **more: Any) -> NodeDefinition:  # Any: fields of a definition
    return NodeDefinition(**FIELDS | {"type": name} | more)


def broken(config: Mapping[str, object]) -> bool:
    raise KeyError("tone")


LEVEL = {"level": slot(T.INTEGER, config={"min": 1, "max": 9, "default": 5})}
DEFINITIONS = (
    define("Any", inputs={"in": slot(), "other": slot()}, outputs={"out": out()}),
    define("Text", inputs={"text": slot(T.STRING)}, outputs={"text": out(T.STRING)}),
    define("Number", inputs={"n": slot(T.INTEGER)}, outputs={"n": out(T.INTEGER)}),
    define(
        "Both", inputs={"seed": slot(T.INTEGER), "prompt": slot(T.STRING), "note": slot(T.STRING)}
    ),
    define("Needs", inputs={"text": slot(T.STRING, required=True)}, outputs={"out": out()}),
    define(
        "NeedsIf",
        inputs={"x": slot(required=lambda config: bool(config.get("need")))},
        config_schema={"need": slot(T.BOOLEAN)},
    ),
    define("NeedsBroken", inputs={"x": slot(required=broken)}),
    define("Gather", inputs={"texts": slot(T.STRING, multi=True)}, outputs={"out": out()}),
    define("Writer", outputs={"words": out(T.STRING, is_stream=True)}),
    define("Reader", inputs={"words": slot(T.STRING, is_stream=True)}),
    define("Bounded", inputs=LEVEL, config_schema={"size": slot(T.FLOAT, config={"max": 2})}),
    define("Dynamic", dynamic_slots=True, outputs={"known": out(T.STRING)}),
    define("NoCode", execute=None),
    define(
        "Modes",
        inputs={"text": slot(T.STRING)},
        outputs={"text": out(T.STRING)},
        config_schema={
            "mode": slot(T.STRING, config={"default": "upper"}),
            "tone": slot(T.STRING),
        },
        modes={
            "upper": NodeMode(),
            "repeat": NodeMode(inputs={"n": slot(T.INTEGER)}, outputs={"n": out(T.INTEGER)}),
            "needy": NodeMode(
                inputs={"x": slot(required=lambda config: config.get("mode") == "needy")}
            ),
        },
        mode_config_key="mode",
        default_mode_id="upper",
    ),
    define("Group", graph_role=GraphRole.GROUP, dynamic_slots=True, execute=None),
    define("GroupInput", graph_role=GraphRole.GROUP_INPUT, dynamic_slots=True),
    define("GroupOutput", graph_role=GraphRole.GROUP_OUTPUT, dynamic_slots=True),
)


@dataclass(frozen=True)
class Registered:
    definition: NodeDefinition
    distribution: str = "test-pack"
    version: str = "1.0"

    @property
    def full_type(self) -> str:
        return f"t:{self.definition.type}"


class Types:
    """The node types above, and a word about those that are missing."""

    _types: Mapping[str, Registered] = {f"t:{d.type}": Registered(d) for d in DEFINITIONS}

    def get(self, full_type: str) -> Registered | None:
        return self._types.get(full_type)

    def replacement(self, full_type: str) -> None:
        return None

    def explain_missing(self, full_type: str, recorded: object = None) -> str:
        return "pack 'gone' is not installed" if full_type.startswith("gone:") else ""


def place(node_id: str, name: str, inputs: Json = None, **config: object) -> Json:
    full_type = name if ":" in name else f"t:{name}"
    return {"id": node_id, "type": full_type, "inputs": inputs or {}, "configValues": config}


def edges(*pairs: str) -> list[Json]:
    """Return edges; each is written ``"a.out -> b.in"``."""
    found = []
    for number, pair in enumerate(pairs):
        (source, handle), (target, slot_name) = (end.split(".") for end in pair.split(" -> "))
        ends = {"source": source, "sourceHandle": handle}
        ends |= {"target": target, "targetHandle": slot_name}
        found.append({"id": f"e{number}", **ends})
    return found


def flow(*nodes: Json, edges: list[Json] | None = None, **more: Json) -> Workflow:
    return parse_workflow({"nodes": list(nodes), "edges": edges or [], **more})


def plan_of(workflow: Workflow, *, workflows: Mapping[str, Workflow] | None = None) -> Plan:
    resolver = None if workflows is None else workflows.get
    return compile_workflow(workflow, Types(), resolver=resolver)


def problems(
    workflow: Workflow,
    *,
    workflows: Mapping[str, Workflow] | None = None,
    resolver: WorkflowResolver | None = None,
    limits: CompileLimits | None = None,
) -> tuple[Finding, ...]:
    resolver = workflows.get if workflows is not None else resolver
    with pytest.raises(WorkflowError) as caught:
        compile_workflow(workflow, Types(), resolver=resolver, limits=limits)
    return caught.value.findings


def node_of(plan: Plan, node_id: str) -> PlanNode:
    return next(node for node in plan.nodes if node.id == node_id)


# --- one by one ---------------------------------------------------------------------------

ONE_BY_ONE: dict[str, tuple[Workflow, Finding]] = {
    "duplicate id": (
        flow(place("a", "Any"), place("a", "Text")),
        Finding("duplicate_id", "two nodes have the id 'a'; ids are unique", "a"),
    ),
    "unknown type": (
        flow(place("a", "t:Anny")),
        Finding("unknown_node_type", "node 'a' has unknown type 't:Anny'", "a"),
    ),
    "unknown type of a missing pack": (
        flow(place("a", "gone:Thing")),
        Finding(
            "unknown_node_type",
            "node 'a' has unknown type 'gone:Thing'; pack 'gone' is not installed",
            "a",
        ),
    ),
    "unknown input, named nearly": (
        flow(place("a", "Any"), place("b", "Both"), edges=edges("a.out -> b.promt")),
        Finding(
            "unknown_slot", "node 'b' has no input 'promt'; did you mean 'prompt'?", "b", "promt"
        ),
    ),
    "unknown input, far from any": (
        flow(place("a", "Any"), place("b", "Both"), edges=edges("a.out -> b.zzz")),
        Finding(
            "unknown_slot", "node 'b' has no input 'zzz'; inputs: seed, prompt, note", "b", "zzz"
        ),
    ),
    "unknown input of a node without any": (
        flow(place("a", "Any"), place("b", "Writer"), edges=edges("a.out -> b.zzz")),
        Finding("unknown_slot", "node 'b' has no input 'zzz'; inputs: none", "b", "zzz"),
    ),
    "unknown output, named nearly": (
        flow(place("a", "Text"), place("b", "Any"), edges=edges("a.texts -> b.in")),
        Finding(
            "unknown_slot", "node 'a' has no output 'texts'; did you mean 'text'?", "a", "texts"
        ),
    ),
    "unknown output, far from any": (
        flow(place("a", "Both"), place("b", "Any"), edges=edges("a.zzz -> b.in")),
        Finding("unknown_slot", "node 'a' has no output 'zzz'; outputs: none", "a", "zzz"),
    ),
    "edge from nowhere": (
        flow(place("node1", "Any"), edges=edges("nod1.out -> node1.in")),
        Finding(
            "unknown_node",
            "an edge leads from node 'nod1', which does not exist; did you mean 'node1'?",
            "nod1",
        ),
    ),
    "edge to nowhere": (
        flow(place("a", "Any"), edges=edges("a.out -> ghost.in")),
        Finding("unknown_node", "an edge leads to node 'ghost', which does not exist", "ghost"),
    ),
    "mismatch with alternatives": (
        flow(place("a", "Text"), place("b", "Both"), edges=edges("a.text -> b.seed")),
        Finding(
            "slot_mismatch",
            "cannot connect 'a.text' (STRING) to 'b.seed' (INTEGER): no conversion;"
            " inputs of 'b' that fit: prompt, note",
            "b",
            "seed",
        ),
    ),
    "mismatch without alternatives": (
        flow(place("a", "Text"), place("b", "Number"), edges=edges("a.text -> b.n")),
        Finding(
            "slot_mismatch",
            "cannot connect 'a.text' (STRING) to 'b.n' (INTEGER): no conversion",
            "b",
            "n",
        ),
    ),
    "stream to no stream": (
        flow(place("a", "Writer"), place("b", "Text"), edges=edges("a.words -> b.text")),
        Finding(
            "slot_mismatch",
            "cannot connect 'a.words' (STRING stream) to 'b.text' (STRING): a stream connects"
            " only to a stream; put a Collect node between them",
            "b",
            "text",
        ),
    ),
    "no stream to stream": (
        flow(place("a", "Text"), place("b", "Reader"), edges=edges("a.text -> b.words")),
        Finding(
            "slot_mismatch",
            "cannot connect 'a.text' (STRING) to 'b.words' (STRING stream): a stream connects"
            " only to a stream",
            "b",
            "words",
        ),
    ),
    "two edges": (
        flow(
            place("a", "Text"),
            place("b", "Number"),
            place("c", "Any"),
            edges=edges("a.text -> c.in", "b.n -> c.in"),
        ),
        Finding(
            "two_edges",
            "two edges lead into 'c.in', which takes one; remove the one from 'a.text'"
            " or from 'b.n'",
            "c",
            "in",
        ),
    ),
    "cycle": (
        flow(
            place("a", "Any"),
            place("b", "Any"),
            place("c", "Any"),
            place("d", "Any"),
            edges=edges("a.out -> b.in", "b.out -> c.in", "c.out -> b.other", "c.out -> d.in"),
        ),
        Finding("cycle", "the workflow has a cycle: b -> c -> b; remove one of these edges", "b"),
    ),
    "self loop": (
        flow(place("a", "Any"), edges=edges("a.out -> a.in")),
        Finding("cycle", "the workflow has a cycle: a -> a; remove one of these edges", "a"),
    ),
    "missing required": (
        flow(place("a", "Needs")),
        Finding(
            "missing_input",
            "node 'a' needs a value for input 'text' (STRING); connect it or set it",
            "a",
            "text",
        ),
    ),
    "missing required, as the configuration wants it": (
        flow(place("a", "NeedsIf", need=True)),
        Finding(
            "missing_input",
            "node 'a' needs a value for input 'x' (WILDCARD); connect it or set it",
            "a",
            "x",
        ),
    ),
    "required cannot be told": (
        flow(place("a", "NeedsBroken")),
        Finding(
            "pack_error",
            "node 'a': pack 'test-pack' cannot say whether input 'x' is required: KeyError: 'tone'",
            "a",
            "x",
        ),
    ),
    "preset of another type": (
        flow(place("a", "Text", {"text": 5})),
        Finding(
            "bad_value",
            "node 'a': input 'text' is a whole number, but the slot is STRING",
            "a",
            "text",
        ),
    ),
    "preset below": (
        flow(place("a", "Bounded", {"level": 0})),
        Finding("bad_value", "node 'a': input 'level' is 0, below the minimum 1", "a", "level"),
    ),
    "preset above": (
        flow(place("a", "Bounded", {"level": 10.0})),
        Finding("bad_value", "node 'a': input 'level' is 10.0, above the maximum 9", "a", "level"),
    ),
    "preset not whole": (
        flow(place("a", "Bounded", {"level": 1.5})),
        Finding(
            "bad_value",
            "node 'a': input 'level' is a number, but the slot is INTEGER",
            "a",
            "level",
        ),
    ),
    "one of several presets": (
        flow(place("a", "Gather", {"texts": ["x", 5]})),
        Finding(
            "bad_value",
            "node 'a': input 'texts' is a whole number, but the slot is STRING",
            "a",
            "texts",
        ),
    ),
    "config value above": (
        flow(place("a", "Bounded", size=3)),
        Finding(
            "bad_value", "node 'a': config value 'size' is 3, above the maximum 2", "a", "size"
        ),
    ),
    "unknown mode, named nearly": (
        flow(place("a", "Modes", mode="repaet")),
        Finding(
            "unknown_mode", "node 'a' has no mode 'repaet'; did you mean 'repeat'?", "a", "mode"
        ),
    ),
    "unknown mode, far from any": (
        flow(place("a", "Modes", mode=5)),
        Finding("unknown_mode", "node 'a' has no mode 5; modes: upper, repeat, needy", "a", "mode"),
    ),
    "a mode that is no text": (
        flow(place("a", "Modes", mode=["upper"])),
        Finding(
            "unknown_mode",
            "node 'a' has no mode ['upper']; did you mean 'upper'?",
            "a",
            "mode",
        ),
    ),
    "slot of another mode": (
        flow(place("a", "Any"), place("b", "Modes", mode="repeat"), edges=edges("a.out -> b.text")),
        Finding("unknown_slot", "node 'b' has no input 'text'; inputs: n", "b", "text"),
    ),
    "no code": (
        flow(place("a", "NoCode")),
        Finding("no_execute", "node 'a' (t:NoCode) has no code to execute", "a"),
    ),
}


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_one_finding(name: str) -> None:
    workflow, finding = ONE_BY_ONE[name]
    assert problems(workflow) == (finding,)


def test_every_problem_at_once_in_document_order() -> None:
    workflow = flow(
        place("a", "Any"),
        place("a", "Any"),
        place("b", "gone:Thing"),
        place("c", "Both", {"seed": "x"}),
        place("d", "Needs"),
        place("e", "Modes", mode="loud"),
        place("f", "NoCode"),
        place("g", "Reader"),
        edges=edges("a.nope -> c.note", "a.out -> c.promt", "a.out -> g.words", "a.out -> x.in"),
    )
    assert [(found.code, found.node, found.slot) for found in problems(workflow)] == [
        ("duplicate_id", "a", None),
        ("unknown_node_type", "b", None),
        ("bad_value", "c", "seed"),
        ("unknown_mode", "e", "mode"),
        ("no_execute", "f", None),
        ("unknown_slot", "a", "nope"),
        ("unknown_slot", "c", "promt"),
        ("slot_mismatch", "g", "words"),
        ("unknown_node", "x", None),
        ("missing_input", "d", "text"),
    ]


def test_an_id_is_taken_also_by_a_node_of_unknown_type() -> None:
    found = problems(flow(place("a", "Nope"), place("a", "Text")))
    assert [finding.code for finding in found] == ["unknown_node_type", "duplicate_id"]


def test_a_cycle_is_reported_beside_other_problems() -> None:
    workflow = flow(
        place("a", "Any"),
        place("b", "gone:Thing"),
        place("c", "Text", {"text": 5}),
        edges=edges("a.out -> a.in"),
    )
    assert {found.code for found in problems(workflow)} == {
        "unknown_node_type",
        "bad_value",
        "cycle",
    }


def test_a_problem_is_reported_once() -> None:
    # the edge is the problem: that nothing comes by it needs no second finding
    workflow = flow(place("a", "Number"), place("b", "Reader"), edges=edges("a.n -> b.words"))
    assert [found.code for found in problems(workflow)] == ["slot_mismatch"]
    preset = flow(place("a", "Needs", {"text": 5}))
    assert [found.code for found in problems(preset)] == ["bad_value"]


def test_an_edge_from_a_node_of_unknown_type_counts_as_connected() -> None:
    workflow = flow(place("a", "gone:X"), place("b", "Needs"), edges=edges("a.out -> b.text"))
    assert [found.code for found in problems(workflow)] == ["unknown_node_type"]


def test_too_many_nodes() -> None:
    workflow = flow(*(place(str(number), "Any") for number in range(4)))
    message = "the workflow has more than 3 nodes, groups included"
    found = problems(workflow, limits=CompileLimits(nodes=3))
    assert found == (Finding("too_many_nodes", message),)
    compile_workflow(workflow, Types(), limits=CompileLimits(nodes=4))


def test_a_long_cycle_is_told_in_short() -> None:
    count = 3000
    nodes = (place(str(number), "Any") for number in range(count))
    ring = edges(*(f"{number}.out -> {(number + 1) % count}.in" for number in range(count)))
    (finding,) = problems(flow(*nodes, edges=ring))
    assert finding.code == "cycle"
    assert len(finding.message) < 1000


@pytest.mark.parametrize(("nodes", "strays"), [(3000, 3000), (400, 6000)])
def test_many_stray_edges_cost_few_comparisons(
    nodes: int, strays: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0

    def closest(name: str, candidates: list[str], n: int = 1, cutoff: float = 0.6) -> list[str]:
        nonlocal compared
        compared += len(candidates)
        return []

    monkeypatch.setattr("difflib.get_close_matches", closest)
    placed = (place(f"node-{number}", "Any") for number in range(nodes))
    stray = edges(*(f"node-1.out -> node-{number}x.in" for number in range(strays)))
    assert len(problems(flow(*placed, edges=stray))) == strays
    assert compared <= 100_000  # each takes 8 microseconds


# --- groups -------------------------------------------------------------------------------


def group(node_id: str, reference: object, inputs: Json = None) -> Json:
    return place(node_id, "Group", inputs, referencedWorkflowId=reference)


INNER = flow(
    place("in", "GroupInput"),
    place("text", "Text"),
    place("end", "GroupOutput"),
    edges=edges("in.prompt -> text.text", "text.text -> end.said"),
    interfaceInputs={"prompt": {"dataFlowType": "STRING", "required": True}},
    interfaceOutputs={"said": {"dataFlowType": "STRING"}},
)


def test_a_group_is_inlined() -> None:
    plan = plan_of(
        flow(
            place("a", "Text"),
            group("g", "inner"),
            place("b", "Text"),
            edges=edges("a.text -> g.prompt", "g.said -> b.text"),
        ),
        workflows={"inner": INNER},
    )
    visible = [node.id for node in plan.visible_nodes]
    assert visible == ["a", "g", "g/in", "g/text", "g/end", "b"]
    kinds = [node.kind for node in plan.nodes if node.id == "g"]
    assert kinds == [NodeKind.ENTRY, NodeKind.EXIT]


GROUP_PROBLEMS: dict[str, tuple[Workflow, Finding]] = {
    "no reference": (
        flow(place("g", "Group")),
        Finding(
            "missing_workflow",
            "node 'g' names no workflow; set its 'referencedWorkflowId'",
            "g",
            "referencedWorkflowId",
        ),
    ),
    "unknown workflow": (
        flow(group("g", "ghost")),
        Finding(
            "unknown_workflow",
            "node 'g' refers to workflow 'ghost', which is not known here",
            "g",
            "referencedWorkflowId",
        ),
    ),
    "unknown workflow of a bypassed group": (
        flow({**group("g", "ghost"), "bypassed": True}),
        Finding(
            "unknown_workflow",
            "node 'g' refers to workflow 'ghost', which is not known here",
            "g",
            "referencedWorkflowId",
        ),
    ),
    "contains itself": (
        flow(group("g", "self")),
        Finding(
            "recursive_group",
            "node 'g/inner': workflow 'self' contains itself: self -> self",
            "g/inner",
            "referencedWorkflowId",
        ),
    ),
    "contains itself by another": (
        flow(group("g", "ping")),
        Finding(
            "recursive_group",
            "node 'g/x/y': workflow 'ping' contains itself: ping -> pong -> ping",
            "g/x/y",
            "referencedWorkflowId",
        ),
    ),
    "required input": (
        flow(group("g", "inner")),
        Finding(
            "missing_input",
            "node 'g' needs a value for input 'prompt' (STRING); connect it or set it",
            "g",
            "prompt",
        ),
    ),
    "unknown input": (
        flow(
            place("a", "Text"),
            group("g", "inner", {"prompt": "x"}),
            edges=edges("a.text -> g.promt"),
        ),
        Finding(
            "unknown_slot", "node 'g' has no input 'promt'; did you mean 'prompt'?", "g", "promt"
        ),
    ),
    "unknown output": (
        flow(
            group("g", "inner", {"prompt": "x"}),
            place("b", "Text"),
            edges=edges("g.sad -> b.text"),
        ),
        Finding("unknown_slot", "node 'g' has no output 'sad'; did you mean 'said'?", "g", "sad"),
    ),
    "mismatch": (
        flow(place("a", "Writer"), group("g", "inner"), edges=edges("a.words -> g.prompt")),
        Finding(
            "slot_mismatch",
            "cannot connect 'a.words' (STRING stream) to 'g.prompt' (STRING): a stream connects"
            " only to a stream; put a Collect node between them",
            "g",
            "prompt",
        ),
    ),
    "a value of another type": (
        flow(group("g", "inner", {"prompt": 5})),
        Finding(
            "bad_value",
            "node 'g': input 'prompt' is a whole number, but the slot is STRING",
            "g",
            "prompt",
        ),
    ),
    "a problem inside": (
        flow(group("g", "bad")),
        Finding("unknown_node_type", "node 'g/a' has unknown type 't:Nope'", "g/a"),
    ),
    "a cycle through the group": (
        flow(
            group("g", "inner"),
            place("b", "Text"),
            edges=edges("g.said -> b.text", "b.text -> g.prompt"),
        ),
        Finding("cycle", "the workflow has a cycle: g -> b -> g; remove one of these edges", "g"),
    ),
    "a group that feeds itself": (
        flow(group("g", "inner"), edges=edges("g.said -> g.prompt")),
        Finding("cycle", "the workflow has a cycle: g -> g; remove one of these edges", "g"),
    ),
}
WORKFLOWS = {
    "inner": INNER,
    "self": flow(group("inner", "self")),
    "ping": flow(group("x", "pong")),
    "pong": flow(group("y", "ping")),
    "bad": flow(place("a", "Nope")),
}


@pytest.mark.parametrize("name", GROUP_PROBLEMS)
def test_one_finding_about_a_group(name: str) -> None:
    workflow, finding = GROUP_PROBLEMS[name]
    assert problems(workflow, workflows=WORKFLOWS) == (finding,)


def test_a_group_may_name_its_workflow_as_an_input() -> None:
    # so saved by older front ends
    placed = place("g", "Group", {"referencedWorkflowId": "inner", "prompt": "x", "prompf": "y"})
    plan = plan_of(flow(placed), workflows=WORKFLOWS)
    message = "node 'g' has no input 'prompf'; its value is not used; did you mean 'prompt'?"
    assert [warning.message for warning in plan.warnings] == [message]
    assert node_of(plan, "g").static == {"prompt": "x"}


def test_a_stream_comes_straight_out_of_a_group() -> None:
    inner = flow(
        place("w", "Writer"),
        place("lost", "GroupOutput"),
        place("end", "GroupOutput"),
        edges=edges("w.words -> end.told"),
    )
    outer = flow(group("g", "w"), place("r", "Reader"), edges=edges("g.told -> r.words"))
    plan = plan_of(outer, workflows={"w": inner})
    (writer, reader) = (node_of(plan, "g/w"), node_of(plan, "r"))
    assert reader.index in [target.node for target in writer.stream_out["words"]]


def test_a_bypassed_group_is_one_node_with_the_slots_of_its_workflow() -> None:
    mappings = {"out": {"sourceNodeId": "g", "sourceSlotKey": "said"}}
    placed = {**group("g", "inner"), "bypassed": True}
    plan = plan_of(flow(placed, outputInterfaceMappings=mappings), workflows=WORKFLOWS)
    (node,) = plan.nodes
    assert (node.kind, list(node.input_types), list(node.output_types)) == (
        NodeKind.BYPASSED,
        ["prompt"],
        ["said"],
    )


def test_groups_without_a_resolver() -> None:
    (finding,) = problems(flow(group("g", "inner")))
    assert finding.code == "unknown_workflow"


def test_a_broken_workflow_inside_is_reported_where_it_is_used() -> None:
    def resolver(workflow_id: str) -> Workflow | None:
        return parse_workflow({"nodes": [{}]}, source=workflow_id)

    found = problems(flow(group("g", "w")), resolver=resolver)
    assert [finding.message for finding in found] == [
        "node 'g': w: nodes.0.id: field required",
        "node 'g': w: nodes.0.fullType: field required",
    ]
    assert {(finding.code, finding.node) for finding in found} == {("bad_shape", "g")}


def test_groups_nest_only_so_deep() -> None:
    def resolver(workflow_id: str) -> Workflow | None:
        return flow(group("g", str(int(workflow_id) + 1)))

    message = "node 'g/g/g': groups nest more than 2 deep (limits.group_depth)"
    found = problems(flow(group("g", "0")), resolver=resolver, limits=CompileLimits(group_depth=2))
    assert found == (Finding("group_depth", message, "g/g/g", "referencedWorkflowId"),)


def test_a_group_takes_several_edges_where_its_interface_does() -> None:
    inner = flow(
        place("in", "GroupInput"),
        place("all", "Gather"),
        edges=edges("in.texts -> all.texts"),
        interfaceInputs={"texts": {"dataFlowType": "STRING", "multi": True}},
    )
    outer = flow(
        place("a", "Text"), group("g", "w"), edges=edges("a.text -> g.texts", "a.text -> g.texts")
    )
    plan = plan_of(outer, workflows={"w": inner})
    assert [target.key for target in node_of(plan, "a").batch_out["text"]] == [
        ("texts", 0),
        ("texts", 1),
    ]


# --- warnings -----------------------------------------------------------------------------


def test_odd_things_are_warnings_and_are_not_handed_over() -> None:
    plan = plan_of(
        flow(
            place("a", "Text", {"text": "x", "tekst": "y"}),
            place("b", "Bounded", size=1, sise=2, zzz=3),
            place("c", "Reader", {"words": ["x"]}),
            outputInterfaceMappings={
                "ghost": {"sourceNodeId": "ghost", "sourceSlotKey": "text"},
                "slot": {"sourceNodeId": "a", "sourceSlotKey": "nope"},
                "fed": {"sourceNodeId": "a", "sourceSlotKey": "text"},
            },
        )
    )
    text = "its value is not used"
    unfed = "of the workflow has no source and will be null"
    expected = [
        ("unknown_input", f"node 'a' has no input 'tekst'; {text}; did you mean 'text'?"),
        ("unknown_config", f"node 'b' has no config value 'sise'; {text}; did you mean 'size'?"),
        ("unknown_config", f"node 'b' has no config value 'zzz'; {text}"),
        ("stream_preset", f"node 'c': input 'words' is a stream; {text}"),
        ("unfed_output", f"output 'ghost' {unfed}"),
        ("unfed_output", f"output 'slot' {unfed}"),
    ]
    assert [(warning.code, warning.message) for warning in plan.warnings] == expected
    assert {warning.severity for warning in plan.warnings} == {"warning"}
    assert node_of(plan, "a").static == {"text": "x"}
    assert node_of(plan, "b").config == {"size": 1.0}
    assert [(output.key, output.node) for output in plan.outputs] == [
        ("ghost", -1),
        ("slot", -1),
        ("fed", 0),
    ]


LONE = "\ud83d"  # half of an emoji, as JSON may spell it


def test_findings_about_odd_names_can_be_sent() -> None:
    placed = place("a", "Bounded", {LONE: 1}, **{LONE: 1})
    found = [*plan_of(flow(placed)).warnings]
    with pytest.raises(WorkflowError) as caught:
        plan_of(flow()).bind_inputs({LONE: 1})
    found += caught.value.findings
    with pytest.raises(WorkflowError) as caught:
        plan_of(INTERFACE).parse_inputs({"steps": LONE})
    found += caught.value.findings
    assert len(found) == 4
    json.dumps([finding.to_wire() for finding in found], ensure_ascii=False).encode()


def test_dynamic_nodes_take_any_slot_and_any_value() -> None:
    plan = plan_of(
        flow(
            place("a", "Dynamic", {"any": object}),
            place("b", "Dynamic"),
            place("c", "Text"),
            edges=edges("a.what -> b.ever", "a.known -> c.text", "a.other -> c.text__0")[:2],
        )
    )
    assert plan.warnings == ()
    assert node_of(plan, "a").static == {"any": object}
    number = flow(place("a", "Dynamic"), place("n", "Number"), edges=edges("a.known -> n.n"))
    assert [found.code for found in problems(number)] == ["slot_mismatch"]


# --- values -------------------------------------------------------------------------------


def test_presets_stand_over_defaults_and_become_what_their_slot_wants() -> None:
    plan = plan_of(
        flow(
            place("default", "Bounded"),
            place("preset", "Bounded", {"level": 7.0}, size=1),
            place("null", "Bounded", {"level": None}),
        )
    )
    assert node_of(plan, "default").static == {"level": 5}
    found = node_of(plan, "preset")
    assert (found.static, found.config) == ({"level": 7}, {"size": 1.0})
    assert type(found.static["level"]) is int
    assert type(found.config["size"]) is float
    assert node_of(plan, "null").static == {"level": None}


def test_a_mode_chooses_slots_and_stays_in_the_configuration() -> None:
    plan = plan_of(
        flow(
            place("default", "Modes"),
            place("chosen", "Modes", {"n": 2}, mode="repeat", tone="low"),
            place("null", "Modes", mode=None),
        )
    )
    assert [node.mode for node in plan.nodes] == ["upper", "repeat", "upper"]
    chosen = node_of(plan, "chosen")
    assert (list(chosen.input_types), list(chosen.output_types)) == (["n"], ["n"])
    assert chosen.config == {"mode": "repeat", "tone": "low"}
    assert node_of(plan, "default").config == {"mode": "upper"}


def test_what_is_required_may_depend_on_the_mode() -> None:
    (finding,) = problems(flow(place("a", "Modes", mode="needy")))
    assert (finding.code, finding.slot) == ("missing_input", "x")


def test_required_is_satisfied_by_an_edge_a_preset_or_bypass() -> None:
    plan_of(flow(place("a", "Text"), place("b", "Needs"), edges=edges("a.text -> b.text")))
    plan_of(flow(place("a", "Needs", {"text": ""})))
    plan_of(flow(place("a", "Needs", {"text": None})))
    plan_of(flow({**place("a", "Needs"), "bypassed": True}))
    plan_of(flow({**place("a", "NoCode"), "bypassed": True}))
    plan_of(flow(place("a", "NeedsIf")))


# --- multi slots --------------------------------------------------------------------------


def order(*pairs: str, **orders: list[str]) -> list[str]:
    """Return the sources of ``m.texts`` by position."""
    nodes = [place(name, "Text") for name in "abcd"]
    gather = {**place("m", "Gather"), "inputConnectionOrders": orders}
    plan = plan_of(flow(*nodes, gather, edges=edges(*pairs)))
    found = {
        target.key: node.id
        for node in plan.nodes
        for target in node.batch_out.get("text", ())
        if isinstance(target.key, tuple)
    }
    assert sorted(found) == [("texts", n) for n in range(len(found))]
    return [found[key] for key in sorted(found)]


TEXTS = ("c.text -> m.texts", "a.text -> m.texts", "b.text -> m.texts")
HANDLES = ("a.text -> m.texts__2", "b.text -> m.texts__10", "c.text -> m.texts__0")


@pytest.mark.parametrize(
    ("pairs", "orders", "expected"),
    [
        (TEXTS, [], "cab"),
        (TEXTS, ["e2", "e1", "e0"], "bac"),
        (TEXTS, ["e1", "gone"], "acb"),
        (HANDLES, [], "cab"),
        (HANDLES, ["e1"], "bca"),
        # a plain handle comes after those with an index; ties keep the order of edges
        (("a.text -> m.texts", "b.text -> m.texts__1", "c.text -> m.texts__1"), [], "bca"),
    ],
)
def test_the_order_of_a_multi_slot(
    pairs: tuple[str, ...], orders: list[str], expected: str
) -> None:
    assert "".join(order(*pairs, texts=orders)) == expected


def test_one_source_may_come_several_times() -> None:
    assert order("a.text -> m.texts", "a.text -> m.texts") == ["a", "a"]


@pytest.mark.parametrize("handle", ["texts__", "texts__x", "texts__00", "texts__-1", "text__0"])
def test_what_is_no_sub_handle(handle: str) -> None:
    workflow = flow(place("a", "Text"), place("m", "Gather"), edges=edges(f"a.text -> m.{handle}"))
    message = f"node 'm' has no input {handle!r}; did you mean 'texts'?"
    assert problems(workflow) == (Finding("unknown_slot", message, "m", handle),)


# --- interface inputs ---------------------------------------------------------------------

INTERFACE = flow(
    interfaceInputs={
        "prompt": {"dataFlowType": "STRING", "required": True},
        "steps": {"dataFlowType": "INTEGER", "config": {"default": 4, "min": 1, "max": 9}},
        "ratio": {"dataFlowType": "FLOAT"},
        "tags": {"dataFlowType": "STRING", "multi": True},
        "any": {},
        "feed": {"dataFlowType": "STRING", "isStream": True},
    }
)


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        ({"prompt": "x"}, {"prompt": "x", "steps": 4}),
        ({"prompt": "", "steps": 9}, {"prompt": "", "steps": 9}),
        ({"prompt": None, "any": None}, {"prompt": None, "steps": 4, "any": None}),
        ({"prompt": "x", "tags": ["a", "b"]}, {"prompt": "x", "steps": 4, "tags": ["a", "b"]}),
        # JSON has one kind of number; a node that asked for one of Python's two gets that
        ({"prompt": "x", "steps": 3.0, "ratio": 2}, {"prompt": "x", "steps": 3, "ratio": 2.0}),
    ],
)
def test_interface_inputs_are_bound(given: dict[str, object], bound: dict[str, object]) -> None:
    found = plan_of(INTERFACE).bind_inputs(given)
    assert found == bound
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in bound.items()
    }


def test_every_problem_with_interface_inputs_at_once() -> None:
    given = {"promt": "x", "zzz": 1, "steps": 10, "ratio": "wide", "tags": ["a", 5]}
    with pytest.raises(WorkflowError) as caught:
        plan_of(INTERFACE).bind_inputs(given)
    names = "prompt, steps, ratio, tags, any, feed"
    assert caught.value.findings == (
        Finding(
            "unknown_input",
            "the workflow has no input 'promt'; did you mean 'prompt'?",
            slot="promt",
        ),
        Finding("unknown_input", f"the workflow has no input 'zzz'; inputs: {names}", slot="zzz"),
        Finding(
            "missing_input", "input 'prompt' (STRING) is required; give it by name", slot="prompt"
        ),
        Finding("bad_input", "input 'steps' is 10, above the maximum 9", slot="steps"),
        Finding("bad_input", "input 'ratio' is text, but the slot is FLOAT", slot="ratio"),
        Finding("bad_input", "input 'tags' is a whole number, but the slot is STRING", slot="tags"),
    )


def test_a_workflow_without_inputs() -> None:
    with pytest.raises(WorkflowError) as caught:
        plan_of(flow()).bind_inputs({"x": 1})
    assert str(caught.value) == "the workflow has no input 'x'; inputs: none"
    assert plan_of(flow()).bind_inputs({}) == {}


def test_a_default_that_does_not_fit_is_a_problem_too() -> None:
    slots = {"n": {"dataFlowType": "INTEGER", "config": {"default": "many"}}}
    with pytest.raises(WorkflowError) as caught:
        plan_of(flow(interfaceInputs=slots)).bind_inputs({})
    assert str(caught.value) == "input 'n' is text, but the slot is INTEGER"


def test_a_number_that_is_none_is_called_so() -> None:
    with pytest.raises(WorkflowError) as caught:
        plan_of(INTERFACE).bind_inputs({"prompt": "x", "ratio": math.nan})
    assert str(caught.value) != "input 'ratio' is a number, but the slot is FLOAT"


def test_texts_are_parsed_by_the_types_of_their_slots() -> None:
    texts = {"prompt": "5", "steps": "5", "ratio": "5", "any": '{"a": 1}', "unknown": "5"}
    assert plan_of(INTERFACE).parse_inputs(texts) == {
        "prompt": "5",
        "steps": 5,
        "ratio": 5.0,
        "any": {"a": 1},
        "unknown": "5",
    }


def test_every_text_that_cannot_be_parsed_is_reported() -> None:
    with pytest.raises(WorkflowError) as caught:
        plan_of(INTERFACE).parse_inputs({"steps": "many", "ratio": "w" * 100, "prompt": "ok"})
    assert caught.value.findings == (
        Finding("bad_input", "input 'steps' is 'many': expected a whole number", slot="steps"),
        Finding("bad_input", f"input 'ratio' is '{'w' * 60}': expected a number", slot="ratio"),
    )


# --- outputs ------------------------------------------------------------------------------


def test_interface_outputs_come_from_mappings_or_from_group_outputs() -> None:
    nodes = (place("a", "Text"), place("w", "Writer"), place("end", "GroupOutput"))
    wires = edges("a.text -> end.said", "w.words -> end.told")
    slots = {"said": {"displayName": "Said"}, "lost": {}}
    canvas = plan_of(flow(*nodes, edges=wires, interfaceOutputs=slots))
    assert [(o.key, o.node, o.slot, o.is_stream, o.display_name) for o in canvas.outputs] == [
        ("said", 0, "text", False, "Said"),
        ("lost", -1, "", False, None),
        ("told", 1, "words", True, None),
    ]
    mappings = {"told": {"sourceNodeId": "w", "sourceSlotKey": "words"}}
    payload = plan_of(flow(*nodes, edges=wires, outputInterfaceMappings=mappings))
    assert [(o.key, o.node, o.is_stream) for o in payload.outputs] == [("told", 1, True)]


def test_outputs_of_a_group_can_be_outputs_of_the_workflow() -> None:
    mappings = {"out": {"sourceNodeId": "g", "sourceSlotKey": "said"}}
    workflow = flow(group("g", "inner", {"prompt": "x"}), outputInterfaceMappings=mappings)
    plan = plan_of(workflow, workflows=WORKFLOWS)
    (output,) = plan.outputs
    assert (plan.nodes[output.node].kind, output.slot) == (NodeKind.EXIT, "said")
    assert plan.warnings == ()

"""Workflows that are older than their packs: values by name, renamed nodes, missing packs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from comfytavern.chunks import Chunk, Outputs
from comfytavern.context import NodeContext
from comfytavern.definitions import (
    InputDefinition,
    NodeDefinition,
    OutputDefinition,
    Replacement,
)
from comfytavern.errors import Finding, WorkflowError
from comfytavern.testing import pack_host
from comfytavern.types import DataFlowType
from comfytavern.workflow import parse_workflow

from .building import flow, interface, place, saved
from .group_workflows import group
from .made_nodes import Chunks, Inputs
from .running import observe

Json = dict[str, Any]  # Any: JSON
TEXT, COUNT, ANY = DataFlowType.STRING, DataFlowType.INTEGER, DataFlowType.WILDCARD


async def tell(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    """Return what came in, by name."""
    return {"seen": {**inputs, **context.config}}


async def stream(inputs: Inputs, context: NodeContext) -> Chunks:
    yield Chunk.text("one")
    yield Outputs(seen=dict(inputs))


def slot(flow_type: DataFlowType, **more: Any) -> InputDefinition:  # Any: fields of a slot
    return InputDefinition(data_flow_type=flow_type, **more)


def teller(
    inputs: Mapping[str, InputDefinition],
    name: str = "Teller",
    **more: Any,  # fields of a definition
) -> NodeDefinition:
    """Return a node that gives its inputs by name."""
    fields: Json = {"outputs": {"seen": OutputDefinition(data_flow_type=ANY)}, "execute": tell}
    return NodeDefinition(**{"type": name, "inputs": inputs} | fields | more)


async def warnings(workflow: Json, *definitions: NodeDefinition, **more: Any) -> list[Finding]:
    """Return what is worth knowing about a workflow."""
    async with pack_host(*definitions) as host:
        return list((await host.compile(workflow, **more)).warnings)


# --- values are kept by name --------------------------------------------------------------

FIRST = {"prompt": slot(TEXT), "temperature": slot(DataFlowType.FLOAT), "most": slot(COUNT)}
TOLD = flow(
    place("c", "Const", value="from an edge"),
    place("t", "Teller", config={"style": "dry", "level": 2}, temperature=0.5, most=300),
    "c.value > t.prompt",
    outputs={"out": "t.seen"},
)
STYLE = {"style": slot(TEXT), "level": slot(COUNT)}


@pytest.mark.parametrize("written", [TOLD, saved(TOLD)], ids=["payload", "canvas"])
@pytest.mark.parametrize(
    ("inputs", "config"),
    [
        ({"seed": slot(COUNT), **FIRST}, {"first": slot(COUNT), **STYLE}),
        (dict(reversed(FIRST.items())), dict(reversed(STYLE.items()))),
        (
            {"prompt": FIRST["prompt"], "new": slot(TEXT), "most": slot(COUNT), **FIRST},
            {**STYLE, "last": slot(TEXT)},
        ),
    ],
    ids=["inserted", "reordered", "both"],
)
async def test_new_and_reordered_inputs_leave_an_old_workflow_as_it_was(
    inputs: Mapping[str, InputDefinition], config: Mapping[str, InputDefinition], written: Json
) -> None:
    before = await observe(written, teller(FIRST, config_schema=STYLE))
    after = await observe(written, teller(inputs, config_schema=config))
    assert after.node_outputs == before.node_outputs
    assert after.node_outputs["t"]["seen"] == {
        "prompt": "from an edge",
        "temperature": 0.5,
        "most": 300,
        "style": "dry",
        "level": 2,
    }


async def test_a_new_input_with_a_default_gets_that() -> None:
    seen = await observe(TOLD, teller({"seed": slot(COUNT, config={"default": 7}), **FIRST}))
    assert seen.node_outputs["t"]["seen"]["seed"] == 7  # type: ignore[index]  # a dict


async def test_removed_inputs_are_warnings_that_name_them() -> None:
    without = teller(
        {"prompt": slot(TEXT), "temperatures": slot(DataFlowType.FLOAT)},
        config_schema={"style": slot(TEXT)},
    )
    seen = await observe(TOLD, without)
    assert seen.node_outputs["t"]["seen"] == {"prompt": "from an edge", "style": "dry"}
    const = NodeDefinition(
        type="Const",
        inputs={"value": slot(ANY)},
        outputs={"value": OutputDefinition(data_flow_type=ANY)},
        execute=tell,
    )
    assert [(f.code, f.slot, f.message) for f in await warnings(TOLD, without, const)] == [
        (
            "unknown_config",
            "level",
            "node 't' has no config value 'level'; its value is not used",
        ),
        (
            "unknown_input",
            "temperature",
            (
                "node 't' has no input 'temperature'; its value is not used; did you mean"
                " 'temperatures'?"
            ),
        ),
        ("unknown_input", "most", "node 't' has no input 'most'; its value is not used"),
    ]


# --- renamed nodes and slots --------------------------------------------------------------

OLD = flow(
    place("c", "Const", value="ab"),
    place("s", "Yell", config={"level": 3}, count=2),
    place("m", "Yell", count=1),
    "c.value > s.text",
    "s.out > m.text",
    outputs={"said": "m.out"},
    interfaceOutputs=interface(said="WILDCARD"),
)
YELL = teller(
    {"text": slot(ANY, required=True), "count": slot(COUNT)},
    "Yell",
    outputs={"out": OutputDefinition(data_flow_type=ANY)},
    config_schema={"level": slot(COUNT)},
    execute="tests.none:none",
)


async def yell(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    return {"out": [inputs["text"], inputs["count"], context.config.get("level")]}


async def shout(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    return {"loud": [inputs["message"], inputs["times"], context.config.get("tone")]}


SHOUT = NodeDefinition(
    type="Shout",
    inputs={"times": slot(COUNT), "message": slot(ANY, required=True)},
    outputs={"loud": OutputDefinition(data_flow_type=ANY)},
    config_schema={"tone": slot(COUNT)},
    replaces=(
        Replacement(
            type="Yell",
            inputs={"text": "message", "count": "times"},
            outputs={"out": "loud"},
            config={"level": "tone"},
        ),
    ),
    execute=shout,
)


async def test_a_renamed_node_runs_in_an_old_workflow_as_the_old_one_did() -> None:
    before = await observe(OLD, YELL.model_copy(update={"execute": yell}))
    after = await observe(OLD, SHOUT)
    assert before.outputs == after.outputs == {"said": [["ab", 2, 3], 1, None]}
    assert after.states == dict.fromkeys(("c", "s", "m"), "complete")


async def test_a_canvas_that_says_its_outputs_with_edges_runs_too() -> None:
    canvas = saved(
        flow(
            place("s", "Yell", text="x", count=1),
            place("o", "core:GroupOutput"),
            "s.out > o.said",
            interfaceOutputs=interface(said="WILDCARD"),
        )
    )
    assert (await observe(canvas, SHOUT)).outputs == {"said": ["x", 1, None]}


async def test_old_nodes_inside_a_group_are_found_and_named() -> None:
    inner = flow(
        place("i", "core:GroupInput"),
        place("s", "Yell", count=4),
        place("o", "core:GroupOutput"),
        "i.given > s.text",
        "s.out > o.said",
        interfaceInputs=interface(given="WILDCARD"),
        interfaceOutputs=interface(said="WILDCARD"),
    )
    seen = await observe(
        flow(group("g", "inner", given="x"), outputs={"out": "g.said"}),
        SHOUT,
        workflows={"inner": inner},
    )
    assert seen.outputs == {"out": ["x", 4, None]}


async def test_what_was_migrated_is_told_with_the_plan() -> None:
    const = teller({"value": slot(ANY)}, "Const", outputs={"value": OutputDefinition()})
    found = await warnings(OLD, SHOUT, const)
    assert [(finding.node, finding.code, finding.slot) for finding in found] == [
        ("s", "node_replaced", None),
        ("s", "input_renamed", "count"),
        ("s", "config_renamed", "level"),
        ("m", "node_replaced", None),
        ("m", "input_renamed", "count"),
        ("s", "input_renamed", "text"),
        ("s", "output_renamed", "out"),
        ("m", "input_renamed", "text"),
        ("m", "output_renamed", "out"),
    ]


async def test_a_node_that_still_exists_runs_itself() -> None:
    kept = YELL.model_copy(update={"execute": yell})
    seen = await observe(OLD, SHOUT, kept)
    assert seen.outputs == {"said": [["ab", 2, 3], 1, None]}
    assert seen.events.of("NODE_COMPLETE")[1]["output"].keys() == {"out"}


# --- missing packs ------------------------------------------------------------------------

PIP = "pack 'gone-pack' is not installed: pip install \"gone-pack>=1.4\""
RECORDED = {"pack": {"distribution": "gone-pack", "version": "1.4+local"}}


def missing(node_id: str) -> Json:
    """Return a placed node of a pack that is not there."""
    return place(node_id, "gone-pack:Thing", anything=1, kept=[2]) | RECORDED


BRANCHES = flow(
    place("c", "Const", value="v"),
    missing("x"),
    place("after", "Echo"),
    place("last", "Echo"),
    place("free", "Echo"),
    "c.value > x.in",
    "c.value > x.in",
    "x.result > after.in",
    "after.out > last.in",
    "c.value > free.in",
    outputs={"free": "free.out", "lost": "last.out", "direct": "x.result"},
)


@pytest.mark.parametrize("bypassed", [False, True])
async def test_branches_that_do_not_need_a_missing_pack_run(bypassed: bool) -> None:
    """Also a bypassed one fails: what it would pass on, only its pack can say."""
    first, lost, *rest = BRANCHES["nodes"]
    workflow = BRANCHES | {"nodes": [first, lost | {"bypassed": bypassed}, *rest]}
    seen = await observe(workflow, allow_missing=True)
    assert seen.status == "error"
    assert seen.states == {
        "c": "complete",
        "x": "error",
        "after": "skipped",
        "last": "skipped",
        "free": "complete",
    }
    assert seen.outputs["free"] == "v"
    assert seen.skipped() == {"after": "x", "last": "x"}
    [failed] = seen.events.of("NODE_ERROR")
    details = failed["errorDetails"]
    assert (failed["nodeId"], details["code"]) == ("x", "missing_pack")
    assert (details["nodeType"], details["pack"]) == ("gone-pack:Thing", "gone-pack")
    assert details["message"] == f"no loaded pack has the type 'gone-pack:Thing'; {PIP}"


async def test_without_the_flag_nothing_runs() -> None:
    with pytest.raises(WorkflowError) as caught:
        await observe(BRANCHES)
    assert [(f.code, f.severity, f.message) for f in caught.value.findings] == [
        ("unknown_node_type", "error", f"node 'x' has unknown type 'gone-pack:Thing'; {PIP}")
    ]


async def test_the_finding_is_a_warning_with_the_flag_and_other_findings_stay() -> None:
    workflow = flow(missing("x"), place("n", "core:Nope"), "n.y > x.z")
    [first, second] = await warnings(workflow, allow_missing=True)
    assert (first.node, first.code, first.severity) == ("x", "unknown_node_type", "warning")
    assert (second.node, second.code) == ("n", "unknown_node_type")
    with pytest.raises(WorkflowError) as caught:
        await warnings(flow(missing("x"), missing("x"), "x.a > ghost.b"), allow_missing=True)
    assert [finding.code for finding in caught.value.findings] == ["duplicate_id", "unknown_node"]


async def test_a_missing_node_between_streams_breaks_neither_side() -> None:
    seen = await observe(
        flow(
            place("s", "StreamWords", text="a b c"),
            missing("x"),
            place("read", "Collect"),
            place("other", "Collect"),
            "s.stream > x.in",
            "x.out > read.in",
            "s.stream > other.in",
            outputs={"text": "other.text"},
        ),
        allow_missing=True,
    )
    assert (seen.states["s"], seen.states["other"]) == ("complete", "complete")
    assert (seen.states["x"], seen.states["read"]) == ("error", "skipped")
    assert len(seen.chunks("s")) >= 3


async def test_a_missing_node_inside_a_group_fails_the_group() -> None:
    inner = flow(missing("x"), place("e", "Echo", in_="fine"))
    seen = await observe(
        flow(group("g", "inner"), place("free", "Echo", in_=1)),
        workflows={"inner": inner},
        allow_missing=True,
    )
    assert seen.states == {"g": "error", "g/x": "error", "g/e": "complete", "free": "complete"}


@pytest.mark.parametrize(
    ("recorded", "said"),
    [
        ({"distribution": "other-dist", "version": "2.0"}, 'pip install "other-dist>=2.0"'),
        ({"distribution": "other-dist"}, 'pip install "other-dist"'),
        ({"distribution": "other-dist", "version": "2; rm -rf"}, 'pip install "other-dist"'),
        ({"distribution": 'evil" && rm -rf', "version": "2.0"}, 'pip install "gone-pack"'),
        ("2.0", 'pip install "gone-pack"'),
        (["gone"], 'pip install "gone-pack"'),
        (None, 'pip install "gone-pack"'),
    ],
)
async def test_whatever_stands_for_the_pack_of_a_node(recorded: object, said: str) -> None:
    [finding] = await warnings(
        flow(place("x", "gone-pack:T") | {"pack": recorded}), allow_missing=True
    )
    assert finding.message.endswith(f"is not installed: {said}")


async def test_a_newer_version_of_a_loaded_pack_is_asked_for() -> None:
    workflow = flow(place("x", "test:New") | {"pack": {"distribution": "test", "version": "9.1"}})
    [finding] = await warnings(workflow, teller({}), allow_missing=True)
    assert finding.message.startswith("node 'x' has unknown type 'test:New'; pack 'test' ")
    assert finding.message.endswith(
        ' has no such type; the workflow was saved with 9.1: pip install "test>=9.1"'
    )
    for version in ("0", "none-that-is-known"):
        record = {"pack": {"distribution": "test", "version": version}}
        older = flow(place("x", "test:Tellr") | record)
        [finding] = await warnings(older, teller({}), allow_missing=True)
        assert finding.message.endswith("has no such type; did you mean 'test:Teller'?")


def test_the_record_of_a_pack_is_read_back() -> None:
    [node] = parse_workflow({"nodes": [missing("x")]}).nodes
    assert node.pack is not None
    assert node.pack.requirement == "gone-pack>=1.4"
    assert parse_workflow({"nodes": [node.model_dump()]}).nodes == (node,)

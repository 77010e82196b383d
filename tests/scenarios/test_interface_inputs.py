"""Values given to a whole workflow by name, and the two formats of a workflow."""

from __future__ import annotations

from typing import Any

import pytest

from comfytavern.errors import WorkflowError
from comfytavern.testing import run_graph
from comfytavern.workflow import parse_workflow

from .batch_nodes import BATCH_NODES
from .building import flow, interface, place, saved
from .comparing import same
from .running import Observed, observe

Json = dict[str, Any]  # Any: JSON


def slots() -> Json:
    """Return interface inputs of every kind."""
    described = interface(
        name="STRING",
        blank="STRING",
        count="INTEGER",
        ratio="FLOAT",
        flag="BOOLEAN",
        must="WILDCARD!",
    )
    described["name"]["config"] = {"default": "Ann"}
    described["count"]["config"] = {"default": 3, "min": 1, "max": 9}
    return described


ASKING = flow(
    place("g", "core:GroupInput"),
    place("i", "Inspect", b="preset-b"),
    "g.name > i.a",
    "g.blank > i.b",
    "g.count > i.c",
    interfaceInputs=slots(),
)


async def received(inputs: Json) -> object:
    """Run the workflow with these inputs and return what the node behind them got."""
    seen = await observe(ASKING, inputs=inputs)
    return seen.node_outputs["i"]["received"]


async def refused(inputs: Json) -> list[tuple[str, str | None]]:
    """Return the findings for these inputs; nothing has happened."""
    with pytest.raises(WorkflowError) as caught:
        await observe(ASKING, inputs=inputs)
    return sorted((finding.code, finding.slot) for finding in caught.value.findings)


async def test_given_values_beat_defaults() -> None:
    found = await received({"must": 1, "name": "Bob", "count": 9, "blank": "given"})
    assert same(found, {"a": "Bob", "b": "given", "c": 9})


async def test_what_is_absent_takes_its_default_or_stays_absent() -> None:
    assert same(await received({"must": 1}), {"a": "Ann", "b": "preset-b", "c": 3})


async def test_none_and_falsy_values_are_values() -> None:
    found = await received({"must": None, "name": "", "blank": None})
    assert same(found, {"a": "", "b": None, "c": 3})


@pytest.mark.parametrize(
    ("inputs", "findings"),
    [
        ({}, [("missing_input", "must")]),
        ({"must": 1, "nmae": "x"}, [("unknown_input", "nmae")]),
        ({"must": 1, "count": "many"}, [("bad_input", "count")]),
        ({"must": 1, "count": 1.5}, [("bad_input", "count")]),
        ({"must": 1, "count": True}, [("bad_input", "count")]),
        ({"must": 1, "count": 0}, [("bad_input", "count")]),
        ({"must": 1, "count": 10}, [("bad_input", "count")]),
        ({"must": 1, "flag": 1}, [("bad_input", "flag")]),
        ({"must": 1, "name": 5}, [("bad_input", "name")]),
        (
            {"count": "many", "nmae": "x"},
            [("bad_input", "count"), ("missing_input", "must"), ("unknown_input", "nmae")],
        ),
    ],
)
async def test_refused_inputs(inputs: Json, findings: list[tuple[str, str | None]]) -> None:
    assert await refused(inputs) == findings


async def test_unknown_input_names_the_nearest() -> None:
    with pytest.raises(WorkflowError) as caught:
        await observe(ASKING, inputs={"must": 1, "nmae": "x"})
    assert "did you mean 'name'?" in str(caught.value)


async def test_run_graph_raises_the_workflow_error_itself() -> None:
    """Not a group with the error in it, whatever task groups the host has open."""
    with pytest.raises(WorkflowError):
        await run_graph(flow(place("x", "Nope")), *BATCH_NODES)
    with pytest.raises(WorkflowError):
        await run_graph(flow(place("a", "Pair")), *BATCH_NODES, inputs={"unknown": 1})


# Everything that both formats can say. The payload of a workflow that was saved repeats in
# its mappings what the edges into GroupOutput say.
BOTH_FORMATS = flow(
    place("gi", "core:GroupInput"),
    place("s", "StreamWords"),
    place("u", "StreamUpper"),
    place("b", "ByBoth", bypassed=True),
    place("m", "Modes", config={"mode": "repeat"}, n=3),
    place("j", "Concat", sep="-"),
    place("go", "core:GroupOutput"),
    "gi.text > s.text",
    "gi.text > b.in",
    "b.out > m.text",
    "s.stream > u.in",
    "s.full > j.texts__1",
    "m.text > j.texts__0",
    "u.out > go.st",
    "j.text > go.text",
    outputs={"st": "u.out", "text": "j.text"},
    interfaceInputs=interface(text="STRING!"),
    interfaceOutputs=interface(st="STRING~", text="STRING"),
)


async def test_saved_canvas_runs_like_the_payload() -> None:
    def comparable(seen: Observed) -> object:
        return {
            "states": dict(seen.states),
            "outputs": {n: dict(o) for n, o in seen.node_outputs.items() if n != "gi"},
            "chunks": {node: seen.chunks(node) for node in ("s", "u")},
            "yields": seen.yields("st"),
            "messages": seen.interface_messages(),
        }

    payload = await observe(BOTH_FORMATS, inputs={"text": "ab cd"})
    canvas = await observe(saved(BOTH_FORMATS), inputs={"text": "ab cd"})
    assert comparable(payload) == comparable(canvas)
    assert payload.status == "complete"
    assert payload.node_outputs["j"]["text"] == "ab cdab cdab cd-ab cd"
    assert payload.interface_messages()[-1]["text"] == "ab cdab cdab cd-ab cd"
    assert [chunk[1] for chunk in payload.yields("st")] == ["AB", "CD", "Stream ended"]


async def test_parsed_workflow_runs_like_its_document() -> None:
    seen = await observe(parse_workflow(BOTH_FORMATS), inputs={"text": "x"})
    assert seen.status == "complete"


async def test_ids_are_strings_whatever_they_look_like() -> None:
    payload = flow(place("1", "Const", value="v"), place("2", "Echo"), "1.value > 2.in")
    payload["nodes"][0]["id"] = 1
    payload["edges"][0]["targetNodeId"] = 2
    seen = await observe(payload)
    assert seen.node_outputs["2"] == {"out": "v"}

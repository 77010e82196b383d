"""What nodes bring: streams, modes, and results that are refused (rules 4, 11 and 12)."""

from __future__ import annotations

import pytest

from comfytavern.chunks import Chunk, Outputs
from comfytavern.context import NodeContext
from comfytavern.engine import EngineLimits
from comfytavern.errors import WorkflowError

from .building import flow, place
from .comparing import same, txt
from .made_nodes import Chunks, Inputs, made, reason
from .running import observe

# --- rule 4: streaming nodes ---------------------------------------------------------------


async def test_generator_without_stream_outputs_is_drained() -> None:
    seen = await observe(flow(place("s", "StreamUndeclared"), place("e", "Echo"), "s.out > e.in"))
    assert seen.chunks("s") == list(txt("x", "y"))
    assert seen.node_outputs["e"] == {"out": "final"}


@pytest.mark.parametrize("mode", ["yields nothing", "no Outputs", "only Outputs"])
async def test_generator_of_few_words(mode: str) -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> Chunks:
        if mode == "no Outputs":
            yield "text"
        if mode == "only Outputs":
            yield Outputs(out=1)

    seen = await observe(
        flow(place("m", "Made"), place("c", "Collect"), "m.stream > c.in"), made(execute)
    )
    assert seen.status == "complete"
    assert seen.node_outputs["c"]["text"] == ("text" if mode == "no Outputs" else "")


async def test_chunks_of_every_kind_arrive_as_they_are() -> None:
    kinds = [
        Chunk.text("t"),
        Chunk.tool_call({"name": "f"}),
        Chunk.usage({"tokens": 1}),
        Chunk("my_chunk", [1, 2]),
    ]

    async def execute(inputs: Inputs, context: NodeContext) -> Chunks:
        for chunk in kinds:
            yield chunk

    seen = await observe(
        flow(place("m", "Made"), place("c", "Collect"), "m.stream > c.in"), made(execute)
    )
    assert seen.node_outputs["c"]["types"] == [chunk.type for chunk in kinds]
    assert [(kind, content) for kind, content, _ in seen.chunks("m")] == kinds


# --- rule 11: modes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "inputs", "outputs"),
    [
        ({}, {"text": "ab"}, {"text": "AB", "extra": "absent"}),
        ({"mode": "upper"}, {"text": "ab"}, {"text": "AB", "extra": "absent"}),
        ({"mode": "repeat"}, {"text": "ab", "n": 3}, {"text": "ababab", "n": 3}),
        ({"mode": "inherit"}, {"text": "ab"}, {"text": "base:ab:undefined", "mode": "inherit"}),
        ({"mode": "stream"}, {"text": "ab"}, {}),
    ],
)
async def test_active_mode(config: Inputs, inputs: Inputs, outputs: Inputs) -> None:
    seen = await observe(flow(place("m", "Modes", config=config, **inputs)))
    assert same(seen.node_outputs["m"], outputs)


async def test_slots_are_those_of_the_active_mode() -> None:
    with pytest.raises(WorkflowError) as caught:
        await observe(
            flow(
                place("m", "Modes", config={"mode": "repeat"}, text="ab"),
                place("c", "Collect"),
                "m.words > c.in",
            )
        )
    assert [(f.code, f.node, f.slot) for f in caught.value.findings][:1] == [
        ("unknown_slot", "m", "words")
    ]


async def test_unknown_mode() -> None:
    with pytest.raises(WorkflowError) as caught:
        await observe(flow(place("m", "Modes", config={"mode": "uper"}, text="ab")))
    assert [finding.code for finding in caught.value.findings] == ["unknown_mode"]
    assert "upper" in str(caught.value)


# --- rule 12: results ----------------------------------------------------------------------


async def test_returning_nothing() -> None:
    seen = await observe(
        flow(place("n", "ReturnNothing"), place("i", "Inspect", a="preset"), "n.out > i.a")
    )
    assert seen.node_outputs["n"] == {}
    assert seen.node_outputs["i"]["received"] == {"a": "preset", "c": "c-default"}


async def test_plain_function_runs_in_a_thread() -> None:
    seen = await observe(flow(place("p", "ReturnPlain")))
    assert seen.node_outputs["p"] == {"out": "not awaited"}


async def test_node_without_code_is_a_finding() -> None:
    with pytest.raises(WorkflowError) as caught:
        await observe(flow(place("n", "NoExec")))
    assert [(f.code, f.node) for f in caught.value.findings] == [("no_execute", "n")]


async def test_bypassed_node_needs_no_code() -> None:
    seen = await observe(flow(place("n", "NoExec", bypassed=True)))
    assert seen.status == "complete"


@pytest.mark.parametrize(
    ("node_type", "parts"),
    [("ReturnScalar", ["int", "mapping"]), ("ReturnExtra", ["undeclared", "declared: out"])],
)
async def test_refused_results(node_type: str, parts: list[str]) -> None:
    seen = await observe(flow(place("m", node_type)))
    assert all(part in reason(seen) for part in parts), reason(seen)
    details = seen.events.of("NODE_ERROR")[0]["errorDetails"]
    assert (details["nodeType"], details["pack"]) == (f"test:{node_type}", "test")


@pytest.mark.parametrize(
    "result", [{"stream": "text"}, {"stream": [Chunk.text("x")]}, {"stream": None}, {1: 2}, "text"]
)
async def test_stream_slot_accepts_only_streams(result: object) -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> object:
        return result

    seen = await observe(
        flow(place("m", "Made"), place("c", "Collect"), "m.stream > c.in"), made(execute)
    )
    assert seen.states == {"m": "error", "c": "skipped"}


async def test_stream_in_a_slot_for_plain_values_is_refused() -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> object:
        return {"out": inputs["in"]}

    seen = await observe(
        flow(place("s", "StreamCount"), place("m", "Made"), "s.stream > m.in"),
        made(execute, streams=True),
    )
    assert seen.states == {"s": "complete", "m": "error"}


async def test_stream_that_is_handed_on_is_the_same_stream() -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> object:
        return {"stream": inputs["in"], "out": 1}

    seen = await observe(
        flow(
            place("s", "StreamCount", n=500),
            place("m", "Made"),
            place("c", "Collect"),
            place("d", "Collect"),
            "s.stream > m.in",
            "m.stream > c.in",
            "m.stream > d.in",
        ),
        made(execute, streams=True),
        limits=EngineLimits(stream_buffer=2),
    )
    assert seen.status == "complete"
    text = "".join(map(str, range(500)))
    assert seen.node_outputs["c"]["text"] == seen.node_outputs["d"]["text"] == text

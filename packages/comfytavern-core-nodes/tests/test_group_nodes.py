"""GroupInput, GroupOutput and NodeGroup in whole workflows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
import pytest

import comfytavern_core_nodes
from comfytavern.authoring import Output, node
from comfytavern.chunks import Chunk, Outputs
from comfytavern.definitions import NodeDefinition
from comfytavern.errors import WorkflowError
from comfytavern.events import Status
from comfytavern.testing import GraphResult, run_graph

# Workflows are JSON of many shapes, so their values stay Any.
Json = dict[str, Any]


async def words(text: str = "a b c") -> AsyncIterator[Annotated[str, Output("stream")]]:
    """Stream the words of a text."""
    for word in text.split():
        yield word


async def breaks() -> AsyncIterator[Annotated[Chunk | Outputs, Output("stream")]]:
    """Stream one word, and fail when its readers wait for the next."""
    yield Chunk.text("one")
    await anyio.wait_all_tasks_blocked()
    raise RuntimeError("the quill broke")


WORDS: NodeDefinition = node(type="Words")(words)
BREAKS: NodeDefinition = node(type="Breaks")(breaks)


def placed(node_id: str, node_type: str, **more: object) -> Json:
    full_type = node_type if ":" in node_type else f"core:{node_type}"
    return {"id": node_id, "type": full_type, "position": {"x": 0, "y": 0}, **more}


def joined(*ends: str) -> list[Json]:
    edges = []
    for number, end in enumerate(ends):
        source, target = end.split(" -> ")
        (source, source_slot), (target, target_slot) = source.split("."), target.split(".")
        edges.append(
            {
                "id": f"e{number}",
                "source": source,
                "sourceHandle": source_slot,
                "target": target,
                "targetHandle": target_slot,
            }
        )
    return edges


def slots(**types: str) -> Json:
    return {
        key: {"key": key, "dataFlowType": name.removesuffix("~"), "isStream": name.endswith("~")}
        for key, name in types.items()
    }


async def run(workflow: Json, **options: Any) -> GraphResult:
    with anyio.fail_after(5):
        return await run_graph(workflow, comfytavern_core_nodes, WORDS, BREAKS, **options)


ECHO: Json = {
    "nodes": [placed("in", "GroupInput"), placed("out", "GroupOutput")],
    "edges": joined("in.said -> out.heard", "in.count -> out.count"),
    "interfaceInputs": slots(said="STRING", count="INTEGER"),
    "interfaceOutputs": slots(heard="STRING", count="INTEGER"),
}


async def test_group_input_gives_on_what_it_was_given() -> None:
    result = await run(ECHO, inputs={"said": "hello", "count": 0})
    assert result.status is Status.COMPLETE
    assert result.outputs == {"heard": "hello", "count": 0}
    assert result.node_outputs["in"] == {"said": "hello", "count": 0}


async def test_what_was_not_given_is_absent() -> None:
    result = await run(ECHO, inputs={"count": 1})
    assert result.node_outputs["in"] == {"count": 1}


async def test_group_output_gives_nothing_itself() -> None:
    result = await run(ECHO, inputs={"said": "hello"})
    assert result.node_outputs["out"] == {}


async def test_group_output_reads_every_stream_at_once() -> None:
    # Longer than any buffer, and of one writer: read one after the other they could not end.
    text = " ".join(map(str, range(1000)))
    workflow: Json = {
        "nodes": [
            placed("words", "test:Words", inputValues={"text": text}),
            placed("logger", "StreamLogger"),
            placed("out", "GroupOutput"),
        ],
        "edges": joined(
            "words.stream -> out.first",
            "words.stream -> logger.inputStream",
            "logger.outputStream -> out.second",
        ),
        "interfaceOutputs": slots(first="STRING~", second="STRING~"),
    }
    result = await run(workflow)
    assert result.status is Status.COMPLETE
    assert result.outputs == dict.fromkeys(("first", "second"), text.replace(" ", ""))


async def test_one_broken_stream_does_not_stop_the_reading_of_others() -> None:
    text = " ".join(map(str, range(1000)))
    workflow: Json = {
        "nodes": [
            placed("words", "test:Words", inputValues={"text": text}),
            placed("breaks", "test:Breaks"),
            placed("out", "GroupOutput"),
        ],
        "edges": joined("words.stream -> out.whole", "breaks.stream -> out.part"),
        "interfaceOutputs": slots(whole="STRING~", part="STRING~"),
    }
    result = await run(workflow)
    assert result.status is Status.ERROR
    assert result.outputs["whole"] == text.replace(" ", "")
    assert result.outputs["part"] == "one"
    assert result.states == {
        "words": Status.COMPLETE,
        "breaks": Status.ERROR,
        "out": Status.ERROR,
    }


SHOUTING: Json = {
    "nodes": [
        placed("in", "GroupInput"),
        placed("merge", "TextMerge", inputValues={"separator": ""}),
        placed("mark", "StringConstant", inputValues={"value": "!"}),
        placed("out", "GroupOutput"),
    ],
    "edges": joined(
        "in.said -> merge.text_inputs__0",
        "mark.value -> merge.text_inputs__1",
        "merge.merged_text -> out.loud",
    ),
    "interfaceInputs": {"said": slots(said="STRING")["said"] | {"config": {"default": "hm"}}},
    "interfaceOutputs": slots(loud="STRING"),
}


def group(**inputs: object) -> Json:
    config = {"referencedWorkflowId": "shouting"}
    return placed("group", "NodeGroup", inputValues=inputs, configValues=config)


@pytest.mark.parametrize(("inputs", "loud"), [({"said": "ho"}, "ho!"), ({}, "hm!")])
async def test_group_runs_the_workflow_it_refers_to(inputs: Json, loud: str) -> None:
    workflow: Json = {
        "nodes": [group(**inputs), placed("out", "GroupOutput")],
        "edges": joined("group.loud -> out.loud"),
        "interfaceOutputs": slots(loud="STRING"),
    }
    result = await run(workflow, workflows={"shouting": SHOUTING})
    assert result.outputs == {"loud": loud}
    assert result.node_outputs["group/merge"] == {"merged_text": loud}


async def test_group_without_a_workflow_is_known_before_the_run() -> None:
    workflow = {"nodes": [placed("group", "NodeGroup")], "edges": []}
    with pytest.raises(WorkflowError, match="node 'group' names no workflow"):
        await run(workflow)


async def test_streams_flow_out_of_a_group_and_through_the_relay() -> None:
    inner: Json = {
        "nodes": [
            placed("in", "GroupInput"),
            placed("words", "test:Words"),
            placed("out", "GroupOutput"),
        ],
        "edges": joined("in.text -> words.text", "words.stream -> out.words"),
        "interfaceInputs": slots(text="STRING"),
        "interfaceOutputs": slots(words="STRING~"),
    }
    workflow: Json = {
        "nodes": [
            group(text="x y"),
            placed("relay", "StreamSuffixRelay", inputValues={"suffix": "."}),
            placed("collect", "Collect"),
            placed("out", "GroupOutput"),
        ],
        "edges": joined(
            "group.words -> relay.inputStream",
            "relay.outputStream -> collect.inputStream",
            "collect.text -> out.text",
            "relay.outputStream -> out.stream",
        ),
        "interfaceOutputs": slots(text="STRING", stream="STRING~"),
    }
    result = await run(workflow, workflows={"shouting": inner})
    assert result.outputs == {"text": "x.y.", "stream": "x.y."}


BYPASSED: tuple[tuple[str, Json, str | None, str, object], ...] = (
    ("StreamSuffixRelay", {"suffix": "!"}, "words.stream -> it.inputStream", "outputStream", "abc"),
    ("StreamLogger", {}, "words.stream -> it.inputStream", "outputStream", "abc"),
    ("MathOperation", {"a": 4.0, "b": 2.0}, None, "result", 4.0),
    ("MathOperation", {"a": 4.0, "b": 2.0}, None, "integer", 0),
    ("Switch", {"condition": False, "if_true": "x", "if_false": "y"}, None, "output", "x"),
    ("RandomNumber", {"mode": "increase", "value": 7}, None, "number", 7),
    ("TextMerge", {"text_inputs": ["x", "y"]}, None, "merged_text", "x"),
)


@pytest.mark.parametrize(("name", "inputs", "edge", "slot", "value"), BYPASSED)
async def test_bypassed_node(
    name: str, inputs: Json, edge: str | None, slot: str, value: object
) -> None:
    flow = "STRING~" if edge else "WILDCARD"
    workflow: Json = {
        "nodes": [
            placed("words", "test:Words"),
            placed("it", name, inputValues=inputs, bypassed=True),
            placed("out", "GroupOutput"),
        ],
        "edges": joined(*([edge] if edge else []), f"it.{slot} -> out.value"),
        "interfaceOutputs": slots(value=flow),
    }
    assert (await run(workflow)).outputs == {"value": value}

"""The workflows in ``examples/`` that need no pack but this one really run."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest

import comfytavern_core_nodes
from comfytavern.authoring import Output, node
from comfytavern.chunks import Chunk, Outputs
from comfytavern.definitions import NodeDefinition, OutputDefinition
from comfytavern.events import Status
from comfytavern.testing import GraphResult, run_graph
from comfytavern.types import DataFlowType

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
# Read while the tests are collected: a test on the event loop must not wait for a disk.
WORKFLOWS: dict[str, dict[str, Any]] = {  # Any: JSON
    path.name: json.loads(path.read_text("utf-8")) for path in sorted(EXAMPLES.glob("*.json"))
}
FILES = {
    path.relative_to(EXAMPLES).as_posix(): path.read_bytes()
    for folder in ("characters", "worlds", "presets", "histories", "regex")
    for path in (EXAMPLES / folder).iterdir()
}

every_example = pytest.mark.parametrize("name", WORKFLOWS)


@every_example
def test_canvas_is_laid_out(name: str) -> None:
    workflow = WORKFLOWS[name]
    ids = [placed["id"] for placed in workflow["nodes"]]
    assert len(ids) == len(set(ids))
    places = [(placed["position"]["x"], placed["position"]["y"]) for placed in workflow["nodes"]]
    for (x, y), (other_x, other_y) in itertools.combinations(places, 2):
        assert abs(x - other_x) >= 320 or abs(y - other_y) >= 160, "two nodes overlap"
    columns = dict(zip(ids, (x for x, _ in places), strict=True))
    for edge in workflow["edges"]:
        assert columns[edge["source"]] < columns[edge["target"]], "an edge leads to the left"


@every_example
def test_interface_is_described(name: str) -> None:
    workflow = WORKFLOWS[name]
    assert workflow["name"]
    assert workflow["description"]
    for slots in (workflow["interfaceInputs"], workflow["interfaceOutputs"]):
        for key, slot in slots.items():
            assert slot["key"] == key
            assert slot["displayName"]
            assert slot["description"]


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("hello.json", {}, {"greeting": "Good evening, Traveller"}),
        ("greeting-group.json", {"name": "Ann"}, {"greeting": "Good evening, Ann"}),
        (
            "group.json",
            {},
            {
                "greetings": "Good evening, Traveller\nGood evening, Old Friend\n"
                "Good evening, stranger"
            },
        ),
        ("bypass.json", {}, {"sum": 8.0, "sentence": "8 coins for two beds"}),
        (
            "interface-inputs.json",
            {},
            {"welcome": "Supper is served, Traveller, leek soup", "coins": 2},
        ),
        (
            "interface-inputs.json",
            {"guest": "Ann", "nights": 3, "late": True, "dish": "bread"},
            {"welcome": "The kitchen is closed, Ann, bread", "coins": 6},
        ),
    ],
)
async def test_example_runs(name: str, inputs: dict[str, object], outputs: object) -> None:
    result = await run_graph(
        WORKFLOWS[name], comfytavern_core_nodes, inputs=inputs, workflows=WORKFLOWS
    )
    assert result.status is Status.COMPLETE
    assert result.outputs == outputs


sent: list[object] = []


async def answer(
    messages: object, parameters: object = None, stream: bool = True
) -> AsyncIterator[Annotated[str | Chunk | Outputs, Output("stream_output")]]:
    """Answer in place of the chat node, which another pack brings."""
    sent.append(messages)
    yield "The stew "
    yield "is hot."
    yield Chunk.finish_reason("stop")
    yield Outputs(responseText="The stew is hot.")


STAND_IN: NodeDefinition = node(
    type="GenericLlmRequest",
    outputs={"responseText": OutputDefinition(data_flow_type=DataFlowType.STRING)},
)(answer)


async def chat(example: str, **inputs: object) -> GraphResult:
    sent.clear()
    return await run_graph(
        WORKFLOWS[example],
        comfytavern_core_nodes,
        STAND_IN,
        inputs=inputs,
        resources=FILES,
        aliases={"core": ("comfytavern-core-nodes", "test")},
    )


async def test_fan_out() -> None:
    result = await chat("fan-out.json")
    assert result.status is Status.COMPLETE
    assert result.outputs == {
        "reply": "The stew is hot.",
        "barred": "The stew |is hot.|",
        "chunks": 3,
    }


async def test_tavern_chat_asks_as_the_character_and_hands_out_the_reply() -> None:
    result = await chat("tavern-chat.json", name="Ann")
    assert result.status is Status.COMPLETE
    assert result.outputs == {"reply": "The stew is hot.", "text": "The stew is hot."}
    [messages] = sent
    assert isinstance(messages, list)
    assert messages[0]["role"] == "system"
    assert "Hesper Dunmallow keeps the Ninth Lantern" in messages[0]["content"]
    assert {"role": "user", "content": "Good evening! What's good tonight?"} in messages
    assert "{{user}}" not in json.dumps(messages)


async def test_roleplay_gives_everything_to_the_model_and_says_why() -> None:
    result = await chat("roleplay.json", name="Ann")
    assert result.status is Status.COMPLETE
    assert result.outputs["reply"] == result.outputs["text"] == "The stew is hot."
    [messages] = sent
    assert isinstance(messages, list)
    said = [message["content"] for message in messages]
    assert said[0].startswith("You are Hesper Dunmallow")
    assert said[0].endswith("Small gestures, concrete things, no summary.")
    assert said[-2].endswith('"Then who rows the night ferry, with this storm coming?"')
    assert any("Odile Dunmallow rows the night ferry" in text for text in said)
    report: Any = result.outputs["report"]  # Any: JSON
    entries = {entry["comment"]: entry for entry in report["world_info"]["entries"]}
    assert {
        title: entries[title]["steps"][-1] for title in entries if entries[title]["active"]
    } == {
        "The slate": "round 1: active (key 'slate' in message 4)",
        "Weather as guests": "round 1: active (roll 46.3 <= 80; key 'storm' in message 6)",
        "Odile and the night ferry": (
            "round 1: active (key 'ferry' in message 6 and 'night' in message 6)"
        ),
        "The ninth lantern": "round 1: active (key 'ninth lantern' in message 4)",
        "The tavern (always)": "round 1: active (constant)",
        "The causeway": ("round 2: active (key 'causeway' in the text of The Ninth Lantern.5)"),
    }
    assert report["dropped"] == [{"part": "enhanceDefinitions", "reason": "disabled in the preset"}]
    assert report["warnings"] == []


def test_readme_names_every_example() -> None:
    readme = (EXAMPLES / "README.md").read_text("utf-8")
    unnamed = [name for name in (*WORKFLOWS, *FILES) if f"`{name}`" not in readme]
    assert unnamed == []

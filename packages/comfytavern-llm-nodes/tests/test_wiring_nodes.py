"""The small nodes: messages made, joined, written as text; JSON read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfytavern.errors import NodeFailedError
from comfytavern.testing import run_node
from comfytavern_llm_nodes.nodes import DEFINITIONS

NODES = {definition.type: definition for definition in DEFINITIONS}
HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello", "name": "Ann"}


async def given(type_: str, config: dict[str, object] | None = None, **inputs: Any) -> Any:
    [value] = (await run_node(NODES[type_], config=config, **inputs)).outputs.values()
    return value


@pytest.mark.parametrize(
    ("type_", "inputs", "outputs"),
    [
        ("CreateMessage", ["role", "content"], ["messages"]),
        ("MergeMessages", ["message_inputs"], ["messages"]),
        (
            "History",
            [f"{kind}{number}" for number in range(1, 5) for kind in ("role", "content")],
            ["history"],
        ),
        ("MergeHistory", ["history1", "history2", "history3", "history4"], ["history"]),
        ("MessagesToText", ["messages"], ["text"]),
        ("ParseJson", ["text"], ["value"]),
    ],
)
def test_slots(type_: str, inputs: list[str], outputs: list[str]) -> None:
    assert list(NODES[type_].inputs) == inputs
    assert list(NODES[type_].outputs) == outputs
    assert NODES[type_].category == "LLM"
    assert NODES[type_].description
    assert all(slot.description for slot in NODES[type_].inputs.values())


async def test_create_message() -> None:
    assert await given("CreateMessage", content="Hi") == [HI]
    assert await given("CreateMessage", role="system", content="") == [
        {"role": "system", "content": ""}
    ]
    with pytest.raises(NodeFailedError, match=r": the message has role 'usr'; did you mean"):
        await given("CreateMessage", role="usr")


async def test_merge_messages() -> None:
    assert NODES["MergeMessages"].inputs["message_inputs"].multi
    joined = await given("MergeMessages", message_inputs=[[HI], HELLO, json.dumps([HI]), None])
    assert joined == [HI, HELLO, HI]
    assert await given("MergeMessages") == []


async def test_history_leaves_out_what_is_empty() -> None:
    said = await given("History", content1="Hi", content2="Hello", content4="Bye")
    assert said == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "assistant", "content": "Bye"},
    ]


async def test_merge_history() -> None:
    joined = await given("MergeHistory", history1=[HI], history3=json.dumps([HELLO]), history4="")
    assert joined == [HI, HELLO]
    with pytest.raises(NodeFailedError, match=r": history2 is a boolean; expected a list"):
        await given("MergeHistory", history2=True)


async def test_inputs_are_not_changed() -> None:
    message = dict(HI)
    [copied] = await given("MergeHistory", history1=[message])
    assert copied == message
    assert copied is not message


async def test_messages_to_text() -> None:
    parts = {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}
    messages = [HI, HELLO, parts]
    assert await given("MessagesToText", messages=messages) == "user: Hi\n\nAnn: Hello\n\nuser: a"
    plain = await given("MessagesToText", {"with_roles": False}, messages=messages)
    assert plain == "Hi\n\nHello\n\na"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1]}', {"a": [1]}),
        (" null ", None),
        ('```json\n{"a": 1}\n```\n', {"a": 1}),
        ("```\n[1]```", [1]),
    ],
)
async def test_parse_json(text: str, value: object) -> None:
    assert await given("ParseJson", text=text) == value


async def test_what_is_no_json() -> None:
    with pytest.raises(NodeFailedError, match=r"not JSON: Expecting value: line 1"):
        await given("ParseJson", text="Sure! Here it is")
    with pytest.raises(NodeFailedError, match=r"the text is nested too deeply$"):
        await given("ParseJson", text="[" * 100_000)

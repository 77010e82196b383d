"""GenericLlmRequest: its slots, what it sends, what it gives, how it fails."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import pytest

from comfytavern.chunks import Chunk
from comfytavern.errors import NodeFailedError
from comfytavern.testing import NodeResult, run_node
from comfytavern_llm_nodes.adapters import BUILT_IN, EchoAdapter, LlmError, LlmReply, LlmRequest
from comfytavern_llm_nodes.channels import Channel
from comfytavern_llm_nodes.nodes.generic_request import GENERIC_LLM_REQUEST
from comfytavern_llm_nodes.router import ChannelRouter
from comfytavern_llm_nodes.settings import LlmSettings

MESSAGES = [{"role": "user", "content": "Hi"}]
REPLY = "[echo: an offline test model] You said: “Hi”"


class Recorder(EchoAdapter):
    """An echo that remembers what it was asked; ``fail`` makes it fail after some text."""

    asked: list[LlmRequest]
    fail = False

    async def stream(self, request: LlmRequest) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request)
        async with aclosing(super().stream(request)) as chunks:
            async for chunk in chunks:
                yield chunk
                if self.fail and chunk.type == "text_chunk":
                    raise LlmError("a", "the server answered 500", provider_message="no")

    async def complete(self, request: LlmRequest) -> LlmReply:
        self.asked.append(request)
        return await EchoAdapter(Channel(label="a")).complete(request)


class Bench:
    """A router over a recorder, and the node run on it."""

    def __init__(self) -> None:
        self.asked: list[LlmRequest] = []
        self.adapter: Recorder | None = None
        block = {"channels": [{"label": "a", "adapter": "echo", "models": ["m1", "m2"]}]}
        settings = LlmSettings.model_validate(block)
        self.router = ChannelRouter(settings, {**BUILT_IN, "echo": self._make})

    def _make(self, channel: Channel) -> Recorder:
        self.adapter = Recorder(channel)
        self.adapter.asked = self.asked
        return self.adapter

    async def run(self, config: Mapping[str, object] | None = None, **inputs: object) -> NodeResult:
        services = {"llm": self.router}
        inputs = {"messages": MESSAGES} | inputs
        return await run_node(GENERIC_LLM_REQUEST, inputs, config=config, services=services)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_slots_that_workflows_rely_on() -> None:
    def slots(named: object) -> dict[str, str]:
        assert isinstance(named, dict)
        return {
            name: slot.data_flow_type.value + ("~" if getattr(slot, "is_stream", False) else "")
            for name, slot in named.items()
        }

    assert slots(GENERIC_LLM_REQUEST.inputs) == {
        "messages": "WILDCARD",
        "parameters": "OBJECT",
        "activated_model_id": "STRING",
        "temperature": "FLOAT",
        "max_tokens": "INTEGER",
        "top_p": "FLOAT",
        "seed": "INTEGER",
        "stream": "BOOLEAN",
    }
    assert slots(GENERIC_LLM_REQUEST.outputs) == {
        "response": "OBJECT",
        "responseText": "STRING",
        "usage": "OBJECT",
        "stream_output": "STRING~",
    }
    assert slots(GENERIC_LLM_REQUEST.config_schema) == {"required_capabilities": "STRING"}


async def test_streamed_reply(bench: Bench) -> None:
    result = await bench.run()
    texts = [str(content) for kind, content in result.chunks if kind == "text_chunk"]
    assert len(texts) > 3
    assert "".join(texts) == REPLY == result.outputs["responseText"]
    usage = result.outputs["usage"]
    assert isinstance(usage, dict)
    assert result.chunks[-2:] == [Chunk.finish_reason("stop"), Chunk.usage(usage)]
    assert result.outputs["response"] == {
        "channel": "a",
        "adapter": "echo",
        "model": "echo",
        "text": REPLY,
        "reasoning": "",
        "finish_reason": "stop",
        "tool_calls": [],
        "usage": usage,
    }
    assert json.dumps(result.outputs)
    assert [text for _, _, text in result.progress] == [
        "waiting for channel 'a'",
        "channel 'a' answers",
        "channel 'a', 8 tokens",
    ]


async def test_reply_in_one_piece(bench: Bench) -> None:
    result = await bench.run(stream=False)
    assert result.chunks[0] == Chunk.text(REPLY)
    assert result.outputs["responseText"] == REPLY
    assert bench.asked[0].stream is False


@pytest.mark.parametrize(
    "messages",
    [MESSAGES, tuple(MESSAGES), MESSAGES[0], json.dumps(MESSAGES), json.dumps(MESSAGES[0])],
)
async def test_messages_as_list_or_text(bench: Bench, messages: object) -> None:
    await bench.run(messages=messages)
    assert list(bench.asked[0].messages) == MESSAGES


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "messages is empty; expected at least one message"),
        (" ", "messages is empty; expected at least one message"),
        (7, "messages is a whole number; expected a list of messages"),
        ("Hello", "messages is text but not JSON: "),
        ('"Hello"', "messages is the JSON of a text; expected a list of messages"),
        ([{"role": "asistant"}], "messages[0] has role 'asistant'; did you mean 'assistant'?"),
        ([{"role": "user", "content": None}], "messages[0] (user) has null as content"),
        ([7], "messages[0] is a whole number; expected role and content"),
    ],
)
async def test_messages_that_are_none(bench: Bench, messages: object, said: str) -> None:
    with pytest.raises(NodeFailedError) as caught:
        await bench.run(messages=messages)
    assert caught.value.reason.startswith(said)
    assert bench.asked == []


async def test_parameters_beat_single_inputs(bench: Bench) -> None:
    await bench.run(
        parameters={"temperature": 0.1, "stop": ["\n"], "top_p": None, "model": "m2"},
        activated_model_id="m1",
        temperature=0.9,
        max_tokens=100.0,
        seed=7,
    )
    assert bench.asked[0].parameters == {
        "temperature": 0.1,
        "max_tokens": 100,
        "seed": 7,
        "stop": ["\n"],
    }
    assert isinstance(bench.asked[0].parameters["max_tokens"], int)
    assert bench.asked[0].model == "m2"


async def test_stream_among_the_parameters(bench: Bench) -> None:
    await bench.run(parameters={"stream": False}, stream=True)
    assert bench.asked[0].stream is False


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"parameters": 7}, "parameters is a whole number; expected an object"),
        ({"parameters": {"messages": []}}, "parameters holds 'messages'; connect them"),
        ({"parameters": {"model": 7}}, "the model is a whole number; expected its name"),
    ],
)
async def test_parameters_that_are_none(bench: Bench, inputs: dict[str, Any], said: str) -> None:
    with pytest.raises(NodeFailedError) as caught:
        await bench.run(**inputs)
    assert caught.value.reason.startswith(said)


@pytest.mark.parametrize("model", [None, "", " "])
async def test_without_model_the_channel_decides(bench: Bench, model: object) -> None:
    await bench.run(activated_model_id=model)
    assert bench.asked[0].model == "m1"


async def test_capabilities_are_required(bench: Bench) -> None:
    with pytest.raises(NodeFailedError, match="capabilities 'llm', 'vision'; channels: 'a'"):
        await bench.run({"required_capabilities": "llm, vision"})


@pytest.mark.parametrize("wanted", ["", "llm", " llm ,, chat "])
async def test_capabilities_that_are_there(bench: Bench, wanted: str) -> None:
    assert (await bench.run({"required_capabilities": wanted})).outputs["responseText"] == REPLY


async def test_a_failed_request_is_an_error_and_no_text(bench: Bench) -> None:
    assert bench.adapter is not None
    bench.adapter.fail = True
    with pytest.raises(NodeFailedError) as caught:
        await bench.run()
    assert caught.value.reason == "channel 'a': the server answered 500: no"
    assert caught.value.error_code == "llm_request_failed"


def test_the_editor_learns_of_every_slot() -> None:
    wire = json.loads(json.dumps(GENERIC_LLM_REQUEST.to_wire()))
    assert wire["inputs"]["stream"]["config"] == {"default": True}
    assert all(slot["description"] for slot in wire["inputs"].values())
    assert wire["outputs"]["stream_output"]["isStream"] is True

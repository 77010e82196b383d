"""OpenAIChat and OpenAI: their slots, what they send, what they give."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import pytest

from comfytavern.chunks import Chunk
from comfytavern.definitions import NodeDefinition
from comfytavern.errors import NodeFailedError
from comfytavern.testing import NodeResult, run_node
from comfytavern_llm_nodes.adapters import LlmReply, LlmRequest
from comfytavern_llm_nodes.channels import Channel
from comfytavern_llm_nodes.nodes.api_settings import API_SETTINGS_NODE
from comfytavern_llm_nodes.nodes.openai_nodes import OPENAI, OPENAI_CHAT
from comfytavern_llm_nodes.router import ChannelRouter
from comfytavern_llm_nodes.settings import LlmSettings

from .test_images import data_url, picture, sent

HISTORY = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]


class Answering:
    """An adapter that remembers what it was asked."""

    deterministic = True

    def __init__(self, channel: Channel) -> None:
        self.asked: list[LlmRequest] = []

    async def stream(self, request: LlmRequest) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request)
        yield Chunk.text("Well ")
        yield Chunk.text("said.")

    async def complete(self, request: LlmRequest) -> LlmReply:
        self.asked.append(request)
        return LlmReply("Well said.", usage={"completion_tokens": 2})

    async def close(self) -> None: ...


class Bench:
    def __init__(self) -> None:
        self.adapters: list[Answering] = []
        block = {"channels": [{"label": "a", "adapter": "answering"}]}
        settings = LlmSettings.model_validate(block)
        self.router = ChannelRouter(settings, {"answering": self._make})

    def _make(self, channel: Channel) -> Answering:
        self.adapters.append(Answering(channel))
        return self.adapters[-1]

    @property
    def asked(self) -> LlmRequest:
        [request] = self.adapters[0].asked
        return request

    @property
    def parts(self) -> list[dict[str, Any]]:  # Any: JSON
        """The parts of the one message that was sent."""
        [message] = self.asked.messages
        content = message["content"]
        assert isinstance(content, list)
        return content

    async def run(
        self, definition: NodeDefinition, inputs: Mapping[str, object], **files: bytes
    ) -> NodeResult:
        services = {"llm": self.router}
        return await run_node(definition, inputs, services=services, resources=files)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def slots(named: Mapping[str, object]) -> dict[str, str]:
    return {
        name: slot.data_flow_type.value + ("~" if getattr(slot, "is_stream", False) else "")  # type: ignore[attr-defined]  # slots
        for name, slot in named.items()
    }


def test_slots_that_workflows_rely_on() -> None:
    assert slots(OPENAI_CHAT.inputs) == {
        "api_settings": "OBJECT",
        "model": "STRING",
        "temperature": "FLOAT",
        "max_tokens": "INTEGER",
        "system_prompt": "STRING",
        "user_input": "STRING",
        "external_history": "STRING",
        "image": "WILDCARD",
    }
    assert slots(OPENAI_CHAT.outputs) == {
        "full_conversation": "STRING",
        "current_output": "STRING",
        "history": "STRING",
    }
    assert slots(OPENAI.inputs) == {
        "api_settings": "OBJECT",
        "model": "STRING",
        "prompt": "STRING",
        "temperature": "FLOAT",
        "max_tokens": "INTEGER",
        "system_prompt": "STRING",
        "history": "STRING",
        "image": "WILDCARD",
        "stream": "BOOLEAN",
    }
    assert slots(OPENAI.outputs) == {"response": "STRING", "stream_output": "STRING~"}
    assert slots(API_SETTINGS_NODE.inputs) == {
        "use_env_vars": "BOOLEAN",
        "base_url": "STRING",
        "api_key": "STRING",
    }
    assert slots(API_SETTINGS_NODE.outputs) == {"api_settings": "OBJECT"}


@pytest.mark.parametrize("definition", [OPENAI, OPENAI_CHAT, API_SETTINGS_NODE])
def test_the_editor_learns_of_every_slot(definition: NodeDefinition) -> None:
    assert definition.display_name
    for slot in (*definition.inputs.values(), *definition.outputs.values()):
        assert slot.display_name
        assert slot.description


async def test_chat(bench: Bench) -> None:
    inputs = {
        "system_prompt": "Be kind.",
        "user_input": "And now?",
        "external_history": json.dumps([{"role": "system", "content": "Be rude."}, *HISTORY]),
        "model": "m",
        "temperature": 0.5,
        "max_tokens": 9.0,
    }
    result = await bench.run(OPENAI_CHAT, inputs)
    system, said = (
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "And now?"},
    )
    assert list(bench.asked.messages) == [system, *HISTORY, said]
    assert (bench.asked.model, bench.asked.stream) == ("m", False)
    assert bench.asked.parameters == {"temperature": 0.5, "max_tokens": 9}
    spoken = [*HISTORY, said, {"role": "assistant", "content": "Well said."}]
    assert result.outputs["current_output"] == "Well said."
    assert json.loads(str(result.outputs["history"])) == spoken
    assert result.outputs["full_conversation"] == (
        "user: Hi\n\nassistant: Hello.\n\nuser: And now?\n\nassistant: Well said."
    )
    assert result.progress[-1][2] == "channel 'a', 2 tokens"


async def test_the_history_goes_round(bench: Bench) -> None:
    result = await bench.run(OPENAI_CHAT, {"user_input": "One"})
    inputs = {"user_input": "Two", "external_history": result.outputs["history"]}
    again = await bench.run(OPENAI_CHAT, inputs)
    assert str(again.outputs["full_conversation"]).count("Well said.") == 2


async def test_a_history_as_a_list(bench: Bench) -> None:
    await bench.run(OPENAI_CHAT, {"external_history": HISTORY})
    assert list(bench.asked.messages) == HISTORY


async def test_chat_about_a_picture(bench: Bench) -> None:
    inputs = {"user_input": "What is it?", "image": "shared://a.png"}
    result = await bench.run(OPENAI_CHAT, inputs, **{"shared://a.png": picture("RGBA")})
    text, image = bench.parts
    assert text == {"type": "text", "text": "What is it?"}
    assert sent(image["image_url"]["url"]).format == "PNG"
    assert json.loads(str(result.outputs["history"]))[0]["content"] == "What is it?"
    assert "base64" not in str(result.outputs)


async def test_a_picture_without_words(bench: Bench) -> None:
    await bench.run(OPENAI, {"image": data_url(picture())})
    assert [part["type"] for part in bench.parts] == ["image_url"]


@pytest.mark.parametrize("stream", [True, False, None])
async def test_prompt(bench: Bench, stream: bool | None) -> None:
    given: dict[str, object] = {} if stream is None else {"stream": stream}
    inputs = {"prompt": "Say it.", "history": json.dumps(HISTORY), **given}
    result = await bench.run(OPENAI, inputs)
    assert result.outputs == {"response": "Well said."}
    assert result.text == "Well said."
    texts = [chunk for chunk in result.chunks if chunk.type == "text_chunk"]
    assert len(texts) == (1 if stream is False else 2)
    assert bench.asked.stream is (stream is not False)
    assert list(bench.asked.messages) == [*HISTORY, {"role": "user", "content": "Say it."}]


@pytest.mark.parametrize(
    ("definition", "inputs", "said"),
    [
        (OPENAI, {}, "prompt is empty; expected something to say"),
        (OPENAI_CHAT, {"user_input": " "}, "user_input is empty; expected something to say"),
        (OPENAI, {"prompt": "x", "history": "Hello"}, "history is text but not JSON"),
        (OPENAI, {"prompt": "x", "image": 7}, "the picture is a whole number"),
        (OPENAI, {"prompt": "x", "api_settings": []}, "api_settings is a list"),
    ],
)
async def test_inputs_that_are_none(
    bench: Bench, definition: NodeDefinition, inputs: dict[str, object], said: str
) -> None:
    with pytest.raises(NodeFailedError) as caught:
        await bench.run(definition, inputs)
    assert caught.value.reason.startswith(said)

"""The echo adapter: what it says, how it streams, and that it says what it is."""

from __future__ import annotations

import json

import anyio
import pytest

from comfytavern.chunks import Chunk
from comfytavern_llm_nodes.adapters import EchoAdapter, LlmRequest
from comfytavern_llm_nodes.adapters.echo import LABEL, character_name, echo_reply
from comfytavern_llm_nodes.channels import Channel


def user(text: object) -> dict[str, object]:
    return {"role": "user", "content": text}


def system(text: str) -> dict[str, object]:
    return {"role": "system", "content": text}


def adapter(**options: object) -> EchoAdapter:
    return EchoAdapter(Channel(label="echo", adapter="echo", options=options))


async def chunks_of(request: LlmRequest, **options: object) -> list[Chunk]:
    return [chunk async for chunk in adapter(**options).stream(request)]


async def test_words_come_one_by_one() -> None:
    chunks = await chunks_of(LlmRequest([user("How are\nyou?")]))
    words = [str(content) for kind, content in chunks if kind == "text_chunk"]
    assert "".join(words) == f"{LABEL} You said: “How are you?”"
    assert words[-2:] == ["are ", "you?”"]
    assert [c for c in chunks if c.type != "text_chunk"] == [
        Chunk("metadata_chunk", {"model": "echo"}),
        Chunk.finish_reason("stop"),
        Chunk.usage({"prompt_tokens": 3, "completion_tokens": 10, "total_tokens": 13}),
    ]


async def test_the_same_prompt_gets_the_same_reply() -> None:
    request = LlmRequest([system("You are Ann."), user("Hi")], parameters={"seed": 1})
    assert await chunks_of(request) == await chunks_of(request)


async def test_max_tokens_cuts_the_reply() -> None:
    reply = await adapter().complete(LlmRequest([user("Hi")], parameters={"max_tokens": 2}))
    assert reply.text == "[echo: an "
    assert reply.finish_reason == "length"
    assert reply.usage["completion_tokens"] == 2


async def test_whole_reply_is_the_streams() -> None:
    reply = await adapter().complete(LlmRequest([user("你好 there")]))
    assert reply.text == f"{LABEL} You said: “你好 there”"
    assert reply.metadata == {"model": "echo"}


async def test_delay_paces_the_words() -> None:
    with anyio.fail_after(5), anyio.move_on_after(0.05) as scope:
        await chunks_of(LlmRequest([user("Hi")]), delay=10)
    assert scope.cancelled_caught


@pytest.mark.parametrize("options", [{"delay": -1}, {"delay": "slow"}, {"dealy": 1}])
def test_options_that_do_not_fit(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^options\."):
        adapter(**options)


def test_a_character_replies() -> None:
    reply = echo_reply([system("Ann is a baker."), user("Two rolls, please.")])
    assert reply.startswith(f"{LABEL} *Ann ")
    assert "“Two rolls, please.”, you say?" in reply


def test_the_last_message_of_the_user_is_quoted() -> None:
    parts = [{"type": "image_url", "image_url": {}}, {"type": "text", "text": "second"}]
    answer: dict[str, object] = {"role": "assistant", "content": "x"}
    messages = [user("first"), answer, user(parts)]
    assert echo_reply(messages) == f"{LABEL} You said: “second”"
    assert echo_reply([user("x" * 999)]) == f"{LABEL} You said: “{'x' * 300}…”"


def test_nothing_was_said() -> None:
    assert echo_reply([system("Be kind.")]) == f"{LABEL} You have said nothing yet."
    assert "You have said nothing yet." in echo_reply([system("You are Ann.")])


def test_the_name_of_a_message_counts() -> None:
    said: dict[str, object] = {"role": "assistant", "content": "Hello", "name": "Mira"}
    assert echo_reply([said, user("Hi")]).startswith(f"{LABEL} *Mira ")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('[Seraphina\'s Personality= "caring", "protective"]', "Seraphina"),
        ("Write Old Tom's next reply in a fictional chat between Old Tom and User.", "Old Tom"),
        ("You are Mira Vale, keeper of the light.", "Mira Vale"),
        ("You are a helpful assistant.", None),
        ("Name: Zoë\nAge: 30", "Zoë"),
        ('[Character("Kei") Age("20")]', "Kei"),
        ("A quiet inn.\nBrann, once a sailor, is the keeper.", "Brann"),
        ("The road is long. Edda walks on. Nobody knows Edda.", "Edda"),
        ("你是小红\uff0c一个向导。", "小红"),
        ("", None),
    ],
)
def test_character_name(text: str, name: str | None) -> None:
    assert character_name(text) == name


def test_reply_is_json_whatever_was_said() -> None:
    assert json.dumps(echo_reply([user("\ud800 {name} %s {0}"), system("You are {Ann}.")]))

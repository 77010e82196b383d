"""The scripted chat service, as a client of httpx meets it; the fixture has its tests elsewhere."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from comfytavern.fake_llm import FAKE_BASE_URL, FakeLlm, FakeLlmExhaustedError

CALL = {"id": "c", "type": "function", "function": {"name": "roll", "arguments": "{}"}}
Json = Any  # Any: JSON


def ask(text: str, **more: object) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], **more}


async def chat(fake: FakeLlm, **more: object) -> httpx.Response:
    return await fake.http.post(f"{FAKE_BASE_URL}/chat/completions", json=ask("Hi", **more))


def events(response: httpx.Response) -> list[Json]:
    assert response.headers["content-type"] == "text/event-stream"
    lines = [line.removeprefix("data: ") for line in response.text.split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


async def test_a_whole_reply() -> None:
    fake = FakeLlm()
    fake.reply("a", "b", finish_reason="length", usage={"total_tokens": 2}, tool_calls=[CALL])
    body = (await chat(fake, model="tiny")).json()
    message = {"role": "assistant", "content": "ab", "tool_calls": [CALL]}
    assert body["choices"] == [{"index": 0, "message": message, "finish_reason": "length"}]
    assert (body["model"], body["usage"]) == ("tiny", {"total_tokens": 2})


async def test_a_streamed_reply() -> None:
    fake = FakeLlm()
    fake.reply("a", "b", usage={"total_tokens": 2}, tool_calls=[CALL])
    told = events(await chat(fake, stream=True))
    deltas = [event["choices"][0]["delta"] for event in told[:-1]]
    assert deltas == [
        {"content": "a"},
        {"content": "b"},
        {"tool_calls": [{"index": 0, **CALL}]},
        {},
    ]
    assert [e["choices"][0]["finish_reason"] for e in told[:-1]] == [None, None, None, "stop"]
    assert (told[-1]["choices"], told[-1]["usage"]) == ([], {"total_tokens": 2})


@pytest.mark.parametrize("stream", [False, True])
async def test_a_connection_that_breaks(stream: bool) -> None:
    fake = FakeLlm()
    fake.reply("a", breaks=True)
    with pytest.raises(httpx.ReadError, match=r"^the connection broke, as scripted$"):
        await chat(fake, stream=stream)


async def test_what_was_asked() -> None:
    fake = FakeLlm()
    await fake.http.get(f"{FAKE_BASE_URL}/models", headers={"X-Key": "k"})
    await chat(fake)
    models, asked = fake.requests
    assert (models.method, models.url, models.headers["x-key"]) == (
        "GET",
        f"{FAKE_BASE_URL}/models",
        "k",
    )
    assert (models.body, models.messages, models.prompt) == ({}, (), None)
    assert fake.chats == [asked]
    assert asked.prompt == "Hi"


async def test_the_script_comes_to_its_end() -> None:
    fake = FakeLlm()
    assert (await chat(fake)).json()["choices"][0]["message"]["content"]
    fake.reply("once")
    fake.fail("no", status=402)
    assert (await chat(fake)).status_code == 200
    refused = await chat(fake)
    assert (refused.status_code, refused.json()["error"]["message"]) == (402, "no")
    with pytest.raises(FakeLlmExhaustedError) as caught:
        await chat(fake)
    assert str(caught.value) == (
        "the fake LLM was asked 4 times and has 2 answers; add one with fake_llm.reply(...)"
    )


async def test_models_and_embeddings() -> None:
    fake = FakeLlm()
    models = (await fake.http.get(f"{FAKE_BASE_URL}/models")).json()
    assert models["data"] == [{"id": "fake-model"}]
    for texts, count in (["a", "bb"], 2), ("a", 1):
        made = await fake.http.post(f"{FAKE_BASE_URL}/embeddings", json={"input": texts})
        vectors = [each["embedding"] for each in made.json()["data"]]
        assert len(vectors) == len(set(map(tuple, vectors))) == count


@pytest.mark.parametrize("content", [b"", b"no JSON", b"[]"])
async def test_other_requests(content: bytes) -> None:
    fake = FakeLlm()
    answer = await fake.http.post("https://a.example/v1/images", content=content)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == (
        "the fake LLM does not answer POST /v1/images; it answers POST .../chat/completions,"
        " POST .../embeddings and GET .../models"
    )
    assert fake.requests[0].body == {}


def test_a_streamed_reply_without_a_loop() -> None:
    fake = FakeLlm()
    request = httpx.Request(
        "POST", f"{FAKE_BASE_URL}/chat/completions", json=ask("Hi", stream=True)
    )
    response = fake.respond(request)
    assert response.read().endswith(b"data: [DONE]\n\n")

"""The openai adapter against a real HTTP server: what a stream brings."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from contextlib import aclosing

import anyio
import pytest

from comfytavern.chunks import Chunk
from comfytavern_llm_nodes.adapters import LlmRequest
from comfytavern_llm_nodes.calls import LlmResponse
from comfytavern_llm_nodes.router import ChannelRouter

from .scripted_provider import ASK, KEY, Exchange, Provider, delta

MakeRouter = Callable[..., ChannelRouter]


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn runs on asyncio alone."""
    return "asyncio"


async def ask(router: ChannelRouter, request: LlmRequest = ASK) -> tuple[list[Chunk], LlmResponse]:
    call = router.call(request)
    with anyio.fail_after(5):
        async with aclosing(call.chunks()) as chunks:
            seen = [chunk async for chunk in chunks]
    return seen, call.response


async def test_text_finish_and_usage(provider: Provider, router: ChannelRouter) -> None:
    chunks, response = await ask(router)
    assert chunks[:3] == [Chunk.text("Hello "), Chunk.text("there"), Chunk.finish_reason("stop")]
    assert [chunk.type for chunk in chunks[3:]] == ["usage_chunk"]
    assert response.reply.text == "Hello there"
    assert response.usage["completion_tokens"] == 2
    assert {"seconds", "seconds_to_first_token", "tokens_per_second"} <= set(response.usage)
    assert (response.channel, response.adapter, response.model) == ("test", "openai", "tiny")


async def test_what_is_sent(provider: Provider, router: ChannelRouter) -> None:
    parameters = {"temperature": 0.5, "stream": False, "model": "other", "messages": []}
    await ask(router, LlmRequest(ASK.messages, "tiny", parameters))
    exchange = provider.exchanges[0]
    assert exchange.path == "/v1/chat/completions"
    assert exchange.body == {
        "temperature": 0.5,
        "messages": [{"role": "user", "content": "Hi"}],
        "model": "tiny",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert exchange.headers["authorization"] == f"Bearer {KEY}"


async def test_usage_is_not_asked_for_where_the_operator_says_so(
    provider: Provider, make_router: MakeRouter
) -> None:
    options = {"include_usage": False}
    await ask(make_router({"label": "a", "base_url": provider.base_url, "options": options}))
    assert "stream_options" not in provider.exchanges[0].body
    assert "model" not in provider.exchanges[0].body
    assert "authorization" not in provider.exchanges[0].headers


async def test_characters_split_between_network_chunks(
    provider: Provider, router: ChannelRouter
) -> None:
    text = "käse 你好 🍵\u2028end"

    async def script(exchange: Exchange) -> None:
        await exchange.start(content_type="text/event-stream; charset=latin-1")
        event = json.dumps(delta(text), ensure_ascii=False)
        for byte in f"data: {event}\r\n\r\n".encode():
            await exchange.write(bytes([byte]))
        await exchange.finish()
        await exchange.end()

    provider.script = script
    _, response = await ask(router)
    assert response.reply.text == text


async def test_chunks_arrive_while_the_stream_is_open(
    provider: Provider, router: ChannelRouter
) -> None:
    seen = anyio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.delta("first")
        await seen.wait()  # only the reader of the first chunk lets the rest come
        await exchange.delta(" second")
        await exchange.finish()
        await exchange.end()

    provider.script = script
    call = router.call(ASK)
    with anyio.fail_after(5):
        async with aclosing(call.chunks()) as chunks:
            assert await anext(chunks) == Chunk.text("first")
            seen.set()
            rest = [chunk async for chunk in chunks]
    assert rest[0] == Chunk.text(" second")


@pytest.mark.parametrize("finished", [True, False])
async def test_end_without_done(provider: Provider, router: ChannelRouter, finished: bool) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.delta("all of it")
        if finished:
            await exchange.finish(done=False)
        await exchange.end()

    provider.script = script
    _, response = await ask(router)
    assert response.reply.text == "all of it"
    assert response.reply.finish_reason == ("stop" if finished else None)


async def test_nothing_is_read_after_done(provider: Provider, router: ChannelRouter) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.delta("said")
        await exchange.finish()
        await exchange.until_disconnect()  # the server would keep the connection open

    provider.script = script
    _, response = await ask(router)
    assert response.reply.text == "said"


async def test_comments_empty_events_and_unknown_fields(
    provider: Provider, router: ChannelRouter
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.write(b": keep-alive\n\n: OPENROUTER PROCESSING\n\nid: 7\n\ndata:\n\n")
        await exchange.event({"choices": [], "prompt_filter_results": []})
        await exchange.event({"choices": [{"index": 0, "delta": {"role": "assistant"}}]})
        await exchange.event({"choices": [{"index": 1, "delta": {"content": "not asked for"}}]})
        await exchange.write(b": keep-alive\n\n")
        await exchange.delta("yes")
        await exchange.finish()
        await exchange.end()

    provider.script = script
    chunks, _ = await ask(router)
    assert [c for c in chunks if c.type == "text_chunk"] == [Chunk.text("yes")]


async def test_tool_calls(provider: Provider, router: ChannelRouter) -> None:
    def part(index: int, arguments: str, **first: str) -> dict[str, object]:
        function = {"arguments": arguments} | ({"name": first.pop("name")} if first else {})
        return {"index": index, "function": function, **first}

    async def script(exchange: Exchange) -> None:
        await exchange.start()
        for calls in (
            [part(0, "", id="a", name="look")],
            [part(0, '{"at":'), part(1, "{}", id="b", name="wait")],
            [part(0, '"door"}')],
        ):
            await exchange.event({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]})
        await exchange.finish("tool_calls")
        await exchange.end()

    provider.script = script
    chunks, response = await ask(router)
    assert [c.type for c in chunks[:5]] == ["tool_call_chunk"] * 4 + ["finish_reason_chunk"]
    assert response.reply.tool_calls == (
        {"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"at":"door"}'}},
        {"id": "b", "type": "function", "function": {"name": "wait", "arguments": "{}"}},
    )


async def test_reasoning_is_no_part_of_the_text(provider: Provider, router: ChannelRouter) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.event(delta("", reasoning_content="hm"))
        await exchange.delta("Yes.")
        await exchange.finish()
        await exchange.end()

    provider.script = script
    chunks, response = await ask(router)
    assert chunks[0] == Chunk("reasoning_chunk", "hm")
    assert (response.reply.text, response.reply.reasoning) == ("Yes.", "hm")


async def test_compressed_stream(provider: Provider, router: ChannelRouter) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start(content_encoding="gzip")
        events = f"data: {json.dumps(delta('small'))}\n\ndata: [DONE]\n\n"
        await exchange.write(gzip.compress(events.encode()))
        await exchange.end()

    provider.script = script
    _, response = await ask(router)
    assert response.reply.text == "small"


async def test_a_compressed_stream_comes_as_it_is_written(
    provider: Provider, router: ChannelRouter
) -> None:
    seen = anyio.Event()

    async def script(exchange: Exchange) -> None:
        packer = zlib.compressobj(wbits=31)

        async def write(event: object) -> None:
            data = packer.compress(f"data: {json.dumps(event)}\n\n".encode())
            await exchange.write(data + packer.flush(zlib.Z_SYNC_FLUSH))

        assert "gzip" in exchange.headers["accept-encoding"]
        await exchange.start(content_encoding="gzip")
        await write(delta("first"))
        await seen.wait()
        await write(delta(" second"))
        await exchange.write(packer.flush())
        await exchange.end()

    provider.script = script
    with anyio.fail_after(5):
        async with aclosing(router.call(ASK).chunks()) as chunks:
            assert await anext(chunks) == Chunk.text("first")
            seen.set()
            assert await anext(chunks) == Chunk.text(" second")


COMPLETION = {
    "id": "c1",
    "model": "tiny-2",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Whole.",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "x", "arguments": "{}"}},
                    {"id": "b", "type": "function", "function": {"name": "y", "arguments": "{}"}},
                ],
            },
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


@pytest.mark.parametrize("stream", [False, True])
async def test_whole_reply(provider: Provider, router: ChannelRouter, stream: bool) -> None:
    """Asked for, or from a server that does not stream."""

    async def script(exchange: Exchange) -> None:
        await exchange.answer(COMPLETION)

    provider.script = script
    chunks, response = await ask(router, LlmRequest(ASK.messages, stream=stream))
    assert provider.exchanges[0].body["stream"] is stream
    assert chunks[0] == Chunk.text("Whole.")
    assert [c.type for c in chunks[1:]] == [
        "tool_call_chunk",
        "tool_call_chunk",
        "finish_reason_chunk",
        "usage_chunk",
    ]
    assert response.model == "tiny-2"
    assert [call["id"] for call in response.reply.tool_calls] == ["a", "b"]
    assert response.usage["total_tokens"] == 2

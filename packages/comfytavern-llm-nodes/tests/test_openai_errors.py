"""The openai adapter against a real HTTP server: what goes wrong, and what is said."""

from __future__ import annotations

import socket
from collections.abc import Callable

import anyio
import anyio.abc
import pytest

from comfytavern.chunks import Chunk
from comfytavern_llm_nodes.adapters import LlmRequest
from comfytavern_llm_nodes.router import ChannelRouter

from .scripted_provider import ASK, DropConnection, Exchange, Provider, failure

MakeRouter = Callable[..., ChannelRouter]


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn runs on asyncio alone."""
    return "asyncio"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, {"error": {"message": "Incorrect API key", "code": "x"}}, "Incorrect API key"),
        (429, {"error": {"message": "Rate\nlimit"}}, "Rate limit"),
        (500, {"error": "model\tcrashed"}, "model crashed"),
        (400, {"detail": [{"msg": "too short"}, {"msg": "too long"}]}, "too short; too long"),
        (404, {"object": "error", "message": "no such model"}, "no such model"),
    ],
)
async def test_status_with_the_providers_message(
    provider: Provider, router: ChannelRouter, status: int, body: object, said: str, stream: bool
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(body, status)

    provider.script = script
    error, chunks = await failure(router, LlmRequest(ASK.messages, stream=stream))
    reason = str(error).removeprefix("channel 'test', model 'tiny': the server answered ")
    assert reason.startswith(f"{status} ")
    assert reason.endswith(f": {said}")
    assert error.details == {
        "channel": "test",
        "model": "tiny",
        "status": status,
        "providerMessage": said,
    }
    assert chunks == []


async def test_a_page_for_people_is_no_message(provider: Provider, router: ChannelRouter) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start(502, "text/html")
        await exchange.write(b"<html><h1>nginx</h1>")
        await exchange.end()

    provider.script = script
    error, _ = await failure(router)
    said = "the server answered 502 Bad Gateway (attempt 3)"
    assert str(error) == f"channel 'test', model 'tiny': {said}"


async def test_a_redirect_is_not_followed(provider: Provider, router: ChannelRouter) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start(307, "text/plain", location="http://127.0.0.1:9/elsewhere")
        await exchange.end()

    provider.script = script
    error, _ = await failure(router)
    assert "307, a redirect, which is not followed" in str(error)
    assert len(provider.exchanges) == 1


@pytest.mark.parametrize("named", [True, False])
async def test_error_in_mid_stream(provider: Provider, router: ChannelRouter, named: bool) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.delta("So")
        if named:
            await exchange.write(b'event: error\ndata: {"message": "overloaded"}\n\n')
        else:
            await exchange.event({"error": {"message": "overloaded", "code": 503}})
        await exchange.end()

    provider.script = script
    error, chunks = await failure(router)
    assert str(error).endswith(": overloaded")
    assert error.status == (None if named else 503)
    assert chunks == [Chunk.text("So")]


async def test_disconnect_in_mid_stream(provider: Provider, router: ChannelRouter) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.delta("So")
        raise DropConnection

    provider.script = script
    error, chunks = await failure(router)
    assert "model 'tiny': the connection broke in mid-stream: " in str(error)
    assert chunks == [Chunk.text("So")]


async def test_end_that_nothing_announced(make_router: MakeRouter) -> None:
    """A body without framing that just stops, and no finish reason: it may be half a reply."""

    async def half(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(
                b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                b'data: {"choices":[{"delta":{"content":"So"}}]}\n\n'
            )

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tg:
        tg.start_soon(listener.serve, half)
        channel = {"label": "raw", "base_url": f"http://127.0.0.1:{port}/v1"}
        error, chunks = await failure(make_router(channel))
        tg.cancel_scope.cancel()
    assert str(error) == "channel 'raw': the connection ended before the reply was finished"
    assert chunks == [Chunk.text("So")]


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        ("text/html", b"<html>", "something else than a JSON object (text/html)"),
        ("text/event-stream", b"data: {oops\n\n", "the stream brought something else than"),
        ("text/event-stream", b"data: 7\n\n", "the stream brought something else than"),
        ("application/json", b'{"error": "no"}', "the server reported an error: no"),
    ],
)
async def test_an_answer_that_is_none(
    provider: Provider, router: ChannelRouter, content_type: str, body: bytes, said: str
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start(200, content_type)
        await exchange.write(body)
        await exchange.end()

    provider.script = script
    error, _ = await failure(router)
    assert said in str(error)


async def test_nobody_listens(make_router: MakeRouter) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and never listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        error, _ = await failure(make_router({"label": "gone", "base_url": url}))
    assert str(error).startswith(f"channel 'gone': cannot connect to {url}: ")

"""The openai adapter against a real HTTP server: time, cancellation, keys, many at once."""

from __future__ import annotations

import gzip
import logging
import traceback
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from comfytavern_llm_nodes.adapters import LlmRequest, call, event_stream
from comfytavern_llm_nodes.adapters.connections import is_loopback
from comfytavern_llm_nodes.router import ChannelRouter

from .scripted_provider import ASK, KEY, Exchange, Provider, failure, read

MakeRouter = Callable[..., ChannelRouter]


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn runs on asyncio alone."""
    return "asyncio"


@pytest.mark.parametrize("began", [False, True])
async def test_a_server_that_stands_still(
    provider: Provider, make_router: MakeRouter, began: bool
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start()
        if began:
            await exchange.delta("So")
        await exchange.write(b": keep-alive\n\n")
        await exchange.until_disconnect()

    provider.script = script
    timeouts = {"between_tokens": 0.05} if began else {"first_token": 0.05}
    channel = {"label": "slow", "base_url": provider.base_url, "timeouts": timeouts}
    error, _ = await failure(make_router(channel))
    said = "the stream stood still for" if began else "the server brought nothing within"
    assert str(error) == f"channel 'slow': {said} 0.05 s"


async def test_a_whole_reply_that_does_not_come(
    provider: Provider, make_router: MakeRouter
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.until_disconnect()

    provider.script = script
    channel = {"label": "slow", "base_url": provider.base_url, "timeouts": {"whole_reply": 0.05}}
    error, _ = await failure(make_router(channel), LlmRequest(ASK.messages, stream=False))
    assert str(error) == "channel 'slow': no whole reply within 0.05 s"


@pytest.mark.parametrize("when", ["before the first byte", "in mid-stream", "whole reply"])
async def test_cancelling_closes_the_connection(
    provider: Provider, router: ChannelRouter, when: str
) -> None:
    reached, gone = anyio.Event(), anyio.Event()

    async def script(exchange: Exchange) -> None:
        if when == "in mid-stream":
            await exchange.start()
            await exchange.delta("So")
        reached.set()
        await exchange.until_disconnect()
        gone.set()

    provider.script = script
    request = LlmRequest(ASK.messages, stream=when != "whole reply")
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            tg.start_soon(read, router, request)
            await reached.wait()
            tg.cancel_scope.cancel()
        await gone.wait()


async def test_closing_the_chunks_closes_the_connection(
    provider: Provider, router: ChannelRouter
) -> None:
    gone = anyio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.delta("So")
        await exchange.until_disconnect()
        gone.set()

    provider.script = script
    with anyio.fail_after(5):
        async with aclosing(router.call(ASK).chunks()) as chunks:
            await anext(chunks)
        await gone.wait()


async def test_the_key_is_sent_and_nowhere_else(
    provider: Provider, router: ChannelRouter, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(exchange: Exchange) -> None:
        # A provider that quotes the key back must not bring it into the error.
        given = exchange.headers["authorization"]
        await exchange.answer({"error": {"message": f"bad header {given}"}}, 401)

    provider.script = script
    caplog.set_level(logging.DEBUG)
    call = router.call(ASK)
    error, _ = await failure(router)
    assert provider.exchanges[0].headers["authorization"] == f"Bearer {KEY}"
    assert error.provider_message == "bad header Bearer <secret>"
    told = [
        "".join(traceback.format_exception(error)),
        repr(error.details),
        repr(vars(router)),
        repr(call.__dict__),
        caplog.text,
    ]
    assert KEY not in "".join(told)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    return path


@pytest.fixture
def router_with_file(
    provider: Provider, make_router: MakeRouter, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> ChannelRouter:
    monkeypatch.setenv("OTHER", "second")
    return make_router(
        {
            "label": "test",
            "base_url": provider.base_url,
            "api_key": f"file:{key_file}",
            "headers": {"x-api-key": "env:OTHER", "x-title": "tavern"},
        }
    )


async def test_key_from_a_file_and_a_secret_header(
    provider: Provider, router_with_file: ChannelRouter
) -> None:
    await read(router_with_file, ASK)
    headers = provider.exchanges[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert (headers["x-api-key"], headers["x-title"]) == ("second", "tavern")


async def test_a_key_that_is_gone_fails_the_request(
    provider: Provider, router: ChannelRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_KEY")
    error, _ = await failure(router)
    said = "environment variable 'TEST_KEY' is not set"
    assert str(error) == f"channel 'test', model 'tiny': {said}"
    assert provider.exchanges == []


async def test_a_request_that_is_no_json(provider: Provider, router: ChannelRouter) -> None:
    error, _ = await failure(router, LlmRequest([{"role": "user", "content": b"bytes"}]))
    assert "the request cannot be written as JSON" in str(error)
    assert provider.exchanges == []


async def others_come() -> None:
    """Let the loop turn so often that more would come if more could."""
    for _ in range(200):
        await anyio.lowlevel.checkpoint()


async def test_requests_at_once_are_limited(provider: Provider, make_router: MakeRouter) -> None:
    under_way = most = 0
    full = anyio.Event()

    async def script(exchange: Exchange) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 3:
            full.set()
        await full.wait()  # nobody is answered before three have come
        await others_come()
        await exchange.start()
        await exchange.delta("x")
        under_way -= 1  # before the client can know that it is over
        await exchange.write(b"data: [DONE]\n\n")
        await exchange.end()

    provider.script = script
    router = make_router({"label": "a", "base_url": provider.base_url, "max_concurrent": 3})
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            for _ in range(50):
                tg.start_soon(read, router, ASK)
    assert len(provider.exchanges) == 50
    assert most == 3


async def test_connections_are_used_again(provider: Provider, make_router: MakeRouter) -> None:
    router = make_router({"label": "a", "base_url": provider.base_url})
    for _ in range(3):
        await read(router, ASK)
    assert len({exchange.client for exchange in provider.exchanges}) == 1


async def test_no_proxy_stands_before_loopback(
    provider: Provider, make_router: MakeRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://192.0.2.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with anyio.fail_after(5):
        await read(make_router({"label": "a", "base_url": provider.base_url}), ASK)
    assert len(provider.exchanges) == 1


async def test_proxies_of_the_environment(
    provider: Provider, make_router: MakeRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", provider.base_url.removesuffix("/v1"))
    with anyio.fail_after(5):
        await read(make_router({"label": "far", "base_url": "http://llm.invalid/v1"}), ASK)
    assert provider.exchanges[0].path == "http://llm.invalid/v1/chat/completions"
    assert provider.exchanges[0].headers["host"] == "llm.invalid"


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://localhost:1/v1", True),
        ("http://llm.localhost./v1", True),
        ("http://127.8.9.1/v1", True),
        ("http://[::1]:8080/v1", True),
        ("http://localhost.example/v1", False),
        ("http://10.0.0.1/v1", False),
    ],
)
def test_loopback(url: str, own: bool) -> None:
    assert is_loopback(url) is own


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_without_end(
    provider: Provider, router: ChannelRouter, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def script(exchange: Exchange) -> None:
        kind = "text/event-stream" if stream else "application/json"
        await exchange.start(content_type=kind, content_encoding="gzip")
        await exchange.write(gzip.compress(b"data: " + b"x" * 5_000_000))
        await exchange.until_disconnect()

    monkeypatch.setattr(call, "MAX_REPLY", 1024**2)
    monkeypatch.setattr(event_stream, "MAX_REPLY", 1024**2)
    provider.script = script
    error, _ = await failure(router, LlmRequest(ASK.messages, stream=stream))
    what = "one event" if stream else "the answer"
    assert error.reason == f"{what} is larger than 1 MiB"


async def test_fifty_whole_replies_at_once(provider: Provider, make_router: MakeRouter) -> None:
    """Through the service, as nodes ask: no more are open than the operator allows."""
    still_open: set[Exchange] = set()
    most = 0

    async def script(exchange: Exchange) -> None:
        nonlocal most
        still_open.add(exchange)
        most = max(most, len(still_open))
        await others_come()
        still_open.discard(exchange)  # before the client can know that it is over
        await exchange.answer({"choices": [{"message": {"content": "x"}}]})

    provider.script = script
    router = make_router({"label": "a", "base_url": provider.base_url, "max_concurrent": 4})
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg:
            for _ in range(50):
                tg.start_soon(read, router, LlmRequest(ASK.messages, stream=False))
    assert len(provider.exchanges) == 50
    assert most <= 4
    assert len({exchange.client for exchange in provider.exchanges}) <= 4  # connections

"""What is tried again, after which wait, and what is not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from email.utils import formatdate

import anyio
import pytest

from comfytavern.chunks import Chunk
from comfytavern_llm_nodes.adapters import LlmRequest
from comfytavern_llm_nodes.adapters.retries import retry_after
from comfytavern_llm_nodes.router import ChannelRouter

from .conftest import NOON, Naps
from .scripted_provider import ASK, DropConnection, Exchange, Provider, failure, read

MakeRouter = Callable[..., ChannelRouter]
WHOLE = LlmRequest(ASK.messages, stream=False)


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn runs on asyncio alone."""
    return "asyncio"


def failing(provider: Provider, times: int, status: int, **headers: str) -> None:
    """Let the provider refuse some requests, then answer."""

    async def script(exchange: Exchange) -> None:
        if len(provider.exchanges) <= times:
            await exchange.answer({"error": {"message": "busy"}}, status, **headers)
        else:
            await Provider.say_hello(exchange)

    provider.script = script


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
async def test_what_may_pass_is_tried_again(
    provider: Provider, router: ChannelRouter, naps: Naps, status: int
) -> None:
    failing(provider, 2, status)
    seen: list[Chunk] = []
    await read(router, ASK, seen)
    assert seen[:2] == [Chunk.text("Hello "), Chunk.text("there")]
    assert naps == [0.375, 0.75]  # three quarters of 0.5, then twice that


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 501])
async def test_what_cannot_pass_is_not(
    provider: Provider, router: ChannelRouter, naps: Naps, status: int
) -> None:
    failing(provider, 9, status)
    error, _ = await failure(router)
    assert (error.status, len(provider.exchanges), naps) == (status, 1, [])


@pytest.mark.parametrize("request_", [ASK, WHOLE], ids=["stream", "whole"])
async def test_the_last_attempt_counts(
    provider: Provider, router: ChannelRouter, request_: LlmRequest
) -> None:
    failing(provider, 9, 503)
    error, _ = await failure(router, request_)
    assert str(error) == (
        "channel 'test', model 'tiny': the server answered 503 Service Unavailable (attempt 3)"
        ": busy"
    )
    assert len(provider.exchanges) == 3


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ({"retry_after": "7"}, [7.0625]),
        ({"retry_after": formatdate(NOON + 9, usegmt=True)}, [9.0625]),
        ({"retry_after": formatdate(NOON - 9, usegmt=True)}, [0.0625]),
        ({"retry_after": "9", "retry_after_ms": "1500"}, [1.5625]),
        ({"retry_after": "soon"}, [0.375]),
    ],
)
async def test_retry_after(
    provider: Provider,
    router: ChannelRouter,
    naps: Naps,
    headers: dict[str, str],
    waits: list[float],
) -> None:
    failing(provider, 1, 429, **headers)
    await read(router)
    assert naps == waits


async def test_a_server_that_asks_for_too_much(
    provider: Provider, router: ChannelRouter, naps: Naps
) -> None:
    failing(provider, 9, 429, retry_after="3600")
    error, _ = await failure(router)
    assert (error.retry_after, naps, len(provider.exchanges)) == (3600, [], 1)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e999", "Mon, 99 Foo 9999"])
def test_headers_that_ask_for_nothing(text: str) -> None:
    assert retry_after({"retry-after": text}, NOON) is None


async def test_nothing_is_sent_again_once_a_part_has_come(
    provider: Provider, router: ChannelRouter, naps: Naps
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start()
        await exchange.delta("So")
        await exchange.event({"error": {"message": "overloaded", "code": 503}})
        await exchange.end()

    provider.script = script
    error, chunks = await failure(router)
    assert (chunks, error.status) == ([Chunk.text("So")], 503)
    assert (len(provider.exchanges), naps) == (1, [])


async def test_an_error_in_place_of_the_first_event(
    provider: Provider, router: ChannelRouter, naps: Naps
) -> None:
    async def script(exchange: Exchange) -> None:
        if len(provider.exchanges) > 1:
            return await Provider.say_hello(exchange)
        await exchange.start()
        await exchange.write(b": keep-alive\n\n")
        await exchange.event({"error": {"message": "overloaded", "code": 429}})
        await exchange.end()

    provider.script = script
    await read(router)
    assert (len(provider.exchanges), len(naps)) == (2, 1)


@pytest.mark.parametrize("request_", [ASK, WHOLE], ids=["stream", "whole"])
async def test_a_connection_that_breaks_before_the_reply(
    provider: Provider, router: ChannelRouter, request_: LlmRequest
) -> None:
    async def script(exchange: Exchange) -> None:
        if len(provider.exchanges) == 1:
            await exchange.start(content_type="application/json")
            raise DropConnection
        await exchange.answer({"choices": [{"message": {"content": "yes"}}]})

    provider.script = script
    seen: list[Chunk] = []
    await read(router, request_, seen)
    assert seen[0] == Chunk.text("yes")


async def test_nobody_listens_at_first(
    provider: Provider, make_router: MakeRouter, naps: Naps
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and never listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        error, _ = await failure(make_router({"label": "gone", "base_url": url}))
    assert "(attempt 3)" in error.reason
    assert len(naps) == 2


async def test_attempts_are_the_operators_choice(
    provider: Provider, make_router: MakeRouter, naps: Naps
) -> None:
    failing(provider, 9, 503)
    retries = {"attempts": 4, "wait": 4, "longest_wait": 6}
    channel = {"label": "a", "base_url": provider.base_url, "retries": retries}
    await failure(make_router(channel))
    assert naps == [3.0, 4.5, 4.5]
    provider.exchanges.clear()
    await failure(make_router(channel | {"retries": {"attempts": 1}}))
    assert len(provider.exchanges) == 1


async def test_cancelling_ends_the_wait(provider: Provider, make_router: MakeRouter) -> None:
    failing(provider, 9, 503)
    router = make_router({"label": "a", "base_url": provider.base_url})
    with anyio.fail_after(5), anyio.CancelScope() as scope:

        async def script(exchange: Exchange) -> None:
            scope.cancel()
            await exchange.answer({}, 503)

        provider.script = script
        await read(router)
    assert scope.cancelled_caught
    assert len(provider.exchanges) == 1


async def test_connecting_takes_too_long(make_router: MakeRouter) -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):  # nobody accepts, so the kernel lets no more in
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/v1"
        timeouts, retries = {"connect": 0.05}, {"attempts": 1}
        channel = {"label": "a", "base_url": url, "timeouts": timeouts, "retries": retries}
        error, _ = await failure(make_router(channel))
    assert str(error) == f"channel 'a': cannot connect to {url} within 0.05 s"

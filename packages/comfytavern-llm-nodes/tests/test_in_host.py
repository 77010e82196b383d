"""The pack in a host: settings, routing, adapters of another pack, and no key in any event."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import anyio
import pytest

import comfytavern_llm_nodes
from comfytavern.chunks import Chunk
from comfytavern.events import Status
from comfytavern.hookspecs import hookimpl
from comfytavern.testing import GraphResult, pack_host, run_graph
from comfytavern_llm_nodes.adapters import AdapterFactory, LlmReply, LlmRequest
from comfytavern_llm_nodes.channels import Channel
from comfytavern_llm_nodes.router import ChannelRouter

from .scripted_provider import KEY, Exchange, Provider

PACK = "comfytavern-llm-nodes"
WORKFLOW = {
    "nodes": [
        {
            "id": "ask",
            "fullType": f"{PACK}:CreateMessage",
            "inputs": {"role": "user", "content": "Hi"},
        },
        {"id": "chat", "fullType": f"{PACK}:GenericLlmRequest", "inputs": {}},
    ],
    "edges": [
        {
            "sourceNodeId": "ask",
            "sourceHandle": "messages",
            "targetNodeId": "chat",
            "targetHandle": "messages",
        }
    ],
}


class Parrot:
    """An adapter as another pack would write it."""

    deterministic = True

    def __init__(self, channel: Channel) -> None:
        self.closed = False

    async def stream(self, request: LlmRequest) -> AsyncGenerator[Chunk, None]:
        yield Chunk.text("squawk")
        yield Chunk.finish_reason("stop")

    async def complete(self, request: LlmRequest) -> LlmReply:
        return LlmReply("squawk")

    async def close(self) -> None:
        self.closed = True


class ParrotPack:
    """A pack that offers an adapter."""

    distribution = "parrot-pack"

    def __init__(self) -> None:
        self.made: list[Parrot] = []

    @hookimpl(optionalhook=True)
    def register_llm_adapters(self) -> Mapping[str, AdapterFactory]:
        def make(channel: Channel) -> Parrot:
            self.made.append(Parrot(channel))
            return self.made[-1]

        return {"parrot": make}


async def run(*channels: dict[str, object], others: tuple[object, ...] = ()) -> GraphResult:
    settings = {PACK: {"channels": list(channels)}} if channels else {}
    return await run_graph(WORKFLOW, comfytavern_llm_nodes, *others, settings=settings)


async def test_without_settings_echo_answers() -> None:
    result = await run()
    assert result.status is Status.COMPLETE
    text = result.node_outputs["chat"]["responseText"]
    assert text == "[echo: an offline test model] You said: “Hi”"
    chunks = result.events.of("NODE_YIELD")
    assert len(chunks) > 5


@pytest.mark.parametrize("own_pack_first", [True, False])
async def test_an_adapter_of_another_pack(own_pack_first: bool) -> None:
    parrots = ParrotPack()
    packs = [comfytavern_llm_nodes, parrots] if own_pack_first else [parrots, comfytavern_llm_nodes]
    settings = {PACK: {"channels": [{"label": "bird", "adapter": "parrot"}]}}
    result = await run_graph(WORKFLOW, *packs, settings=settings)
    assert result.node_outputs["chat"]["responseText"] == "squawk"
    assert [parrot.closed for parrot in parrots.made] == [True]


async def test_the_service_is_the_router() -> None:
    async with pack_host(comfytavern_llm_nodes) as host:
        assert isinstance(host.packs.services["llm"], ChannelRouter)


async def test_a_bad_channel_is_named_and_the_rest_works(caplog: pytest.LogCaptureFixture) -> None:
    bad = {"label": "bad", "base_url": "http://127.0.0.1/v1", "api_key": KEY}
    odd = {"label": "odd", "adapter": "opneai"}
    settings = {PACK: {"channels": [bad, odd, {"label": "good", "adapter": "echo"}]}}
    async with pack_host(comfytavern_llm_nodes, settings=settings) as host:
        result = await host.run(WORKFLOW)
        record = host.packs.record(PACK)
    assert result.status is Status.COMPLETE
    key = f"packs.settings.{PACK}.channels[0].api_key"
    said = f"{key}: this is a plain key; keep it elsewhere and write env:NAME or file:PATH"
    unknown = "adapter 'opneai' is unknown; did you mean 'openai'?; adapters: openai, echo"
    assert record.warnings == (
        f"channel 'odd' is out of service: {unknown}",
        f"channel 'bad' is out of service: {said}",
    )
    assert f"channel 'bad' is left out: {said}" in caplog.text
    assert KEY not in repr(record) + caplog.text


async def test_without_a_sound_channel_nothing_answers() -> None:
    result = await run({"label": "bad", "max_concurrent": 0})
    assert result.status is Status.ERROR
    assert "no channel offers capabilities 'llm'; channels: 'bad' is left out" in str(result.error)


class TestOverHttp:
    """uvicorn runs on asyncio alone."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture
    def channel(self, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
        monkeypatch.setenv("TEST_KEY", KEY)
        return {"label": "a", "base_url": provider.base_url, "api_key": "env:TEST_KEY"}

    async def test_a_streamed_reply(self, provider: Provider, channel: dict[str, object]) -> None:
        result = await run(channel)
        assert result.node_outputs["chat"]["responseText"] == "Hello there"
        yielded = [p["yieldedContent"] for p in result.events.of("NODE_YIELD")]
        assert [item["content"] for item in yielded[:2]] == ["Hello ", "there"]
        progress = [payload["text"] for payload in result.events.of("NODE_PROGRESS")]
        assert progress[0] == "waiting for channel 'a'"
        assert "2 tokens, first after " in progress[-1]
        assert provider.exchanges[0].body["messages"] == [{"role": "user", "content": "Hi"}]

    async def test_interrupting_the_run_closes_the_connection(
        self, provider: Provider, channel: dict[str, object]
    ) -> None:
        reached, gone = anyio.Event(), anyio.Event()

        async def script(exchange: Exchange) -> None:
            await exchange.start()
            await exchange.delta("So")
            reached.set()
            await exchange.until_disconnect()
            gone.set()

        provider.script = script
        settings = {PACK: {"channels": [channel]}}
        with anyio.fail_after(5):
            async with pack_host(comfytavern_llm_nodes, settings=settings) as host:
                run = host.start(await host.compile(WORKFLOW))
                await reached.wait()
                run.interrupt()
                await gone.wait()
                result = await run.wait()
        assert result.status is Status.INTERRUPTED

    @pytest.mark.parametrize("mid_stream", [True, False])
    async def test_no_key_in_what_a_run_leaves(
        self,
        provider: Provider,
        channel: dict[str, object],
        caplog: pytest.LogCaptureFixture,
        mid_stream: bool,
    ) -> None:
        async def script(exchange: Exchange) -> None:
            error: Any = {"error": {"message": f"no: {exchange.headers['authorization']}"}}
            if not mid_stream:
                await exchange.answer(error, 401)
                return
            await exchange.start()
            await exchange.delta("So")
            await exchange.event(error)
            await exchange.end()

        provider.script = script
        caplog.set_level(logging.DEBUG)
        result = await run(channel)
        assert result.status is Status.ERROR
        assert provider.exchanges[0].headers["authorization"] == f"Bearer {KEY}"
        [details] = [payload["errorDetails"] for payload in result.events.of("NODE_ERROR")]
        assert details["message"].endswith("no: Bearer <secret>")
        assert details["code"] == "llm_request_failed"
        assert "responseText" not in result.node_outputs.get("chat", {})
        assert KEY not in json.dumps(result.events) + caplog.text + repr(result)

"""What holds for every OpenAI-compatible server: ours, and one that COMFYTAVERN_LLM_BASE_URL names.

COMFYTAVERN_LLM_MODEL chooses its model (the first one otherwise), COMFYTAVERN_LLM_API_KEY is sent
if it is set. Nothing here depends on what a model says, only on how the reply comes.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import anyio
import pytest

import comfytavern_llm_nodes
from comfytavern.chunks import Chunk
from comfytavern.events import Status
from comfytavern.testing import run_graph
from comfytavern_llm_nodes.adapters import LlmError, LlmRequest
from comfytavern_llm_nodes.calls import LlmCall
from comfytavern_llm_nodes.router import ChannelRouter

from .scripted_provider import Exchange, Provider, serving

MakeRouter = Callable[..., ChannelRouter]
SAY = [{"role": "user", "content": "Say the word 'yes'."}]
OTHER = "COMFYTAVERN_LLM_BASE_URL"
PATIENCE = 120  # seconds; a real model may be slow
pytestmark = pytest.mark.timeout(2 * PATIENCE)


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn runs on asyncio alone."""
    return "asyncio"


async def sound(exchange: Exchange) -> None:
    """Answer as a server does that implements the API."""
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    if exchange.path == "/v1/models":
        await exchange.answer({"object": "list", "data": [{"id": "tiny", "object": "model"}]})
    elif exchange.path != "/v1/chat/completions" or exchange.body.get("model") != "tiny":
        await exchange.answer({"error": {"message": "no such model"}}, 404)
    elif exchange.body["stream"]:
        await Provider.say_hello(exchange)
    else:
        message = {"role": "assistant", "content": "Hello there"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        await exchange.answer({"model": "tiny", "choices": [choice], "usage": usage})


Channel = dict[str, object]


@pytest.fixture(params=["scripted", OTHER])
async def channel(request: pytest.FixtureRequest) -> AsyncIterator[Channel]:
    """Give a channel to a server: ours, or the one at hand."""
    if request.param == "scripted":
        provider = Provider()
        provider.script = sound
        async with serving(provider):
            yield {"label": "any", "base_url": provider.base_url}
        return
    if not os.environ.get(OTHER):
        pytest.skip(f"{OTHER} is not set")
    key = "COMFYTAVERN_LLM_API_KEY"
    with_key = {"api_key": f"env:{key}"} if os.environ.get(key) else {}
    yield {"label": "any", "base_url": os.environ[OTHER], **with_key}


@pytest.fixture
async def model(channel: Channel, make_router: MakeRouter) -> str:
    """Give the name of a model that the server has."""
    named = os.environ.get("COMFYTAVERN_LLM_MODEL")
    _, models = await make_router(channel).list_models()
    assert models
    return named if named is not None and named in models else models[0]


async def ask(router: ChannelRouter, request: LlmRequest) -> tuple[list[Chunk], LlmCall]:
    call = router.call(request)
    with anyio.fail_after(PATIENCE):
        async with aclosing(call.chunks()) as chunks:
            return [chunk async for chunk in chunks], call


@pytest.mark.parametrize("stream", [True, False])
async def test_chat(make_router: MakeRouter, channel: Channel, model: str, stream: bool) -> None:
    request = LlmRequest(SAY, model, {"max_tokens": 32, "temperature": 0}, stream=stream)
    chunks, call = await ask(make_router(channel), request)
    text = "".join(str(content) for kind, content in chunks if kind == "text_chunk")
    response = call.response
    assert response.reply.text == text
    assert text or response.reply.reasoning
    assert response.reply.finish_reason in ("stop", "length")
    assert response.channel == "any"
    assert response.model
    assert response.usage["seconds"]
    if stream:
        assert {"seconds_to_first_token"} <= set(response.usage)
    if "completion_tokens" in response.usage:
        assert response.usage["tokens_per_second"]


async def test_several_at_once(make_router: MakeRouter, channel: Channel, model: str) -> None:
    router = make_router({**channel, "max_concurrent": 2})
    replies: list[str] = []

    async def one() -> None:
        request = LlmRequest(SAY, model, {"max_tokens": 8})
        replies.append((await ask(router, request))[1].channel)

    async with anyio.create_task_group() as tg:
        for _ in range(4):
            tg.start_soon(one)
    assert replies == ["any"] * 4


async def test_leaving_a_stream_early_leaves_a_sound_channel(
    make_router: MakeRouter, channel: Channel, model: str
) -> None:
    router = make_router(channel)
    with anyio.fail_after(PATIENCE):
        async with aclosing(router.call(LlmRequest(SAY, model)).chunks()) as chunks:
            await anext(chunks)
        await ask(router, LlmRequest(SAY, model, {"max_tokens": 4}))


async def test_a_model_that_is_not_there(make_router: MakeRouter, channel: Channel) -> None:
    router = make_router({**channel, "base_url": f"{channel['base_url']}/nowhere"})
    with pytest.raises(LlmError) as caught:
        await ask(router, LlmRequest(SAY, "no-such-model"))
    assert caught.value.status is not None
    assert "channel 'any', model 'no-such-model': the server answered 4" in str(caught.value)


async def test_a_workflow(channel: Channel, model: str) -> None:
    pack = "comfytavern-llm-nodes"
    inputs = {"messages": SAY, "activated_model_id": model, "max_tokens": 16}
    node = {"id": "chat", "fullType": f"{pack}:GenericLlmRequest", "inputs": inputs}
    settings = {pack: {"channels": [channel]}}
    workflow = {"nodes": [node], "edges": []}
    result = await run_graph(workflow, comfytavern_llm_nodes, settings=settings)
    assert result.status is Status.COMPLETE
    yielded = [p["yieldedContent"] for p in result.events.of("NODE_YIELD")]
    text = "".join(str(item["content"]) for item in yielded if item["type"] == "text_chunk")
    assert text == result.node_outputs["chat"]["responseText"]

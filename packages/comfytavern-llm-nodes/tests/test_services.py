"""Embeddings and lists of models: what is asked, what is read, and the nodes for both."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from comfytavern.definitions import NodeDefinition
from comfytavern.errors import NodeFailedError
from comfytavern.testing import NodeResult, run_node
from comfytavern_llm_nodes.adapters import LlmError
from comfytavern_llm_nodes.nodes.services import CREATE_EMBEDDINGS, LIST_MODELS
from comfytavern_llm_nodes.router import ChannelRouter, NoChannelError

from .scripted_provider import KEY, Exchange, Provider

MakeRouter = Callable[..., ChannelRouter]
USAGE = {"prompt_tokens": 4, "total_tokens": 4}


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn runs on asyncio alone."""
    return "asyncio"


@pytest.fixture
def vectors(
    provider: Provider, make_router: MakeRouter, monkeypatch: pytest.MonkeyPatch
) -> ChannelRouter:
    """Give a router with a chat channel and one that makes embeddings."""

    async def script(exchange: Exchange) -> None:
        if exchange.path == "/v1/models":
            listed = [{"id": "b"}, {"id": "a"}, {"id": "b"}, {"object": "model"}]
            return await exchange.answer({"object": "list", "data": listed})
        texts = exchange.body["input"]
        data = [{"index": n, "embedding": [n, len(t) / 2]} for n, t in enumerate(texts)]
        await exchange.answer({"data": data[::-1], "model": "e-1", "usage": USAGE})

    provider.script = script
    monkeypatch.setenv("TEST_KEY", KEY)
    return make_router(
        {"label": "echo", "adapter": "echo", "capabilities": ["llm", "embedding"]},
        {
            "label": "vectors",
            "base_url": provider.base_url,
            "api_key": "env:TEST_KEY",
            "models": ["e"],
            "capabilities": "embedding",
            "max_concurrent": 1,
        },
    )


async def run(router: ChannelRouter, definition: NodeDefinition, **inputs: object) -> NodeResult:
    return await run_node(definition, inputs, services={"llm": router})


@pytest.mark.parametrize(
    ("texts", "expected"), [("abcd", [[0, 2]]), (["abcd", "ab"], [[0, 2], [1, 1]])]
)
async def test_a_vector_for_each_text(
    provider: Provider, vectors: ChannelRouter, texts: object, expected: object
) -> None:
    result = await run(vectors, CREATE_EMBEDDINGS, texts=texts)
    assert result.outputs == {"embeddings": expected, "usage": USAGE}
    assert str(result.progress[-1][2]).startswith("channel 'vectors', ")
    exchange = provider.exchanges[0]
    assert (exchange.method, exchange.path) == ("POST", "/v1/embeddings")
    listed = [texts] if isinstance(texts, str) else texts
    assert exchange.body == {"model": "e", "input": listed, "encoding_format": "float"}
    assert exchange.headers["authorization"] == f"Bearer {KEY}"


async def test_embeddings_wait_for_their_turn(provider: Provider, vectors: ChannelRouter) -> None:
    still_open = most = 0

    async def script(exchange: Exchange) -> None:
        nonlocal still_open, most
        still_open += 1
        most = max(most, still_open)
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        still_open -= 1
        await exchange.answer({"data": [{"embedding": [1]}]})

    provider.script = script
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tg:
            for _ in range(5):
                tg.start_soon(vectors.embed, ["x"])
    assert (most, len(provider.exchanges)) == (1, 5)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        [{"index": 0, "embedding": []}],
        [{"index": 1, "embedding": [1.0]}],
        [{"index": 0, "embedding": ["x"]}],
        [{"index": 0, "embedding": [10**400]}],
        [{"index": "0", "embedding": [1]}],
        [{"embedding": "AAAA"}],
        [{"embedding": [1]}, {"embedding": [2]}],
    ],
)
async def test_answers_that_are_no_vectors(
    provider: Provider, vectors: ChannelRouter, data: object
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer({"data": data})

    provider.script = script
    with pytest.raises(LlmError) as caught:
        await vectors.embed(["x"])
    said = "the server did not answer 1 texts with as many vectors"
    assert str(caught.value) == f"channel 'vectors', model 'e': {said}"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "texts is empty; expected at least one text"),
        (7, "texts is a whole number; expected a text or a list of texts"),
        (["a", ""], "texts[1] is empty; expected a text"),
        (["a", 7], "texts[1] is a whole number; expected a text"),
    ],
)
async def test_texts_that_are_none(vectors: ChannelRouter, texts: object, said: str) -> None:
    with pytest.raises(NodeFailedError) as caught:
        await run(vectors, CREATE_EMBEDDINGS, texts=texts)
    assert caught.value.reason == said


async def test_no_channel_makes_embeddings(make_router: MakeRouter) -> None:
    router = make_router({"label": "chat", "adapter": "echo"})
    with pytest.raises(NodeFailedError, match="no channel offers capabilities 'embedding'"):
        await run(router, CREATE_EMBEDDINGS, texts="x")


async def test_models(provider: Provider, vectors: ChannelRouter) -> None:
    assert await vectors.list_models("vectors") == ("vectors", ["b", "a"])
    assert provider.exchanges[0].method == "GET"
    assert provider.exchanges[0].raw == b""
    services = {"llm": vectors}
    config = {"channel": "vectors"}
    result = await run_node(LIST_MODELS, config=config, services=services)
    assert result.outputs == {"models": ["b", "a"]}
    first = await run_node(LIST_MODELS, services=services)
    assert first.outputs == {"models": ["echo"]}


async def test_an_answer_that_lists_no_models(provider: Provider, vectors: ChannelRouter) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer({"models": ["a"]})

    provider.script = script
    with pytest.raises(LlmError, match="did not answer with a list of models"):
        await vectors.list_models("vectors")


async def test_a_channel_that_is_not_there(vectors: ChannelRouter) -> None:
    said = "no channel offers a list of models as channel 'chat'; channels: 'echo' offers"
    with pytest.raises(NoChannelError, match=said):
        await vectors.list_models("chat")

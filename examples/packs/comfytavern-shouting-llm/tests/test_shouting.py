"""The adapter alone, and the pack in a host beside comfytavern-llm-nodes."""

from __future__ import annotations

from typing import Any

import comfytavern_shouting_llm
import pytest
from comfytavern_shouting_llm.adapter import ShoutingAdapter

import comfytavern_llm_nodes
from comfytavern.testing import run_graph
from comfytavern_llm_nodes.adapters import LlmError, LlmRequest
from comfytavern_llm_nodes.channels import Channel

NODE = "comfytavern-llm-nodes:GenericLlmRequest"
MESSAGES = [{"role": "user", "content": "hello there"}]
WORKFLOW = {"nodes": [{"id": "chat", "fullType": NODE, "inputs": {"messages": MESSAGES}}]}


def adapter(**options: object) -> ShoutingAdapter:
    return ShoutingAdapter(Channel(label="loud", adapter="shouting", options=options))


@pytest.mark.anyio
async def test_streamed_and_whole_replies_are_the_same() -> None:
    request = LlmRequest(MESSAGES)
    chunks = [chunk async for chunk in adapter(marks=2).stream(request)]
    texts = [str(content) for kind, content in chunks if kind == "text_chunk"]
    assert texts == ["HELLO", " THERE!!"]
    assert (await adapter(marks=2).complete(request)).text == "".join(texts)


@pytest.mark.anyio
async def test_nothing_was_said() -> None:
    with pytest.raises(LlmError, match="channel 'loud': nobody has said anything"):
        await adapter().complete(LlmRequest([]))


def test_options_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"options\.marks"):
        adapter(marks="many")


@pytest.mark.anyio
async def test_in_a_host() -> None:
    channels: list[dict[str, Any]] = [{"label": "loud", "adapter": "shouting"}]
    settings = {"comfytavern-llm-nodes": {"channels": channels}}
    packs = (comfytavern_llm_nodes, comfytavern_shouting_llm)
    result = await run_graph(WORKFLOW, *packs, settings=settings)
    assert result.node_outputs["chat"]["responseText"] == "HELLO THERE!"


@pytest.mark.anyio
async def test_the_pack_loads_without_the_one_that_asks_it() -> None:
    result = await run_graph({"nodes": []}, comfytavern_shouting_llm)
    assert result.error is None

"""Which channel answers, what stands in the response, and what is said when none can."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import anyio
import pytest

from comfytavern.chunks import Chunk
from comfytavern_llm_nodes.adapters import BUILT_IN, LlmReply, LlmRequest
from comfytavern_llm_nodes.calls import LlmCall
from comfytavern_llm_nodes.channels import Channel
from comfytavern_llm_nodes.router import ChannelRouter, NoChannelError
from comfytavern_llm_nodes.settings import LlmSettings

MakeRouter = Callable[..., ChannelRouter]
ASK = LlmRequest([{"role": "user", "content": "Hi"}])


def echo(label: str, **fields: object) -> dict[str, object]:
    return {"label": label, "adapter": "echo", **fields}


async def read(call: LlmCall) -> list[Chunk]:
    async with aclosing(call.chunks()) as chunks:
        return [chunk async for chunk in chunks]


@pytest.mark.parametrize(
    ("model", "capabilities", "chosen"),
    [
        (None, [], "small"),
        ("tiny", ["llm"], "small"),
        ("large", ["llm"], "any"),
        (None, ["llm", "vision"], "seeing"),
        ("anything", ["vision"], "any"),
    ],
)
async def test_first_channel_that_fits(
    make_router: MakeRouter, model: str | None, capabilities: list[str], chosen: str
) -> None:
    router = make_router(
        echo("off", disabled=True),
        echo("small", models=["tiny"]),
        echo("seeing", models=["eye"], capabilities=["llm", "vision"]),
        echo("any", capabilities=["llm", "vision"]),
    )
    call = router.call(LlmRequest(ASK.messages, model), capabilities)
    await read(call)
    assert call.response.channel == chosen


async def test_a_request_without_model_gets_the_first_one(make_router: MakeRouter) -> None:
    assert make_router(echo("a", models=["x", "y"])).call(ASK).request.model == "x"
    assert make_router(echo("a")).call(ASK).request.model is None


async def test_no_channel_fits(make_router: MakeRouter) -> None:
    router = make_router(
        echo("small", models=["llama3"]), echo("any", disabled=True), echo("odd", adapter="eco")
    )
    with pytest.raises(NoChannelError) as caught:
        router.call(LlmRequest(ASK.messages, "lama3"), ["llm", "vision"])
    assert str(caught.value) == (
        "no channel offers model 'lama3' with capabilities 'llm', 'vision'; did you mean"
        " 'llama3'?; channels: 'small' offers llm, chat (models: llama3);"
        " 'any' is out of service (disabled); 'odd' is out of service"
        " (adapter 'eco' is unknown; did you mean 'echo'?; adapters: openai, echo)"
    )


async def test_channels_that_cannot_serve(
    make_router: MakeRouter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    caplog.set_level(logging.WARNING)
    router = make_router(
        {"label": "keyless", "base_url": "http://127.0.0.1/", "api_key": "env:NO_SUCH_KEY"},
        {"label": "nowhere"},
        echo("wrong", options={"dealy": 1}),
        echo("good"),
    )
    assert dict(router.problems) == {
        "keyless": "environment variable 'NO_SUCH_KEY' is not set",
        "nowhere": "base_url is missing; such as http://127.0.0.1:11434/v1",
        "wrong": "options.dealy: extra inputs are not permitted",
    }
    assert caplog.text.count("is out of service") == 3
    assert router.call(ASK).channel == "good"


async def test_echo_reports_no_times(make_router: MakeRouter) -> None:
    call = make_router(echo("a")).call(LlmRequest(ASK.messages, "gpt-9"))
    chunks = await read(call)
    assert set(call.response.usage) == {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert chunks[-1] == Chunk.usage(call.response.usage)
    assert (call.response.model, call.response.adapter) == ("echo", "echo")


async def test_the_response_comes_last(make_router: MakeRouter) -> None:
    call = make_router(echo("a")).call(ASK)
    with pytest.raises(RuntimeError, match="once its chunks have been read"):
        _ = call.response


class Held:
    """An adapter that waits until it is told to go on."""

    deterministic = False

    def __init__(self, channel: Channel) -> None:
        self.go_on = anyio.Event()
        self.under_way = 0
        self.closed = False

    async def stream(self, request: LlmRequest) -> AsyncGenerator[Chunk, None]:
        self.under_way += 1
        try:
            yield Chunk.text("a")
            await self.go_on.wait()
            yield Chunk.text("b")
        finally:
            self.under_way -= 1

    async def complete(self, request: LlmRequest) -> LlmReply:
        return LlmReply(text="whole", finish_reason="stop", usage={"completion_tokens": 3})

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def held() -> tuple[ChannelRouter, Held]:
    made: list[Held] = []

    def factory(channel: Channel) -> Held:
        made.append(Held(channel))
        return made[-1]

    block = {"channels": [{"label": "h", "adapter": "held", "max_concurrent": 1}]}
    router = ChannelRouter(LlmSettings.model_validate(block), {**BUILT_IN, "held": factory})
    return router, made[0]


async def test_an_adapter_of_another_pack(held: tuple[ChannelRouter, Held]) -> None:
    router, adapter = held
    call = router.call(LlmRequest(ASK.messages, stream=False))
    chunks = await read(call)
    assert chunks[:2] == [Chunk.text("whole"), Chunk.finish_reason("stop")]
    assert call.response.to_json() | {"usage": None} == {
        "channel": "h",
        "adapter": "held",
        "model": None,
        "text": "whole",
        "reasoning": "",
        "finish_reason": "stop",
        "tool_calls": [],
        "usage": None,
    }
    assert {"completion_tokens", "seconds"} <= set(call.response.usage)
    await router.close()
    assert adapter.closed


async def test_one_at_a_time(held: tuple[ChannelRouter, Held]) -> None:
    router, adapter = held
    texts: list[list[Chunk]] = []

    async def one() -> None:
        texts.append(await read(router.call(ASK)))

    with anyio.fail_after(2):
        async with anyio.create_task_group() as tg:
            tg.start_soon(one)
            tg.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            assert adapter.under_way == 1
            adapter.go_on.set()
    assert len(texts) == 2


async def test_a_call_that_is_left_frees_its_place(held: tuple[ChannelRouter, Held]) -> None:
    router, adapter = held
    with anyio.fail_after(2):
        for _ in range(3):
            async with aclosing(router.call(ASK).chunks()) as chunks:
                assert await anext(chunks) == Chunk.text("a")
            assert adapter.under_way == 0

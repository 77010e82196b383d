"""Fixtures of this pack's tests: a provider on loopback, and routers that are closed again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial

import anyio.lowlevel
import pytest

from comfytavern_llm_nodes.adapters import BUILT_IN, OpenAIAdapter
from comfytavern_llm_nodes.adapters.retries import Clock
from comfytavern_llm_nodes.router import ChannelRouter
from comfytavern_llm_nodes.settings import LlmSettings

from .scripted_provider import KEY, Provider, serving


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Serve a provider; only where uvicorn can, on asyncio."""
    provider = Provider()
    async with serving(provider):
        yield provider


class Naps(list[float]):
    """The waits between attempts, none of which takes time."""

    async def sleep(self, seconds: float) -> None:
        """Note how long somebody would have slept."""
        self.append(seconds)
        await anyio.lowlevel.checkpoint()

    @property
    def clock(self) -> Clock:
        """The clock for an adapter: chance is always in the middle, and it is always noon."""
        return Clock(sleep=self.sleep, random=lambda: 0.5, now=lambda: NOON)


NOON = 1_700_000_000.0


@pytest.fixture
def naps() -> Naps:
    """Give the waits between attempts."""
    return Naps()


@pytest.fixture
async def make_router(naps: Naps) -> AsyncIterator[Callable[..., ChannelRouter]]:
    """Make routers from channels as an operator writes them."""
    async with AsyncExitStack() as stack:

        def make(*channels: dict[str, object]) -> ChannelRouter:
            settings = LlmSettings.model_validate({"channels": channels})
            openai = partial(OpenAIAdapter, clock=naps.clock)
            router = ChannelRouter(settings, {**BUILT_IN, "openai": openai})
            stack.push_async_callback(router.close)
            return router

        yield make


@pytest.fixture
def router(
    provider: Provider,
    make_router: Callable[..., ChannelRouter],
    monkeypatch: pytest.MonkeyPatch,
) -> ChannelRouter:
    """Give a router to the provider, with a key."""
    monkeypatch.setenv("TEST_KEY", KEY)
    return make_router(
        {
            "label": "test",
            "base_url": provider.base_url,
            "models": ["tiny"],
            "api_key": "env:TEST_KEY",
        }
    )

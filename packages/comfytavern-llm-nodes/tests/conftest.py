"""Fixtures of this pack's tests: a provider on loopback, and routers that are closed again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from comfytavern_llm_nodes.adapters import BUILT_IN
from comfytavern_llm_nodes.channels import LlmSettings
from comfytavern_llm_nodes.router import ChannelRouter

from .scripted_provider import KEY, Provider, serving


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Serve a provider; only where uvicorn can, on asyncio."""
    provider = Provider()
    async with serving(provider):
        yield provider


@pytest.fixture
async def make_router() -> AsyncIterator[Callable[..., ChannelRouter]]:
    """Make routers from channels as an operator writes them."""
    async with AsyncExitStack() as stack:

        def make(*channels: dict[str, object]) -> ChannelRouter:
            settings = LlmSettings.model_validate({"channels": channels})
            router = ChannelRouter(settings, BUILT_IN)
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

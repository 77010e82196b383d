"""APISettings: whose address and key, and where the key goes."""

from __future__ import annotations

import pytest

from comfytavern.events import Status

from .api_runs import ENV, TYPED, Run, Settings, environment, keys, run, stranger, workflow
from .scripted_provider import KEY, Exchange, Provider

__all__ = ("environment", "run", "stranger")  # fixtures


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn runs on asyncio alone."""
    return "asyncio"


@pytest.mark.parametrize("node", ["OpenAI", "OpenAIChat"])
async def test_typed_key_goes_to_the_address_beside_it(
    provider: Provider, run: Run, caplog: pytest.LogCaptureFixture, node: str
) -> None:
    address = provider.base_url.removesuffix("/v1")
    typed = {"use_env_vars": False, "base_url": address, "api_key": TYPED}
    if node == "OpenAIChat":
        provider.script = whole_reply
    outcome = await run(workflow(typed, node))
    assert outcome.status is Status.COMPLETE
    assert keys(provider) == [f"Bearer {TYPED}"]
    handed_on = outcome.outputs("api")["api_settings"]
    assert handed_on == {
        "use_env_vars": False,
        "base_url": provider.base_url,
        "api_key": {"$opaque": "comfytavern_llm_nodes.api_settings.BoundKey"},
    }
    assert "a key is typed into this workflow" in caplog.text
    told = [e["payload"].get("text") for e in outcome.events if e["type"] == "NODE_PROGRESS"]
    assert any("a key is typed into this workflow" in str(text) for text in told)


async def whole_reply(exchange: Exchange) -> None:
    await exchange.answer({"choices": [{"message": {"content": "yes"}}]})


async def test_an_address_without_key(provider: Provider, run: Run) -> None:
    outcome = await run(workflow({"use_env_vars": False, "base_url": provider.base_url}))
    assert outcome.status is Status.COMPLETE
    assert keys(provider) == [None]


async def test_address_and_key_of_the_environment(
    provider: Provider, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_BASE", provider.base_url)
    outcome = await run(workflow({"use_env_vars": True}))
    assert outcome.status is Status.COMPLETE
    assert keys(provider) == [f"Bearer {ENV}"]
    assert outcome.outputs("api") == {"api_settings": {"use_env_vars": True}}


async def test_a_base_of_the_environment_without_key(
    provider: Provider, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_BASE", provider.base_url)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert (await run(workflow({}))).status is Status.COMPLETE
    assert keys(provider) == [None]


async def test_nothing_in_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    outcome = await run(workflow({"use_env_vars": True}))
    assert "the operator has set neither OPENAI_API_BASE nor OPENAI_API_KEY" in outcome.error


async def test_a_base_of_the_environment_that_is_none(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_BASE", "localhost:1234")
    outcome = await run(workflow({"use_env_vars": True}))
    assert "environment variable 'OPENAI_API_BASE': expected an address" in outcome.error


async def test_an_entry_of_secrets(provider: Provider, run: Run) -> None:
    block = {"api_settings": {"base_url": provider.base_url, "secret": "chat"}}
    outcome = await run(workflow({"use_env_vars": True}), block, provider.base_url)
    assert outcome.status is Status.COMPLETE
    assert keys(provider) == [f"Bearer {KEY}"]


async def test_an_entry_goes_only_where_it_is_bound_to(provider: Provider, run: Run) -> None:
    block = {"api_settings": {"base_url": provider.base_url, "secret": "chat"}}
    outcome = await run(workflow({"use_env_vars": True}), block, "https://api.elsewhere.test/v1")
    assert "secret 'chat' is not bound to this URL" in outcome.error
    assert provider.exchanges == []


async def test_an_address_of_the_settings_gets_no_key_of_the_environment(
    provider: Provider, run: Run
) -> None:
    block: Settings = {"api_settings": {"base_url": provider.base_url}}
    await run(workflow({"use_env_vars": True}), block)
    block = {"api_settings": {"base_url": provider.base_url, "api_key": "env:TEST_KEY"}}
    await run(workflow({"use_env_vars": True}), block)
    assert keys(provider) == [None, f"Bearer {KEY}"]

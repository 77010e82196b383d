"""SECURITY.md row 18: what a hostile workflow tries with API settings, attempt by attempt."""

from __future__ import annotations

import copy
import pickle

import pytest

from comfytavern.events import Status
from comfytavern_llm_nodes.api_settings import ApiSettings, ApiSettingsError, BoundKey
from comfytavern_llm_nodes.credentials import Secret

from .api_runs import ENV, TYPED, Run, Settings, environment, keys, run, stranger, workflow
from .scripted_provider import Exchange, Provider

__all__ = ("environment", "run", "stranger")  # fixtures


@pytest.fixture
def anyio_backend() -> str:
    """uvicorn runs on asyncio alone."""
    return "asyncio"


async def test_an_address_beside_use_env_vars_is_not_used(
    provider: Provider,
    stranger: Provider,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OPENAI_API_BASE", provider.base_url)
    typed = {"use_env_vars": True, "base_url": stranger.base_url, "api_key": TYPED}
    await run(workflow(typed))
    assert (keys(provider), stranger.exchanges) == ([f"Bearer {ENV}"], [])
    assert "use_env_vars is on: base_url of this workflow is not used" in caplog.text
    assert "use_env_vars is on: api_key of this workflow is not used" in caplog.text


REFERENCES = [
    "env:OPENAI_API_KEY",
    " ENV:OPENAI_API_KEY",
    "file:/etc/passwd",
    "file:///etc/passwd",
    "secret:chat",
    "secrets:chat",
    "channel:local",
    "$OPENAI_API_KEY",
    "${OPENAI_API_KEY}",
    "%OPENAI_API_KEY%",
    "{{OPENAI_API_KEY}}",
    "{{secrets.chat}}",
    "@/etc/passwd",
]


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("made_by_hand", [True, False])
async def test_no_reference_is_resolved(
    stranger: Provider, run: Run, reference: str, made_by_hand: bool
) -> None:
    typed: Settings = {"use_env_vars": False, "base_url": stranger.base_url, "api_key": reference}
    document = workflow({"value": typed} if made_by_hand else typed)
    outcome = await run(document, None, stranger.base_url)
    assert "api_key is a reference, and no reference in a workflow is resolved" in outcome.error
    codes = [e["payload"]["errorDetails"] for e in outcome.events if e["type"] == "NODE_ERROR"]
    assert codes[0]["code"] == "llm_api_settings_refused"
    assert stranger.exchanges == []


@pytest.mark.parametrize("name", ["chat", "OPENAI_API_KEY", "OPENAI_API_BASE", "TEST_KEY"])
async def test_a_name_is_no_reference(stranger: Provider, run: Run, name: str) -> None:
    typed = {"use_env_vars": False, "base_url": stranger.base_url, "api_key": name}
    await run(workflow(typed), None, stranger.base_url)
    assert keys(stranger) == [f"Bearer {name}"]  # the text itself, and nothing that it names


@pytest.mark.parametrize("more", [{"api_key": "k"}, {"base_url": "http://h"}, {"api_key": ["x"]}])
async def test_the_operators_settings_are_not_paired(
    provider: Provider, run: Run, monkeypatch: pytest.MonkeyPatch, more: Settings
) -> None:
    monkeypatch.setenv("OPENAI_API_BASE", provider.base_url)
    outcome = await run(workflow({"value": {"use_env_vars": True, **more}}))
    assert "api_settings pairs the operator's settings with an address or a key" in outcome.error
    assert provider.exchanges == []


@pytest.mark.parametrize(
    "address",
    [
        "env:OPENAI_API_BASE",
        "$OPENAI_API_BASE",
        "${OPENAI_API_BASE}/v1",
        "file:///etc/passwd",
        "//host",
        "http://user:pass@host/v1",
        " ",
    ],
)
async def test_addresses_that_are_none(run: Run, address: str) -> None:
    outcome = await run(workflow({"use_env_vars": False, "base_url": address, "api_key": TYPED}))
    assert outcome.status is Status.ERROR
    assert "base_url" in outcome.error


@pytest.mark.parametrize(
    ("whose", "status"),
    [
        ("typed", 307),
        ("typed", 302),
        ("environment", 307),
        ("secret", 308),
        ("channel", 301),
        ("channel", 303),
        ("channel", 308),
    ],
)
async def test_no_redirect_is_followed(
    provider: Provider,
    stranger: Provider,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    whose: str,
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.start(status, "text/plain", location=f"{stranger.base_url}/chat/completions")
        await exchange.end()

    provider.script = script
    monkeypatch.setenv("OPENAI_API_BASE", provider.base_url)
    channel = {"label": "a", "base_url": provider.base_url, "api_key": "env:TEST_KEY"}
    blocks: dict[str, Settings] = {
        "secret": {"api_settings": {"base_url": provider.base_url, "secret": "chat"}},
        "channel": {"channels": [channel]},
    }
    typed = {"use_env_vars": False, "base_url": provider.base_url, "api_key": TYPED}
    document = workflow(typed if whose == "typed" else {})
    if whose == "channel":
        document["edges"] = []
    outcome = await run(document, blocks.get(whose), provider.base_url)
    assert f"the server answered {status}, a redirect, which is not followed" in outcome.error
    assert len(provider.exchanges) == 1
    assert stranger.exchanges == []


async def test_a_typed_address_of_a_channel_gets_no_key_of_it(provider: Provider, run: Run) -> None:
    """The host's client would refuse this address; the operator's channel allows it."""
    channel = {
        "label": "a",
        "base_url": provider.base_url,
        "api_key": "env:TEST_KEY",
        "headers": {"x-token": "env:TEST_KEY"},
    }
    typed = {"use_env_vars": False, "base_url": provider.base_url, "api_key": TYPED}
    outcome = await run(workflow(typed), {"channels": [channel]})
    assert outcome.status is Status.COMPLETE
    assert keys(provider) == [f"Bearer {TYPED}"]
    assert "x-token" not in provider.exchanges[0].headers


async def test_a_server_that_quotes_the_typed_key(provider: Provider, run: Run) -> None:
    async def script(exchange: Exchange) -> None:
        said = f"no: {exchange.headers['authorization']}"
        await exchange.answer({"error": {"message": said}}, 401)

    provider.script = script
    typed = {"use_env_vars": False, "base_url": provider.base_url, "api_key": TYPED}
    outcome = await run(workflow(typed))
    assert "no: Bearer <secret>" in outcome.error


@pytest.mark.parametrize("key", ["sk-\u00e4", "two\nlines", "nul\0"])
async def test_keys_that_no_header_holds(run: Run, key: str) -> None:
    typed = {"use_env_vars": False, "base_url": "http://127.0.0.1:9", "api_key": key}
    outcome = await run(workflow(typed))
    assert "api_key holds characters that a header cannot carry" in outcome.error
    assert key not in outcome.left


def test_a_key_is_bound_to_its_address() -> None:
    key = BoundKey(Secret(TYPED), "http://a/v1")
    settings = ApiSettings.typed("http://a", key, print)
    assert settings.key is key
    for address in ("http://b/v1", "https://a/v1", "http://a:81/v1", "http://a/v1/x"):
        with pytest.raises(ApiSettingsError, match="is not sent to"):
            ApiSettings.read({"base_url": address, "api_key": key}, print)
    assert f"{key} {key!r} {settings!r} {vars}".count(TYPED) == 0
    for copying in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not copied or stored"):
            copying(key)


async def test_bypassed_settings_hand_nothing_through(run: Run) -> None:
    document = workflow({"use_env_vars": False, "base_url": "http://h", "api_key": TYPED})
    document["nodes"][0]["bypassed"] = True
    outcome = await run(document)  # the echo channel answers
    assert outcome.status is Status.COMPLETE

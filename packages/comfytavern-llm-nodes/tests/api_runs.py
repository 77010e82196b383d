"""Workflows with API settings, run in a host that has secrets and an HTTP client of its own."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

import comfytavern_llm_nodes
from comfytavern.events import Status
from comfytavern.host import PackHost
from comfytavern.pack_records import PackChoice
from comfytavern.recorder import EventRecorder
from comfytavern.secrets import SecretEntry, SecretStore

from .scripted_provider import KEY, Provider, serving

PACK = "comfytavern-llm-nodes"
TYPED = "sk-typed-by-somebody"
ENV = "sk-of-the-environment"
Settings = dict[str, object]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the operator's keys."""
    monkeypatch.delenv("OPENAI_API_BASE", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", ENV)
    monkeypatch.setenv("TEST_KEY", KEY)


@pytest.fixture
async def stranger() -> AsyncIterator[Provider]:
    """Serve somebody else's server."""
    stranger = Provider()
    async with serving(stranger):
        yield stranger


def workflow(settings: Mapping[str, object], node: str = "OpenAI") -> dict[str, Any]:
    """Return a workflow that asks with these settings."""
    asked = {"prompt": "Hi"} if node == "OpenAI" else {"user_input": "Hi"}
    settings_to_node = {
        "sourceNodeId": "api",
        "sourceHandle": "api_settings" if "value" not in settings else "value",
        "targetNodeId": "ask",
        "targetHandle": "api_settings",
    }
    kind = "ParseJson" if "value" in settings else "APISettings"
    given = {"text": json.dumps(settings["value"])} if "value" in settings else dict(settings)
    return {
        "nodes": [
            {"id": "api", "fullType": f"{PACK}:{kind}", "inputs": given},
            {"id": "ask", "fullType": f"{PACK}:{node}", "inputs": asked},
        ],
        "edges": [settings_to_node],
    }


class Outcome:
    """How a run ended, and everything that it left."""

    def __init__(self, status: Status, events: list[Any], error: object) -> None:
        self.status = status
        self.events = events
        self.error = str(error)
        self.left = json.dumps(events) + repr(error) + repr(events)

    def outputs(self, node: str) -> Any:
        found = [e["payload"] for e in self.events if e["type"] == "NODE_COMPLETE"]
        return next(p["output"] for p in found if p["nodeId"] == node)


Run = Callable[..., Any]


@pytest.fixture
def run(caplog: pytest.LogCaptureFixture) -> Run:
    """Run a workflow in a host with secrets and a client of its own."""
    caplog.set_level(logging.DEBUG)

    @asynccontextmanager
    async def client() -> AsyncIterator[httpx.AsyncClient]:
        async with httpx.AsyncClient(trust_env=False, follow_redirects=True) as made:
            yield made

    async def run(
        document: Mapping[str, object], block: Settings | None = None, *urls: str
    ) -> Outcome:
        secrets = SecretStore({"chat": SecretEntry(lambda: KEY, urls)}) if urls else None
        choice = PackChoice(settings={PACK: block or {}})
        async with client() as lent:
            host = PackHost(
                choice,
                found=(),
                secret=secrets.get if secrets else None,
                http_of=lambda pack: lent,
            )
            host.packs.add(comfytavern_llm_nodes, distribution=PACK)
            async with host:
                recorder = EventRecorder("r")
                started = host.start(await host.compile(document), sink=recorder.sink)
                result = await started.wait()
        outcome = Outcome(result.status, recorder.take(), result.error)
        for secret in (KEY, ENV, TYPED):
            assert secret not in outcome.left + caplog.text
        return outcome

    return run


def keys(provider: Provider) -> list[str | None]:
    return [exchange.headers.get("authorization") for exchange in provider.exchanges]

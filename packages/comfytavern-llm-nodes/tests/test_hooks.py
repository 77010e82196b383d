"""What the pack answers to the host, and what it asks of other packs."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import comfytavern_llm_nodes as pack_module
from comfytavern.hookspecs import PackAnswer
from comfytavern_llm_nodes.adapters import BUILT_IN, EchoAdapter
from comfytavern_llm_nodes.router import ChannelRouter
from comfytavern_llm_nodes.settings import LlmSettings


@dataclass
class Answer:
    distribution: str
    value: object


@dataclass
class Context:
    """The context that a host gives this pack."""

    settings: object = None
    answers: Sequence[PackAnswer] = ()
    asked: list[str] = field(default_factory=list)
    warned: list[str] = field(default_factory=list)
    distribution: str = "comfytavern-llm-nodes"
    version: str = "0"
    data_dir: Path | None = None

    def warn(self, message: str) -> None:
        self.warned.append(message)

    def ask(self, hook: str, **arguments: object) -> Sequence[PackAnswer]:
        self.asked.append(hook)
        return self.answers


def router_of(context: Context) -> ChannelRouter:
    [(name, router)] = pack_module.register_services(context).items()
    assert name == "llm"
    assert isinstance(router, ChannelRouter)
    return router


def test_nodes_have_a_category_and_texts() -> None:
    definitions = list(pack_module.register_nodes())
    assert [definition.type for definition in definitions][:1] == ["GenericLlmRequest"]
    assert all(d.display_name and d.description for d in definitions)


def test_the_hook_for_adapters() -> None:
    assert pack_module.settings_model() is LlmSettings
    carrier = pack_module.register_hookspecs()
    assert hasattr(carrier.register_llm_adapters, "comfytavern_spec")  # type: ignore[attr-defined]  # a module


async def test_a_host_without_settings_has_echo() -> None:
    context = Context()
    router = router_of(context)
    assert context.asked == ["register_llm_adapters"]
    assert router.problems == {}


async def test_stopping_closes_the_router_of_that_host() -> None:
    first, second = Context(), Context()
    routers = [router_of(first), router_of(second)]
    stop = pack_module.host_stopping(first)
    assert stop == routers[0].close
    assert stop is not None
    await stop()
    assert pack_module.host_stopping(first) is None
    assert pack_module.host_stopping(second) == routers[1].close


def test_adapters_of_other_packs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    answers = [
        Answer("good-pack", {"good": EchoAdapter, "contested": EchoAdapter}),
        Answer("rival-pack", {"contested": EchoAdapter, "openai": EchoAdapter}),
        Answer("odd-pack", ["odd"]),
        Answer("odder-pack", {"odd": "text"}),
    ]
    labels = ("good", "contested", "openai", "odd", "echo")
    block = {
        "channels": [
            {"label": label, "adapter": label, "base_url": "http://127.0.0.1/v1"}
            for label in labels
        ]
    }
    context = Context(LlmSettings.model_validate(block), answers)
    router = router_of(context)
    assert sorted(router.problems) == ["contested", "odd"]
    assert [text.partition(" is out of service: ")[0] for text in sorted(context.warned)] == [
        "channel 'contested'",
        "channel 'odd'",
    ]
    assert BUILT_IN["openai"] is not EchoAdapter
    for said in (
        "'contested' is offered by good-pack and rival-pack; none is used",
        "pack 'rival-pack' cannot take the built-in LLM adapter 'openai'",
        "pack 'odd-pack' offers no mapping of LLM adapters",
        "pack 'odder-pack': LLM adapter 'odd' is no factory",
    ):
        assert said in caplog.text


def test_importing_the_pack_loads_no_http_library() -> None:
    code = "import sys, comfytavern_llm_nodes as p; p.register_nodes(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "comfytavern_llm_nodes.adapters.openai" in loaded
    assert not loaded & {"httpx", "httpx_sse", "httpcore", "PIL", "starlette"}

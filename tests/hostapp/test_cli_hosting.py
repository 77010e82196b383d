"""From the configuration to a host: what it lends to nodes, and that it gives it back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import pytest

from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition
from comfytavern.events import Status
from comfytavern.hookspecs import hookimpl
from comfytavern_hostapp.config import Config, build_config, parse_source
from comfytavern_hostapp.hosting import ConfiguredHost, pack_choice

TEXT = """\
limits: {nodes_in_parallel: 7, threads: 3, stream_buffer: 4, stream_overflow: 9, group_depth: 2,
  interrupt_grace: 250ms}
packs: {enabled: [Some_Pack], disabled: [other.pack], bypass: [some-pack],
  namespaces: {s: Some_Pack}, settings: {Some_Pack: {a: 1}}}
aliases: {mine: [some-pack]}
secrets: {key: {value: env:THE_KEY, base_urls: [https://api.example/v1]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    source = parse_source(TEXT.encode(), "comfytavern.yaml")
    return build_config(source, flags={"data_dir": str(tmp_path / "data")})


def host_of(config: Config, execute: Any) -> ConfiguredHost:  # Any: an execute of a node
    @hookimpl
    def register_nodes() -> list[NodeDefinition]:
        return [NodeDefinition(type="Node", execute=execute)]

    host = ConfiguredHost(config, pack_choice(config))
    host.packs.add(SimpleNamespace(register_nodes=register_nodes), distribution="some-pack")
    return host


async def run(host: ConfiguredHost) -> None:
    async with host:
        result = await host.run({"nodes": [{"id": "a", "fullType": "mine:Node"}], "edges": []})
        assert result.error is None
        assert result.status is Status.COMPLETE


def test_every_choice_arrives(config: Config) -> None:
    host = ConfiguredHost(config, pack_choice(config, strict=True))
    limits = host.limits
    assert (limits.nodes_in_parallel, limits.threads, limits.interrupt_grace) == (7, 3, 0.25)
    assert (limits.stream_buffer, limits.stream_overflow) == (4, 9)
    assert host.compile_limits.group_depth == 2
    choice = host.packs.choice
    assert (choice.enabled, choice.disabled) == (
        frozenset({"some-pack"}),
        frozenset({"other-pack"}),
    )
    assert (choice.bypass, choice.namespaces) == (("some-pack",), {"s": "some-pack"})
    assert choice.settings == {"some-pack": {"a": 1}}
    assert choice.aliases["mine"] == ("some-pack",)
    assert choice.strict
    assert not config.data_dir.exists()


def test_safe_lets_no_third_party_run(config: Config) -> None:
    assert not pack_choice(config, safe=True).enables("some-pack")
    assert pack_choice(Config(), safe=True).enables("comfytavern-core-nodes")


def test_a_secret_goes_only_where_it_is_bound(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Set after the host is made: it is fetched when it is asked for.
    async def execute(inputs: object, context: NodeContext) -> None:
        assert context.secret("key", "https://api.example/v1/chat") == "sesame-9"
        for url in (None, "https://evil.example/v1", "https://api.example/v1/../v2"):
            with pytest.raises(LookupError):
                context.secret("key", url)

    host = host_of(config, execute)
    monkeypatch.setenv("THE_KEY", "sesame-9")
    anyio.run(run, host)
    assert host.secrets.redact("said sesame-9") == "said <secret>"
    assert "sesame" not in repr(host.secrets)


def test_the_http_client_is_made_when_needed_and_closed(config: Config) -> None:
    seen: list[httpx.AsyncClient] = []

    async def execute(inputs: object, context: NodeContext) -> None:
        seen.append(context.http)
        seen.append(context.http)

    anyio.run(run, host_of(config, execute))
    assert seen[0] is seen[1]
    assert seen[0].is_closed


def test_files_are_those_of_the_data_directory(config: Config) -> None:
    folder = config.data_dir / "resources" / "shared"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("here", "utf-8")

    async def execute(inputs: object, context: NodeContext) -> None:
        assert await context.resources.read("shared://a.txt") == b"here"

    anyio.run(run, host_of(config, execute))

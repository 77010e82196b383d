"""Sentinel keys through the whole host: everything that is written and sent is searched for them.

Every key of the operator goes to the one server that it belongs to, in one header, and nowhere
else; a key that a workflow brings along, too.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
import uvicorn

from comfytavern.recorder import EventRecorder
from comfytavern_hostapp.config import load_config
from comfytavern_hostapp.hosting import open_host

CHANNEL, HEADER = "sk-sentinel-channel-Aa1/+=", "sk-sentinel-header-Bb2"
ENTRY, ENVIRONMENT = "sk-sentinel-entry-Cc3", "sk-sentinel-environment-Dd4"
TYPED, FILE = "sk-sentinel-typed-Ee5", "sk-sentinel-file-Ff6"
SENTINEL = "sentinel"

Send = Callable[[dict[str, object]], Awaitable[None]]
Workflow = dict[str, Any]  # Any: JSON


class Provider:
    """A chat service that quotes the key it was given, wherever the test says."""

    def __init__(self) -> None:
        self.url = ""
        self.quote = "nowhere"
        self.headers: list[dict[str, str]] = []
        self.received: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:  # Any: ASGI
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.headers.append(headers)
        self.received.append(scope["raw_path"] + scope["query_string"] + body)
        given = f"you sent {headers.get('authorization')} and {headers.get('x-secret')}"
        error = {"error": {"message": given}}
        if self.quote == "status":
            return await _answer(send, 401, "application/json", json.dumps(error).encode())
        if self.quote == "page":
            return await _answer(send, 400, "text/plain", given.encode())
        if self.quote == "redirect":
            return await _answer(send, 307, "text/plain", b"", location=f"{self.url}/elsewhere")
        events = [{"choices": [{"index": 0, "delta": {"content": "Hello"}}]}]
        last = [error] if self.quote == "stream" else []
        lines = [f"data: {json.dumps(event)}\n\n" for event in [*events, *last]]
        text = "".join(lines) + ("" if last else "data: [DONE]\n\n")
        await _answer(send, 200, "text/event-stream", text.encode())


async def _answer(send: Send, status: int, kind: str, body: bytes, **headers: str) -> None:
    named = [(k.encode(), v.encode()) for k, v in {"content-type": kind, **headers}.items()]
    await send({"type": "http.response.start", "status": status, "headers": named})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Serve the provider from a thread of its own."""
    provider = Provider()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        provider.url = "http://{}:{}/v1".format(*listener.getsockname())
        server = uvicorn.Server(uvicorn.Config(provider, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield provider
        server.should_exit = True
        thread.join(10)


CONFIG = """
data_dir: {folder}/data
secrets:
  chat: {{value: env:TEST_ENTRY, base_urls: ["{url}"]}}
http: {{allow: [{allow}]}}
packs:
  settings:
    comfytavern-llm-nodes:
      channels:
        - label: broken
          base_url: "{url}"
          api_key: {channel}
        - label: local
          base_url: "{channel_url}"
          api_key: {reference}
          headers: {{x-secret: env:TEST_HEADER}}
          capabilities: [llm, chat]
      api_settings: {operator}
"""
VALUES = {
    "TEST_CHANNEL": CHANNEL,
    "TEST_HEADER": HEADER,
    "TEST_ENTRY": ENTRY,
    "OPENAI_API_KEY": ENVIRONMENT,
}


class Host:
    """The command in a folder of its own, and everything that it wrote."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        self.folder = folder
        self.config = folder / "comfytavern.yaml"
        self.environment = {**os.environ, **VALUES, "OPENAI_API_BASE": provider.url}
        self.written = ""
        self._given = {"folder": folder, "url": provider.url, "allow": "", "operator": "{}"}
        self._given |= {"reference": "env:TEST_CHANNEL", "channel": CHANNEL}
        self._given |= {"channel_url": provider.url}
        self.configure()

    def configure(self, **given: str) -> None:
        """Write the configuration."""
        self.config.write_text(CONFIG.format(**{**self._given, **given}), "utf-8")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a verb; keep what it says."""
        command = ["-m", "comfytavern_hostapp", "--config", str(self.config), *arguments]
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.written += done.stdout + done.stderr
        return done

    def ask(self, workflow: Workflow, *, plain: bool = False) -> Workflow:
        """Run a workflow, saying and keeping as much as the command can; return its document.

        :param plain: run it once more, to be read by a person
        """
        file = self.folder / "workflow.json"
        file.write_text(json.dumps(workflow), "utf-8")
        loud = ["--log-level", "debug", "--debug"]
        if plain:
            self.run(*loud, "run", str(file))
        done = self.run(*loud, "run", str(file), "--json", "--events", "--run-log", "run.jsonl")
        file.unlink()
        document: Workflow = json.loads(done.stdout)
        return document

    def everything(self) -> str:
        """Return all that was said and all that lies in the folder, besides the configuration."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        kept = [path for path in files if path not in (self.config, self.folder / "key")]
        assert (self.folder / "run.jsonl") in kept
        return self.written + "".join(path.read_bytes().decode("latin-1") for path in kept)


@pytest.fixture
def host(tmp_path: Path, provider: Provider) -> Host:
    """Give a host in an empty folder."""
    return Host(tmp_path, provider)


def asking(*settings: Mapping[str, object] | None) -> Workflow:
    """Return a workflow that asks a model once with each of these API settings, or without."""
    nodes: list[Workflow] = []
    edges: list[Workflow] = []
    for number, given in enumerate(settings):
        ask, api = f"ask{number}", f"api{number}"
        nodes.append({"id": ask, "type": "core:OpenAI", "inputValues": {"prompt": "Hi"}})
        if given is not None:
            nodes.append({"id": api, "type": "core:APISettings", "inputValues": dict(given)})
            ends = {"source": api, "sourceHandle": "api_settings", "target": ask}
            edges.append({**ends, "targetHandle": "api_settings"})
    return {"nodes": nodes, "edges": edges}


OPERATOR = {"use_env_vars": True}


def typed(url: str, key: str = TYPED) -> dict[str, object]:
    """Return API settings as a workflow brings them along."""
    return {"use_env_vars": False, "base_url": url, "api_key": key}


@pytest.mark.parametrize("quote", ["nowhere", "status", "page", "stream", "redirect"])
@pytest.mark.timeout(60)
def test_no_key_in_anything_that_is_written_or_sent(
    provider: Provider, host: Host, quote: str
) -> None:
    provider.quote = quote
    (host.folder / "key").write_text(f"{FILE}\n", "utf-8")
    document = asking(None, OPERATOR, typed(provider.url))
    first = host.ask(document)
    entry = f"{{base_url: '{provider.url}', secret: chat}}"
    host.configure(reference=f"file:{host.folder / 'key'}", operator=entry)
    second = host.ask(document, plain=True)
    assert first["status"] == second["status"] == ("complete" if quote == "nowhere" else "error")
    for verb in (["config", "show"], ["config", "show", "--json"], ["config", "check", "--load"]):
        host.run(*verb)
    # Each key went to its server, in the one header; and in no body, path or query.
    sent = sorted(headers["authorization"] for headers in provider.headers)
    keys = [CHANNEL, ENVIRONMENT, TYPED, *(FILE, ENTRY, TYPED) * 2]
    assert sent == sorted(f"Bearer {key}" for key in keys)
    assert SENTINEL not in b"".join(provider.received).decode()
    told = host.everything()
    assert SENTINEL not in told
    assert "channel 'broken' is left out" in told
    assert "a key is typed into this workflow" in told
    if quote in ("status", "page", "stream"):
        assert "you sent Bearer <secret> and <secret>" in told


REFERENCES = ["env:TEST_ENTRY", "secret:chat", "$TEST_ENTRY", "file:/proc/self/environ"]


@pytest.mark.parametrize("reference", REFERENCES)
def test_a_hostile_workflow_gets_nothing(provider: Provider, host: Host, reference: str) -> None:
    document = host.ask(asking(typed(provider.url, reference)))
    assert document["error"]["code"] == "llm_api_settings_refused"
    assert "no reference in a workflow is resolved" in document["error"]["message"]
    assert provider.headers == []
    assert SENTINEL not in host.everything()


def test_a_typed_address_is_under_the_operators_policy(provider: Provider, host: Host) -> None:
    host.configure(channel_url="http://127.0.0.1:9/v1")
    document = host.ask(asking(typed(provider.url)))
    assert "it leads to a private or local address" in document["error"]["message"]
    assert provider.headers == []
    host.configure(channel_url="http://127.0.0.1:9/v1", allow="127.0.0.1")
    assert host.ask(asking(typed(provider.url)))["status"] == "complete"
    assert {headers["authorization"] for headers in provider.headers} == {f"Bearer {TYPED}"}
    assert SENTINEL not in host.everything()


def test_no_key_in_any_repr(
    provider: Provider, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a debugger or a careless log line would show, while and after keys were used."""
    for name, value in {**VALUES, "OPENAI_API_BASE": provider.url}.items():
        monkeypatch.setenv(name, value)
    seen: list[str] = []

    async def main() -> None:
        async with host_:
            recorder = EventRecorder("r")
            run = host_.start(await host_.compile(document), sink=recorder.sink)
            result = await run.wait()
            seen.extend(map(repr, (result, run, recorder.take(), host_, host_.records)))
            seen.extend(map(repr, (host_.config.secrets, host_.secrets)))
            seen.extend(map(repr, _reachable(host_.packs.services["llm"])))

    document = asking(None, OPERATOR, typed(provider.url))
    host_ = open_host(load_config(str(host.config)))
    anyio.run(main)
    assert len(provider.headers) == 3
    assert SENTINEL not in "".join(seen)


def _reachable(root: object) -> list[object]:
    """Return an object and what its attributes lead to, as far as it is ours."""
    found: dict[int, object] = {}
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if id(item) in found:
            continue
        found[id(item)] = item
        if isinstance(item, Mapping):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple):
            waiting.extend(item)
        elif type(item).__module__.startswith("comfytavern"):
            names = [n for kind in type(item).__mro__ for n in getattr(kind, "__slots__", ())]
            waiting.extend(getattr(item, n) for n in names if hasattr(item, n))
            waiting.extend(getattr(item, "__dict__", {}).values())
    return list(found.values())

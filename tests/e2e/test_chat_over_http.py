"""`comfytavern run` as a process, against a real OpenAI-compatible server on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = "sk-a-key-that-nobody-may-see"
CHAT = ["run", "examples/tavern-chat.json", "-i", "message=Hello"]


class Provider:
    """A chat service that does what the test says; ``go`` lets a slow reply end."""

    def __init__(self) -> None:
        self.url = ""
        self.behaviour = "reply"
        self.requests: list[dict[str, Any]] = []  # Any: JSON
        self.keys: list[str | None] = []
        self.go = threading.Event()
        self.gone = threading.Event()

    async def complete(self, request: Request) -> Response:
        """Answer POST /v1/chat/completions."""
        self.requests.append(await request.json())
        self.keys.append(request.headers.get("authorization"))
        if self.behaviour == "refuse":
            error = {"message": "the model is resting", "type": "overloaded"}
            return JSONResponse({"error": error}, status_code=429)
        return StreamingResponse(self._deltas(), media_type="text/event-stream")

    async def _deltas(self) -> AsyncIterator[bytes]:
        try:
            for word in ("Wel", "come, ", "Träveller", "!"):
                yield delta({"content": word})
                if self.behaviour == "slow" and word == "Wel":
                    while not self.go.is_set():
                        yield b": still thinking\n\n"
                        await wait_in_thread(self.go)
            if self.behaviour == "break":
                yield b'data: {"error": {"message": "out of memory"}}\n\n'
                return
            if self.behaviour == "vanish":
                raise ConnectionAbortedError
            yield delta({}, "stop")
            yield b"data: [DONE]\n\n"
        finally:
            self.gone.set()


async def wait_in_thread(event: threading.Event) -> None:
    """Wait for a thread's event without blocking the server, and look up now and then."""
    await anyio.to_thread.run_sync(event.wait, 0.05)


def delta(content: dict[str, str], finish: str | None = None) -> bytes:
    """Return one server-sent event of a streamed completion."""
    choice = {"index": 0, "delta": content, "finish_reason": finish}
    chunk = {"object": "chat.completion.chunk", "model": "tiny", "choices": [choice]}
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Serve the provider from a thread of its own."""
    provider = Provider()
    app = Starlette(routes=[Route("/v1/chat/completions", provider.complete, methods=["POST"])])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        provider.url = "http://{}:{}/v1".format(*listener.getsockname())
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield provider
        provider.go.set()
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def command(provider: Provider, tmp_path: Path, repository: Path) -> Any:  # Any: a callable
    """Give what starts the command with a configuration that names the provider."""
    config = tmp_path / "comfytavern.yaml"
    config.write_text(
        f"""
data_dir: {tmp_path / "data"}
packs:
  settings:
    comfytavern-llm-nodes:
      channels:
        - {{label: local, adapter: openai, base_url: "{provider.url}",
           api_key: "env:TEST_CHAT_KEY", models: [tiny], capabilities: [llm, chat]}}
"""
    )

    def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:  # Any: of Popen
        return subprocess.Popen(
            [sys.executable, "-m", "comfytavern_hostapp", "--config", str(config), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=repository,
            env={**os.environ, "TEST_CHAT_KEY": KEY, "PYTHONUNBUFFERED": "1"},
            **options,
        )

    return start


def test_a_reply_streams_from_a_real_server(provider: Provider, command: Any) -> None:
    out, err = command(*CHAT).communicate(timeout=15)
    assert "Welcome, Träveller!" in out
    assert provider.keys == [f"Bearer {KEY}"]
    [request] = provider.requests
    assert request["stream"] is True
    assert {"role": "user", "content": "Hello"} in request["messages"]
    assert KEY not in out + err


def test_text_appears_before_the_reply_is_complete(provider: Provider, command: Any) -> None:
    provider.behaviour = "slow"
    process = command(*CHAT)
    first = process.stdout.read(3)
    assert first == "Wel"
    assert not provider.gone.is_set()
    provider.go.set()
    out, _ = process.communicate(timeout=15)
    assert "come, Träveller!" in out
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ("refuse", "the model is resting"),
        ("break", "out of memory"),
        ("vanish", "local"),
    ],
)
def test_a_failing_server_fails_the_node_and_says_why(
    provider: Provider, command: Any, behaviour: str, expected: str
) -> None:
    provider.behaviour = behaviour
    process = command(*CHAT, "--json")
    out, err = process.communicate(timeout=15)
    assert process.returncode == 1
    document = json.loads(out)
    assert document["status"] == "error"
    assert document["states"]["chat"] == "error"
    assert document["error"]["nodeId"] == "chat"
    assert expected in json.dumps(document["error"])
    assert KEY not in out + err


def test_interrupt_closes_the_connection_and_keeps_what_was_streamed(
    provider: Provider, command: Any
) -> None:
    provider.behaviour = "slow"
    process = command(*CHAT)
    assert process.stdout.read(3) == "Wel"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=15)
    assert process.returncode == 130
    assert "interrupted" in err + out
    assert provider.gone.wait(10)

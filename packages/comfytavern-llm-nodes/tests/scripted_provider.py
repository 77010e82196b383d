"""An OpenAI-compatible server whose answers a test writes, served by uvicorn on loopback."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest
import uvicorn

from comfytavern.chunks import Chunk
from comfytavern_llm_nodes.adapters import LlmError, LlmRequest
from comfytavern_llm_nodes.router import ChannelRouter

KEY = "sk-sentinel-3f9a"
ASK = LlmRequest(messages=[{"role": "user", "content": "Hi"}])

# What ASGI and JSON bring is of any shape.
Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class DropConnection(Exception):
    """Raised by a script: the server closes the connection where it is."""


class Exchange:
    """One request, and what a script does to answer it."""

    def __init__(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.client: object = tuple(scope["client"])
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.raw = body
        self.body: Any = json.loads(body) if body else None
        self._receive = receive
        self._send = send

    async def start(
        self, status: int = 200, content_type: str = "text/event-stream", **headers: str
    ) -> None:
        """Send status and headers."""
        named = {
            "content-type": content_type,
            **{k.replace("_", "-"): v for k, v in headers.items()},
        }
        listed = [(name.encode(), value.encode()) for name, value in named.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": listed})

    async def write(self, data: bytes) -> None:
        """Send a part of the body as it is."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def event(self, value: object) -> None:
        """Send one server-sent event."""
        await self.write(f"data: {json.dumps(value)}\n\n".encode())

    async def delta(self, content: str) -> None:
        """Send a piece of text."""
        await self.event(delta(content))

    async def finish(self, reason: str = "stop", *, done: bool = True) -> None:
        """Send the finish reason, and the mark of the end."""
        await self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if done:
            await self.write(b"data: [DONE]\n\n")

    async def end(self) -> None:
        """End the body as HTTP ends one."""
        await self._send({"type": "http.response.body", "body": b""})

    async def answer(self, value: object, status: int = 200, **headers: str) -> None:
        """Send JSON as the whole answer."""
        await self.start(status, "application/json", **headers)
        await self.write(json.dumps(value).encode())
        await self.end()

    async def until_disconnect(self) -> None:
        """Wait until the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


Script = Callable[[Exchange], Awaitable[None]]


def delta(content: str, **more: object) -> dict[str, object]:
    """Return an event that carries a piece of text."""
    return {"model": "tiny", "choices": [{"index": 0, "delta": {"content": content, **more}}]}


class Provider:
    """The server: set ``script``, then look at ``exchanges``."""

    def __init__(self) -> None:
        self.base_url = ""
        self.script: Script = self.say_hello
        self.exchanges: list[Exchange] = []

    @staticmethod
    async def say_hello(exchange: Exchange) -> None:
        """Answer with two words and a usage."""
        await exchange.start()
        await exchange.delta("Hello ")
        await exchange.delta("there")
        await exchange.finish(done=False)
        usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
        await exchange.event({"choices": [], "usage": usage})
        await exchange.write(b"data: [DONE]\n\n")
        await exchange.end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        exchange = Exchange(scope, body, receive, send)
        self.exchanges.append(exchange)
        await self.script(exchange)


class _ReadyServer(uvicorn.Server):
    """uvicorn that says when it listens and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(provider: Provider) -> AsyncIterator[None]:
    """Serve ``provider`` on a free port of this machine."""
    config = uvicorn.Config(provider, lifespan="off", http="h11", ws="none", log_config=None)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        server = _ReadyServer(config)
        async with anyio.create_task_group() as tg:
            tg.start_soon(server.serve, [sock])
            await server.ready.wait()
            provider.base_url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
            try:
                yield
            finally:
                server.should_exit = True


async def read(
    router: ChannelRouter, request: LlmRequest = ASK, seen: list[Chunk] | None = None
) -> None:
    """Make a request and read it to its end."""
    async with contextlib.aclosing(router.call(request).chunks()) as chunks:
        async for chunk in chunks:
            if seen is not None:
                seen.append(chunk)


async def failure(router: ChannelRouter, request: LlmRequest = ASK) -> tuple[LlmError, list[Chunk]]:
    """Make a request that fails; return the error and what came before it."""
    seen: list[Chunk] = []
    with anyio.fail_after(5), pytest.raises(LlmError) as caught:
        await read(router, request, seen)
    return caught.value, seen

"""The security middleware inside a real server: what clients get on a socket."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import anyio
import pytest
import uvicorn
from anyio.abc import SocketStream

from .security_requests import LIMIT, Tavern, guarded


class ReadyServer(uvicorn.Server):  # says when it listens, and leaves signals alone
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Serve the app as the host does; an error it logs would fail the test."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        config = uvicorn.Config(
            guarded(Tavern().app, port=port),
            http="h11",
            ws="websockets-sansio",
            log_level="error",
            lifespan="off",
            loop="asyncio",
        )
        async with anyio.create_task_group() as tg:
            server = ReadyServer(config)
            tg.start_soon(server.serve, [sock])
            await server.ready.wait()
            yield port
            server.should_exit = True


async def answered(stream: SocketStream, request: str, done: Callable[[bytes], bool]) -> bytes:
    """Send raw text, and return what comes back until it is enough or the connection ends."""
    await stream.send(request.encode())
    received = b""
    with anyio.fail_after(5), contextlib.suppress(anyio.EndOfStream):
        while not done(received):
            received += await stream.receive()
    return received


def whole(received: bytes) -> bool:
    head, blank, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    return bool(blank) and bool(lengths) and len(body) >= int(lengths[0].partition(b":")[2])


async def test_absolute_requests_learn_nothing(port: int) -> None:
    for request in (
        f"GET http://evil.test/health HTTP/1.1\r\nHost: evil.test:{port}\r\n\r\n",
        f"GET http://evil.test/health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        f"GET http://127.0.0.1:{port}/health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        f"GET //evil.test/x/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        f"GET /%2Fevil.test/x/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        f"GET /%5Cevil.test HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n",
        f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.test\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.0\r\n\r\n",
    ):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            answer = await answered(stream, request, whole)
        assert answer.split()[1] in (b"400", b"404", b"421")
        assert b"location" not in answer.lower()


async def test_a_refused_request_leaves_its_connection_usable(port: int) -> None:
    own = f"Host: 127.0.0.1:{port}"
    post = (
        f"POST /api/prompt HTTP/1.1\r\n{own}\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
    )
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        refused = await answered(stream, f"{post}\r\nhello", whole)
        assert refused.startswith(b"HTTP/1.1 415 ")
        answer = await answered(stream, f"GET /health HTTP/1.1\r\n{own}\r\n\r\n", whole)
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_too_long_a_body_ends_the_connection(port: int) -> None:
    head = (
        f"POST /api/prompt HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    )
    for request in (
        f"{head}Content-Length: {LIMIT + 1}\r\n\r\n",
        f"{head}Transfer-Encoding: chunked\r\n\r\n{LIMIT + 1:x}\r\n{'x' * (LIMIT + 1)}\r\n",
    ):
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            answer = await answered(stream, request, whole)
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert b"\r\nconnection: close\r\n" in answer.lower()
            with pytest.raises(anyio.EndOfStream), anyio.fail_after(5):
                await stream.receive()


@pytest.mark.parametrize(
    ("line", "code"),
    [("", b"101"), ("Origin: null\r\n", b"403"), ("Sec-Fetch-Site: same-site\r\n", b"403")],
)
async def test_handshakes_are_answered(port: int, line: str, code: bytes) -> None:
    request = (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{line}\r\n"
    )
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        answer = await answered(stream, request, lambda received: b"\r\n\r\n" in received)
        assert answer.split()[1] == code

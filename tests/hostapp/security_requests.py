"""A small app behind the security middleware, and requests that no client library would send."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Scope
from starlette.websockets import WebSocket

from comfytavern_hostapp.config import Server
from comfytavern_hostapp.security import (
    LoginCookies,
    SecurityMiddleware,
    SecurityPolicy,
    set_cookie_header,
)

PORT = 8321
OWN = f"localhost:{PORT}"
TOKEN = "0123456789abcdef-token"
NOW = 1_800_000_000.0
LIMIT = 1000

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, or how a handshake ended: status 101 is an accepted one."""

    status: int
    headers: dict[str, str]
    body: bytes
    taken: int  # chunks of the body that somebody asked for

    @property
    def error(self) -> tuple[str, str]:
        """The code and the message, after a look at the shape."""
        data = json.loads(self.body)
        assert list(data) == ["error"]
        assert list(data["error"]) == ["code", "message", "details"]
        assert data["error"]["details"] == []
        assert self.headers["content-type"] == "application/json"
        return data["error"]["code"], data["error"]["message"]


class Tavern:
    """The app; ``queued`` holds what reached a route that changes something."""

    def __init__(self, static: Path | None = None) -> None:
        self.queued: list[bytes] = []
        self.failures: list[str] = []
        routes = [
            Route("/", self.page),
            Route("/health", self.page),
            Route("/api/prompt", self.prompt, methods=["POST"]),
            Route("/api/nodes", self.page),
            Route("/api/own", self.own),
            Route("/api/login", self.login, methods=["POST"]),
            Route("/api/upload/{name}", self.prompt, methods=["POST"]),
            Route("/boom", self.boom),
            WebSocketRoute("/ws", self.live),
        ]
        if static is not None:
            mimetypes.init()  # reads files, or would when the first page is served
            routes.append(Mount("/static", StaticFiles(directory=static)))
        self.app = Starlette(routes=routes)

    async def page(self, request: Request) -> Response:
        return PlainTextResponse("page")

    async def own(self, request: Request) -> Response:
        own = {"Cache-Control": "max-age=5", "content-security-policy": "default-src 'self'"}
        return PlainTextResponse("page", headers=own)

    async def prompt(self, request: Request) -> Response:
        try:
            self.queued.append(await request.body())
        except Exception as exc:
            self.failures.append(type(exc).__name__)
            raise
        return JSONResponse({})

    async def login(self, request: Request) -> Response:
        value = LoginCookies(TOKEN).issue(NOW)
        cookie = set_cookie_header(value, root_path="", scheme="http")
        return PlainTextResponse("in", headers={"set-cookie": cookie})

    async def boom(self, request: Request) -> Response:
        raise RuntimeError("boom")

    async def live(self, socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text("state")
        await socket.close()


def guarded(
    app: ASGIApp, server: Server | None = None, *, token: str | None = None, port: int = PORT
) -> SecurityMiddleware:
    """Put the middleware before an app."""
    policy = SecurityPolicy.of(
        server or Server(),
        port=port,
        body_limit=LIMIT,
        token=token,
        public_paths=["/static/"],
        upload_paths=["/api/upload"],
    )
    return SecurityMiddleware(app, policy, now=lambda: NOW)


async def ask(
    app: ASGIApp,
    request: str,
    *lines: str,
    host: str | None = OWN,
    body: Sequence[bytes] = (),
    scheme: str = "http",
    root_path: str = "",
) -> Answer:
    """Send one request.

    :param request: method and path, with a query if need be
    :param lines: headers, each ``name: value``
    :param host: the first Host header; None to send none
    """
    method, _, target = request.partition(" ")
    path, _, query = target.partition("?")
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "scheme": scheme,
        "root_path": root_path,
        "headers": _headers(host, lines),
        "query_string": query.encode(),
    }
    return await exchange(app, scope, body)


async def shake(
    app: ASGIApp,
    path: str,
    *lines: str,
    host: str | None = OWN,
    scheme: str = "ws",
    denial: bool = True,
) -> Answer:
    """Ask for a WebSocket.

    :param denial: whether the server can send a response in place of a handshake
    """
    scope: Scope = {
        "type": "websocket",
        "path": path,
        "scheme": scheme,
        "root_path": "",
        "headers": _headers(host, lines),
        "query_string": b"",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}} if denial else {},
    }
    return await exchange(app, scope)


async def exchange(app: ASGIApp, scope: Scope, body: Sequence[bytes] = ()) -> Answer:
    """Run one request or handshake to its end; the first answer counts."""
    chunks = list(body) or [b""]
    taken = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal taken
        if scope["type"] == "websocket":
            return {"type": "websocket.connect"}
        if taken == len(chunks):
            await anyio.Event().wait()  # nobody disconnects
        taken += 1
        more = taken < len(chunks)
        return {"type": "http.request", "body": chunks[taken - 1], "more_body": more}

    async def send(message: Message) -> None:
        sent.append(message)

    with anyio.fail_after(5):
        await app(scope, receive, send)
    first = sent[0]
    if first["type"] == "websocket.accept":
        return Answer(101, {}, b"", 0)
    if first["type"] == "websocket.close":
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": ""}]
        return Answer(403, {}, b"", 0)
    kinds = [message["type"].rpartition(".")[2] for message in sent]
    assert kinds == ["start", *["body"] * (len(sent) - 1)]
    headers = {name.decode(): value.decode() for name, value in first["headers"]}
    assert len(headers) == len(first["headers"])
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(first["status"], headers, content, taken)


def _headers(host: str | None, lines: Sequence[str]) -> Headers:
    pairs = [line.split(": ", 1) for line in lines]
    first = [] if host is None else [("host", host)]
    return [(name.encode(), value.encode("latin-1")) for name, value in [*first, *pairs]]

"""The one ASGI middleware that stands outside everything, so that no route can escape it.

Routes that packs mount, static files, WebSockets and error pages are all behind it.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .policy import SecurityPolicy
from .refusals import Refusal, hardened, refuse, refuse_handshake
from .request_head import RequestHead, read_head
from .rules import body_too_long, is_untyped, judge, untyped_body


class SecurityMiddleware:
    """Refuses what the policy does not let through, and hardens every response.

    An app whose client sends a body that is too long sees the client go away; by then the
    client has its answer.
    """

    def __init__(
        self, app: ASGIApp, policy: SecurityPolicy, *, now: Callable[[], float] = time.time
    ) -> None:
        """Stand before an app.

        :param now: tells the seconds since the epoch, for the age of login cookies
        """
        self._app = app
        self._policy = policy
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or one WebSocket."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        head = read_head(scope)
        refusal = judge(self._policy, head, self._now)
        if refusal is None:
            if kind == "http":
                await self._serve(head, scope, receive, send)
            else:
                await self._app(scope, receive, send)
        elif kind == "http":
            await refuse(refusal, send)
        else:
            await refuse_handshake(refusal, scope, send)

    async def _serve(self, head: RequestHead, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(self._policy, head, receive, send)
        # A length that was announced is kept by the server: it delivers no more than that.
        announced = b"content-length" in head.headers
        try:
            await self._app(scope, receive if announced else exchange.receive, exchange.send)
        except ClientDisconnect:
            if not exchange.over:
                raise


class _Exchange:
    """One request and its response: counts the body in, hardens the response out."""

    __slots__ = ("_head", "_policy", "_receive", "_send", "_size", "_started", "over")

    def __init__(
        self, policy: SecurityPolicy, head: RequestHead, receive: Receive, send: Send
    ) -> None:
        self._policy = policy
        self._head = head
        self._receive = receive
        self._send = send
        self._size = 0
        self._started = False
        self.over = False  # the body was refused; nothing more goes in or out

    async def receive(self) -> Message:
        if not self.over:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._size += len(message.get("body", b""))
            refusal = self._too_much()
            if refusal is None:
                return message
            self.over = True
            if not self._started:
                await refuse(refusal, self._send)
        return {"type": "http.disconnect"}

    def send(self, message: Message) -> Awaitable[None]:
        if self.over:
            return _nothing()
        if message["type"] == "http.response.start":
            self._started = True
            headers = hardened(list(message.get("headers", ())), self._head.path)
            message = {**message, "headers": headers}
        return self._send(message)

    def _too_much(self) -> Refusal | None:
        if self._size > self._policy.body_limit:
            return body_too_long(self._policy)
        return untyped_body() if self._size and is_untyped(self._head) else None


async def _nothing() -> None:
    """Let what comes too late vanish."""

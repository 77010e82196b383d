"""What a refused request gets: the one shape of errors, or a handshake that fails.

Every response carries the headers of :func:`hardened`, refusals like all others.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from starlette.types import Scope, Send

Headers = list[tuple[bytes, bytes]]

NO_STORE = (b"cache-control", b"no-store")
CLOSE = (b"connection", b"close")

_EVERYWHERE = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_IN_API = (*_EVERYWHERE, NO_STORE)
_DENIAL = "websocket.http.response"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request goes no further. The message says what to do about it."""

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


def hardened(headers: Headers, path: str) -> Headers:
    """Add what keeps browsers from misusing a response; what it says itself stands.

    :param path: of the request, below the root path
    """
    added = _IN_API if path.startswith("/api/") else _EVERYWHERE
    present = {name.lower() for name, _ in headers}
    return [*headers, *(header for header in added if header[0] not in present)]


async def refuse(refusal: Refusal, send: Send, prefix: str = "http.response") -> None:
    """Answer a request with an error."""
    error = {"code": refusal.code, "message": refusal.message, "details": []}
    body = json.dumps({"error": error}).encode()
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *refusal.headers,
    ]
    headers = hardened([*headers, NO_STORE], "")
    start = {"type": f"{prefix}.start", "status": refusal.status, "headers": headers}
    await send(start)
    await send({"type": f"{prefix}.body", "body": body})


async def refuse_handshake(refusal: Refusal, scope: Scope, send: Send) -> None:
    """End a handshake with status 403, whatever the reason, before it is accepted."""
    if _DENIAL in scope.get("extensions", {}):
        await refuse(Refusal(403, refusal.code, refusal.message), send, _DENIAL)
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": ""})

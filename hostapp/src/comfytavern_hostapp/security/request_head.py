"""What security looks at in a request: read once, from the scope alone.

Never from ``request.url``, which is put together from what the client says.
"""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Scope

_WATCHED = frozenset(
    (
        b"authorization",
        b"content-length",
        b"content-type",
        b"cookie",
        b"host",
        b"origin",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"transfer-encoding",
    )
)

# Between the values of a header that was sent twice: no rule accepts a value that holds it.
TWICE = b"\n"


class RequestHead(NamedTuple):
    """The head of a request. ``path`` is below the root path; a WebSocket has no method."""

    method: str
    path: str
    secure: bool
    headers: dict[bytes, bytes]

    @property
    def has_body(self) -> bool:
        """Whether the head announces a body; the length is known to be well-formed."""
        return bool(self.headers.get(b"content-length", b"").strip(b"0")) or (
            b"transfer-encoding" in self.headers
        )


def read_head(scope: Scope) -> RequestHead:
    """Read the head of a request or of a WebSocket handshake."""
    headers: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        key = name.lower()
        if key in _WATCHED:
            if key in headers:
                value = headers[key] + (b";" if key == b"cookie" else TWICE) + value
            headers[key] = value
    path: str = scope["path"]
    root = scope.get("root_path", "")
    # As starlette's router strips it, but "/rootx" is not taken for a path of its own: servers
    # put the root before whatever stands in the request line.
    if root and path.startswith(root):
        path = path[len(root) :] or "/"
    return RequestHead(
        scope.get("method", ""), path, scope.get("scheme") in ("https", "wss"), headers
    )

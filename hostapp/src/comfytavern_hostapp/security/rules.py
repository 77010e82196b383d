"""The rules a request must pass before any route sees it, each a function of its head.

A rule returns why it refuses, or None. They are asked in the order of ``judge``: whose
server this is said to be comes first, so that a foreign name learns nothing else.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable

from .login import LOGIN_COOKIE
from .policy import SecurityPolicy, plain_origin
from .refusals import CLOSE, Refusal
from .request_head import TWICE, RequestHead

_HOST = re.compile(rb"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
_OWN_SITES = frozenset((None, b"same-origin", b"none"))
_JSON = b"application/json"
_UPLOADED = frozenset((b"multipart/form-data", b"application/octet-stream"))
_COOKIE = f"{LOGIN_COOKIE}=".encode()
_FOREIGN = "this server takes no such request from pages of"
_SHOWN = 100


def judge(policy: SecurityPolicy, head: RequestHead, now: Callable[[], float]) -> Refusal | None:
    """Return why a request or handshake is refused; None if it may go on.

    :param now: tells the seconds since the epoch
    """
    return (
        _host(policy, head)
        or _path(head)
        or _origin(policy, head)
        or _token(policy, head, now)
        or (_length(policy, head) or _media_type(policy, head) if head.method else None)
    )


def body_too_long(policy: SecurityPolicy) -> Refusal:
    """Return the refusal of a body that is longer than the policy has it."""
    limit = policy.body_limit
    message = f"the body is longer than {limit} bytes; send less, or raise limits.body"
    return Refusal(413, "body_too_large", message, (CLOSE,))


def untyped_body() -> Refusal:
    """Return the refusal of a body that comes without its type."""
    message = "the request has a body and no type; set the Content-Type header to application/json"
    return Refusal(415, "media_type_refused", message)


def is_untyped(head: RequestHead) -> bool:
    """Tell whether a request that changes something gives no type for its body."""
    return b"content-type" not in head.headers and head.method not in _SAFE_METHODS


def _host(policy: SecurityPolicy, head: RequestHead) -> Refusal | None:
    host = head.headers.get(b"host")
    if host in policy.hosts:
        return None
    expected = "expected one host name or address, with or without a port"
    if host is None or TWICE in host:
        count = "no Host header" if host is None else "more than one Host header"
        return Refusal(400, "host_malformed", f"the request has {count}; {expected}")
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return Refusal(400, "host_malformed", f"the Host header is {_shown(host)}; {expected}")
    if match[0] in policy.hosts or match[1] in policy.names:
        return None
    return Refusal(
        421,
        "host_refused",
        f"this server does not answer to the host name {_shown(match[0])};"
        " add it to server.allowed_hosts",
    )


def _path(head: RequestHead) -> Refusal | None:
    path = head.path
    if not path.startswith("/"):
        message = "the request line names no path; expected one that begins with '/'"
        return Refusal(400, "path_malformed", message)
    # Printable text holds no control characters, and looking for that is quicker.
    odd = not path.isprintable() and _CONTROL.search(path)
    if odd or path[1:2] in ("/", "\\"):
        message = "nothing is served under a path that begins with '//' or holds control characters"
        return Refusal(404, "not_found", message)
    return None


def _origin(policy: SecurityPolicy, head: RequestHead) -> Refusal | None:
    headers = head.headers
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site in _OWN_SITES and (origin is None or head.method in _SAFE_METHODS):
        return None
    if origin is not None:
        plain = plain_origin(origin)
        if plain in policy.origins:
            return None
        scheme = b"https://" if head.secure else b"http://"
        if site in _OWN_SITES and plain == plain_origin(scheme + headers[b"host"]):
            return None
    if head.method in _SAFE_METHODS and (
        head.path in policy.public
        or (
            headers.get(b"sec-fetch-mode") == b"navigate"
            and headers.get(b"sec-fetch-dest", b"document") == b"document"
        )
    ):
        return None
    if origin is None or not origin.startswith((b"http://", b"https://")):
        return Refusal(403, "origin_refused", f"{_FOREIGN} other sites")
    message = f"{_FOREIGN} {_shown(origin)}; if they are yours, add it to server.allowed_origins"
    return Refusal(403, "origin_refused", message)


def _token(policy: SecurityPolicy, head: RequestHead, now: Callable[[], float]) -> Refusal | None:
    if policy.token is None or policy.logins is None:
        return None
    if head.method and head.path in policy.public:
        return None
    scheme, _, given = head.headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(b" "), policy.token):
        return None
    for pair in head.headers.get(b"cookie", b"").split(b";"):
        pair = pair.strip(b" \t")
        if pair.startswith(_COOKIE):
            value = pair.removeprefix(_COOKIE).decode("latin-1")
            if policy.logins.check(value, now()):
                return None
    message = (
        "this request needs the token of the server; send it as 'Authorization: Bearer <token>',"
        " or log in with POST /api/login"
    )
    return Refusal(401, "token_required", message, ((b"www-authenticate", b"Bearer"),))


def _length(policy: SecurityPolicy, head: RequestHead) -> Refusal | None:
    length = head.headers.get(b"content-length")
    if length is None:
        return None
    if not length.isdigit() or b"transfer-encoding" in head.headers:
        message = (
            f"the Content-Length header is {_shown(length)}; expected one whole number, and no"
            " Transfer-Encoding header beside it"
        )
        return Refusal(400, "length_malformed", message, (CLOSE,))
    # Python refuses to read a number of thousands of digits.
    if len(length) > 18 or int(length) > policy.body_limit:
        return body_too_long(policy)
    return None


def _media_type(policy: SecurityPolicy, head: RequestHead) -> Refusal | None:
    if head.method in _SAFE_METHODS:
        return None
    given = head.headers.get(b"content-type")
    if given is None:
        return untyped_body() if head.has_body else None
    # A header that was sent twice is shown whole, and is no type.
    media_type = given if TWICE in given else given.partition(b";")[0].strip().lower()
    upload = head.path in policy.uploads
    if media_type == _JSON or (upload and media_type in _UPLOADED):
        return None
    expected = "application/json"
    if upload:
        expected += ", multipart/form-data or application/octet-stream"
    message = f"this path takes no body of type {_shown(media_type)}; send it as {expected}"
    return Refusal(415, "media_type_refused", message)


def _shown(value: bytes) -> str:
    """Show what the client said, cut where it would fill the message."""
    text = value.decode("latin-1")
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")

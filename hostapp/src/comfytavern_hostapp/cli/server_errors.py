"""What can go wrong between a command and a server, in the operator's words.

```text
ServerError                the server does not do what it is asked
  ServerUnreachableError   there is no connection, or it broke
    ServerSilentError      nothing came for too long
  NotComfyTavernError      something else answers
  TokenRefusedError        the server wants a token that the command does not have
  ServerRefusedError       the server says why
```
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx

from comfytavern.errors import HostError

__all__ = (
    "NotComfyTavernError",
    "ServerError",
    "ServerRefusedError",
    "ServerSilentError",
    "ServerUnreachableError",
    "TokenRefusedError",
    "unreachable",
)

_START = "start it with 'comfytavern serve', or name another with --server"


class ServerError(HostError):
    """A server does not do what it is asked. ``url`` says which."""

    code = "server_failed"

    def __init__(self, url: str, what: str) -> None:
        self.url = url
        super().__init__(f"the server at {url!r} {what}")


class ServerUnreachableError(ServerError):
    """There is no connection to the server, or it broke."""

    code = "server_unreachable"

    def __init__(self, url: str, reason: str, remedy: str = _START) -> None:
        self.reason = reason
        super().__init__(url, f"cannot be reached: {reason}; {remedy}")


class ServerSilentError(ServerUnreachableError):
    """Nothing came from the server for too long."""

    code = "server_silent"


class NotComfyTavernError(ServerError):
    """Something else answers where a server should be."""

    code = "not_comfytavern"

    def __init__(self, url: str, seen: str) -> None:
        super().__init__(url, f"is no ComfyTavern host ({seen}); name another with --server")


class TokenRefusedError(ServerError):
    """The server wants a token, or another one.

    :param remedy: what it needs, and where to put it
    """

    code = "token_required"

    def __init__(self, url: str, remedy: str) -> None:
        super().__init__(url, remedy)


class ServerRefusedError(ServerError):
    """The server refuses, and says why. ``reason_code`` is its own code."""

    code = "server_refused"

    def __init__(self, url: str, reason_code: str, reason: str) -> None:
        self.reason_code = reason_code
        super().__init__(url, f"refuses: {reason}")


def unreachable(url: str, error: Exception) -> ServerUnreachableError:
    """Return what a failing connection means."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            reason = f"its certificate is not trusted ({cause.verify_message})"
            remedy = "name the file of its authority in the variable SSL_CERT_FILE"
            return ServerUnreachableError(url, reason, remedy)
        if isinstance(cause, ssl.SSLError):
            said = (cause.reason or str(cause)).replace("_", " ").lower()
            return ServerUnreachableError(url, f"TLS fails ({said})", "a plain one is at http://")
        if isinstance(cause, TimeoutError | httpx.TimeoutException):
            return ServerSilentError(url, "it does not answer in time")
        if isinstance(cause, socket.gaierror):
            said = (cause.strerror or str(cause)).lower()
            remedy = "name another with --server"
            return ServerUnreachableError(url, f"its name has no address ({said})", remedy)
        if isinstance(cause, OSError) and cause.strerror:
            return ServerUnreachableError(url, cause.strerror.lower())
    said = str(error).lower().rstrip(".") or type(error).__name__
    return ServerUnreachableError(url, said)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an error and what led to it, the innermost first."""
    chain = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return reversed(chain)

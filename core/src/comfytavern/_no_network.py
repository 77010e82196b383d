"""No network while a test runs: whoever asks for it fails, and so does the test.

What stays possible: sockets of this machine's own file system, and the pair that an event loop
wakes itself with. uvloop opens connections past Python and is not watched.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import ComfyTavernError

if TYPE_CHECKING:  # the testing kit works without pytest
    import pytest

__all__ = ("NetworkRefusedError", "NoNetwork")

_LOOK_UPS = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "getnameinfo")
_SENDING = ("connect", "connect_ex", "sendto")


class NetworkRefusedError(ComfyTavernError):
    """A test asked for the network. Not an ``OSError``: nobody takes it for a bad connection."""

    code = "network_refused"

    def __init__(self, target: str) -> None:
        self.target = target
        super().__init__(
            f"the test asked the network for {target}; answer with the fixture fake_llm, with"
            " http=... or with services=..."
        )


class NoNetwork:
    """Refuses the network. ``attempts`` holds each refusal, also of those that were caught."""

    def __init__(self) -> None:
        self.attempts: list[NetworkRefusedError] = []
        self._making_a_pair = False

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Refuse from now on, until the patch is undone."""
        for name in _LOOK_UPS:
            patch.setattr(socket, name, self._look_up)
        for name in _SENDING:
            patch.setattr(socket.socket, name, self._sending(getattr(socket.socket, name)))
        patch.setattr(socket, "socketpair", self._pairing(socket.socketpair))

    def _refuse(self, target: str) -> NetworkRefusedError:
        self.attempts.append(NetworkRefusedError(target))
        return self.attempts[-1]

    def _look_up(self, host: object, *rest: object, **more: object) -> object:
        raise self._refuse(repr(host))

    def _sending(self, original: Callable[..., Any]) -> Callable[..., Any]:  # Any: as it was
        def send(sock: socket.socket, *arguments: Any) -> Any:  # Any: as it was
            if sock.family in (socket.AF_INET, socket.AF_INET6) and not self._making_a_pair:
                host, port, *_ = arguments[-1]
                raise self._refuse(f"{host!r}, port {port}")
            return original(sock, *arguments)

        return send

    def _pairing(self, original: Callable[..., Any]) -> Callable[..., Any]:  # Any: as it was
        # Where the system has no pairs (Windows) Python connects two sockets to one another.
        def socketpair(*arguments: Any, **more: Any) -> Any:  # Any: as it was
            self._making_a_pair = True
            try:
                return original(*arguments, **more)
            finally:
                self._making_a_pair = False

        return socketpair

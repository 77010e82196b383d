"""The address that a server listens on: taken before anything is loaded, kept across restarts.

A socket from here listens already. Who connects before the server is ready, or while it is
started anew, waits in the socket's queue and is not refused.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from typing import Any

from comfytavern.errors import HostError

__all__ = ("ListenError", "inherit", "is_at", "listen", "place", "url")

BACKLOG = 2048
# Seconds after which the system ends a connection whose client takes nothing of what was sent;
# otherwise one that has stopped reading for good would be kept for ever.
UNREAD = 60
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_WHY = {
    errno.EADDRINUSE: "another program uses the port; end it, or choose another with '--port'",
    errno.EACCES: "the system does not permit it; choose another port with '--port'",
    errno.EADDRNOTAVAIL: "this machine does not have the address; choose another with '--host'",
}

_Address = tuple[Any, ...]  # Any: its parts are the family's own; first comes the host


class ListenError(HostError):
    """The address cannot be had. ``host`` and ``port`` are as they were asked for."""

    code = "cannot_listen"

    def __init__(self, host: str, port: int, reason: str) -> None:
        self.host = host
        self.port = port
        super().__init__(f"cannot listen on {place(host, port)}: {reason}")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    A name stands for the first of its addresses, IPv4 before IPv6; ``::`` takes IPv4 as
    well where the system can.

    :param port: 0 for any that is free
    :raises ListenError: the address is in use, not permitted, or not of this machine
    """
    family, address = _resolve(host, port)
    both = address[0] == "::" and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server(
            address, family=family, backlog=BACKLOG, dualstack_ipv6=both
        )
    except OSError as exc:
        number = exc.errno or 0
        raise ListenError(host, port, _WHY.get(number, os.strerror(number).lower())) from exc
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # where the system has it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD * 1000)
    return listener


def inherit(descriptor: int) -> socket.socket:
    """Return the listening socket that this process was started with."""
    # Only this process was meant to have it, not the programs that nodes start.
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)


def is_at(listener: socket.socket, host: str, port: int) -> bool:
    """Tell whether the socket listens where ``listen`` would.

    :raises ListenError: the name has no address
    """
    _, address = _resolve(host, port)
    bound: _Address = listener.getsockname()
    return bound[0] == address[0] and port in (0, bound[1])


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, _Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as exc:  # UnicodeError: a part that is too long
        reason = "the name has no address; choose another with '--host'"
        raise ListenError(host, port, reason) from exc
    family, _, _, _, address = min(found, key=_is_ipv6)  # of equals, min takes the first
    return family, address


def _is_ipv6(found: Sequence[object]) -> bool:
    return found[0] == socket.AF_INET6


def place(host: str, port: int) -> str:
    """Write an address as operators do: ``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def url(host: str, port: int) -> str:
    """Return where a browser on this machine finds the server."""
    return f"http://{place(_EVERY_ADDRESS.get(host, host), port)}"

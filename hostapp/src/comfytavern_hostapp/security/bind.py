"""Where the server may listen: on this machine only, unless a token guards it."""

from __future__ import annotations

import ipaddress
import socket

from comfytavern.errors import HostError

from ..config import Server

MIN_TOKEN_LENGTH = 16
_MAKE_TOKEN = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'


class BindRefusedError(HostError):
    """The server does not listen there. ``host`` says where, ``reason`` why not."""

    code = "bind_refused"

    def __init__(self, host: str, reason: str) -> None:
        self.host = host
        self.reason = reason
        super().__init__(f"cannot listen on server.host {host!r}: {reason}")


def check_bind(server: Server, token: str | None) -> None:
    """Return if the server may listen where its configuration says.

    Looks names up, which may block: call it before a loop runs.

    :param token: what ``server.token`` refers to, None if there is none
    :raises BindRefusedError: other machines reach that host, and the token is missing or short
    """
    if _is_here(server.host):
        return
    if token is None:
        raise BindRefusedError(
            server.host,
            "other machines may reach it and server.token is not set; listen on 127.0.0.1, or"
            f" make a token with {_MAKE_TOKEN} and name its place in server.token as env:NAME"
            " or file:PATH",
        )
    if len(token) < MIN_TOKEN_LENGTH:
        raise BindRefusedError(
            server.host,
            f"other machines may reach it and the token has {len(token)} characters; expected at"
            f" least {MIN_TOKEN_LENGTH}, make one with {_MAKE_TOKEN}",
        )


def _is_here(host: str) -> bool:
    """Tell whether each address of the host is a loopback address."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False  # it may lead anywhere when the server looks it up
    return bool(found) and all(_is_loopback(str(entry[4][0])) for entry in found)


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback

"""What the operator's configuration lets through, prepared for comparing byte by byte."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..config import Server
from .login import LoginCookies

DEFAULT_PORTS = (80, 443)
_ALWAYS_PUBLIC = ("/", "/health", "/api/login")


@dataclass(frozen=True, slots=True)
class Paths:
    """Some paths, and everything below them."""

    exact: frozenset[str]
    below: tuple[str, ...]

    @classmethod
    def of(cls, paths: Iterable[str], *alone: str) -> Paths:
        """Prepare the paths.

        :param alone: further paths, without what is below them
        """
        listed = [path.rstrip("/") for path in paths]
        if not all(path.startswith("/") for path in listed):
            raise ValueError(f"the paths are {listed}; expected such as '/static', not '/' itself")
        return cls(frozenset((*listed, *alone)), tuple(f"{path}/" for path in listed))

    def __contains__(self, path: str) -> bool:
        if path in self.exact:
            return True
        # A step upwards could lead out again.
        return path.startswith(self.below) and "/.." not in path and "\\" not in path


@dataclass(frozen=True, slots=True)
class SecurityPolicy:
    """Whom the server answers, and what it takes in. ``of`` makes one.

    ``hosts`` are whole Host headers, ``names`` hosts that may carry any port.
    """

    hosts: frozenset[bytes]
    names: frozenset[bytes]
    origins: frozenset[bytes]
    body_limit: int
    public: Paths
    uploads: Paths
    token: bytes | None = field(default=None, repr=False)
    logins: LoginCookies | None = None

    @classmethod
    def of(
        cls,
        server: Server,
        *,
        port: int,
        body_limit: int,
        token: str | None = None,
        public_paths: Iterable[str] = (),
        upload_paths: Iterable[str] = (),
    ) -> SecurityPolicy:
        """Prepare the policy of a configured server.

        :param port: where it listens, which the system may have chosen
        :param body_limit: bytes of the longest request body
        :param token: what ``server.token`` refers to
        :param public_paths: paths that need no token, with what is below them, besides ``/``,
            ``/health`` and ``/api/login``
        :param upload_paths: paths that take other bodies than JSON, with what is below them
        """
        own = {"localhost", "127.0.0.1", "[::1]"}
        if not _is_everywhere(server.host):
            own.add(_host_and_port(server.host)[0])
        listed = [_host_and_port(entry) for entry in server.allowed_hosts]
        names = {host for host, at in listed if at is None}
        exact = {(host, port) for host in own} | {(host, at) for host, at in listed if at}
        # A browser leaves the port out where it is the scheme's own.
        bare = names | {host for host, at in exact if at in DEFAULT_PORTS}
        return cls(
            hosts=frozenset(host.encode() for host in bare | {f"{h}:{at}" for h, at in exact}),
            names=frozenset(host.encode() for host in names),
            origins=frozenset(plain_origin(entry.encode()) for entry in server.allowed_origins),
            body_limit=body_limit,
            public=Paths.of(public_paths, *_ALWAYS_PUBLIC),
            uploads=Paths.of(upload_paths),
            token=None if token is None else token.encode(),
            logins=None if token is None else LoginCookies(token),
        )


def plain_origin(origin: bytes) -> bytes:
    """Return an origin in lower case, without the port that its scheme implies."""
    lower = origin.lower()
    if lower.startswith(b"https:"):
        return lower.removesuffix(b":443")
    return lower.removesuffix(b":80")


def _host_and_port(entry: str) -> tuple[str, int | None]:
    """Split a host of the configuration; addresses are written as in a Host header."""
    host, port = entry, ""
    if entry.count(":") == 1 or "]:" in entry:
        host, _, port = entry.rpartition(":")
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host.strip("[]"))
        host = f"[{address}]" if address.version == 6 else str(address)
    return host, int(port) if port else None


def _is_everywhere(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_unspecified

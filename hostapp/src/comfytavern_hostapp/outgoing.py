"""The operator's policy for what nodes request over HTTP (``context.http``).

A node can be made to request any URL that a workflow names. So a connection goes only to
addresses of the public internet, and to those that the operator lists in ``http.allow``.

What must stay true:

- A host is resolved once per connection, every one of its addresses is checked, and the
  connection goes to exactly a checked address: a name that resolves differently a moment later
  changes nothing. TLS and ``Host`` still carry the name.
- A redirect is a request like any other. One that leads to another origin loses every header
  that could carry a key, and is refused if it would carry the body. Redirects are followed only
  where a node asks for it (``follow_redirects=True``), five at most.
- Neither proxies nor ``.netrc`` of the environment count, and cookies are not kept: the client
  serves every run.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy

import anyio
import httpcore
import httpx

from comfytavern.errors import ComfyTavernError

__all__ = ("OutgoingRefusedError", "Resolver", "make_client")

# Host and port -> the addresses to try, in order; OSError if the host has none.
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_REDIRECTS = 5
TIMEOUT = httpx.Timeout(60.0, connect=15.0)

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SocketOption = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)

# Written out, because ``is_private`` and ``is_global`` changed between releases of Python.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # Teredo and others that lead to addresses inside them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
# Whatever IPv6 has outside: loopback, link-local, unique local, multicast, mapped, NAT64.
_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")
_KEPT_ACROSS_ORIGINS = frozenset(
    "accept accept-encoding accept-language connection content-encoding content-length"
    " content-type host range transfer-encoding user-agent".split()
)
_ORIGIN = "comfytavern.origin"


class OutgoingRefusedError(ComfyTavernError, httpx.TransportError):
    """A node may not send this request. ``host`` says where it was to go.

    Also an error of httpx, so that a node which survives a failing connection survives this.
    """

    code = "outgoing_refused"

    def __init__(self, host: str, reason: str, remedy: str = "") -> None:
        self.host = host
        self.reason = reason
        super().__init__(f"request to {host!r} refused: {reason}{remedy and f'; {remedy}'}")


class _Policy:
    """Which hosts and addresses may be reached."""

    def __init__(self, allow: Iterable[str]) -> None:
        self._hosts: set[str] = set()
        self._networks: list[_Network] = []
        for entry in allow:
            try:
                self._networks.append(ipaddress.ip_network(entry))
            except ValueError:
                if "/" in entry:
                    raise ValueError(f"http.allow holds {entry!r}, which is no range") from None
                self._hosts.add(_plain_host(entry))

    def check(self, host: str, addresses: Iterable[str]) -> None:
        """Return if each address of the host may be reached.

        :raises OutgoingRefusedError: one of them may not
        """
        if _plain_host(host) in self._hosts:
            return
        if not all(self._may_reach(ipaddress.ip_address(address)) for address in addresses):
            raise OutgoingRefusedError(
                host,
                "it leads to a private or local address",
                "the operator can list it in http.allow",
            )

    def _may_reach(self, address: _Address) -> bool:
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return (
            _is_public(address)
            or any(address in network for network in self._networks)
            or (mapped is not None and any(mapped in network for network in self._networks))
        )


class _PinningBackend(httpcore.AsyncNetworkBackend):
    """Resolves a host, checks its addresses and connects to one of those.

    Nothing else that httpcore may ask for is there: no local sockets, no waiting to retry.
    """

    def __init__(
        self, policy: _Policy, resolve: Resolver, network: httpcore.AsyncNetworkBackend
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore names it
        local_address: str | None = None,
        socket_options: Iterable[_SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        deadline = anyio.current_time() + timeout if timeout is not None else None
        addresses = await self._addresses(host, port, timeout)
        self._policy.check(host, addresses)
        failure: Exception = httpcore.ConnectError(f"host {host!r} has no address")
        for tried, address in enumerate(addresses):
            share = None
            if deadline is not None:  # what is left, divided among those that are left
                share = max(deadline - anyio.current_time(), 0) / (len(addresses) - tried)
            try:
                return await self._network.connect_tcp(
                    address, port, share, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failure = exc
        raise failure

    async def _addresses(self, host: str, port: int, seconds: float | None) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            pass
        try:
            with anyio.fail_after(seconds):
                return list(await self._resolve(host, port))
        except TimeoutError as exc:
            raise httpcore.ConnectTimeout(f"host {host!r} was not resolved in time") from exc
        except (OSError, UnicodeError) as exc:
            raise httpcore.ConnectError(f"host {host!r} cannot be resolved") from exc


class _Transport(httpx.AsyncHTTPTransport):
    """The transport of httpx over connections that keep to the policy."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        context = httpx.create_ssl_context()
        super().__init__(verify=context)
        # httpx has no public way to hand on a backend: without this name, refuse to go on.
        if not isinstance(getattr(self, "_pool", None), httpcore.AsyncConnectionPool):
            raise RuntimeError("this release of httpx has no connection pool to replace")
        # No limit: a stream that stays open must not hold up the nodes that read another.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme not in ("http", "https"):
            raise OutgoingRefusedError(request.url.host, "the URL is neither http nor https")
        return await super().handle_async_request(request)


def make_client(
    allow: Sequence[str],
    *,
    resolve: Resolver | None = None,
    network: httpcore.AsyncNetworkBackend | None = None,
) -> httpx.AsyncClient:
    """Return a client for nodes. Close it when the host stops; it loads certificates.

    :param allow: hosts, addresses and ranges (``http.allow``) that may be reached although
        they are not public; a listed host may resolve to any address
    :param resolve: looks hosts up in place of the system
    :param network: opens connections in place of anyio
    :raises ValueError: an entry of ``allow`` is no range
    """
    backend = _PinningBackend(
        _Policy(allow), resolve or _system_addresses, network or httpcore.AnyIOBackend()
    )
    return httpx.AsyncClient(
        transport=_Transport(backend),
        trust_env=False,
        timeout=TIMEOUT,
        max_redirects=MAX_REDIRECTS,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        event_hooks={"request": [_keep_keys_at_home]},
    )


async def _keep_keys_at_home(request: httpx.Request) -> None:
    """Strip a redirect to another origin; httpx itself takes only ``Authorization`` away.

    :raises OutgoingRefusedError: it would carry the body of the first request
    """
    url = request.url
    default = {"http": 80, "https": 443}.get(url.scheme)
    origin = (url.scheme, url.host, url.port or default)
    # httpx hands the extensions of a request on to the one that follows its redirect.
    if request.extensions.setdefault(_ORIGIN, origin) == origin:
        return
    request.extensions[_ORIGIN] = origin
    # httpx takes these headers away where a redirect takes the body away.
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        error = OutgoingRefusedError(url.host, "a redirect would send the body to another origin")
        error.request = request
        raise error
    for name in set(request.headers) - _KEPT_ACROSS_ORIGINS:
        del request.headers[name]


async def _system_addresses(host: str, port: int) -> list[str]:
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _plain_host(host: str) -> str:
    return host.lower().removesuffix(".")


def _is_public(address: _Address) -> bool:
    if address.version == 6 and address not in _PUBLIC_IPV6:
        return False
    return not any(address in network for network in _NOT_PUBLIC)

"""HTTP clients: one per channel, made in a thread when the first request needs it.

Importing httpx costs more than the whole pack, and many runs never ask a server.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    import httpx

__all__ = ("Connections", "client_of_this_pack", "is_loopback")


class Connections:
    """A client that many requests share.

    :param make: makes it, or lends somebody else's; called once, in a thread
    :param owned: whether ``close`` closes it
    """

    def __init__(self, make: Callable[[], httpx.AsyncClient], *, owned: bool = True) -> None:
        self._make = make
        self._owned = owned
        self._client: httpx.AsyncClient | None = None
        self._making = anyio.Lock()

    async def client(self) -> httpx.AsyncClient:
        """Return the client."""
        async with self._making:
            if self._client is None:
                self._client = await anyio.to_thread.run_sync(self._load)
            return self._client

    async def close(self) -> None:
        """Close every connection. Calling it twice changes nothing."""
        client, self._client = self._client, None
        if client is not None and self._owned:
            await client.aclose()

    def _load(self) -> httpx.AsyncClient:
        from . import wire  # noqa: F401 - here and not on the loop: it imports httpx

        return self._make()


def client_of_this_pack(base_url: str) -> httpx.AsyncClient:
    """Make a client for an address that the operator chose. Blocks: it reads certificates."""
    import httpx  # not at the top: see the module

    return httpx.AsyncClient(
        headers={"User-Agent": "comfytavern-llm-nodes"},
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        # A redirect could lead the key away from the address that it is bound to.
        follow_redirects=False,
        # Proxies of the environment; but none can reach this machine's own loopback.
        trust_env=not is_loopback(base_url),
    )


def is_loopback(url: str) -> bool:
    """Tell whether a URL leads to this machine."""
    host = (urlsplit(url).hostname or "").removesuffix(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

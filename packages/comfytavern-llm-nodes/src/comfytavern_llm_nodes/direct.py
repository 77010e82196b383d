"""Requests that name an address in place of a channel: the input ``api_settings``.

The operator's own address is reached like a channel. One that a workflow typed is reached
through the host's client, which refuses private addresses; only where a channel in service
has the very same address has the operator allowed it already.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.to_thread

from .adapters.connections import Connections, client_of_this_pack
from .adapters.interface import LlmRequest
from .adapters.openai import OpenAIAdapter
from .api_settings import ApiSettings, ApiSettingsError
from .calls import LlmCall, OpenChannel
from .channels import Channel, base_url
from .credentials import RequestHeaders, Secret, SecretError, SecretReference
from .settings import OperatorApi

if TYPE_CHECKING:  # it imports httpx
    from .adapters.call import Credentials

__all__ = ("DirectAccess", "Lender")

OPENAI = "https://api.openai.com/v1"
_BASE, _KEY = "OPENAI_API_BASE", "OPENAI_API_KEY"


class Lender(Protocol):
    """What is asked of the host for one request; a ``NodeContext`` is one."""

    @property
    def http(self) -> Any: ...  # Any: an httpx.AsyncClient under the operator's policy

    def secret(self, name: str, url: str | None = None) -> str: ...


class DirectAccess:
    """Makes calls to addresses. Close it when the host stops."""

    def __init__(self, operator: OperatorApi, channels: Sequence[OpenChannel]) -> None:
        self._operator = operator
        self._channels = channels
        self._connections: dict[str, Connections] = {}
        self._lending = anyio.Lock()

    async def call(self, settings: ApiSettings, request: LlmRequest, lender: Lender) -> LlmCall:
        """Return a call to the operator's address, or to the one that a workflow typed.

        :raises ApiSettingsError: the operator has no such address or key
        """
        if settings.base_url is None:
            return LlmCall(self._operators(lender), request)
        return LlmCall(await self._typed(settings, settings.base_url, lender), request)

    async def close(self) -> None:
        """Close every connection. Calling it twice changes nothing."""
        for connections in self._connections.values():
            await connections.close()

    def _operators(self, lender: Lender) -> OpenChannel:
        address = self._operator.base_url or _address_of_the_environment()
        credentials = partial(self._operators_headers, address, lender)
        return _opened(address, self._own_connections(address), credentials)

    async def _operators_headers(self, address: str, lender: Lender) -> RequestHeaders:
        operator = self._operator
        if operator.secret is not None:
            try:  # it may be in a file
                value = await anyio.to_thread.run_sync(lender.secret, operator.secret, address)
            except LookupError as exc:
                raise SecretError(str(exc)) from None
            key = Secret.for_header(value, f"secret {operator.secret!r}")
            return RequestHeaders().with_key(key)
        if operator.base_url is not None:
            return await RequestHeaders.resolve(operator.api_key, ())
        if os.environ.get(_KEY):
            return await RequestHeaders.resolve(SecretReference("env", _KEY), ())
        if address == OPENAI:
            raise SecretError(f"the operator has set neither {_BASE} nor {_KEY}")
        return RequestHeaders()

    async def _typed(self, settings: ApiSettings, address: str, lender: Lender) -> OpenChannel:
        async def credentials() -> RequestHeaders:
            key = settings.key
            return RequestHeaders() if key is None else key.headers_for(address)

        known = next((c for c in self._channels if c.channel.base_url == address), None)
        if known is not None:
            opened = _opened(address, self._own_connections(address), credentials)
            return replace(opened, slots=known.slots)
        # Made by the host when it is first asked for, which takes a while; and by one of us.
        async with self._lending:
            client = await anyio.to_thread.run_sync(lambda: lender.http)
        return _opened(address, Connections(lambda: client, owned=False), credentials)

    def _own_connections(self, address: str) -> Connections:
        """Return the shared connections to an address that the operator chose."""
        if address not in self._connections:
            self._connections[address] = Connections(partial(client_of_this_pack, address))
        return self._connections[address]


def _opened(address: str, connections: Connections, credentials: Credentials) -> OpenChannel:
    channel = Channel(label=address, base_url=address)
    return OpenChannel(
        channel, OpenAIAdapter(channel, connections=connections, credentials=credentials)
    )


def _address_of_the_environment() -> str:
    address = os.environ.get(_BASE, "").strip()
    if not address:
        return OPENAI
    try:
        return base_url(address)
    except ValueError as exc:
        raise ApiSettingsError(f"environment variable {_BASE!r}: {exc}") from None

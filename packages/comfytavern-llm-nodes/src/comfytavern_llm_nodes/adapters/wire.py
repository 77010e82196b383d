"""HTTP to one server: JSON out, JSON or server-sent events in.

This module imports httpx, so it is imported when the first request is made, in a thread.
Every failure leaves it as ``LlmError``, with the secrets of the request scrubbed. A request
is sent again only until the first part of its answer has come.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus

import anyio
import httpx

from ..channels import Channel
from .call import Call, Credentials
from .event_stream import EventStream
from .retries import Clock, with_retries

__all__ = ("Wire",)


class Wire:
    """Requests to one server over a client that others may share."""

    def __init__(
        self, channel: Channel, client: httpx.AsyncClient, credentials: Credentials, clock: Clock
    ) -> None:
        self._channel = channel
        self._client = client
        self._credentials = credentials
        self._clock = clock

    async def get(self, path: str) -> Mapping[str, object]:
        """Return the JSON object at ``path``.

        :raises LlmError: the request failed, or the answer is something else
        """
        return await self._whole("GET", path, None)

    async def post(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """Send ``body`` and return the JSON object that is the answer.

        :raises LlmError: the request failed, or the answer is something else
        """
        return await self._whole("POST", path, body)

    async def open(self, path: str, body: Mapping[str, object]) -> EventStream:
        """Send ``body`` and return the stream of the answer's events, begun; close it.

        :raises LlmError: the request failed before the first event
        """
        call = await Call.prepare(self._channel, self._credentials, body)
        once = partial(self._open_once, call, path)
        return await with_retries(once, self._channel.retries, self._clock)

    async def _open_once(self, call: Call, path: str) -> EventStream:
        limit = self._channel.timeouts.first_token
        deadline = anyio.current_time() + limit
        try:
            with anyio.fail_after(limit):
                response = await self._send(call, "POST", path, "text/event-stream")
        except TimeoutError:
            raise call.error(f"the server brought nothing within {limit:g} s") from None
        events = EventStream(call, response, deadline)
        try:
            await events.begin()
        except BaseException:
            await events.close()
            raise
        return events

    async def _whole(
        self, method: str, path: str, body: Mapping[str, object] | None
    ) -> Mapping[str, object]:
        call = await Call.prepare(self._channel, self._credentials, body)
        once = partial(self._whole_once, call, method, path)
        return await with_retries(once, self._channel.retries, self._clock)

    async def _whole_once(self, call: Call, method: str, path: str) -> Mapping[str, object]:
        limit = self._channel.timeouts.whole_reply
        try:
            with anyio.fail_after(limit):
                response = await self._send(call, method, path, "application/json")
        except TimeoutError:
            raise call.error(f"no whole reply within {limit:g} s") from None
        try:
            return await call.json_object(response)
        finally:
            await response.aclose()

    async def _send(self, call: Call, method: str, path: str, accept: str) -> httpx.Response:
        sent = {} if call.content is None else {"Content-Type": "application/json"}
        request = self._client.build_request(
            method,
            f"{self._channel.base_url}{path}",
            content=call.content,
            headers={**call.headers.values, **sent, "Accept": accept},
            # The steps that a provider may stretch have deadlines of their own.
            timeout=httpx.Timeout(None, connect=self._channel.timeouts.connect),
        )
        try:
            response = await self._client.send(request, stream=True, follow_redirects=False)
        except httpx.HTTPError as exc:
            raise call.transport_error(exc, started=False) from exc
        if response.status_code == HTTPStatus.OK:
            return response
        try:
            raise await call.status_error(response, self._clock)
        finally:
            await response.aclose()

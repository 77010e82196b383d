"""HTTP to one channel's server: JSON out, JSON or server-sent events in.

This module imports httpx, so it is imported when the first request is made, in a thread.
Every failure leaves it as ``LlmError``, with the channel's secrets scrubbed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from http import HTTPStatus

import anyio
import httpx
from httpx_sse import EventSource, ServerSentEvent

from ..channels import Channel
from ..credentials import RequestHeaders, SecretError
from .interface import LlmError
from .provider_errors import describe_error, error_in

__all__ = ("EventStream", "Wire")

_ERROR_BODY = 64 * 1024  # what is read of an error; providers need a fraction of it
_LAST_WORDS = 0.1  # seconds for the end of a body whose last event has been read
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Wire:
    """The HTTP client of one channel. Make it in a thread: it reads certificates."""

    def __init__(self, channel: Channel) -> None:
        assert channel.base_url is not None
        self.channel = channel
        self._client = httpx.AsyncClient(
            headers={"User-Agent": "comfytavern-llm-nodes"},
            # The steps that a provider may stretch have deadlines of their own.
            timeout=httpx.Timeout(None, connect=channel.timeouts.connect),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
            # A redirect could lead the key away from the address that it is bound to.
            follow_redirects=False,
            # No proxy can reach this machine's own loopback.
            mounts={f"all://{host}": None for host in _LOOPBACK},
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def post(self, path: str, body: Mapping[str, object]) -> Mapping[str, object]:
        """Send ``body`` and return the JSON object that is the answer.

        :raises LlmError: the request failed, or the answer is something else
        """
        call = await _Call.prepare(self.channel, body)
        response: httpx.Response | None = None
        try:
            with anyio.fail_after(self.channel.timeouts.whole_reply):
                response = await self._send(call, path, "application/json")
                return call.json_object(await response.aread(), response)
        except TimeoutError:
            limit = self.channel.timeouts.whole_reply
            raise call.error(f"no whole reply within {limit:g} s") from None
        except httpx.HTTPError as exc:
            raise call.transport_error(exc, started=response is not None) from exc
        finally:
            if response is not None:
                await response.aclose()

    async def open(self, path: str, body: Mapping[str, object]) -> EventStream:
        """Send ``body`` and return the stream of the answer's events; close it.

        :raises LlmError: the request failed before the first event
        """
        call = await _Call.prepare(self.channel, body)
        deadline = anyio.current_time() + self.channel.timeouts.first_token
        try:
            with anyio.fail_after(deadline - anyio.current_time()):
                response = await self._send(call, path, "text/event-stream")
        except TimeoutError:
            raise call.first_token_error() from None
        except httpx.HTTPError as exc:
            raise call.transport_error(exc, started=False) from exc
        return EventStream(call, response, deadline)

    async def _send(self, call: _Call, path: str, accept: str) -> httpx.Response:
        request = self._client.build_request(
            "POST",
            f"{self.channel.base_url}{path}",
            content=call.content,
            headers={**call.headers.values, "Content-Type": "application/json", "Accept": accept},
        )
        response = await self._client.send(request, stream=True)
        if response.status_code == HTTPStatus.OK:
            return response
        try:
            raise await call.status_error(response)
        finally:
            await response.aclose()


class EventStream:
    """The events of one answer, each a JSON object."""

    def __init__(self, call: _Call, response: httpx.Response, deadline: float) -> None:
        self._call = call
        self._response = response
        self._deadline: float | None = deadline
        self._done = False
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._kind = kind
        # Whatever a server declares, events are UTF-8 (and JSON is).
        response.encoding = "utf-8"
        self._events: AsyncGenerator[ServerSentEvent, None] = EventSource(response).aiter_sse()

    @property
    def is_complete(self) -> bool:
        """Whether the end was announced: by ``[DONE]``, or by how HTTP frames the body.

        Without either, a body that just stops may be a connection that broke.
        """
        headers = self._response.headers
        framed = "transfer-encoding" in headers or "content-length" in headers
        return self._done or framed or self._response.http_version == "HTTP/2"

    async def whole(self) -> Mapping[str, object] | None:
        """Return the answer of a server that does not stream; None if this one does.

        :raises LlmError: the answer is neither events nor a JSON object
        """
        if self._kind == "text/event-stream":
            return None
        call, limit = self._call, self._call.channel.timeouts.whole_reply
        try:
            with anyio.fail_after(limit):
                return call.json_object(await self._response.aread(), self._response)
        except TimeoutError:
            raise call.error(f"no whole reply within {limit:g} s") from None
        except httpx.HTTPError as exc:
            raise call.transport_error(exc, started=True) from exc

    async def receive(self) -> Mapping[str, object] | None:
        """Return the next event; None after the last.

        :raises LlmError: the connection broke, nothing came in time, or the server says so
        """
        call = self._call
        try:
            with anyio.fail_after(self._limit()):
                event = await self._next()
        except TimeoutError:
            if self._deadline is not None:
                raise call.first_token_error() from None
            limit = call.channel.timeouts.between_tokens
            raise call.error(f"the stream stood still for {limit:g} s") from None
        except httpx.HTTPError as exc:
            raise call.transport_error(exc, started=True) from exc
        self._deadline = None
        if event is None:
            return None
        return call.event_object(event)

    async def close(self) -> None:
        """Close the connection, or give it back if the answer was read to its end."""
        try:
            if self._done:
                # What is left is the end of the body, and only then the connection is reusable.
                with anyio.move_on_after(_LAST_WORDS):
                    await self._read_on()
            await self._events.aclose()
        finally:
            await self._response.aclose()

    def _limit(self) -> float:
        if self._deadline is None:
            return self._call.channel.timeouts.between_tokens
        return max(0.0, self._deadline - anyio.current_time())

    async def _read_on(self) -> None:
        try:
            async for _ in self._events:
                pass
        except httpx.HTTPError:
            pass  # the reply is whole; how the connection ends does not matter

    async def _next(self) -> ServerSentEvent | None:
        async for event in self._events:
            data = event.data.strip()
            if data == "[DONE]":
                self._done = True
                return None
            if data:
                return event
        return None


class _Call:
    """What one request needs to describe its failures."""

    def __init__(
        self, channel: Channel, model: str | None, content: bytes, headers: RequestHeaders
    ) -> None:
        self.channel = channel
        self.model = model
        self.content = content
        self.headers = headers

    @classmethod
    async def prepare(cls, channel: Channel, body: Mapping[str, object]) -> _Call:
        named = body.get("model")
        model = named if isinstance(named, str) else None
        try:
            content = json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
        except (TypeError, ValueError, RecursionError) as exc:
            reason = f"the request cannot be written as JSON: {exc}"
            raise LlmError(channel.label, reason, model=model) from exc
        try:
            headers = await channel.request_headers()
        except SecretError as exc:
            raise LlmError(channel.label, str(exc), model=model) from exc
        return cls(channel, model, content, headers)

    def error(self, reason: str, *, status: int | None = None, said: str = "") -> LlmError:
        return LlmError(
            self.channel.label,
            self.headers.scrub(reason),
            model=self.model,
            status=status,
            provider_message=self.headers.scrub(said),
        )

    def first_token_error(self) -> LlmError:
        limit = self.channel.timeouts.first_token
        return self.error(f"the server brought nothing within {limit:g} s")

    def transport_error(self, exc: httpx.HTTPError, *, started: bool) -> LlmError:
        cause = str(exc) or type(exc).__name__
        if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            return self.error(f"cannot connect to {self.channel.base_url}: {cause}")
        when = "in mid-stream" if started else "before the reply"
        return self.error(f"the connection broke {when}: {cause}")

    async def status_error(self, response: httpx.Response) -> LlmError:
        status = response.status_code
        if response.is_redirect:
            reason = f"the server answered {status}, a redirect, which is not followed"
            return self.error(f"{reason}; give the final address as base_url", status=status)
        body = b""
        try:
            with anyio.move_on_after(self.channel.timeouts.between_tokens):
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) >= _ERROR_BODY:
                        break
        except httpx.HTTPError:
            pass  # the status says enough
        phrase = response.reason_phrase
        reason = f"the server answered {status}" + (f" {phrase}" if phrase else "")
        return self.error(reason, status=status, said=describe_error(body))

    def json_object(self, body: bytes, response: httpx.Response) -> Mapping[str, object]:
        try:
            value: object = json.loads(body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, Mapping):
            kind = response.headers.get("content-type", "no content type")
            reason = f"the server answered something else than a JSON object ({kind})"
            raise self.error(f"{reason}; is {self.channel.base_url} its API?")
        return self._checked(value)

    def event_object(self, event: ServerSentEvent) -> Mapping[str, object]:
        try:
            value: object = json.loads(event.data)
        except (ValueError, RecursionError):
            value = None
        if event.event == "error":
            said = describe_error(event.data.encode())
            raise self.error("the server reported an error in mid-stream", said=said)
        if not isinstance(value, Mapping):
            raise self.error("the stream brought something else than a JSON object")
        return self._checked(value)

    def _checked(self, value: Mapping[str, object]) -> Mapping[str, object]:
        found = error_in(value)
        if found is not None:
            status, said = found
            raise self.error("the server reported an error", status=status, said=said)
        return value

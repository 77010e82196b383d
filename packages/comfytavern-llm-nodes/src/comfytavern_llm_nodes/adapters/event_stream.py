"""The events of one answer, each a JSON object."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import cast

import anyio
import httpx
from httpx_sse import EventSource, ServerSentEvent

from .call import MAX_REPLY, Call

__all__ = ("EventStream",)

_LAST_WORDS = 0.1  # seconds for the end of a body whose last event has been read


class EventStream:
    """Reads an answer event by event. ``begin`` it, and ``close`` it in any case.

    ``whole`` is the answer of a server that does not stream; None if this one does.
    """

    def __init__(self, call: Call, response: httpx.Response, deadline: float) -> None:
        self.whole: Mapping[str, object] | None = None
        self._call = call
        self._response = response
        self._deadline: float | None = deadline
        self._done = False
        self._first: Mapping[str, object] | None = None
        # Whatever a server declares, events are UTF-8 (and JSON is).
        response.encoding = "utf-8"
        self._body = _BoundedBody(call, response)
        source = EventSource(cast(httpx.Response, self._body))  # reads headers and text of it
        self._events: AsyncGenerator[ServerSentEvent, None] = source.aiter_sse()

    @property
    def is_complete(self) -> bool:
        """Whether the end was announced: by ``[DONE]``, or by how HTTP frames the body.

        Without either, a body that just stops may be a connection that broke.
        """
        headers = self._response.headers
        framed = "transfer-encoding" in headers or "content-length" in headers
        return self._done or framed or self._response.http_version == "HTTP/2"

    async def begin(self) -> None:
        """Read up to the first event, or the whole answer of a server that does not stream.

        :raises LlmError: it does not come, is an error, or neither events nor a JSON object
        """
        kind = self._response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/event-stream":
            self._first = await self._receive()
        else:
            self.whole = await self._call.json_object(self._response)

    async def receive(self) -> Mapping[str, object] | None:
        """Return the next event; None after the last.

        :raises LlmError: the connection broke, nothing came in time, or the server says so
        """
        if self._first is not None:
            event, self._first = self._first, None
            return event
        return None if self._done else await self._receive()

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

    async def _receive(self) -> Mapping[str, object] | None:
        call = self._call
        try:
            with anyio.fail_after(self._limit()):
                event = await self._next()
        except TimeoutError:
            raise self._too_late() from None
        except httpx.HTTPError as exc:
            raise call.transport_error(exc, started=True) from exc
        self._deadline = None
        self._body.length = 0
        return None if event is None else call.event_object(event)

    def _limit(self) -> float:
        if self._deadline is None:
            return self._call.channel.timeouts.between_tokens
        return max(0.0, self._deadline - anyio.current_time())

    def _too_late(self) -> Exception:
        timeouts = self._call.channel.timeouts
        if self._deadline is not None:
            return self._call.error(f"the server brought nothing within {timeouts.first_token:g} s")
        return self._call.error(f"the stream stood still for {timeouts.between_tokens:g} s")

    async def _next(self) -> ServerSentEvent | None:
        async for event in self._events:
            data = event.data.strip()
            if data == "[DONE]":
                self._done = True
                return None
            if data:
                return event
        return None

    async def _read_on(self) -> None:
        try:
            async for _ in self._events:
                pass
        except httpx.HTTPError:
            pass  # the reply is whole; how the connection ends does not matter


class _BoundedBody:
    """The text of an answer, as long as no event takes more of it than is sane."""

    def __init__(self, call: Call, response: httpx.Response) -> None:
        self.headers = response.headers
        self.length = 0
        self._call = call
        self._response = response

    async def aiter_text(self) -> AsyncIterator[str]:
        async for text in self._response.aiter_text():
            self.length += len(text)
            if self.length > MAX_REPLY:
                raise self._call.error(f"one event is larger than {MAX_REPLY // 1024**2} MiB")
            yield text

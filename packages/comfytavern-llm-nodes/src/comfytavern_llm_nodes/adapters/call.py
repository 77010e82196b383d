"""One request to a server: what is sent, and how its failures are worded.

Every failure becomes an ``LlmError`` here, with the secrets of the request scrubbed.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping

import anyio
import httpx
from httpx_sse import ServerSentEvent

from comfytavern.errors import ComfyTavernError

from ..channels import Channel
from ..credentials import RequestHeaders, SecretError
from .interface import LlmError
from .provider_errors import describe_error, error_in
from .retries import Clock, retry_after

__all__ = ("MAX_REPLY", "Call", "Credentials")

# Gives the headers of one request, secrets filled in; SecretError if it cannot.
Credentials = Callable[[], Awaitable[RequestHeaders]]

MAX_REPLY = 64 * 1024**2  # bytes of an answer once unpacked; a model's reply is far below
_ERROR_BODY = 64 * 1024  # what is read of an error; providers need a fraction of it


class Call:
    """What one request needs: its content, its headers, and words for what goes wrong."""

    def __init__(
        self, channel: Channel, model: str | None, content: bytes | None, headers: RequestHeaders
    ) -> None:
        self.channel = channel
        self.model = model
        self.content = content
        self.headers = headers

    @classmethod
    async def prepare(
        cls, channel: Channel, credentials: Credentials, body: Mapping[str, object] | None
    ) -> Call:
        """Return a call that sends ``body`` as JSON; None sends none.

        :raises LlmError: it cannot be sent
        """
        named = body.get("model") if body is not None else None
        model = named if isinstance(named, str) else None
        try:
            content = None if body is None else _json(body)
        except (TypeError, ValueError, RecursionError) as exc:
            reason = f"the request cannot be written as JSON: {exc}"
            raise LlmError(channel.label, reason, model=model) from exc
        try:
            headers = await credentials()
        except SecretError as exc:
            raise LlmError(channel.label, str(exc), model=model) from exc
        return cls(channel, model, content, headers)

    def error(
        self,
        reason: str,
        *,
        status: int | None = None,
        said: str = "",
        retry_after: float | None = None,
    ) -> LlmError:
        """Return an error of this call, without its secrets."""
        return LlmError(
            self.channel.label,
            self.headers.scrub(reason),
            model=self.model,
            status=status,
            provider_message=self.headers.scrub(said),
            retry_after=retry_after,
        )

    def transport_error(self, exc: httpx.HTTPError, *, started: bool) -> LlmError:
        """Return what a failure of HTTP means."""
        cause = str(exc) or type(exc).__name__
        if isinstance(exc, ComfyTavernError):  # the host does not let this request out
            return self.error(cause)
        if isinstance(exc, httpx.ConnectTimeout):
            limit = self.channel.timeouts.connect
            return self.error(f"cannot connect to {self.channel.base_url} within {limit:g} s")
        if isinstance(exc, httpx.ConnectError | httpx.ProxyError):
            return self.error(f"cannot connect to {self.channel.base_url}: {cause}")
        when = "in mid-stream" if started else "before the reply"
        return self.error(f"the connection broke {when}: {cause}")

    async def status_error(self, response: httpx.Response, clock: Clock) -> LlmError:
        """Return what a status other than 200 means; reads the body."""
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
        asked = retry_after(response.headers, clock.now())
        return self.error(
            reason, status=status, said=describe_error(body[:_ERROR_BODY]), retry_after=asked
        )

    async def json_object(self, response: httpx.Response) -> Mapping[str, object]:
        """Read the whole answer, a JSON object, within the time that a whole reply has.

        :raises LlmError: it is something else, too large or too late, or it reports an error
        """
        limit = self.channel.timeouts.whole_reply
        try:
            with anyio.fail_after(limit):
                body = await self._read(response)
        except TimeoutError:
            raise self.error(f"no whole reply within {limit:g} s") from None
        except httpx.HTTPError as exc:
            raise self.transport_error(exc, started=True) from exc
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
        """Return the JSON object that an event carries.

        :raises LlmError: it carries something else, or reports an error
        """
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

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MAX_REPLY:
                raise self.error(f"the answer is larger than {MAX_REPLY // 1024**2} MiB")
        return bytes(body)

    def _checked(self, value: Mapping[str, object]) -> Mapping[str, object]:
        found = error_in(value)
        if found is not None:
            status, said = found
            raise self.error("the server reported an error", status=status, said=said)
        return value


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()

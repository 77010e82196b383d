"""One request on its way through a channel, and the response that it becomes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

import anyio

from comfytavern.chunks import Chunk

from .adapters.interface import METADATA, REASONING, LlmAdapter, LlmReply, LlmRequest
from .adapters.replies import ReplyBuilder
from .channels import Channel

__all__ = ("LlmCall", "LlmResponse", "OpenChannel")

_FIRST = frozenset({"text_chunk", "tool_call_chunk", REASONING})


@dataclass(frozen=True, slots=True)
class LlmResponse:
    """A reply, and who gave it. ``usage`` holds tokens and times, as far as they are known."""

    channel: str
    adapter: str
    model: str | None
    reply: LlmReply
    usage: Mapping[str, object]

    def to_json(self) -> dict[str, object]:
        """Return the response as a node hands it on."""
        return {
            "channel": self.channel,
            "adapter": self.adapter,
            "model": self.model,
            "text": self.reply.text,
            "reasoning": self.reply.reasoning,
            "finish_reason": self.reply.finish_reason,
            "tool_calls": [dict(call) for call in self.reply.tool_calls],
            "usage": dict(self.usage),
        }


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """A channel in service. ``slots`` bounds how many requests it has under way."""

    channel: Channel
    adapter: LlmAdapter
    slots: anyio.Semaphore | None = None

    def fits(self, model: str | None, capabilities: Iterable[str]) -> bool:
        """Tell whether it has a model and all of the capabilities."""
        known = not self.channel.models or model is None or model in self.channel.models
        return known and set(capabilities) <= set(self.channel.capabilities)

    def model_for(self, model: str | None) -> str | None:
        """Return the model to ask for: without one named, the channel's first."""
        return model or next(iter(self.channel.models), None)


@dataclass(slots=True)
class _Times:
    """When what happened, by the event loop's clock."""

    start: float
    first: float | None = None
    chunks: int = 0
    end: float = 0.0

    def see(self, chunk: Chunk) -> None:
        if chunk.type in _FIRST:
            self.chunks += 1
            if self.first is None:
                self.first = anyio.current_time()

    def usage(self, streamed: bool, tokens: object) -> dict[str, object]:
        whole = self.end - self.start
        told: dict[str, object] = {"seconds": round(whole, 3)}
        span = whole
        if streamed and self.first is not None:
            told["seconds_to_first_token"] = round(self.first - self.start, 3)
            # One chunk says nothing of the pace at which it was made.
            span = self.end - self.first if self.chunks > 1 else whole
        if isinstance(tokens, int | float) and tokens > 0 and span > 0:
            told["tokens_per_second"] = round(tokens / span, 2)
        return told


class LlmCall:
    """One request on its way. Read ``chunks`` to the end, then ``response`` is there."""

    def __init__(self, opened: OpenChannel, request: LlmRequest) -> None:
        self._opened = opened
        self.request = request
        self._response: LlmResponse | None = None

    @property
    def channel(self) -> str:
        """The label of the channel."""
        return self._opened.channel.label

    @property
    def is_timed(self) -> bool:
        """Whether times are measured; those of a deterministic adapter say nothing."""
        return not self._opened.adapter.deterministic

    @property
    def response(self) -> LlmResponse:
        """The response.

        :raises RuntimeError: ``chunks`` was not read to the end
        """
        if self._response is None:
            raise RuntimeError("the response is there once its chunks have been read")
        return self._response

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Send the request and yield the reply's chunks; the usage comes last, with times.

        Read it under ``aclosing``: closing it closes the connection. Waits while the
        channel has as many requests under way as it may have.

        :raises LlmError: the request failed
        """
        builder = ReplyBuilder()
        async with AsyncExitStack() as stack:
            if self._opened.slots is not None:
                await stack.enter_async_context(self._opened.slots)
            times = _Times(anyio.current_time())
            parts = await stack.enter_async_context(aclosing(self._parts()))
            async for chunk in parts:
                times.see(chunk)
                builder.add(chunk)
                if chunk.type not in (METADATA, "usage_chunk"):
                    yield chunk
            times.end = anyio.current_time()
        self._response = self._finish(builder.reply(), times)
        if self._response.usage:
            yield Chunk.usage(self._response.usage)

    async def _parts(self) -> AsyncGenerator[Chunk, None]:
        adapter = self._opened.adapter
        if not self.request.stream:
            for chunk in (await adapter.complete(self.request)).chunks():
                yield chunk
            return
        async with aclosing(adapter.stream(self.request)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _finish(self, reply: LlmReply, times: _Times) -> LlmResponse:
        usage = dict(reply.usage)
        if self.is_timed:
            usage |= times.usage(self.request.stream, usage.get("completion_tokens"))
        told = reply.metadata.get("model")
        model = told if isinstance(told, str) and told else self.request.model
        channel = self._opened.channel
        return LlmResponse(channel.label, channel.adapter, model, reply, usage)

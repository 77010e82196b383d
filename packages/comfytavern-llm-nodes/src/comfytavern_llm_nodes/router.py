"""The service ``llm``: which channel answers a request, and the request itself."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import anyio

from comfytavern.chunks import Chunk
from comfytavern.errors import ComfyTavernError, did_you_mean

from .adapters.interface import (
    METADATA,
    REASONING,
    AdapterFactory,
    LlmAdapter,
    LlmReply,
    LlmRequest,
)
from .adapters.replies import ReplyBuilder
from .channels import Channel, LlmSettings

__all__ = ("ChannelRouter", "LlmCall", "LlmResponse", "NoChannelError")

_log = logging.getLogger("comfytavern.packs.comfytavern-llm-nodes")
_FIRST = frozenset({"text_chunk", "tool_call_chunk", REASONING})


class NoChannelError(ComfyTavernError):
    """No channel in service has what a request needs; the text lists what there is."""

    code = "llm_no_channel"

    def __init__(
        self,
        model: str | None,
        capabilities: Sequence[str],
        known: Iterable[str],
        models: Iterable[str],
    ) -> None:
        self.model = model
        self.capabilities = tuple(capabilities)
        wanted = [f"model {model!r}"] if model is not None else []
        if capabilities:
            wanted.append("capabilities " + ", ".join(map(repr, capabilities)))
        hint = did_you_mean(model, models) if model is not None else ""
        need = " with ".join(wanted) or "anything"
        super().__init__(f"no channel offers {need}{hint}; channels: {'; '.join(known)}")


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
class _OpenChannel:
    channel: Channel
    adapter: LlmAdapter
    slots: anyio.Semaphore | None

    def fits(self, model: str | None, capabilities: Iterable[str]) -> bool:
        known = not self.channel.models or model is None or model in self.channel.models
        return known and set(capabilities) <= set(self.channel.capabilities)


class ChannelRouter:
    """Chooses a channel for each request. Make it while the host loads: it looks for key files.

    ``problems`` says, by label, why a channel is out of service.
    """

    def __init__(self, settings: LlmSettings, adapters: Mapping[str, AdapterFactory]) -> None:
        self._open: list[_OpenChannel] = []
        self._known: list[str] = []
        problems: dict[str, str] = {}
        for channel in settings.channels:
            problem = self._add(channel, adapters)
            if problem is not None:
                problems[channel.label] = problem
            self._known.append(_describe(channel, problem))
        self.problems: Mapping[str, str] = MappingProxyType(problems)

    def call(self, request: LlmRequest, capabilities: Sequence[str] = ()) -> LlmCall:
        """Route a request to the first channel that has the capabilities and the model.

        A request without a model gets the channel's first one. Nothing is sent yet.

        :raises NoChannelError: there is no such channel
        """
        for candidate in self._open:
            if candidate.fits(request.model, capabilities):
                models = candidate.channel.models
                model = request.model or (models[0] if models else None)
                return LlmCall(candidate, replace(request, model=model))
        models_known = {model for opened in self._open for model in opened.channel.models}
        raise NoChannelError(request.model, capabilities, self._known, sorted(models_known))

    async def close(self) -> None:
        """Close every channel's connections. Calling it twice changes nothing."""
        for opened in self._open:
            await opened.adapter.close()

    def _add(self, channel: Channel, adapters: Mapping[str, AdapterFactory]) -> str | None:
        if channel.disabled:
            return "disabled"
        factory = adapters.get(channel.adapter)
        if factory is None:
            hint = did_you_mean(channel.adapter, adapters)
            problem = (
                f"adapter {channel.adapter!r} is unknown{hint}; adapters: {', '.join(adapters)}"
            )
        else:
            problem = channel.secret_problem() or ""
        if factory is not None and not problem:
            try:
                adapter = factory(channel)
            except ValueError as exc:
                problem = str(exc)
            else:
                limit = channel.max_concurrent
                slots = None if limit is None else anyio.Semaphore(limit)
                self._open.append(_OpenChannel(channel, adapter, slots))
                return None
        _log.warning("channel %r is out of service: %s", channel.label, problem)
        return problem


def _describe(channel: Channel, problem: str | None) -> str:
    if problem is not None:
        return f"{channel.label!r} is out of service ({problem})"
    models = ", ".join(channel.models) or "any"
    return f"{channel.label!r} offers {', '.join(channel.capabilities)} (models: {models})"


@dataclass(slots=True)
class _Times:
    """When what happened, by the event loop's clock."""

    start: float
    first: float | None = None
    chunks: int = 0
    end: float = field(default=0.0)

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

    def __init__(self, opened: _OpenChannel, request: LlmRequest) -> None:
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

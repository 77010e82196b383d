"""OpenAI's chat completions, as Ollama, llama.cpp, vLLM, OpenRouter and others speak them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field

from comfytavern.chunks import Chunk

from ..channels import Channel
from .interface import METADATA, REASONING, LlmError, LlmReply, LlmRequest
from .replies import ReplyBuilder

if TYPE_CHECKING:
    from .wire import Wire

__all__ = ("OpenAIAdapter",)

_PATH = "/chat/completions"
# What this adapter decides; parameters of a workflow do not reach these.
_RESERVED = frozenset({"messages", "model", "stream", "stream_options"})


class OpenAIOptions(BaseModel):
    """The ``options`` of a channel with this adapter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    include_usage: bool = Field(True, description="ask for token counts at the end of a stream")


class OpenAIAdapter:
    """Talks to one server through one shared HTTP client, made for the first request."""

    deterministic = False

    def __init__(self, channel: Channel) -> None:
        if channel.base_url is None:
            raise ValueError("base_url is missing; such as http://127.0.0.1:11434/v1")
        self._channel = channel
        self._options = channel.read_options(OpenAIOptions)
        self._wire: Wire | None = None
        self._making = anyio.Lock()

    async def stream(self, request: LlmRequest) -> AsyncGenerator[Chunk, None]:
        """Yield the reply as it comes. Closing or cancelling closes the connection at once.

        :raises LlmError: the request failed, at its start or in mid-stream
        """
        wire = await self._ready()
        events = await wire.open(_PATH, self._body(request, stream=True))
        try:
            whole = await events.whole()
            if whole is not None:  # a server that does not know `stream`
                for chunk in _reply(whole).chunks():
                    yield chunk
                return
            reader = _DeltaReader()
            while (event := await events.receive()) is not None:
                for chunk in reader.chunks(event):
                    yield chunk
            if not (reader.finished or events.is_complete):
                reason = "the connection ended before the reply was finished"
                raise LlmError(self._channel.label, reason, model=request.model)
        finally:
            await events.close()

    async def complete(self, request: LlmRequest) -> LlmReply:
        """Return the whole reply. Safe to cancel.

        :raises LlmError: the request failed
        """
        wire = await self._ready()
        return _reply(await wire.post(_PATH, self._body(request, stream=False)))

    async def close(self) -> None:
        """Close every connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def _ready(self) -> Wire:
        async with self._making:
            if self._wire is None:
                self._wire = await anyio.to_thread.run_sync(_make_wire, self._channel)
            return self._wire

    def _body(self, request: LlmRequest, *, stream: bool) -> dict[str, object]:
        body = {k: v for k, v in request.parameters.items() if k not in _RESERVED}
        body["messages"] = list(request.messages)
        if request.model is not None:
            body["model"] = request.model
        body["stream"] = stream
        if stream and self._options.include_usage:
            body["stream_options"] = {"include_usage": True}
        return body


def _make_wire(channel: Channel) -> Wire:
    # Not at the top: httpx costs more than the whole pack, and many runs never ask a server.
    from .wire import Wire

    return Wire(channel)


class _DeltaReader:
    """Reads the events of one stream."""

    def __init__(self) -> None:
        self.finished = False
        self._introduced = False

    def chunks(self, event: Mapping[str, object]) -> Iterator[Chunk]:
        if not self._introduced:
            self._introduced = True
            yield Chunk(METADATA, _metadata(event))
        choice = _choice(event)
        yield from _content(_mapping(choice.get("delta")))
        yield from _content(_mapping(choice.get("message")), whole=True)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason and not self.finished:
            self.finished = True
            yield Chunk.finish_reason(reason)
        if usage := _mapping(event.get("usage")):
            yield Chunk.usage(usage)


def _reply(answer: Mapping[str, object]) -> LlmReply:
    builder = ReplyBuilder()
    for chunk in _DeltaReader().chunks(answer):
        builder.add(chunk)
    return builder.reply()


def _metadata(answer: Mapping[str, object]) -> dict[str, object]:
    return {key: answer[key] for key in ("id", "model") if isinstance(answer.get(key), str)}


def _choice(answer: Mapping[str, object]) -> Mapping[str, object]:
    choices = answer.get("choices")
    if not isinstance(choices, Sequence) or isinstance(choices, str):
        return {}
    # One reply was asked for; should a parameter ask for more, the first is the reply.
    found = (_mapping(item) for item in choices)
    return next((item for item in found if item.get("index", 0) == 0), {})


def _content(message: Mapping[str, object], *, whole: bool = False) -> Iterator[Chunk]:
    for key in ("reasoning_content", "reasoning"):  # DeepSeek's name, OpenRouter's name
        thought = message.get(key)
        if isinstance(thought, str) and thought:
            yield Chunk(REASONING, thought)
            break
    if text := _text(message.get("content")):
        yield Chunk.text(text)
    calls = message.get("tool_calls")
    if isinstance(calls, Sequence) and not isinstance(calls, str):
        for number, call in enumerate(calls):
            if isinstance(call, Mapping):
                # The calls of a whole message carry no index; each is one call.
                yield Chunk.tool_call({"index": number, **call} if whole else call)


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        return ""
    parts = (_mapping(part).get("text") for part in content)
    return "".join(part for part in parts if isinstance(part, str))


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}

"""OpenAI's chat completions, as Ollama, llama.cpp, vLLM, OpenRouter and others speak them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from comfytavern.chunks import Chunk

from ..channels import Channel
from .connections import Connections, client_of_this_pack
from .interface import METADATA, REASONING, LlmEmbeddings, LlmError, LlmReply, LlmRequest
from .listings import models_in, vectors_in
from .replies import ReplyBuilder

if TYPE_CHECKING:
    from .call import Credentials
    from .retries import Clock
    from .wire import Wire

__all__ = ("OpenAIAdapter",)

_CHAT = "/chat/completions"
# What this adapter decides; parameters of a workflow do not reach these.
_RESERVED = frozenset({"messages", "model", "stream", "stream_options"})


class OpenAIOptions(BaseModel):
    """The ``options`` of a channel with this adapter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    include_usage: bool = Field(True, description="ask for token counts at the end of a stream")


class OpenAIAdapter:
    """Talks to one server over one shared HTTP client.

    :param connections: the client to use; without them the channel gets one of its own
    :param credentials: gives the headers of a request in place of the channel
    :param clock: what the waits between two attempts are made of
    :raises ValueError: the channel has no address, or options that do not fit
    """

    deterministic = False

    def __init__(
        self,
        channel: Channel,
        *,
        connections: Connections | None = None,
        credentials: Credentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        if channel.base_url is None:
            raise ValueError("base_url is missing; such as http://127.0.0.1:11434/v1")
        self._channel = channel
        self._options = channel.read_options(OpenAIOptions)
        own = partial(client_of_this_pack, channel.base_url)
        self._connections = connections or Connections(own)
        self._credentials = credentials or channel.request_headers
        self._clock = clock

    async def stream(self, request: LlmRequest) -> AsyncGenerator[Chunk, None]:
        """Yield the reply as it comes. Closing or cancelling closes the connection at once.

        :raises LlmError: the request failed, at its start or in mid-stream
        """
        wire = await self._ready()
        events = await wire.open(_CHAT, self._body(request, stream=True))
        try:
            if events.whole is not None:  # a server that does not know `stream`
                for chunk in _reply(events.whole).chunks():
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
        return _reply(await wire.post(_CHAT, self._body(request, stream=False)))

    async def embed(self, texts: Sequence[str], model: str | None = None) -> LlmEmbeddings:
        """Return a vector for each text. Safe to cancel.

        :raises LlmError: the request failed, or the answer is no list of vectors
        """
        wire = await self._ready()
        body: dict[str, object] = {"input": list(texts), "encoding_format": "float"}
        if model is not None:
            body["model"] = model
        answer = await wire.post("/embeddings", body)
        vectors = vectors_in(answer, len(texts))
        if vectors is None:
            reason = f"the server did not answer {len(texts)} texts with as many vectors"
            raise LlmError(self._channel.label, reason, model=model)
        told = answer.get("model")
        usage = _mapping(answer.get("usage"))
        return LlmEmbeddings(vectors, told if isinstance(told, str) and told else model, usage)

    async def list_models(self) -> Sequence[str]:
        """Return the names of the server's models. Safe to cancel.

        :raises LlmError: the request failed, or the answer is no list of models
        """
        wire = await self._ready()
        models = models_in(await wire.get("/models"))
        if models is None:
            raise LlmError(self._channel.label, "the server did not answer with a list of models")
        return models

    async def close(self) -> None:
        """Close every connection."""
        await self._connections.close()

    async def _ready(self) -> Wire:
        client = await self._connections.client()
        from .retries import Clock  # not at the top: they import httpx; by now that is loaded
        from .wire import Wire

        return Wire(self._channel, client, self._credentials, self._clock or Clock())

    def _body(self, request: LlmRequest, *, stream: bool) -> dict[str, object]:
        body = {k: v for k, v in request.parameters.items() if k not in _RESERVED}
        body["messages"] = list(request.messages)
        if request.model is not None:
            body["model"] = request.model
        body["stream"] = stream
        if stream and self._options.include_usage:
            body["stream_options"] = {"include_usage": True}
        return body


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

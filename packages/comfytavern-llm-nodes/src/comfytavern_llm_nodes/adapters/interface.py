"""What an adapter is: it turns a request into chunks, or into one reply.

Everything here is plain data besides ``LlmAdapter``; an adapter of another pack needs
nothing else of this pack.

What the content of a chunk is:

- ``text_chunk``: a piece of the reply's text
- ``reasoning_chunk``: a piece of what the model thinks aloud, which is no part of the reply
- ``tool_call_chunk``: a difference as OpenAI streams it: ``{index, id?, type?, function:
  {name?, arguments?}}``
- ``finish_reason_chunk``: why the model stopped (``stop``, ``length``, ``tool_calls`` ...)
- ``usage_chunk``: ``{prompt_tokens, completion_tokens, total_tokens, ...}``; the last counts
- ``metadata_chunk``: facts for the response (``model``, ``id``); it goes no further
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from comfytavern.chunks import Chunk
from comfytavern.errors import ComfyTavernError

from ..channels import Channel

__all__ = (
    "METADATA",
    "REASONING",
    "AdapterFactory",
    "EmbeddingAdapter",
    "LlmAdapter",
    "LlmEmbeddings",
    "LlmError",
    "LlmReply",
    "LlmRequest",
    "ModelListAdapter",
)

METADATA = "metadata_chunk"
REASONING = "reasoning_chunk"


class LlmError(ComfyTavernError):
    """A request failed. The text never holds a key.

    ``status`` is the HTTP status, or None where there was none; ``provider_message`` is
    what the other side said, in its own words; ``retry_after`` how many seconds it asked to
    wait.
    """

    code = "llm_request_failed"

    def __init__(
        self,
        channel: str,
        reason: str,
        *,
        model: str | None = None,
        status: int | None = None,
        provider_message: str = "",
        retry_after: float | None = None,
    ) -> None:
        self.channel = channel
        self.reason = reason
        self.model = model
        self.status = status
        self.provider_message = provider_message
        self.retry_after = retry_after
        where = f"channel {channel!r}" + (f", model {model!r}" if model else "")
        said = f": {provider_message}" if provider_message else ""
        super().__init__(f"{where}: {reason}{said}")

    @property
    def details(self) -> dict[str, object]:
        """The facts as JSON values."""
        return {
            "channel": self.channel,
            "model": self.model,
            "status": self.status,
            "providerMessage": self.provider_message,
        }


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """What to ask a model.

    ``parameters`` goes to the provider under the names of OpenAI's chat completions
    (``temperature``, ``max_tokens`` ...). ``model`` None leaves the choice to the server.
    """

    messages: Sequence[Mapping[str, object]]
    model: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    stream: bool = True


@dataclass(frozen=True, slots=True)
class LlmReply:
    """What a model answered. ``tool_calls`` are whole, as OpenAI words them."""

    text: str = ""
    finish_reason: str | None = None
    usage: Mapping[str, object] = field(default_factory=dict)
    tool_calls: tuple[Mapping[str, object], ...] = ()
    reasoning: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict)

    def chunks(self) -> Iterator[Chunk]:
        """Give the reply as a stream would bring it: each part in one chunk."""
        if self.metadata:
            yield Chunk(METADATA, self.metadata)
        if self.reasoning:
            yield Chunk(REASONING, self.reasoning)
        if self.text:
            yield Chunk.text(self.text)
        for index, call in enumerate(self.tool_calls):
            yield Chunk.tool_call({"index": index, **call})
        if self.finish_reason is not None:
            yield Chunk.finish_reason(self.finish_reason)
        if self.usage:
            yield Chunk.usage(self.usage)


class LlmAdapter(Protocol):
    """Talks to one channel's server. Made once per channel; used by many requests at a time."""

    @property
    def deterministic(self) -> bool:
        """Whether equal requests get equal replies; no times are measured then."""
        ...

    def stream(self, request: LlmRequest) -> AsyncGenerator[Chunk, None]:
        """Yield the reply as it comes.

        An async generator. Closing or cancelling it closes the connection at once. A stream
        that ends early without being closed raises; it never looks like a whole reply.

        :raises LlmError: the request failed, at its start or in mid-stream
        """
        ...

    async def complete(self, request: LlmRequest) -> LlmReply:
        """Return the whole reply at once. Safe to cancel.

        :raises LlmError: the request failed
        """
        ...

    async def close(self) -> None:
        """Let go of connections. Calling it twice changes nothing."""
        ...


@dataclass(frozen=True, slots=True)
class LlmEmbeddings:
    """What an embedding model made of texts: a vector for each, in their order."""

    vectors: Sequence[Sequence[float]]
    model: str | None = None
    usage: Mapping[str, object] = field(default_factory=dict)


@runtime_checkable
class EmbeddingAdapter(Protocol):
    """An adapter that also makes embeddings."""

    async def embed(self, texts: Sequence[str], model: str | None = None) -> LlmEmbeddings:
        """Return a vector for each text. Safe to cancel.

        :raises LlmError: the request failed
        """
        ...


@runtime_checkable
class ModelListAdapter(Protocol):
    """An adapter that can say which models its server has."""

    async def list_models(self) -> Sequence[str]:
        """Return the names of the models. Safe to cancel.

        :raises LlmError: the request failed
        """
        ...


# Called once per channel while the host loads, with ``channel.options`` unchecked: a
# ValueError puts this channel out of service and says why. It must not connect or import
# anything heavy.
AdapterFactory = Callable[[Channel], LlmAdapter]

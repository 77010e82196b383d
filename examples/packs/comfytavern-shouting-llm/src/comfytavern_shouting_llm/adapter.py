"""The adapter: what it was told, louder."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from pydantic import BaseModel, ConfigDict, Field

from comfytavern import Chunk
from comfytavern_llm_nodes.adapters import LlmError, LlmReply, LlmRequest
from comfytavern_llm_nodes.channels import Channel


class Options(BaseModel):
    """The ``options`` of a channel with this adapter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    marks: int = Field(1, ge=0, le=9, description="exclamation marks at the end")


class ShoutingAdapter:
    """Made once per channel; many requests use it at a time.

    :raises ValueError: the options do not fit; the channel is then out of service
    """

    # Equal requests get equal replies, so nobody measures how long they take.
    deterministic = True

    def __init__(self, channel: Channel) -> None:
        self._label = channel.label
        self._marks = channel.read_options(Options).marks

    async def stream(self, request: LlmRequest) -> AsyncGenerator[Chunk, None]:
        """Yield the reply word by word. Safe to close and to cancel.

        :raises LlmError: nobody has said anything
        """
        words = self._reply(request).split(" ")
        for number, word in enumerate(words):
            yield Chunk.text(word if number == 0 else f" {word}")
        yield Chunk.finish_reason("stop")
        yield Chunk.usage({"completion_tokens": len(words)})

    async def complete(self, request: LlmRequest) -> LlmReply:
        """Return the whole reply.

        :raises LlmError: nobody has said anything
        """
        return LlmReply(text=self._reply(request), finish_reason="stop")

    async def close(self) -> None:
        """Let go of connections; there are none."""

    def _reply(self, request: LlmRequest) -> str:
        said = [_text(message) for message in request.messages if message.get("role") == "user"]
        if not said:
            raise LlmError(self._label, "nobody has said anything", model=request.model)
        return said[-1].upper() + "!" * self._marks


def _text(message: Mapping[str, object]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else ""

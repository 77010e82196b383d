"""What a streaming node yields: chunks, and at last its outputs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

__all__ = ("Chunk", "Outputs", "Stream")


class Chunk(NamedTuple):
    """One piece of a stream. ``type`` is one of the wire's chunk types, or a pack's own."""

    type: str
    content: object

    @classmethod
    def text(cls, text: str) -> Chunk:
        """Return a ``text_chunk``."""
        return cls("text_chunk", text)

    @classmethod
    def tool_call(cls, content: object) -> Chunk:
        """Return a ``tool_call_chunk``."""
        return cls("tool_call_chunk", content)

    @classmethod
    def finish_reason(cls, reason: str) -> Chunk:
        """Return a ``finish_reason_chunk``."""
        return cls("finish_reason_chunk", reason)

    @classmethod
    def usage(cls, usage: Mapping[str, object]) -> Chunk:
        """Return a ``usage_chunk``."""
        return cls("usage_chunk", usage)

    @classmethod
    def error(cls, message: str) -> Chunk:
        """Return an ``error_chunk``: yielding one fails the node with this message."""
        return cls("error_chunk", message)

    def to_wire(self) -> dict[str, object]:
        """Return the chunk as ``yieldedContent``."""
        return {"type": self.type, "content": self.content}


class Outputs(dict[str, object]):
    """The batch outputs of a streaming node: the last thing that it yields.

    An async generator cannot return a value, so ``yield Outputs(text=...)`` takes the
    place of a return; nothing may be yielded after it.
    """


@runtime_checkable
class Stream(Protocol):
    """What a node finds in a stream input: an async iterable of chunks.

    Every reader has its own; leaving a loop over it early releases the writer.
    Iterating raises ``StreamBrokenError`` if the writer failed.
    """

    def __aiter__(self) -> AsyncIterator[Chunk]:
        """Iterate over the chunks that have not been read yet."""
        ...

    async def receive(self) -> Chunk:
        """Return the next chunk.

        :raises anyio.EndOfStream: the stream has ended
        :raises StreamBrokenError: the writer failed
        """
        ...

    async def text(self) -> str:
        """Read to the end and return the text chunks joined."""
        ...

    def close(self) -> None:
        """Stop reading; the writer never waits for this reader again."""
        ...

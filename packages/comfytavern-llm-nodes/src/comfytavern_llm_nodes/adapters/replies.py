"""Chunks put together: the reply that a stream amounts to."""

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.chunks import Chunk

from .interface import METADATA, REASONING, LlmReply

__all__ = ("ReplyBuilder",)


class ReplyBuilder:
    """Collects chunks into one ``LlmReply``."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._finish_reason: str | None = None
        self._usage: Mapping[str, object] = {}
        self._metadata: dict[str, object] = {}
        self._calls: dict[object, dict[str, object]] = {}
        self._latest: object = 0

    def add(self, chunk: Chunk) -> None:
        """Take one chunk; types that are not known here are left out of the reply."""
        kind, content = chunk
        if kind == "text_chunk":
            self._text.append(str(content))
        elif kind == REASONING:
            self._reasoning.append(str(content))
        elif kind == "finish_reason_chunk":
            self._finish_reason = str(content)
        elif isinstance(content, Mapping):
            if kind == "tool_call_chunk":
                self._add_call(content)
            elif kind == "usage_chunk":
                self._usage = content
            elif kind == METADATA:
                self._metadata.update(content)

    def reply(self) -> LlmReply:
        """Return what has been collected so far."""
        return LlmReply(
            text="".join(self._text),
            finish_reason=self._finish_reason,
            usage=dict(self._usage),
            tool_calls=tuple(self._calls.values()),
            reasoning="".join(self._reasoning),
            metadata=dict(self._metadata),
        )

    def _add_call(self, delta: Mapping[str, object]) -> None:
        # Some servers count no index; then a new id starts a new call.
        key = delta.get("index", delta.get("id") or self._latest)
        self._latest = key
        function: dict[str, object] = {"name": "", "arguments": ""}
        call = self._calls.setdefault(key, {"id": "", "type": "function", "function": function})
        for name in ("id", "type"):
            if delta.get(name):
                call[name] = delta[name]
        parts, known = delta.get("function"), call["function"]
        if isinstance(parts, Mapping) and isinstance(known, dict):
            for name in ("name", "arguments"):
                if isinstance(parts.get(name), str):
                    known[name] += parts[name]

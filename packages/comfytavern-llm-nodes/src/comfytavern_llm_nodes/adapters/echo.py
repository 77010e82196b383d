"""A model that needs no network: it says what it was told, and that it is no real model."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

import anyio
from pydantic import BaseModel, ConfigDict, Field

from comfytavern.chunks import Chunk

from ..channels import Channel
from ..messages import text_of
from .interface import METADATA, LlmReply, LlmRequest
from .replies import ReplyBuilder

__all__ = ("EchoAdapter", "character_name", "echo_reply")

LABEL = "[echo: an offline test model]"
_QUOTE_LENGTH = 300
# A word with the space after it; of scripts that set no spaces, a character.
_WORDS = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]\s*"
    r"|[^\s\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef]+\s*|\s+"
)
_GESTURES = (
    "{name} looks up and smiles.",
    "{name} listens, head tilted.",
    "{name} nods slowly.",
    "{name} leans a little closer.",
)


class EchoOptions(BaseModel):
    """The ``options`` of an echo channel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    delay: float = Field(0.0, ge=0, le=10, description="seconds between two words")


class EchoAdapter:
    """Streams a reply made from the prompt, word by word; the same prompt, the same reply."""

    deterministic = True

    def __init__(self, channel: Channel) -> None:
        self._delay = channel.read_options(EchoOptions).delay

    async def stream(self, request: LlmRequest) -> AsyncGenerator[Chunk, None]:
        """Yield the reply word by word. Safe to close and to cancel."""
        yield Chunk(METADATA, {"model": "echo"})
        words = _WORDS.findall(echo_reply(request.messages))
        limit = request.parameters.get("max_tokens")
        shown = words[:limit] if isinstance(limit, int) and limit > 0 else words
        for number, word in enumerate(shown):
            if self._delay and number:
                await anyio.sleep(self._delay)  # noqa: TID251 - the pace that was asked for
            yield Chunk.text(word)
        yield Chunk.finish_reason("stop" if len(shown) == len(words) else "length")
        prompt = sum(len(_WORDS.findall(text_of(m.get("content")))) for m in request.messages)
        usage = {"prompt_tokens": prompt, "completion_tokens": len(shown)}
        yield Chunk.usage(usage | {"total_tokens": prompt + len(shown)})

    async def complete(self, request: LlmRequest) -> LlmReply:
        """Return the whole reply."""
        builder = ReplyBuilder()
        async for chunk in self.stream(request):
            builder.add(chunk)
        return builder.reply()

    async def list_models(self) -> Sequence[str]:
        """Return the one model that there is."""
        return ("echo",)

    async def close(self) -> None:
        """Do nothing: there is no connection."""


def echo_reply(messages: Iterable[Mapping[str, object]]) -> str:
    """Return the reply to a conversation. Its first words say what speaks."""
    listed = list(messages)
    said = next((m for m in reversed(listed) if m.get("role") == "user"), {})
    quote = " ".join(text_of(said.get("content")).split())
    if len(quote) > _QUOTE_LENGTH:
        quote = quote[:_QUOTE_LENGTH].rstrip() + "…"
    name = _speaker(listed)
    if name is None:
        return f"{LABEL} You said: “{quote}”" if quote else f"{LABEL} You have said nothing yet."
    gesture = _GESTURES[zlib.crc32(quote.encode("utf-8", "replace")) % len(_GESTURES)]
    answer = "You have said nothing yet. Take your time."
    if quote:
        answer = f"“{quote}”, you say? I only repeat your words; a real model would answer them."
    return f"{LABEL} *{gesture.format(name=name)}* {answer}"


def _speaker(messages: list[Mapping[str, object]]) -> str | None:
    for message in reversed(messages):
        name = message.get("name")
        if message.get("role") == "assistant" and isinstance(name, str) and name.strip():
            return name.strip()
    system = (text_of(m.get("content")) for m in messages if m.get("role") == "system")
    return character_name("\n".join(system))


_NAME = r"[^\W\d_a-z][\w-]*(?:[ ][^\W\d_a-z][\w-]*){0,2}"
_SIGNS = tuple(
    re.compile(sign.replace("NAME", f"({_NAME})"))
    for sign in (
        r"\bWrite NAME['\u2019]s next reply",
        r"\b[Cc]har(?:acter)?\(\s*[\"']?NAME",
        r"(?m)^\W*[Nn]ame\s*[:=]\s*[\"'(]*NAME",
        r"\bNAME['\u2019]s [Pp]ersonality\b",
        r"\b[Yy]ou (?:are|play|act as|will be|will play|speak as) (?:the character )?NAME",
        r"(?m)^\W*NAME(?:,[^.\n]*,)? (?:is|was)\b",
        r"你是([^\s,.!\u3001\u3002\uff01\uff0c\uff1f]{1,12})",
    )
)
# Words that begin sentences and lines of cards, and so look like names.
_NO_NAMES = frozenset(
    "A An And Appearance As At Background But Chapter Character Description Dialogue Do Example"
    " Example-dialogue For He Her His I If In It Its My Name Never No Not Note Of On Or Our"
    " Personality Scenario She START Stay System That The Their There They This To User We When"
    " With World Write You Your".split()
)


def character_name(system: str) -> str | None:
    """Guess the name of the character that a system message describes; None without one."""
    for sign in _SIGNS:
        for found in sign.finditer(system):
            if found[1].split()[0] not in _NO_NAMES:
                return found[1]
    words = re.findall(r"\b[^\W\d_a-z][^\W\d_]{2,}\b", system)
    names = Counter(word for word in words if word not in _NO_NAMES and not word.isupper())
    most = names.most_common(1)
    return most[0][0] if most and most[0][1] > 1 else None

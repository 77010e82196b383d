"""Messages on their way into the prompt, and what each of them costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from pydantic import JsonValue

from ..macros import Text
from ..presets.model import Role

TokenCounter: TypeAlias = Callable[[str], int]

MESSAGE_TOKENS = 4
NAME_TOKENS = 1
_CHARACTERS_PER_TOKEN = 3.35


def estimate_tokens(text: str) -> int:
    """Guess the tokens of a text by its length; good for English, low for other languages."""
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Draft:
    """A message of the prompt.

    ``part`` is what the report counts it under. ``content_parts`` are sent in place of the text
    where a message holds more than text. A message that stands ``alone`` is never joined to its
    neighbour; ``more_parts`` are those of the neighbours that were joined to this one.
    """

    role: Role
    text: Text
    part: str
    tokens: int
    name: str = ""
    alone: bool = False
    inserted: bool = False
    turn: int | None = None
    content_parts: tuple[JsonValue, ...] = ()
    more_parts: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self.text and not self.content_parts


class Meter:
    """Makes messages that know what they cost."""

    def __init__(self, count: TokenCounter = estimate_tokens) -> None:
        self._count = count

    def cost(self, text: str, name: str = "") -> int:
        """Return the tokens of a message that is not empty."""
        return self._count(text) + MESSAGE_TOKENS + (NAME_TOKENS if name else 0)

    def draft(self, role: Role, text: Text, part: str, *, name: str = "") -> Draft:
        """Return a message; an empty one costs nothing."""
        tokens = self.cost(text.plain, name) if text else 0
        return Draft(role, text, part, tokens, name)

    def joined(self, first: Draft, second: Draft) -> Draft:
        """Return both as one message, a line break between them."""
        text = Text.join("\n", (first.text, second.text))
        return replace(
            first,
            text=text,
            tokens=self.cost(text.plain, first.name),
            more_parts=(*first.more_parts, second.part),
        )

"""What macros speak of: names, card fields, the chat, the clock, chance."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import NamedTuple

from .pieces import Text


class Said(NamedTuple):
    """A message of the chat, as macros see it."""

    role: str
    content: str


def utc_now() -> datetime:
    """Return the time of the call."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything a macro may ask for.

    ``fields`` holds the macros that stand for longer texts, by lower-case name; those texts have
    their own macros replaced already. ``random`` and ``clock`` are asked anew by every macro.
    """

    user: str = "User"
    char: str = ""
    fields: Mapping[str, Text] = field(default_factory=lambda: MappingProxyType({}))
    chat: Sequence[Said] = ()
    chat_id: str = ""
    random: Callable[[], float] = random.random
    clock: Callable[[], datetime] = utc_now
    zone: tzinfo = UTC

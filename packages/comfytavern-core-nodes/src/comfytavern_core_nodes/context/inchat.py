"""Texts that stand inside the chat, a number of messages before its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..macros import Macros, Text
from ..presets.model import DEFAULT_INJECTION_ORDER, Role
from .drafts import Draft, Meter

IN_CHAT_PART = "inChat"
_ROLES_FROM_TOP: tuple[Role, ...] = ("assistant", "user", "system")


@dataclass(frozen=True, slots=True)
class InChatText:
    """One such text. An ``extra`` is no prompt of the preset: it comes behind those, trimmed."""

    text: Text
    depth: int
    role: Role
    order: int = DEFAULT_INJECTION_ORDER
    extra: bool = False


def insert_in_chat(
    chat: Sequence[Draft], texts: Iterable[InChatText], macros: Macros, meter: Meter
) -> list[Draft]:
    """Return the chat with the texts in it.

    Of texts at one depth the lower order stands higher, and inside an order the assistant's above
    the user's above the system's; each of these is one message. A depth beyond the start of the
    chat is its top. Inserted messages do not count for the depth of others.
    """
    groups: dict[int, dict[tuple[int, Role], list[InChatText]]] = {}
    for each in texts:
        if each.text:
            group = groups.setdefault(each.depth, {})
            group.setdefault((each.order, each.role), []).append(each)
    result: list[Draft] = []
    place = 0
    for depth in sorted(groups, reverse=True):
        start = max(len(chat) - depth, 0)
        result += chat[place:start]
        result += _messages(groups[depth], macros, meter)
        place = start
    return [*result, *chat[place:]]


def _messages(
    group: dict[tuple[int, Role], list[InChatText]], macros: Macros, meter: Meter
) -> list[Draft]:
    messages: list[Draft] = []
    for key in sorted(group, key=lambda key: (key[0], _ROLES_FROM_TOP.index(key[1]))):
        members = group[key]
        own = Text.join("\n", [each.text for each in members if not each.extra]).strip()
        extra = Text.join("\n", [each.text.strip() for each in members if each.extra])
        extra = macros.expand_text(extra).strip()
        if text := Text.join("\n", [part for part in (own, extra) if part]):
            draft = meter.draft(key[1], text, IN_CHAT_PART)
            messages.append(replace(draft, inserted=True))
    return messages

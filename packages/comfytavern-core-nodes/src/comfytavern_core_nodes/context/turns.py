"""The chat as the prompt sees it: which messages count, what they say, and who says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue

from ..histories import ChatMessage
from ..macros import Macros, Origin, Piece, Text
from ..presets.model import Preset, Role
from ..regexes import Passage, Placement
from .drafts import Draft, Meter
from .journal import Journal
from .scripts import Scripts

CHAT_PART = "chatHistory"
_NAMES_FORCED, _NAMES_FIELD, _NAMES_CONTENT = range(3)  # -1: none
_NO_NAME_CHARACTER = re.compile(r"[^A-Za-z0-9_]")
_MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of the chat that counts. ``number`` is its place in the history, if it has one."""

    role: Role
    text: Text
    name: str
    number: int | None = None
    name_forced: bool = False
    content_parts: tuple[JsonValue, ...] = ()


def turns_of(
    history: Sequence[ChatMessage], user: str, char: str, journal: Journal, *, swipe: bool
) -> list[Turn]:
    """Return the messages that are sent: hidden ones are not, nor the last one of a swipe."""
    visible = [(number, said) for number, said in enumerate(history) if not said.hidden]
    if hidden := len(history) - len(visible):
        journal.drop(CHAT_PART, "hidden", messages=hidden)
    if swipe and visible:
        number, _ = visible.pop()
        journal.drop(
            CHAT_PART, "to be replaced by this swipe", messages=1, first=number, last=number
        )
    return [_turn(number, said, user, char) for number, said in visible]


def changed_turns(turns: Sequence[Turn], macros: Macros, scripts: Scripts) -> list[Turn]:
    """Return the turns as regex rules leave them; in the first message macros come before them.

    :raises RuleError: a rule cannot be applied
    """
    changed = list(turns)
    if changed:
        changed[0] = replace(changed[0], text=macros.expand_text(changed[0].text))
    newest = len(changed) - 1
    passages = [
        Passage(
            turn.text.plain,
            Placement.USER if turn.role == "user" else Placement.AI,
            newest - number,
        )
        for number, turn in enumerate(changed)
    ]
    texts = scripts.said(passages)
    return [_rewritten(*pair) for pair in zip(changed, texts, strict=True)]


def drafts_of(
    turns: Sequence[Turn], preset: Preset, macros: Macros, meter: Meter, user: str
) -> list[Draft]:
    """Return the turns as messages, with their names where the preset wants them."""
    return [_draft(turn, preset, macros, meter, user) for turn in turns]


def _turn(number: int, said: ChatMessage, user: str, char: str) -> Turn:
    name = said.name or {"user": user, "assistant": char}.get(said.role, "")
    parts = tuple(said.content) if isinstance(said.content, list) else ()
    text = Text.of(said.text, Origin("history", str(number), name))
    return Turn(said.role, text, name, number, said.name_forced, parts)


def _rewritten(turn: Turn, text: str) -> Turn:
    if turn.content_parts or text == turn.text.plain:
        return turn
    old = turn.text.plain
    start = _common(old, text)
    same = _common(old[start:][::-1], text[start:][::-1])
    origin = turn.text.pieces[0].origin if turn.text else Origin("history", str(turn.number))
    # Rules tell only what comes out; between equal ends it counts as written by them.
    changed = Text.of(text[start : len(text) - same], Origin("regex", within=origin))
    kept = turn.text.cut(0, start), turn.text.cut(len(old) - same, len(old))
    return replace(turn, text=kept[0] + changed + kept[1])


def _common(one: str, other: str) -> int:
    """Return how many characters two texts begin with together."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((number for number, (a, b) in pairs if a != b), min(len(one), len(other)))


def _draft(turn: Turn, preset: Preset, macros: Macros, meter: Meter, user: str) -> Draft:
    text = turn.text
    if _has_prefix(turn, preset, user):
        text = Text.of(f"{turn.name}: ", Origin("preset", "names_behavior")) + text
    text = text.without("\r")
    if turn.role == "user" and preset.wrap_in_quotes:
        quote = (Piece('"', Origin("preset", "wrap_in_quotes")),)
        text = Text((*quote, *text.pieces, *quote))
    name = ""
    if preset.names_behavior == _NAMES_FIELD and turn.name:
        name = _NO_NAME_CHARACTER.sub("_", turn.name)[:_MAX_NAME]
    draft = meter.draft(turn.role, macros.expand_text(text), CHAT_PART, name=name)
    if not turn.content_parts:
        return replace(draft, turn=turn.number)
    cost = meter.cost(draft.text.plain, name)  # there is something to send, even without text
    parts = tuple(_expanded(part, macros) for part in turn.content_parts)
    return replace(draft, turn=turn.number, tokens=cost, content_parts=parts)


def _expanded(part: JsonValue, macros: Macros) -> JsonValue:
    if isinstance(part, dict) and isinstance(text := part.get("text"), str):
        return {**part, "text": macros.expand(text)}
    return part


def _has_prefix(turn: Turn, preset: Preset, user: str) -> bool:
    if turn.role == "system" or not turn.name:
        return False
    if preset.names_behavior == _NAMES_FORCED:
        return turn.name_forced and turn.name != user
    return preset.names_behavior == _NAMES_CONTENT

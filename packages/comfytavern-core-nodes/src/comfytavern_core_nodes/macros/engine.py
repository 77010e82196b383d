"""Replacing macros, kind by kind.

The order of the kinds is part of the behaviour: a later kind works inside what an earlier one
gave, never the other way round. Whatever is no known macro stays as it is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, timedelta
from typing import TypeAlias

from .dice import roll
from .moments import format_moment
from .pieces import EMPTY, UNKNOWN, Origin, Text
from .scene import Said, Scene

MAX_LENGTH = 8_000_000
"""Characters of one text after its macros are replaced."""

_Answer: TypeAlias = Callable[[re.Match[str], Origin], Text]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.ASCII)


_FIELD_NAMES = (
    "description|personality|scenario|persona|mesExamples|charPrompt|charInstruction|charJailbreak"
    "|charVersion|char_version"
)
_OLD_NAMES = _pattern("<(user|bot|charifnotgroup|char|group)>")
_ONLY_NAMES = _pattern(r"\{\{(user|char)\}\}")
_OTHER = _pattern(r"\{\{(?!(?:user|char)\}\})")
_ROLL = _pattern(r"\{\{roll[ :]([^}]+)\}\}")
_NEWLINE = _pattern(r"\{\{newline\}\}")
# Possessive: otherwise a long run of line breaks costs its square.
_TRIM = _pattern(r"(?:\r?\n)*+\{\{trim\}\}(?:\r?\n)*+")
_NOOP = _pattern(r"\{\{noop\}\}")
_ORIGINAL = _pattern(r"\{\{original\}\}")
_FIELDS = _pattern(r"\{\{(" + _FIELD_NAMES + r")\}\}")
_NAMES = _pattern(r"\{\{(user|char|group|charIfNotGroup)\}\}")
_LAST = _pattern(r"\{\{(lastMessageId|lastMessage|lastUserMessage|lastCharMessage)\}\}")
_REVERSE = _pattern(r"\{\{reverse:((?:(?!\}\}).)+)\}\}")
_COMMENT = _pattern(r"\{\{(?://|comment:|hidden_key:)(?:(?!\}\})[\s\S])*+\}\}")
_TIME = _pattern(r"\{\{(time|date|weekday|isotime|isodate)\}\}")
_FORMAT = _pattern(r"\{\{datetimeformat +([^}]*)\}\}")
_TIME_AT = _pattern(r"\{\{time_UTC([-+][0-9]{1,3})\}\}")
_RANDOM = _pattern(r"\{\{random\s?::?([^}]+)\}\}")
_PICK = _pattern(r"\{\{pick\s?::?([^}]+)\}\}")
_COMMA = re.compile(r"(?<!\\),")
_TIME_FORMATS = {
    "time": "LT",
    "date": "LL",
    "weekday": "dddd",
    "isotime": "HH:mm",
    "isodate": "YYYY-MM-DD",
}


class Macros:
    """Replaces macros. Stateless but for the random source, so one serves a whole prompt."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._names = {
            "user": scene.user,
            "char": scene.char,
            "bot": scene.char,
            "group": scene.char,
            "charifnotgroup": scene.char,
        }
        # Names are hardly ever macros themselves; if they are, no short cut is taken.
        self._plain_names = "{{" not in scene.user + scene.char
        self._before: list[tuple[re.Pattern[str], _Answer]] = [
            (_ROLL, self._rolled),
            (_NEWLINE, lambda found, at: _given("newline", "\n", at)),
            (_TRIM, lambda found, at: EMPTY),
            (_NOOP, lambda found, at: EMPTY),
        ]
        self._after: list[tuple[re.Pattern[str], _Answer]] = [
            (_FIELDS, self._field),
            (_NAMES, self._name),
            (_LAST, self._last),
            (_REVERSE, lambda found, at: _given("reverse", found[1][::-1], at)),
            (_COMMENT, lambda found, at: EMPTY),
            (_TIME, self._time),
            (_FORMAT, self._formatted),
            (_TIME_AT, self._time_elsewhere),
            (_RANDOM, self._random),
            (_PICK, self._pick),
        ]

    def with_fields(self, fields: dict[str, Text]) -> Macros:
        """Return macros that also know these texts, by lower-case macro name."""
        return Macros(replace(self._scene, fields=fields))

    def expand(self, text: str, *, original: str | None = None) -> str:
        """Replace the macros in a text whose origins nobody asks for.

        :raises TextTooLongError: the result would be longer than ``MAX_LENGTH``
        """
        if "{{" not in text and "<" not in text:
            return text
        replaced = None if original is None else Text.of(original, UNKNOWN)
        return self.expand_text(Text.of(text, UNKNOWN), original=replaced).plain

    def expand_text(self, text: Text, *, original: Text | None = None) -> Text:
        """Replace the macros in a text; what they give knows the macro it came from.

        :param original: what the first ``{{original}}`` stands for; further ones are empty
        :raises TextTooLongError: the result would be longer than ``MAX_LENGTH``
        """
        if "<" in text.plain:
            text = text.sub(_OLD_NAMES, self._name, MAX_LENGTH)
        if "{{" not in text.plain:
            return text
        if self._plain_names and not _OTHER.search(text.plain):
            return text.sub(_ONLY_NAMES, self._name, MAX_LENGTH)
        text = _through(text, self._before)
        if original is not None:
            text = text.sub(_ORIGINAL, _once(original), MAX_LENGTH)
        return _through(text, self._after)

    def _name(self, found: re.Match[str], at: Origin) -> Text:
        return _given(found[1].lower(), self._names[found[1].lower()], at)

    def _field(self, found: re.Match[str], at: Origin) -> Text:
        known = self._scene.fields.get(found[1].lower())
        # Inside the card's own fields these macros mean nothing and stay.
        return Text.of(found[0], at) if known is None else known

    def _rolled(self, found: re.Match[str], at: Origin) -> Text:
        return _given("roll", roll(found[1], self._scene.random), at)

    def _last(self, found: re.Match[str], at: Origin) -> Text:
        name = found[1].lower()
        chat = self._scene.chat
        if name == "lastmessageid":
            return _given(name, str(len(chat) - 1) if chat else "", at)
        role = {"lastusermessage": "user", "lastcharmessage": "assistant"}.get(name)
        return _given(name, _last_of(role, reversed(chat)), at)

    def _time(self, found: re.Match[str], at: Origin) -> Text:
        when = self._scene.clock().astimezone(self._scene.zone)
        name = found[1].lower()
        return _given(name, format_moment(when, _TIME_FORMATS[name]), at)

    def _formatted(self, found: re.Match[str], at: Origin) -> Text:
        when = self._scene.clock().astimezone(self._scene.zone)
        return _given("datetimeformat", format_moment(when, found[1]), at)

    def _time_elsewhere(self, found: re.Match[str], at: Origin) -> Text:
        when = self._scene.clock().astimezone(UTC) + timedelta(hours=int(found[1]))
        return _given("time_utc", format_moment(when, "LT"), at)

    def _random(self, found: re.Match[str], at: Origin) -> Text:
        items = _items(found[1])
        chosen = items[min(int(self._scene.random() * len(items)), len(items) - 1)]
        return _given("random", chosen, at)

    def _pick(self, found: re.Match[str], at: Origin) -> Text:
        items = _items(found[1])
        # The place counts too, so that two equal picks in one text may differ.
        seed = f"{self._scene.chat_id}\0{found.start()}\0{found.string}"
        digest = hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()
        return _given("pick", items[int.from_bytes(digest[:8]) % len(items)], at)


def _through(text: Text, steps: Iterable[tuple[re.Pattern[str], _Answer]]) -> Text:
    for pattern, answer in steps:
        if "{{" not in text.plain:
            break
        text = text.sub(pattern, answer, MAX_LENGTH)
    return text


def _given(name: str, value: str, at: Origin) -> Text:
    # A macro that an earlier macro gave counts as standing where that one stood.
    return Text.of(value, Origin("macro", name, "", at.within if at.kind == "macro" else at))


def _once(original: Text) -> _Answer:
    texts = iter((original,))
    return lambda found, at: next(texts, EMPTY)


def _items(listed: str) -> list[str]:
    """Split what a list macro offers: at ``::`` as it stands, else at commas, trimmed."""
    if "::" in listed:
        return listed.split("::")
    return [item.strip().replace("\\,", ",") for item in _COMMA.split(listed)]


def _last_of(role: str | None, newest_first: Iterable[Said]) -> str:
    return next((said.content for said in newest_first if role in (None, said.role)), "")

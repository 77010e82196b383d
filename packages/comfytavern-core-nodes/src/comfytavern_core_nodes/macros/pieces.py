"""Text that remembers where each part of it came from.

Nothing here searches for an origin afterwards: text is taken apart and put together by offsets,
and every piece carries its origin along. Offsets are code points.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

OriginKind: TypeAlias = Literal[
    "card",
    "book",
    "preset",
    "history",
    "user_message",
    "note",
    "persona",
    "chat",
    "macro",
    "regex",
    "separator",
    "unknown",
]


class Origin(NamedTuple):
    """Where a piece of text came from.

    ``name`` tells origins of one kind apart (a card field, a prompt's identifier, the number of a
    message); ``label`` is for people. Where a macro or a regex rule wrote the text, ``within`` is
    what it stood in.
    """

    kind: OriginKind
    name: str = ""
    label: str = ""
    within: Origin | None = None

    def to_json(self) -> dict[str, object]:
        """Return the origin as JSON, without the fields that say nothing."""
        origin: dict[str, object] = {"kind": self.kind}
        if self.name:
            origin["name"] = self.name
        if self.label:
            origin["label"] = self.label
        if self.within is not None:
            origin["within"] = self.within.to_json()
        return origin


UNKNOWN = Origin("unknown")
SEPARATOR = Origin("separator")


class Piece(NamedTuple):
    """A stretch of text with one origin."""

    text: str
    origin: Origin


class TextTooLongError(ValueError):
    """A replacement would make a text longer than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit

    def __str__(self) -> str:
        return f"a text grows beyond {self.limit} characters when its macros are replaced"


@dataclass(frozen=True)  # not slotted: ``plain`` is remembered
class Text:
    """Immutable text made of pieces; none of them is empty."""

    pieces: tuple[Piece, ...] = ()

    @classmethod
    def of(cls, text: str, origin: Origin) -> Text:
        """Return ``text`` with one origin."""
        return cls((Piece(text, origin),)) if text else EMPTY

    @classmethod
    def join(cls, separator: str, texts: Iterable[Text]) -> Text:
        """Join texts; the separators come from nowhere else."""
        pieces: list[Piece] = []
        for number, text in enumerate(texts):
            if number and separator:
                pieces.append(Piece(separator, SEPARATOR))
            pieces += text.pieces
        return cls(tuple(pieces))

    @cached_property
    def plain(self) -> str:
        """The text itself."""
        return "".join([piece.text for piece in self.pieces])

    def __bool__(self) -> bool:
        return bool(self.pieces)

    def __add__(self, other: Text) -> Text:
        return Text(self.pieces + other.pieces)

    def cut(self, start: int, end: int) -> Text:
        """Return the part from ``start`` to ``end``."""
        if start == 0 and end >= len(self.plain):
            return self
        return Text(tuple(_Cutter(self.pieces).upto(start, end)))

    def strip(self) -> Text:
        """Return the text without blanks at its ends."""
        plain = self.plain
        start = len(plain) - len(plain.lstrip())
        return self.cut(start, max(start, len(plain.rstrip())))

    def without(self, character: str) -> Text:
        """Return the text without any ``character``."""
        if character not in self.plain:
            return self
        shorter = ((text.replace(character, ""), origin) for text, origin in self.pieces)
        return Text(tuple(Piece(text, origin) for text, origin in shorter if text))

    def without_first(self, part: str) -> Text:
        """Return the text without the first ``part``."""
        start = self.plain.find(part)
        if start < 0:
            return self
        end = start + len(part)
        return self.cut(0, start) + self.cut(end, len(self.plain))

    def split(self, pattern: re.Pattern[str]) -> list[Text]:
        """Split at every match; the matches are dropped."""
        cutter, parts, done = _Cutter(self.pieces), [], 0
        for found in pattern.finditer(self.plain):
            parts.append(Text(tuple(cutter.upto(done, found.start()))))
            done = found.end()
        parts.append(Text(tuple(cutter.upto(done, len(self.plain)))))
        return parts

    def sub(
        self,
        pattern: re.Pattern[str],
        answer: Callable[[re.Match[str], Origin], Text],
        limit: int,
    ) -> Text:
        """Replace every match by ``answer(match, origin of the text it stood in)``.

        :raises TextTooLongError: the result would be longer than ``limit``
        """
        cutter, pieces, done, length = _Cutter(self.pieces), list[Piece](), 0, len(self.plain)
        for found in pattern.finditer(self.plain):
            pieces += cutter.upto(done, found.start())
            replacement = answer(found, cutter.origin_at(found.start()))
            pieces += replacement.pieces
            done = found.end()
            length += len(replacement.plain) - (done - found.start())
            if length > limit:
                raise TextTooLongError(limit)
        if not done:  # no match is empty, so nothing was found
            return self
        pieces += cutter.upto(done, len(self.plain))
        return Text(tuple(pieces))


class _Cutter:
    """Walks along pieces once, so that many cuts cost no more than their length."""

    def __init__(self, pieces: tuple[Piece, ...]) -> None:
        self._pieces = pieces
        self._index = 0
        self._offset = 0  # where the current piece starts

    def origin_at(self, position: int) -> Origin:
        self._go_to(position)
        return self._pieces[self._index].origin

    def upto(self, start: int, end: int) -> Iterator[Piece]:
        """Yield the pieces between two positions; ``start`` never lies before an earlier one."""
        while start < end:
            self._go_to(start)
            text, origin = self._pieces[self._index]
            part = text[start - self._offset : end - self._offset]
            yield Piece(part, origin)
            start += len(part)

    def _go_to(self, position: int) -> None:
        while position >= self._offset + len(self._pieces[self._index].text):
            self._offset += len(self._pieces[self._index].text)
            self._index += 1


EMPTY = Text()

"""What stands behind a backslash: a character, or a set of characters.

Without the flag ``u`` almost everything means something (annex B of ECMA-262); with it, only what
is defined. Assertions and back references are not here: the translator knows where they apply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .charsets import DIGIT, SPACE, WORD, CharSet, complement, merged
from .errors import RegexError
from .properties import property_item

__all__ = ("Mode", "Source", "class_escape", "is_high", "is_low", "joined_pair", "point_escape")

_CONTROLS = {"f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_SHORTHANDS = {"d": DIGIT, "s": SPACE, "w": WORD}
# With `i` and `u` the long s and the Kelvin sign are word characters: they fold to s and k.
_FOLDED_WORD = merged((*WORD, (0x17F, 0x17F), (0x212A, 0x212A)))
_DIGITS = frozenset("0123456789")
_SYNTAX = frozenset("^$\\.*+?()[]{}|/")
_OCTAL = re.compile(r"[0-3][0-7]{0,2}|[4-7][0-7]?")
_HEX2 = re.compile(r"[0-9A-Fa-f]{2}")
_HEX4 = re.compile(r"[0-9A-Fa-f]{4}")
_BRACED = re.compile(r"\{([0-9A-Fa-f]+)\}")
_LOW_HALF = re.compile(r"\\u([Dd][C-Fc-f][0-9A-Fa-f]{2})")
_PROPERTY = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Mode:
    """The flags that change what a pattern means, and whether it names groups."""

    ignore_case: bool = False
    multiline: bool = False
    dot_all: bool = False
    unicode: bool = False
    named: bool = False

    @property
    def word(self) -> CharSet:
        r"""What ``\w`` holds."""
        return CharSet(_FOLDED_WORD if self.ignore_case and self.unicode else WORD)


@dataclass(slots=True)
class Source:
    """A pattern and the place up to which it is read."""

    text: str
    pos: int = 0

    def peek(self) -> str:
        """Return the next character; an empty text at the end."""
        return self.text[self.pos : self.pos + 1]

    def take(self, expected: re.Pattern[str]) -> re.Match[str] | None:
        """Read what fits, if it stands here."""
        found = expected.match(self.text, self.pos)
        if found is not None:
            self.pos = found.end()
        return found

    def fault(self, reason: str, position: int | None = None) -> RegexError:
        """Return the error that the pattern is wrong here."""
        return RegexError("bad_pattern", reason, self.pos if position is None else position)


def is_high(point: int) -> bool:
    """Return whether this is the first half of a surrogate pair."""
    return 0xD800 <= point <= 0xDBFF


def is_low(point: int) -> bool:
    """Return whether this is the second half of a surrogate pair."""
    return 0xDC00 <= point <= 0xDFFF


def joined_pair(high: int, low: int) -> int:
    """Return the character that a surrogate pair stands for."""
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00)


def class_escape(source: Source, mode: Mode) -> int | CharSet:
    """Read behind a backslash inside a class.

    :raises RegexError: it means nothing there
    """
    letter = source.peek()
    if letter == "b":
        source.pos += 1
        return 8
    if letter == "-" and mode.unicode:
        source.pos += 1
        return 45
    if letter == "c" and not mode.unicode:
        following = source.text[source.pos + 1 : source.pos + 2]
        if following == "_" or following in _DIGITS:
            source.pos += 2
            return ord(following) & 31
    return point_escape(source, mode)


def point_escape(source: Source, mode: Mode) -> int | CharSet:
    """Read behind a backslash what means the same inside and outside a class.

    :raises RegexError: it means nothing
    """
    letter = source.peek()
    if not letter:
        raise source.fault("a backslash ends the pattern", source.pos - 1)
    if letter in "01234567":
        return _octal(source, mode)
    source.pos += 1
    if letter in _CONTROLS:
        return _CONTROLS[letter]
    if letter in "dDsSwW":
        members = mode.word if letter in "wW" else CharSet(_SHORTHANDS[letter.lower()])
        return CharSet(complement(members.ranges)) if letter.isupper() else members
    if letter == "c":
        return _control(source, mode)
    if letter == "x" and (digits := source.take(_HEX2)):
        return int(digits[0], 16)
    if letter == "u" and (point := _unicode_escape(source, mode)) is not None:
        return point
    if mode.unicode and letter in "pP":
        return _property(source, negated=letter == "P")
    if _means_itself(letter, mode):
        return ord(letter)
    raise source.fault(f"the escape \\{letter} means nothing", source.pos - 2)


def _means_itself(letter: str, mode: Mode) -> bool:
    return letter in _SYNTAX if mode.unicode else not (letter == "k" and mode.named)


def _octal(source: Source, mode: Mode) -> int:
    digits = source.take(_OCTAL)
    assert digits is not None, "only called where an octal digit stands"
    if mode.unicode and (digits[0] != "0" or source.peek() in _DIGITS):
        raise source.fault("a decimal escape names no group", digits.start() - 1)
    return int(digits[0], 8)


def _control(source: Source, mode: Mode) -> int:
    letter = source.peek()
    if letter.isascii() and letter.isalpha():
        source.pos += 1
        return ord(letter) & 31
    if mode.unicode:
        raise source.fault("the escape \\c needs a letter", source.pos - 2)
    source.pos -= 1  # the c is read again, as itself
    return 92


def _unicode_escape(source: Source, mode: Mode) -> int | None:
    if digits := source.take(_HEX4):
        point = int(digits[0], 16)
        if mode.unicode and is_high(point) and (low := source.take(_LOW_HALF)):
            return joined_pair(point, int(low[1], 16))
        return point
    if not mode.unicode:
        return None
    braced = source.take(_BRACED)
    if braced is None or len(braced[1].lstrip("0")) > 6 or int(braced[1], 16) > 0x10FFFF:
        raise source.fault("the escape \\u names no character")
    return int(braced[1], 16)


def _property(source: Source, *, negated: bool) -> CharSet:
    start = source.pos - 2
    braced = source.take(_PROPERTY)
    try:
        item = property_item(braced[1], negated=negated) if braced else None
    except LookupError as exc:
        reason = f"the property {exc.args[0]} cannot be searched for"
        raise RegexError("unsupported", reason, start) from exc
    if item is None:
        raise source.fault("there is no property of this name", start)
    return CharSet((), (item,))

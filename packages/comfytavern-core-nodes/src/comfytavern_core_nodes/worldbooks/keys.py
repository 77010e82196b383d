"""Keys of entries: what a key text means, and how a list of keys in one text is cut.

Keys follow JavaScript where it differs from Python: what counts as blank, what as a regex.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

# What trim() and \s of JavaScript know; str.strip() and \s of Python know other characters.
BLANKS = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
SEPARATOR = "\x01"
"""Stands before every text in the scan buffer."""

GRAM_BYTES = 4
NO_GRAM = -1
_BLANK = re.compile(f"[{BLANKS}]")
_REGEX = re.compile(r"/(.+?)/([gimsuy]*)", re.DOTALL)
_ASCII_WORD = re.compile("[A-Za-z0-9_]+")
_BARE_SLASH = re.compile(r"(?:^|[^\\])/")


@dataclass(frozen=True, slots=True)
class Needle:
    """A text to look for, with what quickly rules it out.

    ``head`` and ``tail`` are its first and last four bytes as a number, ``NO_GRAM`` if it is
    shorter. ``compact`` says that it lies inside one word of a text. Otherwise ``pieces`` are the
    ends and beginnings of words that a text must have to hold it; a line break stands for the edge
    of a word. ``ascii_word`` says that it is nothing but ASCII letters, digits and underscores.
    """

    text: str
    head: int
    tail: int
    compact: bool
    ascii_word: bool
    pieces: tuple[Needle, ...] = ()


@dataclass(frozen=True, slots=True)
class PlainKey:
    """A key that is looked for as it is.

    ``word`` says that it is one word, for which whole words can be asked.
    """

    text: str
    folded: Needle
    exact: Needle
    word: bool


@dataclass(frozen=True, slots=True)
class PatternKey:
    """A key written as ``/pattern/flags``; plain text after all if the pattern does not compile."""

    text: str
    pattern: str
    flags: str


Key = PlainKey | PatternKey


def parse_key(text: str) -> Key | None:
    """Return what a key text means, macros already substituted; None if it can never match."""
    trimmed = text.strip(BLANKS)
    if not trimmed:
        return None
    return pattern_key(trimmed) or plain_key(trimmed)


def pattern_key(text: str) -> PatternKey | None:
    """Return the regex that ``text`` is written as, None if it is not written as one.

    Whether the pattern compiles is for the regex engine to say.
    """
    found = _REGEX.fullmatch(text) if text.startswith("/") else None
    if found is None or _BARE_SLASH.search(found[1]) or len(set(found[2])) < len(found[2]):
        return None
    return PatternKey(text, found[1], found[2])


def plain_key(text: str) -> PlainKey:
    """Return ``text`` as a key that is no regex, whatever it looks like."""
    exact = needle(text)
    lowered = text.lower()
    folded = exact if lowered == text else needle(lowered)
    return PlainKey(text, folded, exact, word=not _BLANK.search(text))


def needle(text: str) -> Needle:
    """Return a text ready to be looked for."""
    parts = text.split()
    separated = SEPARATOR in text
    compact = parts == [text] and not separated
    pieces: list[Needle] = []
    if len(parts) > 1 and not separated:
        pieces = [_word_edge(f"{parts[0]}\n"), _word_edge(f"\n{parts[-1]}")]
        pieces += [_word_edge(f"\n{part}\n") for part in parts[1:-1]]
    ascii_word = compact and _ASCII_WORD.fullmatch(text) is not None
    return Needle(text, *_grams(text), compact, ascii_word, tuple(pieces))


def _word_edge(text: str) -> Needle:
    return Needle(text, *_grams(text), compact=True, ascii_word=False)


def _grams(text: str) -> tuple[int, int]:
    data = text.encode("utf-8", "surrogatepass")
    if len(data) < GRAM_BYTES:
        return NO_GRAM, NO_GRAM
    return _gram(data[:GRAM_BYTES]), _gram(data[-GRAM_BYTES:])


def _gram(data: bytes) -> int:
    return int.from_bytes(data, sys.byteorder)


def has_macro(text: str) -> bool:
    """Say whether macros might change a text: such a key is parsed anew in every pass."""
    return "{{" in text or "<" in text


def keys_of_text(text: str) -> list[str]:
    """Return the keys in a text with commas between them; commas inside a regex do not count."""
    if "/" in text:
        return split_keys(text)
    return [part for part in (part.strip(BLANKS) for part in text.split(",")) if part]


def split_keys(text: str) -> list[str]:
    """Cut a list of keys and regexes as SillyTavern's editor does.

    Its oddity is kept: the first character after a comma neither ends a key nor opens a regex.
    """
    keys: list[str] = []
    start = slashes = 0
    first = ""
    for index, char in enumerate(text):
        if not first and char not in BLANKS:
            first = char
        if start and index == start:
            continue
        if char == "/" and (index == 0 or text[index - 1] != "\\"):
            slashes += 1
        if char != "," or (first == "/" and slashes == 1):
            continue
        keys += _cut(text[start:index].strip(BLANKS))
        start, slashes, first = index + 1, 0, ""
    rest = text[start:].strip(BLANKS)
    return [*keys, rest] if rest else keys


def _cut(token: str) -> list[str]:
    if token.startswith("/") and pattern_key(token) is None:
        # It looked like a regex while it was read, and is none.
        return [part for part in (part.strip(BLANKS) for part in token.split(",")) if part]
    return [token] if token else []

"""JavaScript's ``String.prototype.replace``, on compiled translations.

Everything here runs where it is called; what comes from a stranger belongs in the worker process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import TypeAlias

import regex

from .errors import RegexError
from .limits import MAX_TEXT
from .translate import Translation, translate

__all__ = ("JsRegex", "Pieces", "compiled", "first_match", "matches", "replaced", "template_parts")

Match = regex.Match[str]
Pieces: TypeAlias = list[str]
"""A text cut up at its matches: what stands between them, and what replaces them, in turn."""

Part: TypeAlias = str | int
"""Of a replacement: text as it is, or the number of a group (also ``_BEFORE`` and ``_AFTER``)."""

_REFERENCE = re.compile(r"\$(?:([$&`'])|([0-9]{1,2})|<([^>]*)>)")
_SPECIAL = {"&": 0, "`": -1, "'": -2}
_BEFORE, _AFTER = -1, -2
_SHORT = 300


@dataclass(frozen=True, slots=True)
class JsRegex:
    """A JavaScript expression, ready to search with."""

    source: Translation
    engine: regex.Pattern[str]


def compiled(pattern: str, flags: str = "") -> JsRegex:
    """Translate and compile an expression; the latest ones are kept.

    :raises RegexError: it cannot be used
    """
    # A book may hold thousands of short ones; a long one takes a megabyte when it is compiled.
    return (_kept if len(pattern) <= _SHORT else _seldom_kept)(pattern, flags)


def _compiled(pattern: str, flags: str) -> JsRegex:
    source = translate(pattern, flags)
    try:
        engine = regex.compile(source.pattern, regex.V0, cache_pattern=False)
    except (RecursionError, MemoryError) as exc:
        raise RegexError("pattern_too_large", "it takes too much memory to compile") from exc
    except regex.error as exc:
        raise RegexError("unsupported", f"it cannot be compiled: {exc}") from exc
    return JsRegex(source, engine)


_kept = lru_cache(maxsize=4096)(_compiled)
_seldom_kept = lru_cache(maxsize=32)(_compiled)


def matches(expression: JsRegex, text: str, seconds: float | None = None) -> Iterator[Match]:
    """Give the matches that JavaScript would replace, in order.

    :param seconds: how long all searches may take, as the processor time of this process
    :raises RegexError: ``timeout``
    """
    deadline = None if seconds is None else monotonic() + seconds
    find = expression.engine.match if expression.source.sticky else expression.engine.search
    start = 0
    while start <= len(text):
        found = _searched(find, text, start, deadline)
        if found is None:
            return
        yield found
        if not expression.source.everywhere:
            return
        # The engine would look for something longer at the same place; JavaScript moves on.
        start = found.end() + (found.end() == found.start())


def _searched(find: object, text: str, start: int, deadline: float | None) -> Match | None:
    left = None if deadline is None else deadline - monotonic()
    if left is not None and left <= 0:
        raise _too_slow()
    try:
        # Other threads go on meanwhile, where there are any.
        found: Match | None = find(text, start, concurrent=True, timeout=left)  # type: ignore[operator]  # a bound method of the engine
    except TimeoutError as exc:
        raise _too_slow() from exc
    except MemoryError as exc:
        raise RegexError("text_too_large", "the search needs more memory than it may have") from exc
    return found


def first_match(expression: JsRegex, text: str, seconds: float | None = None) -> int | None:
    """Return where the first match begins; None without one.

    :raises RegexError: ``timeout``
    """
    return next((found.start() for found in matches(expression, text, seconds)), None)


def replaced(
    expression: JsRegex, text: str, replacement: str, seconds: float | None = None
) -> Pieces:
    """Return the pieces of ``text.replace(expression, replacement)``.

    :raises RegexError: ``timeout``, or ``text_too_large``
    """
    parts = template_parts(replacement, expression.source)
    return pieces_of(text, matches(expression, text, seconds), parts)


def template_parts(replacement: str, source: Translation) -> list[Part]:
    """Read the ``$`` of a replacement as JavaScript does for this expression."""
    parts: list[Part] = []
    end = 0
    for found in _REFERENCE.finditer(replacement):
        part, length = _reference(found, source)
        if part is not None:
            parts += (replacement[end : found.start()], part)
            end = found.start() + length
    parts.append(replacement[end:])
    return [part for part in parts if part != ""]


def _reference(found: re.Match[str], source: Translation) -> tuple[Part | None, int]:
    """Return what one ``$...`` stands for, None for itself, and how long it is."""
    sign, digits, name = found.groups()
    if sign is not None:
        return ("$" if sign == "$" else _SPECIAL[sign]), 2
    if digits is not None:
        # The longer number if there is such a group, else its first digit and text behind it.
        for length in (len(digits), 1):
            if 1 <= int(digits[:length]) <= source.groups:
                return int(digits[:length]), 1 + length
        return None, 0
    if not source.names:
        return None, 0
    return source.names.get(name, ""), len(found[0])


def pieces_of(
    text: str, found: Iterator[Match], parts: list[Part], trim: Sequence[str] = ()
) -> Pieces:
    """Cut a text at its matches and write the replacements.

    :param trim: what is cut out of every group before it is put in
    :raises RegexError: ``text_too_large``
    """
    pieces: Pieces = []
    end = total = 0
    for match in found:
        new = _written(match, text, parts, trim, MAX_TEXT - total)
        pieces += (text[end : match.start()], new)
        total += match.start() - end + len(new)
        end = match.end()
        check_length(total)
    pieces.append(text[end:])
    check_length(total + len(text) - end)
    return pieces


def _written(match: Match, text: str, parts: list[Part], trim: Sequence[str], room: int) -> str:
    written: list[str] = []
    for part in parts:
        if isinstance(part, str):
            piece = part
        elif part == _BEFORE:
            piece = text[: match.start()]
        elif part == _AFTER:
            piece = text[match.end() :]
        else:
            piece = match[part] or ""
            for unwanted in trim:
                piece = piece.replace(unwanted, "")
        written.append(piece)
        room -= len(piece)
        if room < 0:
            check_length(MAX_TEXT + 1)
    return "".join(written)


def check_length(length: int) -> None:
    """Refuse a text that has become too long.

    :raises RegexError: ``text_too_large``
    """
    if length > MAX_TEXT:
        raise RegexError("text_too_large", f"the text has more than {MAX_TEXT} characters")


def _too_slow() -> RegexError:
    return RegexError("timeout", "the search takes too long")

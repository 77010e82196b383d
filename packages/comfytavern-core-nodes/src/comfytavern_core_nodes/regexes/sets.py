"""Classes, the part of a pattern between square brackets."""

from __future__ import annotations

from .charsets import CharSet, merged
from .escapes import Mode, Source, class_escape

__all__ = ("parsed_class",)

_DASH = 45


def parsed_class(source: Source, mode: Mode) -> tuple[CharSet, bool]:
    """Read a class behind its opening bracket; return its members, and whether it is negated.

    :raises RegexError: it does not end, or a range in it is wrong
    """
    start = source.pos - 1
    negated = source.peek() == "^"
    source.pos += negated
    ranges: list[tuple[int, int]] = []
    properties: list[str] = []

    def add(member: int | CharSet) -> None:
        if isinstance(member, int):
            ranges.append((member, member))
        else:
            ranges.extend(member.ranges)
            properties.extend(member.properties)

    while (letter := source.peek()) != "]":
        if not letter:
            raise source.fault("the class is not closed", start)
        place = source.pos
        low = _member(source, mode)
        if not _is_range(source):
            add(low)
            continue
        source.pos += 1
        high = _member(source, mode)
        if isinstance(low, int) and isinstance(high, int):
            # Without `u` these are four halves, and the range lies between the inner two.
            if low > high or (low > 0xFFFF and high > 0xFFFF and not mode.unicode):
                raise source.fault("the range ends before it begins", place)
            ranges.append((low, high))
        elif mode.unicode:
            raise source.fault("a range needs single characters at its ends", place)
        else:
            for member in (low, _DASH, high):
                add(member)
    source.pos += 1
    return CharSet(merged(ranges), tuple(dict.fromkeys(properties))), negated


def _is_range(source: Source) -> bool:
    following = source.text[source.pos : source.pos + 2]
    return following.startswith("-") and following not in ("-", "-]")


def _member(source: Source, mode: Mode) -> int | CharSet:
    letter = source.peek()
    source.pos += 1
    return class_escape(source, mode) if letter == "\\" else ord(letter)

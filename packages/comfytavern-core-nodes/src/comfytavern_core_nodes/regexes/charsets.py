"""Sets of characters: what they hold, and how the ``regex`` package writes them.

Every class is written out from code points, because the two dialects disagree on what brackets,
doubled signs, dashes and shorthands mean inside one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = (
    "ANYTHING",
    "DIGIT",
    "LINE_END",
    "SPACE",
    "WORD",
    "CharSet",
    "Ranges",
    "complement",
    "contains",
    "merged",
    "written_point",
)

Ranges = tuple[tuple[int, int], ...]

LAST_POINT = 0x10FFFF
ANYTHING: Ranges = ((0, LAST_POINT),)
DIGIT: Ranges = ((48, 57),)
WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
LINE_END: Ranges = ((10, 10), (13, 13), (0x2028, 0x2029))
SPACE: Ranges = (
    (9, 13),
    (32, 32),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
    (0xFEFF, 0xFEFF),
)


@dataclass(frozen=True, slots=True)
class CharSet:
    r"""Code points, and properties such as ``\p{L}`` that the engine knows best by name."""

    ranges: Ranges = ()
    properties: tuple[str, ...] = ()

    def written(self, *, negated: bool = False) -> str:
        """Return one item of a pattern that matches one character of the set, or outside it."""
        if not self.properties:
            ranges = complement(self.ranges) if negated else self.ranges
            if ranges == ANYTHING:
                return "(?s:.)"
            # The shorter of the two forms; the engine is faster at "not a line end".
            if 0 < len(complement(ranges)) < len(ranges):
                return f"[^{_members(complement(ranges))}]"
            return f"[{_members(ranges)}]" if ranges else f"[^{_members(ANYTHING)}]"
        return f"[{'^' if negated else ''}{_members(self.ranges)}{''.join(self.properties)}]"


def merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Return ranges in order, without overlaps and gaps of nothing."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def complement(ranges: Ranges) -> Ranges:
    """Return every code point that merged ``ranges`` do not hold."""
    outside: list[tuple[int, int]] = []
    following = 0
    for low, high in ranges:
        if low > following:
            outside.append((following, low - 1))
        following = high + 1
    if following <= LAST_POINT:
        outside.append((following, LAST_POINT))
    return tuple(outside)


def contains(ranges: Ranges, point: int) -> bool:
    """Return whether merged ``ranges`` hold a code point."""
    place = bisect_right(ranges, (point, LAST_POINT)) - 1
    return place >= 0 and ranges[place][1] >= point


def written_point(point: int) -> str:
    """Return a code point so that it means itself wherever it stands."""
    character = chr(point)
    if character.isascii() and not character.isalnum() and character != "_":
        return f"\\x{point:02x}"
    return character


def _members(ranges: Ranges) -> str:
    return "".join(
        written_point(low) if low == high else f"{written_point(low)}-{written_point(high)}"
        for low, high in ranges
    )

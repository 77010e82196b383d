"""The parts of a pattern while it is translated: items, and groups that are still open."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .charsets import CharSet, Ranges, merged
from .errors import RegexError
from .escapes import is_high, is_low, joined_pair
from .limits import MAX_UNROLLED

__all__ = ("Group", "GroupKind", "Item", "assertion", "boundary", "counted", "half_pairs")

GroupKind: TypeAlias = Literal["plain", "capture", "ahead", "behind"]

_LARGEST_COUNT = 2**31  # beyond this the engine refuses; no text is that long
_MOST_HALVES = 20_000


@dataclass(slots=True)
class Item:
    """One item, which a quantifier may follow unless that is an error.

    ``size`` is how many items the engine makes of it. ``half`` is set where it matches nothing
    but first halves of surrogate pairs, or nothing but second ones.
    """

    text: str
    size: int = 1
    quantifiable: bool = True
    half: Ranges | None = None


@dataclass(slots=True)
class Group:
    """A group that is not closed yet; the whole pattern is the outermost one."""

    kind: GroupKind
    opening: str
    position: int
    number: int = 0
    size: int = 1
    items: list[Item] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def end_alternative(self) -> None:
        """Put away what stands before a ``|`` or the end.

        :raises RegexError: the group has become too large
        """
        self.done.append("".join(item.text for item in self.items))
        self.size = bounded(self.size + sum(item.size for item in self.items))
        self.items = []

    def add(self, item: Item) -> None:
        r"""Put an item behind the others; two halves, as ``\ud83d[\ude00-\ude4f]``, become one.

        JavaScript sees two characters where Python has one, unless the flag ``u`` is set.

        :raises RegexError: two halves have too many combinations
        """
        before = self.items[-1].half if self.items else None
        if before and item.half and is_high(before[0][0]) and is_low(item.half[0][0]):
            self.items.pop()
            item = Item(_joined(before, item.half).written())
        self.items.append(item)


def half_pairs(ranges: Ranges) -> Ranges | None:
    """Return the ranges if they hold only first halves of surrogate pairs, or only second ones."""
    first, last = (ranges[0][0], ranges[-1][1]) if ranges else (0, 0)
    one_kind = (is_high(first) and is_high(last)) or (is_low(first) and is_low(last))
    return ranges if one_kind else None


def _joined(highs: Ranges, lows: Ranges) -> CharSet:
    if len(lows) * sum(end - start + 1 for start, end in highs) > _MOST_HALVES:
        raise RegexError("pattern_too_large", "two classes of half characters are too many")
    return CharSet(
        merged(
            (joined_pair(high, low), joined_pair(high, last))
            for start, end in highs
            for high in range(start, end + 1)
            for low, last in lows
        )
    )


def assertion(text: str) -> Item:
    """Return an item that cannot be repeated."""
    return Item(text, quantifiable=False)


def boundary(word: str, *, inside: bool) -> Item:
    r"""Return ``\b``, or ``\B`` with ``inside``, by what counts as a word character."""
    same, other = ("=", "!") if inside else ("!", "=")
    # A question about what stands before; two alternatives would take twice as long to compile.
    return assertion(f"(?(?<={word})(?{same}{word})|(?{other}{word}))")


def counted(item: Item, count: re.Match[str]) -> str:
    """Return the quantifier ``{n}``, ``{n,}`` or ``{n,m}`` for an item, and let the item grow.

    :raises RegexError: the count ends before it begins, or makes the pattern too large
    """
    least = _number(count[1])
    most = least
    if count[2] is not None:
        most = _number(count[3]) if count[3] else _LARGEST_COUNT
    if most < least:
        raise RegexError("bad_pattern", "the count ends before it begins", count.start())
    # Only what must be there is written out; the rest is a loop with a counter.
    item.size = bounded(item.size * max(least, 1))
    if count[2] is None:
        return f"{{{least}}}"
    return f"{{{least},{most if most < _LARGEST_COUNT else ''}}}"


def bounded(size: int) -> int:
    """Return the size of a part.

    :raises RegexError: it is too large
    """
    if size > MAX_UNROLLED:
        reason = f"with its counts written out it has more than {MAX_UNROLLED} items"
        raise RegexError("pattern_too_large", reason)
    return size


def _number(digits: str) -> int:
    # Thousands of digits would be slow to convert, and mean no more than ten.
    shown = digits.lstrip("0")
    return int(shown or "0") if len(shown) <= 10 else _LARGEST_COUNT

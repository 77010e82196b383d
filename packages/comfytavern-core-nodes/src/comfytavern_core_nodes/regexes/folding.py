"""Which characters JavaScript takes for the same one under the flag ``i``.

Without ``u`` characters are compared by their simple upper case, and only inside the basic plane;
with ``u`` by simple case folding. The engine's own folding is neither, so sets are expanded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import regex

from .charsets import CharSet, Ranges, contains, merged

__all__ = ("closed", "peers")

_LAST_BASIC = 0xFFFF
_LAST_CASED = 0x1FFFF  # no script beyond the first two planes has case


def peers(point: int, *, unicode: bool) -> tuple[int, ...]:
    """Return the code points that match ``point``, itself among them."""
    return _families(unicode).get(point, (point,))


def closed(members: CharSet, *, unicode: bool) -> CharSet:
    """Return a set with everything that matches one of its members."""
    ranges = _closed_ranges(members.ranges, unicode)
    extra = [range_ for name in members.properties for range_ in _property_peers(name)]
    return CharSet(merged((*ranges, *extra)), members.properties)


@lru_cache(maxsize=512)
def _closed_ranges(ranges: Ranges, unicode: bool) -> Ranges:
    families = _families(unicode)
    # A small set is walked by its members, a large one by all that have case at all.
    if sum(high - low + 1 for low, high in ranges) < len(families):
        points = [point for low, high in ranges for point in range(low, high + 1)]
    else:
        points = [point for point in families if contains(ranges, point)]
    return merged((*ranges, *((p, p) for point in points for p in families.get(point, ()))))


@lru_cache(maxsize=128)
def _property_peers(name: str) -> Ranges:
    """Return what matches a member of a property; properties exist only with ``u``."""
    member = regex.compile(name, regex.V0)
    families = _families(True)
    return merged((p, p) for point in families if member.match(chr(point)) for p in families[point])


@lru_cache(maxsize=2)
def _families(unicode: bool) -> dict[int, tuple[int, ...]]:
    if unicode:
        cased = [c for c in map(chr, range(_LAST_CASED + 1)) if c.casefold() != c]
    else:
        cased = [c for c in map(chr, range(_LAST_BASIC + 1)) if c.upper() != c]
    canonical: Callable[[int], int] = _folded if unicode else _upper
    families: dict[int, set[int]] = {}
    for point in map(ord, cased):
        shared = canonical(point)
        families.setdefault(shared, {shared}).add(point)
    return {p: tuple(sorted(family)) for family in families.values() for p in family}


def _upper(point: int) -> int:
    upper = chr(point).upper()
    # Nothing from outside ASCII becomes ASCII, so that the long s is no s.
    if len(upper) != 1 or (point >= 128 and ord(upper) < 128):
        return point
    return ord(upper)


def _folded(point: int) -> int:
    folded = chr(point).casefold()
    if len(folded) != 1:  # full folding; the simple one of these letters is their lower case
        folded = chr(point).lower()
    return ord(folded) if len(folded) == 1 else point

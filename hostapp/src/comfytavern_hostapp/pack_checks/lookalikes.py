"""Distribution names that are easily taken for one another."""

from __future__ import annotations

__all__ = ("look_alike",)

# What one reads for another, in names that are lower case already.
_SAME_TO_THE_EYE = (("rn", "m"), ("vv", "w"), ("cl", "d"))
_ONE_LETTER = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "-": None})


def look_alike(one: str, other: str) -> bool:
    """Return whether two different normalised names are one slip or one glance apart.

    A slip is a letter too many, too few, another one, or two that changed places.
    """
    if one == other:
        return False
    return _is_one_slip(one, other) or _seen(one) == _seen(other)


def _seen(name: str) -> str:
    for letters, letter in _SAME_TO_THE_EYE:
        name = name.replace(letters, letter)
    return name.translate(_ONE_LETTER)


def _is_one_slip(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    same = 0
    while same < len(short) and short[same] == long[same]:
        same += 1
    rest, longer = short[same:], long[same:]
    if len(short) == len(long):
        is_swapped = rest[:2] == longer[1::-1] and rest[2:] == longer[2:]
        return rest[1:] == longer[1:] or is_swapped
    return len(long) - len(short) == 1 and rest == longer[1:]

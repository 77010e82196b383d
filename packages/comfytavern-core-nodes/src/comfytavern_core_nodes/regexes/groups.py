"""The groups of a JavaScript pattern: how many there are, and what they are called.

A pattern is looked through for them first, as what ``\\2`` and ``\\k`` mean depends on all of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import RegexError
from .escapes import Source

__all__ = ("GroupNames", "group_names", "taken_name")

# An unclosed class takes the rest, so that a pattern of brackets is still read in one go.
_GROUP = re.compile(
    r"\\. | \[ (?:\\.|[^\]\\])* (?:\]|\Z) | (?P<bare>\((?!\?)) | \((?=\?<(?![=!]))", re.S | re.X
)
_NAME = re.compile(r"\?<(?![=!])([^>]*)>")
_REFERENCE = re.compile(r"<([^>]*)>")
_ESCAPED = re.compile(r"\\u(?:\{([0-9A-Fa-f]{1,8})\}|([0-9A-Fa-f]{4}))")


@dataclass(frozen=True, slots=True)
class GroupNames:
    """How many groups a pattern captures, and the numbers of those with a name."""

    count: int
    numbers: Mapping[str, int]

    def referred(self, source: Source) -> int:
        r"""Read the name behind ``\k`` and return the number of its group.

        :raises RegexError: no group has this name
        """
        start = source.pos - 2
        found = source.take(_REFERENCE)
        number = self.numbers.get(_spelt(found[1])) if found else None
        if number is None:
            raise source.fault("the reference names no group", start)
        return number


def group_names(pattern: str) -> GroupNames:
    """Look through a pattern for the groups that capture.

    :raises RegexError: a group's name is none, or is taken
    """
    count = 0
    numbers: dict[str, int] = {}
    for found in _GROUP.finditer(pattern):
        if not found[0].startswith("("):
            continue
        count += 1
        if found["bare"]:
            continue
        name = taken_name(Source(pattern, found.end()))
        if name is None or name in numbers:
            reason = "a group's name is none" if name is None else f"two groups are named {name!r}"
            raise RegexError("bad_pattern", reason, found.start())
        numbers[name] = count
    return GroupNames(count, numbers)


def taken_name(source: Source) -> str | None:
    """Read ``?<name>``; None if there is no such thing here."""
    found = source.take(_NAME)
    name = _spelt(found[1]) if found else ""
    first, rest = name[:1], name[1:]
    if not (first in ("$", "_") or first.isidentifier()):
        return None
    fits = all(c in "$\u200c\u200d" or ("a" + c).isidentifier() for c in rest)
    return name if fits else None


def _spelt(name: str) -> str:
    spelt = _ESCAPED.sub(_character, name)
    # Two escapes may be the halves of one character.
    return spelt.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(escape: re.Match[str]) -> str:
    point = int(escape[1] or escape[2], 16)
    return chr(point) if point <= 0x10FFFF else " "

"""Plain text in aligned columns that fits the terminal."""

from __future__ import annotations

import shutil
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

__all__ = ("counted", "excerpt", "screen_width", "table")

_IN_A_PIPE = 100
_LEAST = 60
_MOST = 160
_LEAST_LAST = 20
_GAP = "  "
_WIDE = frozenset("WF")
_NO_WIDTH = frozenset({"Mn", "Me", "Cf"})


def screen_width() -> int:
    """Return how many columns there are to write in."""
    return min(max(shutil.get_terminal_size((_IN_A_PIPE, 24)).columns, _LEAST), _MOST)


def excerpt(text: str, width: int) -> str:
    """Return the beginning of a text on one line, cut to a width."""
    # Of a long text only so much can be shown; splitting all of it would be a waste.
    line = " ".join(text[: 4 * width].split())
    if len(text) <= 4 * width and _width(line) <= width:
        return line
    room, kept = width - 1, 0
    for letter in line:
        room -= _width(letter)
        if room < 0:
            break
        kept += 1
    return line[:kept].rstrip() + "…"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Iterable[int] = (),
    most: Sequence[int] = (),
    wrapped: bool = False,
) -> list[str]:
    """Return aligned lines; the last column takes the room that is left.

    :param right: columns of numbers
    :param most: how wide the other columns may become; 0 for any width
    :param wrapped: what the last column has no room for goes on below; else it is cut
    """
    limits = [*most, *[0] * (len(heads) - len(most))]
    listed = [
        [excerpt(cell, limit) if limit else cell for cell, limit in zip(row, limits, strict=True)]
        for row in (heads, *rows)
    ]
    widths = [max(map(_width, column)) for column in zip(*listed, strict=True)]
    used = sum(widths[:-1]) + len(_GAP) * len(widths)
    widths[-1] = max(screen_width() - used, _LEAST_LAST)
    numbers = frozenset(right)
    if wrapped:
        listed = [line for row in listed for line in _wrapped(row, widths[-1])]
    return [_line(row, widths, numbers) for row in listed]


def _wrapped(row: Sequence[str], width: int) -> list[list[str]]:
    parts = textwrap.wrap(row[-1], width) or [""]
    blank = [""] * (len(row) - 1)
    return [[*(blank if number else row[:-1]), part] for number, part in enumerate(parts)]


def _line(row: Sequence[str], widths: Sequence[int], numbers: frozenset[int]) -> str:
    cells = []
    for index, (cell, width) in enumerate(zip(row, widths, strict=True)):
        text = excerpt(cell, width)
        blanks = " " * (width - _width(text))
        cells.append(blanks + text if index in numbers else text + blanks)
    return f"{_GAP}{_GAP.join(cells)}".rstrip()


def _width(text: str) -> int:
    """Return how many columns a text takes: East Asian letters take two."""
    if text.isascii():
        return len(text)
    return sum(map(_letter_width, text))


def _letter_width(letter: str) -> int:
    if unicodedata.category(letter) in _NO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in _WIDE else 1

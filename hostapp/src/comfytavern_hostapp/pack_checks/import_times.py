"""What ``python -X importtime`` writes: which module took how long to import."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ("ImportTime", "heaviest", "read_import_times")

_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)([\w.]+)\s*")


class ImportTime(NamedTuple):
    """A module that was imported: alone, and with all that it imported, in milliseconds."""

    module: str
    depth: int
    own_ms: float
    total_ms: float

    @property
    def top(self) -> str:
        """The top-level package that it is in."""
        return self.module.partition(".")[0]


def read_import_times(lines: Iterable[str]) -> Iterator[ImportTime]:
    """Read the lines that are such; each module stands behind what it imported."""
    for line in lines:
        match = _LINE.fullmatch(line)
        if match:
            own, total, indent, module = match.groups()
            yield ImportTime(module, len(indent) // 2, int(own) / 1000, int(total) / 1000)


def heaviest(times: Iterable[ImportTime], own_tops: Iterable[str]) -> ImportTime | None:
    """Return what makes an import slow: the heaviest foreign module, or one of the pack's own.

    Among foreign modules, those count with all that they import; the pack's own ones, which
    import everything, only with what they do themselves.
    """
    tops, listed = set(own_tops), list(times)
    foreign = max((t for t in listed if t.top not in tops), key=_total, default=None)
    own = max((t for t in listed if t.top in tops), key=_own, default=None)
    if foreign is None or own is None:
        return foreign or own
    return foreign if foreign.total_ms >= own.own_ms else own


def _total(time: ImportTime) -> float:
    return time.total_ms


def _own(time: ImportTime) -> float:
    return time.own_ms

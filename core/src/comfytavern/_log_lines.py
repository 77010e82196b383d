"""How a line gets into a log: values made fit for it, and a file that keeps lines whole."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import IO, Any

__all__ = ("LogFile", "LogStream", "LogValues", "event_of", "moment_of", "summary_of", "timestamp")

SECRET = "<secret>"
DEPTH = 12  # levels of lists and mappings that are shown
ITEM = 8  # characters that an item counts for, however short it is
TYPES = 50  # node types that the summary of a workflow lists
TAIL = 1 << 16  # bytes at the end of a file in which its last line is looked for


class LogValues:
    """Makes values fit for a log: JSON, without secrets, and not too long.

    Secrets are replaced before anything is cut, so that none is left in part.
    """

    def __init__(
        self, secrets: Sequence[str], cut: int, redact: Callable[[str], str] | None
    ) -> None:
        longest_first = sorted(filter(None, secrets), key=len, reverse=True)
        self._secrets = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._cut = cut
        self._redact = redact

    def show(self, value: object) -> Any:  # Any: a JSON value
        """Return what a log shows of a value."""
        return self._show(value, [self._cut], DEPTH)

    def _show(self, value: object, room: list[int], depth: int) -> Any:  # Any: as above
        room[0] -= ITEM
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, room)
        if isinstance(value, int | float):
            return self._number(value)
        if depth == 0:
            return "…"
        if isinstance(value, Mapping):
            return self._mapping(value, room, depth - 1)
        if isinstance(value, list | tuple):
            return self._list(value, room, depth - 1)
        return f"<{type(value).__name__}>"

    def _text(self, text: str, room: list[int]) -> str:
        clean = self._secrets.sub(SECRET, self._redact(text) if self._redact else text)
        left = max(0, room[0])
        room[0] -= len(clean)
        if len(clean) <= left + ITEM:
            return clean
        return f"{clean[:left]}… ({len(clean) - left} more characters)"

    def _number(self, value: float) -> float | str | None:
        if isinstance(value, int) and value.bit_length() > 64:
            return f"<integer of {value.bit_length()} bits>"
        if not isfinite(value):
            return None
        return SECRET if self._secrets.fullmatch(str(value)) else value

    def _mapping(self, value: Mapping[Any, object], room: list[int], depth: int) -> object:
        shown: dict[str, object] = {}
        for key, item in value.items():
            if room[0] <= 0:
                shown["…"] = f"{len(value) - len(shown)} more"
                break
            name = self._text(str(key), room)
            shown[name] = self._show(item, room, depth)
        return shown

    def _list(self, value: Sequence[object], room: list[int], depth: int) -> object:
        shown: list[object] = []
        for item in value:
            if room[0] <= 0:
                shown.append(f"… ({len(value) - len(shown)} more)")
                break
            shown.append(self._show(item, room, depth))
        return shown


class LogFile:
    """A file of lines, for its owner's eyes only. A write that fails leaves no part behind."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._raw = open(path, "a+b", buffering=0, opener=_for_the_owner)
        self.size = self._raw.seek(0, os.SEEK_END)

    def last_line(self) -> str:
        """Return the last line; half a line, left by a crash, is removed first."""
        self._raw.seek(max(0, self.size - TAIL))
        lines, newline, torn = self._raw.read(TAIL).rpartition(b"\n")
        if torn and (newline or self.size <= TAIL):
            self.size -= len(torn)
            self._raw.truncate(self.size)
        elif torn:
            self.write("\n")  # it is longer than what was read
        return lines.rpartition(b"\n")[2].decode("utf-8", "replace")

    def write(self, text: str) -> None:
        """Write lines.

        :raises OSError: it was not possible; nothing has been written
        """
        data = text.encode("utf-8", "backslashreplace")  # half a surrogate becomes an escape
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._raw.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._raw.truncate(self.size)
            raise
        self.size += len(data)

    def close(self) -> None:
        """Close the file."""
        self._raw.close()


class LogStream:
    """An open text file of somebody else's: written to, and left open."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.size = 0

    def last_line(self) -> str:
        """Return nothing: what is in the stream is unknown."""
        return ""

    def write(self, text: str) -> None:
        """Write lines.

        :raises OSError: it was not possible
        :raises ValueError: the stream is closed
        """
        self._stream.write(text)
        self._stream.flush()
        self.size += len(text)

    def close(self) -> None:
        """Leave the stream to its owner."""


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def event_of(line: str) -> str | None:
    """Return the event that a line tells, if it is a line of a log."""
    with suppress(ValueError):
        entry = json.loads(line)
        if isinstance(entry, dict):
            return str(entry.get("event"))
    return None


def summary_of(workflow: Mapping[str, object]) -> dict[str, object]:
    """Return what a log tells of a workflow, whatever shape that has."""
    nodes, edges = workflow.get("nodes"), workflow.get("edges")
    listed = nodes if isinstance(nodes, list | tuple) else ()
    placed = [node for node in listed if isinstance(node, Mapping)]
    types = Counter(str(node.get("fullType") or node.get("type")) for node in placed)
    return {
        "nodes": len(placed),
        "edges": len(edges) if isinstance(edges, list | tuple) else 0,
        "types": dict(types.most_common(TYPES)),
    }


def timestamp() -> str:
    """Return the time, as events carry it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def moment_of(ts: str) -> datetime | None:
    """Return the moment that a timestamp tells, if it is one."""
    with suppress(ValueError):
        return datetime.fromisoformat(ts).astimezone(UTC)
    return None

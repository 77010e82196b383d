"""The journal: a line of JSON for each run that was asked for."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import anyio
from anyio import to_thread

__all__ = ("Entry", "Journal")


@dataclass(frozen=True, slots=True)
class Entry:
    """A run as it was asked for."""

    run_id: str
    user_id: str | None
    time: str
    workflow: Mapping[str, Any]  # Any: JSON
    inputs: Mapping[str, Any]  # Any: JSON

    def summary(self) -> dict[str, object]:
        """Return what may be shown to others: neither the workflow nor its inputs."""
        return {"runId": self.run_id, "userId": self.user_id, "time": self.time}


class Journal:
    """Entries in memory, and in a file where the host keeps anything.

    :param path: the file; None keeps entries in memory only
    :param keep: how many entries are kept
    """

    def __init__(self, path: Path | None, *, keep: int = 1000) -> None:
        self._path = path
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._file: TextIO | None = None
        self._writing = anyio.Lock()

    async def open(self) -> None:
        """Read what is there, and write it anew without what is too old."""
        async with self._writing:
            if self._path is not None and self._file is None:
                await to_thread.run_sync(self._open, self._path)

    async def close(self) -> None:
        """Close the file. Calling it twice changes nothing."""
        async with self._writing:
            file, self._file = self._file, None
            if file is not None:
                await to_thread.run_sync(file.close)

    async def add(
        self,
        run_id: str,
        user_id: str | None,
        workflow: Mapping[str, Any],  # Any: JSON
        inputs: Mapping[str, Any],  # Any: JSON
    ) -> None:
        """Write an entry; it is in the file when this returns."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = Entry(run_id, user_id, now, workflow, inputs)
        async with self._writing:
            self._entries.append(entry)
            if self._file is not None:
                await to_thread.run_sync(_append, self._file, entry)

    async def latest(self, count: int) -> list[Entry]:
        """Return the last entries, the latest first."""
        return list(self._entries)[: -count - 1 : -1]

    def _open(self, path: Path) -> None:
        if path.exists():
            with path.open(encoding="utf-8") as file:
                self._entries.extend(filter(None, map(_parsed, file)))
        new = path.with_suffix(".new")
        # Inputs can be private: nobody else on this machine may read them.
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            for entry in self._entries:
                _append(file, entry)
        os.replace(new, path)
        self._file = path.open("a", encoding="utf-8")


def _append(file: TextIO, entry: Entry) -> None:
    file.write(json.dumps(asdict(entry)) + "\n")
    file.flush()


def _parsed(line: str) -> Entry | None:
    """Return the entry of a line; None for one that a crash has cut off."""
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return None

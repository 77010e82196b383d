"""What can be wrong with the file that holds runs.

```text
StoreError               the store cannot do what was asked; 503
  StoreFullError         the disk, or what the file may take of it, is full
  StoreDamagedError      the file is not a database of ours, or is damaged
  StoreVersionError      a newer host has written the file
  DataDirectoryInUseError  another host uses the data directory
```
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from comfytavern.errors import HostError

__all__ = (
    "DataDirectoryInUseError",
    "StoreDamagedError",
    "StoreError",
    "StoreFullError",
    "StoreVersionError",
    "store_error",
)


class StoreError(HostError):
    """The file of runs cannot be read or written."""

    code = "store_failed"

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"the file of runs {path.name!r} {reason}")


class StoreFullError(StoreError):
    """There is no room for what should be written; nothing of it was."""

    code = "store_full"

    def __init__(self, path: Path) -> None:
        super().__init__(path, "cannot grow, the disk is full; make room, the host goes on by then")


class StoreDamagedError(StoreError):
    """The file is not what it should be. It is left as it is."""

    code = "store_damaged"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            path,
            f"is damaged ({reason}); it was left as it is: put a copy of it back, or start with"
            " --set-aside-damaged to keep it under another name and begin without history",
        )


class StoreVersionError(StoreError):
    """The file has a later layout than this host knows."""

    code = "store_version"

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            path,
            f"has layout {found}, and this host knows up to {known}; use the newer host, or"
            " another data_dir",
        )


class DataDirectoryInUseError(HostError):
    """Another host process uses the data directory."""

    code = "data_dir_in_use"

    def __init__(self, folder: Path, holder: str) -> None:
        self.folder = folder
        super().__init__(
            f"the data directory {str(folder)!r} is in use by another host{holder};"
            " stop that one, or give this one its own with --data-dir"
        )


_FULL = {sqlite3.SQLITE_FULL}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}


def store_error(path: Path, error: sqlite3.Error) -> StoreError:
    """Return what an error of SQLite means for the operator."""
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in _FULL:
        return StoreFullError(path)
    if code in _DAMAGED:
        return StoreDamagedError(path, str(error).lower())
    return StoreError(path, f"cannot be used: {str(error).lower()}")

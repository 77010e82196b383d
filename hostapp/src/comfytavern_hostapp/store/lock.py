"""One host per data directory: a lock that the system lets go of when the process ends."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import DataDirectoryInUseError

__all__ = ("DataDirectoryLock", "Holder", "find_host", "read_holder")

# Seconds: whoever only looks whether there is a host holds the lock for a moment.
PATIENCE = 0.25
_LOCK = "host.lock"
_HOLDER = "host.json"


@dataclass(frozen=True, slots=True)
class Holder:
    """The host that uses a data directory, as it has written itself down."""

    pid: int
    url: str


class DataDirectoryLock:
    """Holds a data directory for this process. Blocking, but hardly waits for another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Not bound to a thread: it is taken and let go of in worker threads.
        self._lock = FileLock(folder / _LOCK, timeout=PATIENCE, thread_local=False)

    def acquire(self) -> None:
        """Take the directory; it is made if it is not there.

        :raises DataDirectoryInUseError: another process has it
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._lock.acquire(poll_interval=PATIENCE / 5)
        except Timeout:
            holder = read_holder(self.folder)
            shown = f" (process {holder.pid}, {holder.url})" if holder else ""
            raise DataDirectoryInUseError(self.folder, shown) from None

    def announce(self, url: str) -> None:
        """Write down who holds the directory, for other commands to find the server."""
        file = self.folder / _HOLDER
        text = json.dumps({"pid": os.getpid(), "url": url})
        fresh = file.with_suffix(".new")
        fresh.write_text(text, "utf-8")
        os.replace(fresh, file)

    def release(self) -> None:
        """Let go of the directory."""
        if self._lock.is_locked:
            with suppress(OSError):
                (self.folder / _HOLDER).unlink()
            self._lock.release()


def read_holder(folder: Path) -> Holder | None:
    """Return who last wrote itself down; it may have ended without a word since."""
    try:
        found = json.loads((folder / _HOLDER).read_text("utf-8"))
        return Holder(int(found["pid"]), str(found["url"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_host(folder: Path) -> Holder | None:
    """Return the host that has a data directory now; None if none has it.

    What a host has written down may outlive it, and another program may listen there by now.
    """
    holder = read_holder(folder)
    if holder is None:
        return None
    lock = FileLock(folder / _LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        return holder
    except OSError:  # a directory that this user may not use
        return None
    lock.release()
    return None

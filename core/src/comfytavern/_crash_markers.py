"""What tells the next start that a pack killed the process while it was loading.

A marker file exists for as long as a pack's code runs at load time. One whose process is
gone was left by a death in between: no ``finally`` outlives ``os._exit`` or a segfault.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

__all__ = ("CrashMarkers",)

_log = logging.getLogger(__name__)


class CrashMarkers:
    """The markers in one folder; without a folder nothing is written and nothing is found."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def left_behind(self) -> dict[str, str]:
        """Return the distributions whose process died, and in which phase."""
        read = (_read(file) for file in self._files("*"))
        return {str(m["distribution"]): str(m.get("phase")) for m in read if _is_dead(m)}

    @contextmanager
    def around(self, distribution: str, phase: str) -> Iterator[None]:
        """Keep a marker while the body runs, however it ends."""
        file = self._write(distribution, phase)
        try:
            yield
        finally:
            if file is not None:
                file.unlink(missing_ok=True)

    def clear(self, distribution: str) -> bool:
        """Forget that a distribution killed the process; return whether it had."""
        dead = [file for file in self._files(distribution) if _is_dead(_read(file))]
        for file in dead:
            file.unlink(missing_ok=True)
        return bool(dead)

    def _files(self, distribution: str) -> list[Path]:
        return [] if self._folder is None else sorted(self._folder.glob(f"{distribution}.*.json"))

    def _write(self, distribution: str, phase: str) -> Path | None:
        if self._folder is None:
            return None
        marker = {"distribution": distribution, "phase": phase} | _process(os.getpid())
        file = self._folder / f"{distribution}.{os.getpid()}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(marker), "utf-8")
        except OSError as error:
            # A pack loads without its marker rather than not at all.
            _log.warning("no crash marker for pack %r: %s", distribution, error)
            return None
        return file


def _read(file: Path) -> dict[str, object]:
    try:
        marker = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        marker = None  # cut short, or removed meanwhile by the process that wrote it
    if isinstance(marker, dict) and "distribution" in marker:
        return marker
    return {"distribution": file.name.rsplit(".", 2)[0], "phase": "import"} if file.exists() else {}


def _is_dead(marker: dict[str, object]) -> bool:
    """Return whether the process that wrote a marker is gone.

    Process ids come again, in a container even the same one at every start: the boot and
    the start time of the process tell them apart where the system says them.
    """
    if not marker:
        return False
    pid = marker.get("pid")
    if not isinstance(pid, int) or marker.get("boot") != _boot_id():
        return True
    return not _is_running(pid) or marker.get("started") != _start_time(pid)


@cache
def _process(pid: int) -> dict[str, object]:
    return {"pid": pid, "boot": _boot_id(), "started": _start_time(pid)}


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:  # pragma: no cover - not Linux
        return ""


def _start_time(pid: int) -> str:
    """Return when a process started, in the system's own words; empty where it does not say.

    Empty too for one that has ended and that nobody has waited for.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:  # pragma: no cover - not Linux, or it ended just now
        return ""
    # The second field is the program's name in parentheses, which may hold anything.
    state, *fields = status.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[18]


def _is_running(pid: int) -> bool:
    if os.name == "nt":  # pragma: no cover - signal 0 would end the process there
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's, but running
    return True

"""Installed files held against RECORD, and one hash for all of a distribution's files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .environment import Installed, RecordedFile
from .record_hashes import hash_file

__all__ = ("Deviations", "compare_files", "files_digest")

# Of the metadata, what comes out of the wheel; installers add the rest, each its own.
_FROM_WHEEL = frozenset({"METADATA", "WHEEL", "entry_points.txt", "top_level.txt"})


@dataclass(frozen=True, slots=True)
class Deviations:
    """The files of a distribution that are not what RECORD says, in its order."""

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing)


def compare_files(installed: Installed) -> Deviations:
    """Hash every file that RECORD has a hash of. Reads all of them.

    Nothing deviates where there is no RECORD. Bytecode, which Python writes itself, has no
    hash there and may be gone.
    """
    changed: list[str] = []
    missing: list[str] = []
    for path, recorded in (installed.record or {}).items():
        if not recorded.hash:
            continue
        file = installed.location.parent / path
        try:
            if not _is_as_recorded(file, recorded):
                changed.append(path)
        except FileNotFoundError:
            missing.append(path)
        except OSError:  # there, and not to be read: not what was installed
            changed.append(path)
    return Deviations(tuple(changed), tuple(missing))


def _is_as_recorded(file: Path, recorded: RecordedFile) -> bool:
    if recorded.size.isdigit() and file.stat().st_size != int(recorded.size):
        return False
    return hash_file(file, recorded.hash.partition("=")[0]) == recorded.hash.rstrip("=")


def files_digest(installed: Installed) -> str:
    """Return one hash over what RECORD lists; equal wherever the same wheel is installed.

    Empty for an editable distribution, whose files are somebody's to change, and for one
    without a RECORD.
    """
    if installed.editable or not installed.record:
        return ""
    lines = sorted(f"{path} {recorded.hash}\n" for path, recorded in _of_wheel(installed))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _of_wheel(installed: Installed) -> Iterator[tuple[str, RecordedFile]]:
    for path, recorded in (installed.record or {}).items():
        top, _, rest = path.partition("/")
        is_elsewhere = top == ".." or path.startswith("/")  # scripts name this machine's Python
        is_added = top.endswith(".dist-info") and rest not in _FROM_WHEEL
        if recorded.hash and not (is_elsewhere or is_added):
            yield path, recorded

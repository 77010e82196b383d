"""Earlier contents of stored workflows: one folder per id, one file per version.

They lie in ``.versions`` below the workflows, hidden from every listing and from every id. A
version is named after the moment it was put away; its file keeps the time of the content.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from .file_tree import Draft, FileTree, OutsideError

__all__ = ("VersionShelf", "utc_now")

_VERSIONS = ".versions"

_STAMP = "%Y%m%dT%H%M%S.%fZ"
_VERSION = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z")
_SUFFIX = ".json"


def utc_now() -> datetime:
    """Return the moment that names a version."""
    return datetime.now(UTC)


class VersionShelf:
    """Keeps what was replaced or deleted. Its caller holds the lock.

    What touches the disk raises OSError when that refuses, and OutsideError where a link
    stands in the way; both are the caller's to word.

    :param tree: the folder of the workflows
    :param keep: how many versions stay of each workflow; the oldest go
    """

    def __init__(self, tree: FileTree, keep: int, now: Callable[[], datetime] = utc_now) -> None:
        self._tree = tree
        self._keep = keep
        self._now = now

    def names(self, parts: Sequence[str]) -> list[str]:
        """Return the versions of a workflow, the newest first."""
        try:
            found = os.listdir(self._folder(parts))
        except (OSError, OutsideError):  # what cannot be listed must not hide the workflow
            return []
        stems = (name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))
        return sorted(filter(_VERSION.fullmatch, stems), reverse=True)

    def find(self, parts: Sequence[str], version: str) -> Path | None:
        """Return the file of a version, None if there is none."""
        if not _VERSION.fullmatch(version):
            return None
        file = self._folder(parts) / f"{version}{_SUFFIX}"
        return file if file.is_file() and not file.is_symlink() else None

    def copy(self, parts: Sequence[str], data: bytes, modified_ns: int) -> Path | None:
        """Keep a content that is about to be replaced; None if no versions are kept."""
        if self._keep < 1:
            return None
        place = self._next(parts)
        with Draft(place) as draft:
            draft.write(data)
            draft.keep(modified_ns)
        return place

    def take(self, parts: Sequence[str], file: Path) -> None:
        """Put a file away that is to be deleted; needs no room on the disk."""
        if self._keep < 1:
            file.unlink()
            return
        place = self._next(parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, place)
        self.trim(parts)

    def drop(self, place: Path | None) -> None:
        """Take back a version whose content was not replaced after all."""
        if place is not None:
            with suppress(OSError):
                place.unlink()
            self._tree.prune(place.parent)

    def trim(self, parts: Sequence[str]) -> None:
        """Remove the oldest versions beyond the bound; one that stays costs only room."""
        with suppress(OSError):
            folder = self._folder(parts)
            for name in self.names(parts)[self._keep :]:
                (folder / f"{name}{_SUFFIX}").unlink()

    def moves(self, old: Sequence[str], new: Sequence[str]) -> list[tuple[Path, Path]]:
        """Return from where to where the versions go when their workflow gets another id.

        What a deleted workflow left under the new id stays beside them.
        """
        source, target = self._folder(old), self._folder(new)
        taken = set(self.names(new))
        pairs: list[tuple[Path, Path]] = []
        for name in reversed(self.names(old)):
            free = name
            while free in taken:
                free = _after(free)
            taken.add(free)
            pairs.append((source / f"{name}{_SUFFIX}", target / f"{free}{_SUFFIX}"))
        return pairs

    def _folder(self, parts: Sequence[str]) -> Path:
        return self._tree.place((_VERSIONS, *parts))

    def _next(self, parts: Sequence[str]) -> Path:
        stamp = self._now().strftime(_STAMP)
        newest = self.names(parts)[:1]
        if newest and newest[0] >= stamp:  # the clock was set back, or has not moved
            stamp = _after(newest[0])
        return self._folder(parts) / f"{stamp}{_SUFFIX}"


def _after(stamp: str) -> str:
    # Counted as one number: what comes out sorts right, which is all that is asked of it.
    digits = f"{int(re.sub('[TZ.]', '', stamp)) + 1:020d}"
    return f"{digits[:8]}T{digits[8:14]}.{digits[14:]}Z"

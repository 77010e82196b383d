"""One folder whose files the host keeps for its users: found, listed, written, never left.

What must stay true:

- Names arrive as parts that ``comfytavern.resources.split_name`` let through.
- Reading follows links as long as they stay below the folder. What writes, moves or deletes
  never goes through a link, wherever it leads.
- A file is replaced whole or not at all: written beside its place, synced, then moved there.

All of it blocks; call it in a worker thread.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from unicodedata import normalize

from comfytavern.errors import HostError, ResourceError
from comfytavern.resources import split_name

__all__ = ("Draft", "FileTree", "LibraryWriteError", "OutsideError", "writing")


class LibraryWriteError(HostError):
    """The disk refused, because it is full or may not be written; what was there is intact."""

    code = "not_written"

    def __init__(self, what: str, name: str, reason: str, *, verb: str = "written") -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{what} {name!r} was not {verb}: {reason}; what was there is unchanged")


class OutsideError(Exception):
    """A link leads, or may lead, elsewhere. Becomes the caller's one refusal."""


@contextmanager
def writing(what: str, name: str, *, verb: str = "written") -> Iterator[None]:
    """Turn what the system says of a failed change into one clear error.

    :raises LibraryWriteError: the block raised an OSError
    """
    try:
        yield
    except OSError as exc:
        # The cause is left out: its text holds paths of this machine.
        reason = (exc.strerror or str(exc) or "unknown reason").lower()
        raise LibraryWriteError(what, name, reason, verb=verb) from None


class FileTree:
    """The files below one folder. Making one touches no file, and the folder need not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, parts: Sequence[str]) -> Path | None:
        """Return the regular file of this name with its links resolved, None if there is none.

        :raises OutsideError: it lies outside, whether or not it is there
        """
        real = self._resolved(parts)
        return real if os.path.isfile(real) else None

    def place(self, parts: Sequence[str]) -> Path:
        """Return where a file of this name is written; it may be there already.

        :raises OutsideError: a link stands in its place or on the way there
        """
        here = self._root()
        for part in parts:
            here = os.path.join(here, part)
            if os.path.islink(here):
                raise OutsideError
        # What a system has besides links, such as junctions, shows when it is resolved.
        if os.path.normcase(os.path.realpath(here)) != os.path.normcase(here):
            raise OutsideError
        return Path(here)

    def obstacle(self, parts: Sequence[str]) -> tuple[str, ...] | None:
        """Return what keeps a file of this name from being made, None if nothing does.

        That is a name that differs only in case or Unicode form, because some systems take
        it for the same; a file where a folder is needed, or a folder in the file's place.
        """
        here = self._root()
        for depth, part in enumerate(parts, 1):
            if not os.path.isdir(here):
                return None
            names = os.listdir(here)
            if part not in names:
                rival = next((name for name in names if _key(name) == _key(part)), None)
                return None if rival is None else (*parts[: depth - 1], rival)
            here = os.path.join(here, part)
            if os.path.isdir(here) == (depth == len(parts)):
                return tuple(parts[:depth])
        return None

    def names(self, below: Sequence[str] = ()) -> Iterator[str]:
        """Yield the path of each file below a folder of the tree, in no order.

        Left out is what no name can spell, hidden files among it, and links that lead out.
        Links to folders are not entered: what they lead to stands elsewhere in the tree.

        :raises OutsideError: the folder lies outside, whether or not it is there
        """
        self._resolved(below)
        waiting = [tuple(below)]
        while waiting:
            parts = waiting.pop()
            try:
                entries = list(os.scandir(os.path.join(self._root(), *parts)))
            except OSError:  # gone meanwhile, no folder, or closed to us: nothing to list
                continue
            for entry in entries:
                path = "/".join((*parts, entry.name))
                if not _is_name(path):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((*parts, entry.name))
                elif self._is_listed(entry, path):
                    yield path

    def prune(self, folder: Path) -> None:
        """Remove a folder of the tree if it is empty, and those above that become so."""
        root = self._root()
        here = str(folder)
        while here.startswith(os.path.join(root, "")):
            try:
                os.rmdir(here)
            except OSError:
                return
            here = os.path.dirname(here)

    def _is_listed(self, entry: os.DirEntry[str], path: str) -> bool:
        if not entry.is_symlink():
            return entry.is_file(follow_symlinks=False)
        try:
            return self.find(path.split("/")) is not None
        except OutsideError:
            return False

    def _resolved(self, parts: Sequence[str]) -> Path:
        root = self._root()
        try:
            real = os.path.realpath(os.path.join(root, *parts))
        except RecursionError:  # a chain of links
            raise OutsideError from None
        prefix = os.path.join(root, "")
        if not os.path.normcase(os.path.join(real, "")).startswith(os.path.normcase(prefix)):
            raise OutsideError
        return Path(real)

    def _root(self) -> str:
        return os.path.realpath(self.folder)


class Draft:
    """A file that is being written beside its place; leaving the block unkept leaves nothing.

    :param place: from ``FileTree.place``; its folders are made
    :raises OSError: the disk refuses, as in every method
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        # Hidden, so that it is neither listed nor reached by any name. The mode is the umask's.
        self._path = place.with_name(f".{secrets.token_hex(8)}.part")
        self._kept = False
        parents = (place.parent, *place.parent.parents)
        self._made = [folder for folder in parents if not folder.exists()]
        place.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = open(self._path, "xb", buffering=0)

    def write(self, data: bytes) -> None:
        """Add to the file."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._file.fileno(), view) :]

    def sync(self) -> Path:
        """Bring the content to the disk; return where it is. Nothing can be added after that."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()
        return self._path

    def keep(self, modified_ns: int | None = None) -> os.stat_result:
        """Put the file in its place, over what was there, whose permissions it takes.

        :param modified_ns: when its content was written, if that was not now
        :return: what it is there
        """
        self.sync()
        with suppress(FileNotFoundError):
            os.chmod(self._path, os.stat(self._place).st_mode & 0o777)
        if modified_ns is not None:
            os.utime(self._path, ns=(modified_ns, modified_ns))
        status = os.stat(self._path)
        os.replace(self._path, self._place)
        self._kept = True
        _sync_folder(self._place.parent)
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._file.close()
        if not self._kept:
            with suppress(OSError):
                os.unlink(self._path)
            with suppress(OSError):
                for folder in self._made:
                    folder.rmdir()


def _is_name(path: str) -> bool:
    try:
        split_name(path)
    except ResourceError:
        return False
    return True


def _key(name: str) -> str:
    """Return what names share that some system takes for one."""
    return normalize("NFC", normalize("NFC", name).casefold())


def _sync_folder(folder: Path) -> None:
    """Bring the name to the disk as well, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

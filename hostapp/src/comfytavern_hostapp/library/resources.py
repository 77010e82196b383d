"""The files that loaders read, as users see them: listed, uploaded, shown and deleted by name.

What must stay true:

- A name is what a node would write, ``shared://cards/hesper.png``; no path of this machine is
  ever told. What can be read is decided by the same ``ResourceStore`` that nodes read through.
- Uploads go below ``shared://`` and the user's own ``user://``, through no link, whole or not
  at all. All other roots are the operator's.
- A refusal says the same in every case, whether or not anything is there.

All of it blocks; call it in a worker thread. Any number of threads may.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Self

from comfytavern.errors import HostError, ResourceError
from comfytavern.resources import DEFAULT_RESOURCE_LIMIT, REFUSED, ResourceStore, split_name

from .file_tree import Draft, FileTree, LibraryWriteError, OutsideError, writing
from .media_types import HEAD_BYTES, guess_media_type, served_media_type, serving_headers

__all__ = (
    "WRITABLE_ROOTS",
    "WRITE_REFUSED",
    "LibraryWriteError",
    "OpenResource",
    "ResourceEntry",
    "ResourceExistsError",
    "ResourceLibrary",
    "ResourcePage",
    "ResourceTooLargeError",
    "serving_headers",
)

WRITABLE_ROOTS = ("shared", "user")
WRITE_REFUSED = (
    "refused; expected a file below shared:// or user://, with no '..', no backslash, no colon,"
    " no hidden part and no link on the way"
)

_CHUNK = 1024 * 1024


class ResourceExistsError(HostError):
    """The name is taken by another content, or another name on the way by a mere difference."""

    code = "resource_exists"

    def __init__(self, name: str, existing: str) -> None:
        self.name = name
        self.existing = existing
        super().__init__(
            f"resource {name!r} exists with another content; replace it or choose another name"
            if existing == name
            else f"resource {name!r} cannot be kept beside {existing!r}; choose another name"
        )


class ResourceTooLargeError(ResourceError):
    """An upload is larger than the host takes."""

    code = "resource_too_large"

    def __init__(self, name: str, limit: int) -> None:
        self.limit = limit
        super().__init__(name, f"is larger than the limit of {limit} bytes")


@dataclass(frozen=True, slots=True)
class ResourceEntry:
    """A file as a list shows it. ``media_type`` is guessed by its name."""

    name: str
    root: str
    path: str
    size: int
    modified: float
    media_type: str


@dataclass(frozen=True, slots=True)
class ResourcePage:
    """Part of a list; ``following`` is the ``after`` of the next part, None at the end."""

    entries: tuple[ResourceEntry, ...]
    following: str | None


@dataclass(frozen=True, slots=True)
class OpenResource:
    """An open file with what its response needs; leaving its block closes it."""

    name: str
    file: BinaryIO
    size: int
    modified: float
    etag: str
    media_type: str

    def headers(self) -> dict[str, str]:
        """Return what keeps a browser from running what it shows."""
        return serving_headers(self.name, self.media_type)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.file.close()


class ResourceLibrary:
    """Files by name. Making one touches no file, and the folders need not exist.

    ``user_id`` says whose ``user://`` is meant.

    :param store: the door through which nodes read
    :param limit: the largest upload, in bytes
    """

    def __init__(self, store: ResourceStore, limit: int = DEFAULT_RESOURCE_LIMIT) -> None:
        self._store = store
        self._limit = limit
        self._lock = Lock()

    def list(
        self,
        root: str | None = None,
        prefix: str = "",
        user_id: str | None = None,
        limit: int = 1000,
        after: str | None = None,
    ) -> ResourcePage:
        """Return files sorted by name.

        :param root: only those of this root, otherwise of all
        :param prefix: only those below this folder
        :param after: only those behind this name, as the part before said
        :raises ResourceError: there is no such root, or no such folder is allowed
        """
        shown = f"{'' if root is None else root}://{prefix}"[:200]
        folders = self._store.for_user(user_id).folders
        with _refusing(shown, REFUSED):
            if root is not None and root not in folders:
                raise OutsideError
            below = _below(prefix)
            trees = {key: FileTree(folders[key]) for key in (folders if root is None else [root])}
            names = [f"{key}://{path}" for key, tree in trees.items() for path in tree.names(below)]
        names.sort()
        start = 0 if after is None else bisect_right(names, after)
        end = start + max(limit, 1)
        page = (self._entry(trees, name) for name in names[start:end])
        entries = tuple(entry for entry in page if entry is not None)
        return ResourcePage(entries, names[end - 1] if end < len(names) else None)

    def open(self, name: str, user_id: str | None = None) -> OpenResource:
        """Open a file for serving; the caller closes it.

        :raises ResourceError: refused, missing or unreadable
        """
        root, _ = split_name(name)
        if not root:
            raise ResourceError(name, REFUSED)
        file = self._store.for_user(user_id).open(name)
        try:
            head = file.read(HEAD_BYTES)
            file.seek(0)
            status = os.fstat(file.fileno())
        except OSError as exc:
            file.close()
            reason = (exc.strerror or "unknown reason").lower()
            raise ResourceError(name, f"cannot be read: {reason}") from None
        etag = f'"{status.st_ino:x}-{status.st_mtime_ns:x}-{status.st_size:x}"'
        media_type = served_media_type(name, head)
        return OpenResource(name, file, status.st_size, status.st_mtime, etag, media_type)

    def media_type(self, name: str, user_id: str | None = None) -> str:
        """Return the type that a file is served with, by its name and how it begins.

        :raises ResourceError: refused, missing or unreadable
        """
        with self.open(name, user_id) as resource:
            return resource.media_type

    def save(
        self,
        name: str,
        data: bytes | BinaryIO | Iterable[bytes],
        *,
        user_id: str | None = None,
        replace: bool = False,
    ) -> ResourceEntry:
        """Store an upload; the same content again is no mistake.

        :param data: all of it, a file to be read from where it stands, or its chunks
        :param replace: whether it may take the place of another content
        :raises ResourceError: refused
        :raises ResourceTooLargeError: it is larger than the limit; nothing is left of it
        :raises ResourceExistsError: the name has another content, and not ``replace``
        :raises LibraryWriteError: the disk refuses; what was there is intact
        """
        tree, root, parts = self._writable(name, user_id)
        with _refusing(name, WRITE_REFUSED), writing("resource", name):
            place = tree.place(parts)
            _require_free(name, root, tree.obstacle(parts))
            with Draft(place) as draft:
                size = 0
                for chunk in _chunks(data):
                    size += len(chunk)
                    if size > self._limit:
                        raise ResourceTooLargeError(name, self._limit)
                    draft.write(chunk)
                written = draft.sync()
                with self._lock:
                    # Looked at again: others may have written meanwhile.
                    place = tree.place(parts)
                    _require_free(name, root, tree.obstacle(parts))
                    if not os.path.lexists(place):
                        status = draft.keep()
                    elif _is_same(place, written):
                        status = os.stat(place)
                    elif replace:
                        status = draft.keep()
                    else:
                        raise ResourceExistsError(name, name)
        return _entry(name, status)

    def delete(self, name: str, user_id: str | None = None) -> None:
        """Remove an upload.

        :raises ResourceError: refused or missing
        :raises LibraryWriteError: the disk refuses
        """
        tree, root, parts = self._writable(name, user_id)
        with _refusing(name, WRITE_REFUSED), writing("resource", name, verb="deleted"):
            with self._lock:
                place = tree.place(parts)
                if not place.is_file():
                    raise ResourceError(name, f"not found below {root}://")
                place.unlink()

    def _writable(self, name: str, user_id: str | None) -> tuple[FileTree, str, tuple[str, ...]]:
        try:
            root, parts = split_name(name)
        except ResourceError as exc:
            raise ResourceError(exc.name, WRITE_REFUSED) from None
        folder = self._store.for_user(user_id).folders.get(root)
        if root not in WRITABLE_ROOTS or folder is None:
            raise ResourceError(name, WRITE_REFUSED)
        return FileTree(folder), root, parts

    def _entry(self, trees: dict[str, FileTree], name: str) -> ResourceEntry | None:
        root, parts = split_name(name)
        try:
            file = trees[root].find(parts)
            return None if file is None else _entry(name, os.stat(file))
        except (OSError, OutsideError):  # gone meanwhile
            return None


def _entry(name: str, status: os.stat_result) -> ResourceEntry:
    root, _, path = name.partition("://")
    media_type = guess_media_type(name)
    return ResourceEntry(name, root, path, status.st_size, status.st_mtime, media_type)


def _below(prefix: str) -> tuple[str, ...]:
    folder = prefix.removesuffix("/")
    if not prefix:
        return ()
    try:
        root, parts = split_name(folder)
    except ResourceError:
        raise OutsideError from None
    if root:
        raise OutsideError
    return parts


def _chunks(data: bytes | BinaryIO | Iterable[bytes]) -> Iterable[bytes]:
    if isinstance(data, bytes):
        return (data,)
    read = getattr(data, "read", None)  # iterating over a file would give lines
    return data if read is None else iter(partial(read, _CHUNK), b"")


def _is_same(one: Path, other: Path) -> bool:
    """Tell whether two files hold the same bytes."""
    with open(one, "rb") as first, open(other, "rb") as second:
        if os.fstat(first.fileno()).st_size != os.fstat(second.fileno()).st_size:
            return False
        while chunk := first.read(_CHUNK):
            if chunk != second.read(_CHUNK):
                return False
    return True


def _require_free(name: str, root: str, obstacle: tuple[str, ...] | None) -> None:
    if obstacle is not None:
        raise ResourceExistsError(name, f"{root}://{'/'.join(obstacle)}")


@contextmanager
def _refusing(name: str, reason: str) -> Iterator[None]:
    try:
        yield
    except OutsideError:
        raise ResourceError(name, reason) from None

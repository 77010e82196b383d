"""The one door through which nodes read files.

A name is ``ROOT://path`` below a root, a plain relative path below ``base`` (the folder of the
workflow file on the command line), or a plain absolute path that the operator admitted. The
built-in roots stand below the data directory: ``shared://`` is ``resources/shared``,
``system://`` is ``resources/system``, and ``user://`` is ``resources/users/<user>`` of the
run's user, ``default`` where the host knows none.

What must stay true:

- A refusal says the same in every case, whether or not anything is there. Only below a
  permitted root does a missing file say so.
- Names follow the strictest rules on every system, so that a workflow works everywhere: no
  ``..``, backslash, colon, hidden part (they hold keys and histories) or reserved Windows name,
  be it as written, percent-decoded or in normal form (NFKC). Opening decodes nothing.
- Links may lead elsewhere below permitted roots. The resolved path is walked directory by
  directory without following any, so that a link planted meanwhile leads nowhere.
- Only regular files. Their size is checked first; never more than the limit plus one is read.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO
from unicodedata import normalize
from urllib.parse import unquote

from anyio import to_thread

from .errors import ResourceError

__all__ = ("DEFAULT_RESOURCE_LIMIT", "REFUSED", "ResourceStore", "split_name")

DEFAULT_RESOURCE_LIMIT = 64 * 1024 * 1024
REFUSED = (
    "refused; expected a file below shared://, user://, system:// or a root that the operator"
    " allowed, with no '..', no backslash, no colon and no hidden part"
)
BUILT_IN_ROOTS = {"shared": "shared", "system": "system", "user": "users/default"}
MAX_NAME = 1024
MAX_PART_BYTES = 255

_MAX_DECODINGS = 8  # more layers of encoding than anybody needs for an honest name
_CHUNK = 1024 * 1024
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9]|lpt[0-9]) *(?:\..*)?", re.I
)
_ROOT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_USER_FOLDER = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?")

# Absent on Windows, where a resolved path is opened at once and checked again afterwards.
_WALKS = os.open in os.supports_dir_fd
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY: int = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_PATH", 0)
# Not blocking: a FIFO put in the file's place must not hold us up. Python adds O_CLOEXEC.
_FILE: int = _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class _RefusedError(Exception):
    """Becomes the one refusal."""


def split_name(name: object) -> tuple[str, tuple[str, ...]]:
    """Split ``root://a/b`` into its root and the parts of its path; a plain path has no root.

    The rules are those of every name that is read: what passes can be a file on any system.
    The disk is not looked at, and whether there is such a root is not known here.

    :raises ResourceError: it is refused
    """
    try:
        if not isinstance(name, str) or len(name) > MAX_NAME:
            raise _RefusedError
        root, mark, path = name.partition("://")
        if mark and not root:
            raise _RefusedError
        return (root if mark else ""), tuple(_checked_parts(path if mark else name))
    except (_RefusedError, ValueError):
        raise ResourceError(_shown(name), REFUSED) from None


@dataclass(frozen=True, slots=True)
class _Target:
    path: str
    within: tuple[str, ...]  # below one of these once resolved; anywhere, if there are none
    missing: str


class ResourceStore:
    """Reads what nodes may read (``ResourceReader``). Making one touches no file.

    :param data_dir: the host's data directory; without one there are no built-in roots
    :param roots: further roots by name; a file of ``cards`` is ``cards://path``
    :param allowed: directories below which plain paths and links may lead
    :param admitted: single files that the operator named, read by their absolute path alone
    :param base: where plain relative paths start; without one there are none
    :raises ValueError: a root has the name of a built-in one, or one that cannot be written
    """

    def __init__(
        self,
        data_dir: Path | None,
        *,
        roots: Mapping[str, Path] = MappingProxyType({}),
        allowed: Sequence[Path] = (),
        admitted: Sequence[Path] = (),
        base: Path | None = None,
    ) -> None:
        for root in roots:
            if root in BUILT_IN_ROOTS or not _ROOT_NAME.fullmatch(root):
                expected = f"letters, digits, '.', '_', '-', none of {', '.join(BUILT_IN_ROOTS)}"
                raise ValueError(f"a resource root cannot be named {root!r}; expected {expected}")
        self._roots = {root: _absolute(path) for root, path in roots.items()}
        if data_dir is not None:
            for root, folder in BUILT_IN_ROOTS.items():
                self._roots[root] = _absolute(data_dir / "resources" / folder)
        # The longest first: of nested folders the inner one decides what is hidden.
        self._allowed = tuple(sorted(map(_absolute, allowed), key=len, reverse=True))
        self._admitted = _spellings(admitted)
        self._base = None if base is None else _absolute(base)

    def with_admitted(self, paths: Iterable[Path | str]) -> ResourceStore:
        """Return a store that also reads these files, by their absolute paths.

        A relative path is taken from the working directory, as a command line means it.
        """
        store = copy(self)
        store._admitted = self._admitted | _spellings(paths)
        return store

    def for_user(self, user_id: str | None) -> ResourceStore:
        """Return a store whose ``user://`` is that user's own; ``default`` is nobody's."""
        store = copy(self)
        if mine := self._roots.get("user"):
            folder = os.path.join(os.path.dirname(mine), _user_folder(user_id))
            store._roots = self._roots | {"user": folder}
        return store

    @property
    def folders(self) -> Mapping[str, Path]:
        """Where each root is, for the host's own work with files: nodes see names alone."""
        return {root: Path(folder) for root, folder in self._roots.items()}

    def open(self, name: str) -> BinaryIO:
        """Open a resource for reading; call it in a worker thread.

        :raises ResourceError: refused, missing or unreadable
        """
        # Causes are left out of all these errors: their text holds paths of this machine.
        missing = REFUSED
        try:
            target = self._find(name)
            missing = target.missing
            file = open(_open(target), "rb", buffering=0)
            try:
                _require_regular(os.fstat(file.fileno()))
            except BaseException:
                file.close()
                raise
        except (FileNotFoundError, NotADirectoryError):
            raise ResourceError(_shown(name), missing) from None
        except OSError as exc:
            raise ResourceError(_shown(name), _reason(exc)) from None
        except (_RefusedError, ValueError, RecursionError):  # RecursionError: a chain of links
            raise ResourceError(_shown(name), REFUSED) from None
        return file

    async def read(self, name: str, *, limit: int | None = None) -> bytes:
        """Return the bytes of a resource; the file is read in a worker thread.

        Safe to cancel: the thread ends by itself and closes the file.

        :param limit: the largest size that is accepted, in bytes
        :raises ResourceError: refused, missing, unreadable, or larger than the limit
        """
        largest = DEFAULT_RESOURCE_LIMIT if limit is None else limit
        return await to_thread.run_sync(self._read, name, largest, abandon_on_cancel=True)

    def _read(self, name: str, limit: int) -> bytes:
        with self.open(name) as file:
            try:
                data = _load(file, limit)
            except OSError as exc:
                raise ResourceError(_shown(name), _reason(exc)) from None
        if data is None:
            raise ResourceError(_shown(name), f"is larger than the limit of {limit} bytes")
        return data

    def _find(self, name: object) -> _Target:
        """Say which file a name means, without a look at the disk."""
        if not isinstance(name, str):
            raise _RefusedError
        if admitted := self._admitted.get(os.path.normcase(name)):
            return _Target(admitted, (), "not found")
        if len(name) > MAX_NAME:
            raise _RefusedError
        root_name, mark, rest = name.partition("://")
        root: str | None
        if mark:
            root, missing = self._roots.get(root_name), f"not found below {root_name}://"
        elif name.startswith("/") or os.path.isabs(name):
            root, rest = self._split_allowed(name)
            missing = "not found below the folder that the operator allowed"
        else:
            root, rest = self._base, name.removeprefix("./")
            missing = "not found below the folder of the workflow"
        if root is None:
            raise _RefusedError
        path = os.path.join(root, *_checked_parts(rest))
        return _Target(path, (root, *self._allowed), missing)

    def _split_allowed(self, name: str) -> tuple[str, str]:
        for root in self._allowed:
            prefix = os.path.join(root, "")
            if os.path.normcase(name).startswith(os.path.normcase(prefix)):
                return root, name[len(prefix) :].replace(os.sep, "/")
        raise _RefusedError


def _absolute(path: Path | str) -> str:
    # abspath alone may ask for the working directory, which counts as blocking the loop.
    return os.path.normpath(path) if os.path.isabs(path) else os.path.abspath(path)


def _spellings(paths: Iterable[Path | str]) -> dict[str, str]:
    """Map each absolute path, as this system compares paths, to the path itself."""
    return {os.path.normcase(path): path for path in map(_absolute, paths)}


def _user_folder(user_id: str | None) -> str:
    """Return a folder that no other user has on any file system; a digest tells odd ids apart."""
    if not user_id:
        return "default"
    if _USER_FOLDER.fullmatch(user_id) and not _RESERVED.fullmatch(user_id):
        return user_id
    readable = re.sub(r"[^a-z0-9]+", "-", user_id.lower())[:32]
    return f"{readable}={hashlib.sha256(user_id.encode(errors='surrogatepass')).hexdigest()[:32]}"


def _checked_parts(text: str) -> list[str]:
    """Split a path below a root; refuse what is, or might be taken for, a way out."""
    form, slashes = text, text.count("/")
    for _ in range(_MAX_DECODINGS):
        # A form with another number of slashes hid a separator, or made one.
        if form.count("/") != slashes or not all(map(_is_harmless, form.split("/"))):
            raise _RefusedError
        following = unquote(normalize("NFKC", form), errors="strict")
        if following == form:
            return text.split("/")
        form = following
    raise _RefusedError


def _is_harmless(part: str) -> bool:
    return (
        part != ""
        and not part.startswith(".")  # ".", ".." and hidden files
        and not part.endswith((".", " "))  # Windows drops these
        and not re.search(r"[\\:\x00-\x1f\x7f-\x9f]", part)
        and len(part.encode()) <= MAX_PART_BYTES
        and not _RESERVED.fullmatch(part)
    )


def _open(target: _Target) -> int:
    """Open the file if it is a regular one that lies where it may; return its descriptor."""
    real = os.path.realpath(target.path)
    if not target.within:
        return _open_below(os.path.dirname(real), [os.path.basename(real)])
    for root in target.within:
        real_root = os.path.realpath(root)
        prefix = os.path.join(real_root, "")
        if os.path.normcase(real).startswith(os.path.normcase(prefix)):
            return _open_below(real_root, real[len(prefix) :].split(os.sep))
    raise _RefusedError


def _open_below(directory: str, parts: list[str]) -> int:
    """Open ``parts`` below a directory, all of them resolved, without following a link."""
    if not _WALKS:
        return _open_and_recheck(os.path.join(directory, *parts))
    *parents, leaf = parts
    here = os.open(directory, os.O_RDONLY | _DIRECTORY)
    try:
        for parent in parents:
            below = os.open(parent, os.O_RDONLY | _DIRECTORY | _NO_FOLLOW, dir_fd=here)
            os.close(here)
            here = below
        # Looked at before it is opened: opening a device can already do something.
        _require_regular(os.stat(leaf, dir_fd=here, follow_symlinks=False))
        return os.open(leaf, os.O_RDONLY | _FILE, dir_fd=here)
    finally:
        os.close(here)


def _open_and_recheck(path: str) -> int:
    _require_regular(os.lstat(path))
    descriptor = os.open(path, os.O_RDONLY | _FILE)
    if os.path.realpath(path) == path and os.path.samestat(os.fstat(descriptor), os.lstat(path)):
        return descriptor
    os.close(descriptor)
    raise _RefusedError


def _require_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise _RefusedError


def _load(file: BinaryIO, limit: int) -> bytes | None:
    """Read an open file to its end; None if it is larger than the limit."""
    chunks: list[bytes] = []
    # A file may grow meanwhile, and some do not tell their size.
    left = 0 if os.fstat(file.fileno()).st_size > limit else limit + 1
    while left > 0 and (chunk := file.read(min(left, _CHUNK))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks) if left > 0 else None


def _reason(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "the host may not read it"
    if error.errno in (errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL):
        return REFUSED
    return f"cannot be read: {(error.strerror or 'unknown reason').lower()}"


def _shown(name: object) -> str:
    text = name if isinstance(name, str) else f"<{type(name).__name__}>"
    return text if len(text) <= MAX_NAME else f"{text[:80]}..."

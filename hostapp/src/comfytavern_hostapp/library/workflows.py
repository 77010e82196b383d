"""The stored workflows of the server: JSON files in a folder, with their earlier versions.

An id is the path below the folder without ``.json``; ``chat/tavern`` is ``chat/tavern.json``.

What must stay true:

- A document is kept as it came, unknown fields and the order of keys included; only its shape
  is checked. A file that somebody broke by hand is shown with its problem, never removed.
- What a change replaces or deletes stays behind as a version; a failed change changes nothing.
- A refused id is refused in the same words, whether or not anything is there.

All of it blocks; call it in a worker thread. Any number of threads may.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import RLock

from comfytavern.errors import WorkflowError

from .documents import (
    SUFFIX,
    Content,
    decoded,
    encoded,
    file_parts,
    id_parts,
    is_same,
    read_content,
    shown_text,
)
from .entries import (
    StoredWorkflow,
    UnknownWorkflowError,
    VersionEntry,
    VersionList,
    WorkflowConflictError,
    WorkflowEntry,
    WorkflowExistsError,
    WorkflowList,
    WorkflowNameError,
)
from .file_tree import Draft, FileTree, LibraryWriteError, OutsideError, writing
from .versions import VersionShelf, utc_now

__all__ = (
    "LibraryWriteError",
    "StoredWorkflow",
    "UnknownWorkflowError",
    "VersionEntry",
    "WorkflowConflictError",
    "WorkflowEntry",
    "WorkflowExistsError",
    "WorkflowLibrary",
    "WorkflowNameError",
)


@dataclass(frozen=True, slots=True)
class _Summary:
    name: str | None = None
    description: str | None = None
    etag: str | None = None
    problem: str | None = None


class WorkflowLibrary:
    """Stored workflows by id. Making one touches no file, and the folder need not exist.

    Every method that takes an id raises WorkflowNameError where no workflow can have it.
    ``if_match`` is the etag that the caller has seen, or ``*`` for any.

    :param keep_versions: how many earlier contents stay of each workflow
    """

    def __init__(
        self, folder: Path, keep_versions: int = 20, *, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._tree = FileTree(folder)
        self._shelf = VersionShelf(self._tree, keep_versions, now)
        self._lock = RLock()
        self._summaries: dict[str, tuple[tuple[int, ...], _Summary]] = {}

    def list(self) -> WorkflowList:
        """Return all workflows, sorted by id; files whose names no id can spell are left out."""
        with self._lock:
            found = [self._entry(workflow_id) for workflow_id in self._ids()]
            entries = [entry for entry in found if entry is not None]
            ids = {entry.id for entry in entries}
            self._summaries = {key: kept for key, kept in self._summaries.items() if key in ids}
        return entries

    def read(self, workflow_id: str, version: str | None = None) -> StoredWorkflow:
        """Return a workflow, or an earlier version of it.

        :raises WorkflowNameError: no workflow can have this id
        :raises UnknownWorkflowError: there is none, or it has no such version
        :raises WorkflowError: the file is broken or cannot be read
        """
        parts = id_parts(workflow_id)
        with self._lock, self._refusing(workflow_id):
            content = self._content(workflow_id, parts, version)
            if content is None:
                raise self._unknown(workflow_id, parts, version)
            document = decoded(workflow_id, content.data)
            return StoredWorkflow(workflow_id, document, content.etag, content.modified, version)

    def resolve(self, workflow_id: str) -> dict[str, object] | None:
        """Return the document of this id, None if there is none; ``.json`` may stand behind it.

        :raises WorkflowError: there is one, but it is broken or cannot be read
        """
        try:
            return self.read(workflow_id.removesuffix(SUFFIX)).document
        except (UnknownWorkflowError, WorkflowNameError):
            return None

    def save(
        self,
        workflow_id: str,
        document: Mapping[str, object],
        *,
        if_match: str | None = None,
        create_only: bool = False,
    ) -> StoredWorkflow:
        """Store a document as it is; what was there before becomes a version.

        The same content again changes nothing and makes no version.

        :param create_only: refuse if there is one already
        :raises WorkflowNameError: no workflow can have this id
        :raises WorkflowError: it is not shaped like a workflow
        :raises WorkflowExistsError: the id is taken, and ``create_only``; or its name is
        :raises WorkflowConflictError: it is not what the caller has seen
        :raises LibraryWriteError: the disk refuses
        """
        parts = id_parts(workflow_id)
        data = encoded(workflow_id, document)
        with self._lock, self._refusing(workflow_id):
            before = self._content(workflow_id, parts)
            if create_only and before is not None:
                raise WorkflowExistsError(workflow_id, workflow_id)
            after = self._replaced(workflow_id, parts, before, data, if_match)
            return StoredWorkflow(workflow_id, dict(document), after.etag, after.modified)

    def restore(
        self, workflow_id: str, version: str, *, if_match: str | None = None
    ) -> StoredWorkflow:
        """Bring an earlier version back; what was there becomes a version.

        :raises WorkflowNameError: no workflow can have this id
        :raises UnknownWorkflowError: there is no such version
        :raises WorkflowError: that version is broken
        :raises WorkflowExistsError: it was deleted, and its name is taken since
        :raises WorkflowConflictError: it is not what the caller has seen
        :raises LibraryWriteError: the disk refuses
        """
        parts = id_parts(workflow_id)
        with self._lock, self._refusing(workflow_id):
            wanted = self._content(workflow_id, parts, version)
            if wanted is None:
                raise self._unknown(workflow_id, parts, version)
            document = decoded(workflow_id, wanted.data)
            before = self._content(workflow_id, parts)
            after = self._replaced(workflow_id, parts, before, wanted.data, if_match)
            return StoredWorkflow(workflow_id, document, after.etag, after.modified)

    def delete(self, workflow_id: str, *, if_match: str | None = None) -> None:
        """Put a workflow away as a version of itself.

        :raises WorkflowNameError: no workflow can have this id
        :raises UnknownWorkflowError: there is none
        :raises WorkflowConflictError: it is not what the caller has seen
        :raises LibraryWriteError: the disk refuses
        """
        parts = id_parts(workflow_id)
        with self._lock, self._refusing(workflow_id):
            place = self._existing(workflow_id, parts, if_match)
            with writing("workflow", workflow_id, verb="deleted"):
                self._shelf.take(parts, place)
            self._tree.prune(place.parent)

    def rename(self, old: str, new: str, *, if_match: str | None = None) -> None:
        """Give a workflow another id; its versions go with it.

        :raises WorkflowNameError: no workflow can have one of these ids
        :raises UnknownWorkflowError: there is none of the old id
        :raises WorkflowExistsError: the new id is taken
        :raises WorkflowConflictError: it is not what the caller has seen
        :raises LibraryWriteError: the disk refuses; everything is where it was
        """
        parts, new_parts = id_parts(old), id_parts(new)
        with self._lock, self._refusing(old):
            source = self._existing(old, parts, if_match)
            with self._refusing(new), writing("workflow", old, verb="renamed"):
                target = self._tree.place(file_parts(new_parts))
                taken = self._tree.obstacle(file_parts(new_parts))
                # On some systems another spelling of the name finds the file itself.
                if taken not in (None, file_parts(parts)):
                    raise WorkflowExistsError(new, _shown(taken))
                if taken is None and os.path.lexists(target):
                    raise WorkflowExistsError(new, new)
                moves = [(source, target), *self._shelf.moves(parts, new_parts)]
                try:
                    _move_all(moves)
                finally:
                    for folder in {place.parent for move in moves for place in move}:
                        self._tree.prune(folder)

    def versions(self, workflow_id: str) -> VersionList:
        """Return the earlier contents of a workflow, the newest first; of a deleted one, too.

        What cannot be read is left out.

        :raises WorkflowNameError: no workflow can have this id
        :raises UnknownWorkflowError: there is neither a workflow nor a version
        """
        parts = id_parts(workflow_id)
        with self._lock, self._refusing(workflow_id):
            names = self._shelf.names(parts)
            if not names and self._tree.find(file_parts(parts)) is None:
                raise self._unknown(workflow_id, parts)
            entries = []
            for version in names:
                with suppress(WorkflowError):
                    if content := self._content(workflow_id, parts, version):
                        size = len(content.data)
                        entries.append(VersionEntry(version, content.modified, size, content.etag))
        return entries

    def _ids(self) -> Sequence[str]:
        paths = (path for path in self._tree.names() if path.endswith(SUFFIX))
        ids = (path.removesuffix(SUFFIX) for path in paths)
        return sorted(found for found in ids if _is_id(found))

    def _entry(self, workflow_id: str) -> WorkflowEntry | None:
        parts = id_parts(workflow_id)
        try:
            file = self._tree.find(file_parts(parts))
            status = None if file is None else os.stat(file)
        except (OSError, OutsideError):  # gone meanwhile
            return None
        if status is None:
            return None
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known, summary = self._summaries.get(workflow_id, (None, _Summary()))
        if known != stamp:
            summary = self._summary(workflow_id, parts)
            self._summaries[workflow_id] = stamp, summary
        return WorkflowEntry(
            id=workflow_id,
            name=summary.name or parts[-1],
            description=summary.description,
            modified=status.st_mtime_ns / 1e9,  # as a read tells it
            size=status.st_size,
            etag=summary.etag,
            versions=len(self._shelf.names(parts)),
            problem=summary.problem,
        )

    def _summary(self, workflow_id: str, parts: tuple[str, ...]) -> _Summary:
        etag = None
        try:
            content = self._content(workflow_id, parts)
            if content is None:
                return _Summary()
            etag = content.etag
            document = decoded(workflow_id, content.data)
        except WorkflowError as exc:
            more = len(exc.findings) - 1
            problem = exc.findings[0].message + (f" (and {more} more problems)" if more else "")
            return _Summary(etag=etag, problem=problem)
        name, description = document.get("name"), document.get("description")
        return _Summary(shown_text(name), shown_text(description), etag)

    def _content(
        self, workflow_id: str, parts: tuple[str, ...], version: str | None = None
    ) -> Content | None:
        """Read a workflow or a version of it, None if there is none."""
        if version is None:
            file = self._tree.find(file_parts(parts))
        else:
            file = self._shelf.find(parts, version)
        return None if file is None else read_content(workflow_id, file)

    def _existing(self, workflow_id: str, parts: tuple[str, ...], if_match: str | None) -> Path:
        """Return the file of a workflow that is to be moved; it need not be readable."""
        place = self._tree.place(file_parts(parts))
        if not place.is_file():
            raise self._unknown(workflow_id, parts)
        if if_match not in (None, "*"):
            _require_seen(workflow_id, self._content(workflow_id, parts), if_match)
        return place

    def _replaced(
        self,
        workflow_id: str,
        parts: tuple[str, ...],
        before: Content | None,
        data: bytes,
        if_match: str | None,
    ) -> Content:
        """Write what is not there yet, and return what is there."""
        _require_seen(workflow_id, before, if_match)
        place = self._tree.place(file_parts(parts))
        if before is not None and is_same(before.data, data):
            return before
        with writing("workflow", workflow_id):
            if taken := self._tree.obstacle(file_parts(parts)):
                raise WorkflowExistsError(workflow_id, _shown(taken))
            with Draft(place) as draft:
                draft.write(data)
                draft.sync()
                kept = None
                if before is not None:
                    kept = self._shelf.copy(parts, before.data, before.modified_ns)
                try:
                    status = draft.keep()
                except OSError:
                    self._shelf.drop(kept)
                    raise
        self._shelf.trim(parts)
        return Content(data, status.st_mtime_ns)

    def _unknown(
        self, workflow_id: str, parts: tuple[str, ...], version: str | None = None
    ) -> UnknownWorkflowError:
        versions = len(self._shelf.names(parts))
        return UnknownWorkflowError(workflow_id, self._ids(), version=version, versions=versions)

    @contextmanager
    def _refusing(self, workflow_id: str) -> Iterator[None]:
        try:
            yield
        except OutsideError:
            raise WorkflowNameError(workflow_id) from None


def _is_id(text: str) -> bool:
    try:
        id_parts(text)
    except WorkflowNameError:
        return False
    return True


def _shown(taken: Sequence[str]) -> str:
    return "/".join(taken).removesuffix(SUFFIX)


def _require_seen(workflow_id: str, content: Content | None, if_match: str | None) -> None:
    """Refuse a change of what the caller has not seen.

    :raises WorkflowConflictError: it is something else by now, or gone
    """
    if if_match is None or (if_match == "*" and content is not None):
        return
    etag = None if content is None else content.etag
    if etag != if_match:
        raise WorkflowConflictError(workflow_id, etag)


def _move_all(moves: Sequence[tuple[Path, Path]]) -> None:
    """Move all these files or none."""
    done: list[tuple[Path, Path]] = []
    try:
        for source, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(source, target)
            done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            with suppress(OSError):
                os.rename(target, source)
        raise

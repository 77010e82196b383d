"""Workflow files: reading one, and finding those that its groups refer to."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from comfytavern.errors import ComfyTavernError, Finding, ResourceError, WorkflowError
from comfytavern.resources import split_name
from comfytavern.workflow import Workflow, read_workflow

__all__ = (
    "MAX_FILE_BYTES",
    "STDIN",
    "FileError",
    "WorkflowFolders",
    "load_workflow",
    "read_file",
    "read_text",
    "workflow_parts",
)

MAX_FILE_BYTES = 64 * 1024 * 1024
# In place of a file's name: what is piped in.
STDIN = "-"


class FileError(ComfyTavernError):
    """A file that somebody named cannot be used. ``what`` says which kind of file it is."""

    code = "bad_file"

    def __init__(self, what: str, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{what} {reason}" if name == STDIN else f"{what} {name!r} {reason}")


def read_file(name: str, what: str = "file", *, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the bytes of a file that the operator named; ``-`` is what is piped in.

    :raises FileError: it is missing, no file, not readable, or too large
    """
    too_large = f"is larger than {limit // 1024**2} MiB"
    if name == STDIN:
        data = sys.stdin.buffer.read(limit + 1)
        if len(data) > limit:
            raise FileError(f"{what} from stdin", name, too_large)
        return data
    try:
        if os.path.isdir(name):
            raise FileError(what, name, "is a directory; expected a file")
        with open(name, "rb") as file:
            # One byte more than is allowed: a pipe does not tell its size.
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise FileError(what, name, "does not exist") from None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else None
        raise FileError(what, name, f"cannot be read: {(reason or str(exc)).lower()}") from exc
    if len(data) > limit:
        raise FileError(what, name, too_large)
    return data


def read_text(name: str, what: str = "file") -> str:
    """Return the text of a file that the operator named.

    :raises FileError: as ``read_file``, or it is not UTF-8
    """
    try:
        return read_file(name, what).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileError(what, name, "is not UTF-8 text") from None


def load_workflow(name: str) -> Workflow:
    """Read a workflow file of either format.

    :raises FileError: the file cannot be read
    :raises WorkflowError: it is no workflow; every problem of its shape at once
    """
    shown = "the workflow from stdin" if name == STDIN else f"workflow file {name!r}"
    return read_workflow(read_text(name, "workflow file"), source=shown)


def workflow_parts(workflow_id: object) -> tuple[str, ...] | None:
    """Return the folders and the name that an id stands for, None if no workflow can have it.

    The rules of every file name that a workflow may hold, the same on every system.
    """
    try:
        root, parts = split_name(workflow_id)
    except ResourceError:
        return None
    return None if root else parts


class WorkflowFolders:
    """Finds workflows by id in folders, and never outside them. A ``WorkflowResolver``.

    :param folders: where to look, in order: beside the workflow file, then the data directory
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._known: dict[str, Workflow | None] = {}

    def __call__(self, workflow_id: str) -> Workflow | None:
        """Return the workflow of this id, None if there is none.

        :raises WorkflowError: there is one, but it is broken or cannot be read
        """
        if workflow_id not in self._known:
            file = self._find(workflow_id)
            try:
                self._known[workflow_id] = None if file is None else load_workflow(str(file))
            except FileError as exc:
                # What refers to it is a node of a workflow, so that is where it is told.
                raise WorkflowError([Finding(exc.code, str(exc))]) from exc
        return self._known[workflow_id]

    def _find(self, workflow_id: str) -> Path | None:
        if workflow_parts(workflow_id) is None:
            return None
        for folder in self._folders:
            root = os.path.realpath(folder)
            for candidate in (workflow_id, f"{workflow_id}.json"):
                # Resolved: a link that leads out of the folder leads nowhere.
                real = os.path.realpath(os.path.join(root, candidate))
                if real.startswith(os.path.join(root, "")) and os.path.isfile(real):
                    return Path(folder, candidate)
        return None

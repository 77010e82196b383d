"""A workflow as the library keeps it: its id, its bytes, and the document in them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from comfytavern.errors import Finding, WorkflowError
from comfytavern.workflow import parse_workflow, read_workflow

from .entries import WorkflowNameError
from .workflow_files import MAX_FILE_BYTES, FileError, workflow_parts

__all__ = (
    "SUFFIX",
    "Content",
    "decoded",
    "encoded",
    "file_parts",
    "id_parts",
    "is_same",
    "read_content",
    "shown_text",
)

SUFFIX = ".json"


def id_parts(workflow_id: object) -> tuple[str, ...]:
    """Return the parts of an id.

    :raises WorkflowNameError: no workflow can have it, as id or as file
    """
    parts = workflow_parts(workflow_id)
    if parts is None or parts[-1].lower().endswith(SUFFIX):
        raise WorkflowNameError(workflow_id)
    if workflow_parts("/".join(file_parts(parts))) is None:
        raise WorkflowNameError(workflow_id)
    return parts


def file_parts(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Return where the file of an id is."""
    return (*parts[:-1], f"{parts[-1]}{SUFFIX}")


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a file, and when they were written."""

    data: bytes
    modified_ns: int

    @property
    def etag(self) -> str:
        """What tells this content from any other, quoted as HTTP wants it."""
        return f'"{hashlib.sha256(self.data).hexdigest()[:32]}"'

    @property
    def modified(self) -> float:
        """The time in seconds since 1970."""
        return self.modified_ns / 1e9


def read_content(workflow_id: str, file: Path) -> Content | None:
    """Read the file of a workflow; None if it is gone.

    :raises WorkflowError: it cannot be read, or is too large
    """
    try:
        with open(file, "rb") as opened:
            modified_ns = os.fstat(opened.fileno()).st_mtime_ns
            data = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        reason = (exc.strerror or "unknown reason").lower()
        raise _bad_file(workflow_id, f"cannot be read: {reason}") from None
    if len(data) > MAX_FILE_BYTES:
        raise _bad_file(workflow_id, f"is larger than {MAX_FILE_BYTES // 1024**2} MiB")
    return Content(data, modified_ns)


def decoded(workflow_id: str, data: bytes) -> dict[str, object]:
    """Return the document of a file.

    :raises WorkflowError: it is not JSON, or not shaped like a workflow
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _bad_file(workflow_id, "is not UTF-8 text") from None
    read_workflow(text, source=_source(workflow_id))
    document = json.loads(text)
    assert isinstance(document, dict)  # or it would have no nodes
    return document


def encoded(workflow_id: str, document: Mapping[str, object]) -> bytes:
    """Return a document as the text of its file.

    :raises WorkflowError: it is not shaped like a workflow, or JSON cannot hold it
    """
    source = _source(workflow_id)
    parse_workflow(document, source=source)
    try:
        data = _written(document)
    except (TypeError, ValueError) as exc:
        message = f"{source} cannot be written as JSON: {str(exc).lower()}"
        raise WorkflowError([Finding("not_json", message)]) from None
    if len(data) > MAX_FILE_BYTES:
        raise _bad_file(workflow_id, f"is larger than {MAX_FILE_BYTES // 1024**2} MiB")
    return data


def is_same(old: bytes, new: bytes) -> bool:
    """Tell whether two files hold the same document, however they are laid out."""
    if old == new:
        return True
    try:
        return _written(json.loads(old)) == _written(json.loads(new))
    except (ValueError, RecursionError):
        return False


def shown_text(value: object) -> str | None:
    """Return a text of a document as it can be sent, None if it is no text or empty."""
    return value.encode(errors="replace").decode() or None if isinstance(value, str) else None


def _written(document: object) -> bytes:
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)
    # JSON may hold half of a surrogate pair and UTF-8 may not. Escaped, it is read back the same.
    return text.encode(errors="backslashreplace") + b"\n"


def _bad_file(workflow_id: str, reason: str) -> WorkflowError:
    error = FileError("workflow", workflow_id, reason)
    return WorkflowError([Finding(error.code, str(error))])


def _source(workflow_id: str) -> str:
    return f"workflow {workflow_id!r}"

"""A workflow file brought up to date where it lies."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfytavern.errors import Finding
from comfytavern.migrations import migrate_document
from comfytavern.registry import NodeRegistry
from comfytavern.workflow import parse_workflow, read_workflow

from .file_tree import Draft, writing
from .origins import PACK, with_packs
from .workflow_files import STDIN, read_text

__all__ = ("Rewriting", "prepare_rewriting")

_INDENT = re.compile(r"\n([ \t]+)\S")


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What would become of a file.

    :param notes: what packs renamed since
    :param recorded: how many nodes would name another pack than they do, or one at all
    :param missing: the nodes of unknown types; they stay as they are
    :param text: the file then; None if nothing changes
    """

    file: str
    notes: Sequence[Finding]
    recorded: int
    missing: Sequence[Finding]
    text: str | None

    def write(self) -> None:
        """Put the new text in the place of the old one; links stay links.

        :raises LibraryWriteError: the disk refuses, and the file is as it was
        """
        if self.text is None:
            return
        with writing("workflow file", self.file), Draft(Path(os.path.realpath(self.file))) as draft:
            draft.write(self.text.encode(errors="backslashreplace"))
            draft.keep()


def prepare_rewriting(file: str, registry: NodeRegistry) -> Rewriting:
    """Read a workflow file and bring it up to date; nothing is written yet.

    :raises FileError: the file cannot be read
    :raises WorkflowError: it is no workflow
    """
    text = read_text(file, "workflow file")
    source = "the workflow from stdin" if file == STDIN else f"workflow file {file!r}"
    read_workflow(text, source=source)  # refuses what is none
    document: dict[str, Any] = json.loads(text)  # Any: JSON
    migrated = migrate_document(document, registry)
    after = with_packs(migrated.document, registry)
    pairs = zip(document["nodes"], after["nodes"], strict=True)
    recorded = sum(1 for old, new in pairs if old.get(PACK) != new.get(PACK))
    missing = [
        _missing(node.id, node.full_type, registry.explain_missing(node.full_type, node.pack))
        for node in parse_workflow(after).nodes
        if registry.get(node.full_type) is None
    ]
    written = None if after == document else _written(after, like=text)
    return Rewriting(file, migrated.notes, recorded, missing, written)


def _missing(node_id: str, full_type: str, reason: str) -> Finding:
    message = f"node {node_id!r} has unknown type {full_type!r}" + (f"; {reason}" if reason else "")
    return Finding("unknown_node_type", message, node_id, severity="warning")


def _written(document: object, *, like: str) -> str:
    """Write a document as the text before was written: indented the same, or on one line."""
    indented = _INDENT.search(like)
    indent = indented[1] if indented else None
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return text + ("\n" if like.endswith("\n") else "")

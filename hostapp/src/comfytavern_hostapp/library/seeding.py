"""What a first start stores: two workflows that run as they are, and the files they read.

What must stay true: nothing is ever overwritten. A data directory that has a folder of
workflows is left alone, so that the examples do not come back once they were deleted. What
cannot be stored is a warning and keeps nobody from starting.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from comfytavern.errors import ComfyTavernError
from comfytavern.resources import ResourceStore

from .example_files import CHAT, HELLO, example_folder
from .resources import ResourceExistsError, ResourceLibrary
from .workflows import WorkflowLibrary

__all__ = ("seed",)

_log = logging.getLogger(__name__)

_ROOT = "shared"


def seed(data_dir: Path) -> list[str]:
    """Store the examples if this data directory never had workflows; return what was made.

    Blocks; call it in a worker thread, while no other host uses the directory.

    :return: names of resources and ids of workflows
    """
    made: list[str] = []
    if os.path.lexists(data_dir / "workflows"):
        return made
    try:
        folder = example_folder()
        for name in (CHAT, HELLO):
            _store(data_dir, folder, name, made)
    except (ComfyTavernError, OSError, ValueError) as exc:
        _log.warning("the example workflows are not stored: %s", exc)
    return made


def _store(data_dir: Path, folder: Path, name: str, made: list[str]) -> None:
    """Store a workflow, after the files that it reads."""
    document = json.loads((folder / name).read_text("utf-8"))
    resources = ResourceLibrary(ResourceStore(data_dir))
    for path in _to_stored(document, folder):
        resource = f"{_ROOT}://{path}"
        try:
            resources.save(resource, (folder / path).read_bytes())
        except ResourceExistsError:
            continue  # somebody's own
        made.append(resource)
    workflow_id = name.removesuffix(".json")
    WorkflowLibrary(data_dir / "workflows").save(workflow_id, document, create_only=True)
    made.append(workflow_id)


def _to_stored(document: dict[str, Any], folder: Path) -> list[str]:  # Any: JSON
    """Make each reference to a file beside the workflow one to a stored file.

    :return: the paths of these files
    """
    paths = []
    for node in document["nodes"]:
        for values in (node.get("configValues", {}), node.get("inputValues", {})):
            for key, value in values.items():
                if key.endswith("Resource") and (folder / value).is_file():
                    values[key] = f"{_ROOT}://{value}"
                    paths.append(value)
    return paths

"""Which packs the operator has approved of, and as what: ``approvals.json`` in the data directory.

``packs enable`` and ``packs sync`` write it, ``packs doctor`` holds it against what is installed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .environment import Installed
from .recorded_files import files_digest
from .writing import write_whole

__all__ = ("APPROVALS_FILE", "Approval", "ApprovalsDamagedError", "approve", "read_approvals")

APPROVALS_FILE: Final = "approvals.json"


class ApprovalsDamagedError(ValueError):
    """The file is there and cannot be understood. Never leaves the command line."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A pack as it was; ``digest`` is empty for an editable one."""

    version: str
    digest: str


def read_approvals(data_dir: Path) -> dict[str, Approval]:
    """Return the approvals by distribution; none if there is no file.

    :raises ApprovalsDamagedError: the file cannot be read
    """
    try:
        listed = json.loads((data_dir / APPROVALS_FILE).read_text("utf-8"))["packs"]
        return {
            str(name): Approval(str(pack["version"]), str(pack["files"]))
            for name, pack in listed.items()
        }
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ApprovalsDamagedError((error.strerror or str(error)).lower()) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ApprovalsDamagedError("it is not what 'packs enable' writes") from error


def approve(data_dir: Path, packs: Iterable[Installed]) -> None:
    """Note that these packs are approved of as they are now.

    :raises ApprovalsDamagedError: what is there cannot be read, and is left as it is
    :raises OSError: it cannot be written
    """
    known = read_approvals(data_dir)
    now = {pack.name: Approval(pack.version, files_digest(pack)) for pack in packs}
    if any(known.get(name) != approval for name, approval in now.items()):
        _write(data_dir / APPROVALS_FILE, {**known, **now})


def _write(file: Path, approvals: Mapping[str, Approval]) -> None:
    packs = {
        name: {"version": approval.version, "files": approval.digest}
        for name, approval in sorted(approvals.items())
    }
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(file, json.dumps({"packs": packs}, indent=2))

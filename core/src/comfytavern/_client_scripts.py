"""The files that a pack gives to the page for its nodes.

A definition names its script relative to the package of its pack; what the script imports
lies in the same folder or below. Nothing else of the disk can be reached, and a name that
leads elsewhere is answered with the same words whether or not something is there.
"""

from __future__ import annotations

import importlib.util
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ._pack import Pack
from .errors import UnknownClientScriptError
from .registry import RegisteredNode

__all__ = ("MAX_CLIENT_SCRIPT", "ClientScript", "is_script_path", "read_client_script")

MAX_CLIENT_SCRIPT: Final = 2 * 2**20
_JSON: Final = "application/json"
_SCRIPT: Final = "text/javascript; charset=utf-8"
_MEDIA_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".js": _SCRIPT,
        ".mjs": _SCRIPT,
        ".css": "text/css; charset=utf-8",
        ".map": _JSON,
        ".json": _JSON,
    }
)
# Names as files of packs have them: no hidden ones, no drives, nothing that is encoded.
_PLAIN = re.compile(r"\w[\w.+@-]*(?:/\w[\w.+@-]*)*")


@dataclass(frozen=True, slots=True)
class ClientScript:
    """A file for the page; ``name`` is relative to the folder of the node's own script."""

    name: str
    content: bytes
    media_type: str


def is_script_path(text: str) -> bool:
    """Return whether a definition may name this as its script: a plain path to JavaScript."""
    return _media_type(text) == _SCRIPT


def read_client_script(
    pack: Pack, node: RegisteredNode, full_type: str, name: str | None
) -> ClientScript:
    """Read a node's own script, or a file that lies beside or below it. Blocks.

    :param full_type: how the caller calls the node, for the error
    :raises UnknownClientScriptError: there is none, or it is too large
    """
    own = node.definition.client_script_url
    unknown = UnknownClientScriptError(full_type, own if name is None else name)
    if own is None:
        raise unknown
    folder, _, own_name = own.rpartition("/")
    wanted = own_name if name is None else name
    media_type = _media_type(wanted)
    if media_type is None:
        raise unknown
    for package in _packages(pack, node):
        content = _read(pack, package, folder, wanted)
        if content is None:
            continue
        if len(content) > MAX_CLIENT_SCRIPT:
            raise UnknownClientScriptError(full_type, wanted, limit=MAX_CLIENT_SCRIPT)
        return ClientScript(wanted, content, media_type)
    raise unknown


def _media_type(path: str) -> str | None:
    """Return what a file is to the page; None for what no page is given."""
    return _MEDIA_TYPES.get(Path(path).suffix) if _PLAIN.fullmatch(path) else None


def _packages(pack: Pack, node: RegisteredNode) -> Iterator[Path]:
    """Yield the folders of the pack's top-level packages, the node's own first."""
    own = (node.definition.file_path or "").partition("/")[0]
    for top in sorted(pack.tops, key=lambda top: (top != own, top)):
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):  # ValueError: a module without a spec is loaded
            continue
        for place in (spec and spec.submodule_search_locations) or ():
            yield Path(place)


def _read(pack: Pack, package: Path, folder: str, name: str) -> bytes | None:
    """Return the content, cut off past the limit; None where no file of the pack is."""
    path = f"{folder}/{name}" if folder else name
    files = pack.listed_files()
    if files is not None and not files.lists(f"{package.name}/{path}"):
        return None
    try:
        root = package.resolve(strict=True)
        beside = (package / folder).resolve(strict=True)
        file = (package / path).resolve(strict=True)
        if not (beside.is_relative_to(root) and file.is_relative_to(beside)):
            return None
        if file.suffix not in _MEDIA_TYPES or not stat.S_ISREG(file.stat().st_mode):
            return None
        with file.open("rb") as stream:
            return stream.read(MAX_CLIENT_SCRIPT + 1)
    except (OSError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        return None

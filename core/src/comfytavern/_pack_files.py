"""Which files a distribution installed: what belongs to it, and whether they changed.

``RECORD`` in the ``.dist-info`` says so. An editable installation lists only itself there;
what belongs to it then is the top-level package that its entry points name.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.machinery
import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlparse

from .discovery import FoundPack

__all__ = ("PackFiles", "owner_of")

_SUFFIXES = (*importlib.machinery.SOURCE_SUFFIXES, *importlib.machinery.EXTENSION_SUFFIXES)


class PackFiles:
    """The files of one distribution, as they were when this object was made."""

    def __init__(self, found: FoundPack) -> None:
        entries = (*found.entry_points, *found.commands)
        self.tops = frozenset(entry.module.partition(".")[0] for entry in entries)
        record = None if found.editable else _read_record(found.location)
        self.is_listed = record is not None
        self._hashes = _hash_sources(self.tops) if record is None else record

    @cached_property
    def modules(self) -> Mapping[str, str]:
        """The files of the distribution's modules, relative to where it is installed."""
        found = ((_module_of(path), path) for path in self._hashes)
        return {module: path for module, path in found if module}

    @cached_property
    def digest(self) -> str:
        """A hash over names and contents; equal wherever the same wheel is installed."""
        lines = (f"{path} {recorded}\n" for path, recorded in sorted(self._hashes.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def owns(self, module: str) -> bool:
        """Return whether a module of this name belongs to the distribution."""
        if self.is_listed:
            return module in self.modules
        return module.partition(".")[0] in self.tops

    def lists(self, path: str) -> bool:
        """Return whether RECORD, if there is one, names this file."""
        return not self.is_listed or path in self._hashes

    def recorded_hash(self, module: str) -> str:
        """Return what RECORD says of the module's file; empty if it says nothing."""
        return self._hashes.get(self.modules.get(module, ""), "")


def owner_of(module: str, claimants: Sequence[FoundPack]) -> FoundPack:
    """Return which of several distributions the module really comes from.

    It is the one whose RECORD lists the file; of several that do, the one whose recorded
    hash is that of the file; failing that the editable one that it lies in, else the first.
    """
    files = [(found, PackFiles(found)) for found in claimants]
    listed = [(found, owned) for found, owned in files if owned.is_listed and owned.owns(module)]
    if len(listed) > 1:
        listed = [(f, owned) for f, owned in listed if _is_intact(f, owned, module)] or listed
    if listed:
        return listed[0][0]
    origin = _origin_of(module.partition(".")[0])
    lying_in = [found for found in claimants if origin and _is_inside(origin, found.location)]
    return (lying_in or list(claimants))[0]


def _read_record(location: Path | None) -> dict[str, str] | None:
    try:
        text = (location / "RECORD").read_text("utf-8") if location is not None else None
    except (OSError, UnicodeDecodeError, KeyError):
        return None
    if text is None:
        return None
    # Scripts differ between environments, and what installers add says nothing about the code.
    rows = (row for row in csv.reader(text.splitlines()) if len(row) >= 2)
    return {row[0]: row[1] for row in rows if _is_code(row[0])}


def _is_code(path: str) -> bool:
    first, _, _ = path.partition("/")
    return not (first == ".." or first.endswith(".dist-info") or path.endswith(".pyc"))


def _module_of(path: str) -> str:
    suffix = next((suffix for suffix in _SUFFIXES if path.endswith(suffix)), None)
    if suffix is None:
        return ""
    return path.removesuffix(suffix).removesuffix("/__init__").replace("/", ".")


def _hash_sources(tops: Iterable[str]) -> dict[str, str]:
    """Hash the sources of top-level packages the way RECORD does."""
    hashes: dict[str, str] = {}
    for top in sorted(tops):
        for root, file in _sources_of(top):
            try:
                hashes[file.relative_to(root).as_posix()] = _hash(file.read_bytes())
            except OSError:
                continue  # removed between listing and reading
    return hashes


def _hash(content: bytes) -> str:
    encoded = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={encoded.decode()}"


def _sources_of(top: str) -> Iterator[tuple[Path, Path]]:
    origin = _origin_of(top)
    if origin is None:
        return
    if origin.is_dir():
        for file in sorted(origin.rglob("*.py")):
            yield origin.parent, file
    else:
        yield origin.parent, origin


def _origin_of(top: str) -> Path | None:
    """Return the folder or file of a top-level module without importing it."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # ValueError: a module without a spec is loaded
        return None
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ()) or [spec.origin or ""]
    return Path(places[0]) if places[0] else None


def _is_intact(found: FoundPack, files: PackFiles, module: str) -> bool:
    assert found.location is not None  # its RECORD was read from there
    file = found.location.parent / PurePosixPath(files.modules[module])
    try:
        return _hash(file.read_bytes()) == files.recorded_hash(module)
    except OSError:
        return False


def _is_inside(origin: Path, location: Path | None) -> bool:
    try:
        raw = (location / "direct_url.json").read_text("utf-8") if location is not None else "{}"
        url = str(json.loads(raw)["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return origin.is_relative_to(Path(unquote(urlparse(url).path)))

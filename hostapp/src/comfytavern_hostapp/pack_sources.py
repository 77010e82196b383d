"""Where the sources of editable packs are, read without importing any of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from comfytavern.discovery import FoundPack

__all__ = ("PackSources", "editable_sources")


class PackSources(NamedTuple):
    """Packages, which are folders with all that is in them, and folders of single modules."""

    packages: frozenset[Path]
    folders: frozenset[Path]

    @property
    def places(self) -> frozenset[Path]:
        """Every folder."""
        return self.packages | self.folders


def editable_sources(packs: Iterable[FoundPack]) -> PackSources:
    """Return where the code of those packs is that are installed as editable.

    That is less than their projects, which may hold whole environments. A pack whose modules
    cannot be found is looked for in all of its project: it may be just being written.
    """
    packages: set[Path] = set()
    folders: set[Path] = set()
    for pack in packs:
        if not pack.editable:
            continue
        project = _project(pack)
        points = (*pack.entry_points, *pack.commands)
        modules = {point.module.partition(".")[0] for point in points}
        places = [
            place
            for module in sorted(modules)
            for place in _places(module)
            if project is None or place.is_relative_to(project)
        ]
        if not places and project is not None:
            places = [project]
        packages.update(place for place in places if place.is_dir())
        folders.update(place.parent for place in places if place.is_file())
    return PackSources(frozenset(packages), frozenset(folders))


def _project(pack: FoundPack) -> Path | None:
    """Return the folder that an editable install points to, None if it does not say."""
    if pack.location is None:
        return None
    try:
        text = (pack.location / "direct_url.json").read_text("utf-8")
        return Path(url2pathname(urlsplit(json.loads(text)["url"]).path)).resolve()
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _places(module: str) -> list[Path]:
    """Return where a top-level module is; finders tell that much without importing it."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations:
        return [Path(folder).resolve() for folder in spec.submodule_search_locations]
    return [Path(spec.origin).resolve()] if spec.has_location and spec.origin else []

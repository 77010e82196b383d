"""The installed distributions as their metadata describes them; nothing is imported.

Each is read in its own ``try``: one with damaged metadata has a ``problem`` and hides nobody.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import Distribution
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.markers import InvalidMarker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from comfytavern.discovery import normalise

from .module_names import top_levels

__all__ = (
    "HOST",
    "Environment",
    "Installed",
    "RecordedFile",
    "applies",
    "parse_requirements",
    "read_environment",
    "read_record",
)

HOST: Final = "comfytavern-hostapp"


class RecordedFile(NamedTuple):
    """What RECORD says of a file: ``sha256=...`` and its size, each empty if it does not."""

    hash: str
    size: str


@dataclass(frozen=True)
class Installed:
    """One distribution on the path.

    ``record`` is None where there is no RECORD to read. ``archive`` is the hash of the file it
    was installed from, which installers note only if they were given that very file.
    """

    name: str
    version: str
    location: Path
    requires: tuple[Requirement, ...] = ()
    record: Mapping[str, RecordedFile] | None = None
    editable: Path | None = None
    archive: str = ""
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()

    @cached_property
    def files(self) -> frozenset[str]:
        """What it installed, relative to the folder it is in; of an editable one its sources."""
        own = frozenset(self.record or ())
        return own | frozenset(_behind_pth(self.location.parent, own)) if self.editable else own

    @cached_property
    def tops(self) -> Mapping[str, bool]:
        """Its top-level modules, and whether each is more than a namespace package."""
        return top_levels(self.files)


@dataclass(frozen=True)
class Environment:
    """All distributions on the path, in its order; ``by_name`` has those that count."""

    distributions: tuple[Installed, ...]
    path: tuple[Path, ...]
    by_name: Mapping[str, Installed] = field(init=False)

    def __post_init__(self) -> None:
        first: dict[str, Installed] = {}
        for installed in self.distributions:
            first.setdefault(installed.name, installed)
        object.__setattr__(self, "by_name", MappingProxyType(first))

    def closure(self, requirements: Iterable[Requirement]) -> frozenset[str]:
        """Return the names of what is required here, directly or not, installed or not."""
        waiting = [(requirement, "") for requirement in requirements]
        seen: set[tuple[str, str]] = set()
        while waiting:
            requirement, extra = waiting.pop()
            if not applies(requirement, {extra}):
                continue
            name = normalise(requirement.name)
            for wanted in {"", *map(normalise, requirement.extras)}:
                if (name, wanted) not in seen:
                    seen.add((name, wanted))
                    installed = self.by_name.get(name)
                    waiting += [(each, wanted) for each in installed.requires] if installed else []
        return frozenset(name for name, _ in seen)

    @cached_property
    def host_needs(self) -> frozenset[str]:
        """The names of the host and of all that it requires."""
        return self.closure([Requirement(HOST)])

    def requirers(self, name: str) -> Iterator[tuple[Installed, SpecifierSet]]:
        """Yield who requires a distribution here, and in which versions."""
        for installed in self.by_name.values():
            for requirement in installed.requires:
                if normalise(requirement.name) == name and applies(requirement, {""}):
                    yield installed, requirement.specifier


def applies(requirement: Requirement, extras: Iterable[str]) -> bool:
    """Return whether a requirement counts here, for any of the extras; "" for none."""
    if requirement.marker is None:
        return True
    marker = requirement.marker
    try:
        return any(marker.evaluate({"extra": extra}) for extra in extras)
    except (UndefinedComparison, UndefinedEnvironmentName, InvalidMarker):
        return False  # a marker that no Python understands; pip says so of it as well


def read_environment(path: Iterable[str | os.PathLike[str]] | None = None) -> Environment:
    """Read what is installed.

    :param path: the folders to look in; ``sys.path`` if None
    """
    listed = [os.curdir if not p else p for p in (sys.path if path is None else path)]
    folders = tuple(dict.fromkeys(Path(folder).resolve() for folder in listed))
    found = [_read(info) for folder in folders for info in _metadata_folders(folder)]
    return Environment(tuple(found), folders)


def _metadata_folders(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:  # no folder, or nobody may look
        return []
    # What pip leaves behind when it is cut short begins with a tilde.
    infos = [n for n in names if n.endswith((".dist-info", ".egg-info")) and n[0] != "~"]
    return [folder / name for name in infos if (folder / name).is_dir()]


def _read(info: Path) -> Installed:
    shown = info.name.rpartition(".")[0].partition("-")[0]
    distribution = Distribution.at(info)
    try:
        metadata = distribution.metadata
        # Checked, as both are shown in commands that somebody may copy.
        name = canonicalize_name(metadata["Name"] or "", validate=True)
        version = str(metadata["Version"] or "")
        Version(version)
        requires = parse_requirements(distribution.requires or ())
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return Installed(normalise(shown), "", info, problem=_one_line(error))
    editable, archive = _read_direct_url(info)
    return Installed(name, version, info, requires, read_record(info), editable, archive)


def _one_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def parse_requirements(texts: Iterable[str]) -> tuple[Requirement, ...]:
    """Read requirements.

    :raises ValueError: one cannot be read; the text quotes it
    """
    found = []
    for text in texts:
        try:
            found.append(Requirement(text))
        except InvalidRequirement:
            raise ValueError(f"the requirement {text!r} cannot be read") from None
    return tuple(found)


def read_record(info: Path) -> dict[str, RecordedFile] | None:
    """Return the files that RECORD lists; None if there is none that can be read."""
    try:
        text = (info / "RECORD").read_text("utf-8")
        rows = [row for row in csv.reader(text.splitlines()) if row]
    except (OSError, UnicodeDecodeError, csv.Error):
        return None
    return {row[0]: RecordedFile(*(*row[1:3], "", "")[:2]) for row in rows}


def _read_direct_url(info: Path) -> tuple[Path | None, str]:
    """Return where the sources of an editable distribution are, and the hash of an archive."""
    try:
        direct = json.loads((info / "direct_url.json").read_text("utf-8"))
        if direct.get("dir_info", {}).get("editable"):
            return _folder_of(str(direct["url"])), ""
        digest = direct.get("archive_info", {}).get("hashes", {}).get("sha256", "")
        return None, str(digest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return (info.parent, "") if info.suffix == ".egg-info" else (None, "")


def _folder_of(url: str) -> Path:
    return Path(url2pathname(urlsplit(url).path))


def _behind_pth(folder: Path, files: Iterable[str]) -> Iterator[str]:
    """Yield the sources that a distribution's ``.pth`` files put on the path."""
    for name in files:
        if not name.endswith(".pth"):
            continue
        try:
            lines = (folder / name).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            place = folder / line.strip()
            if line.strip() and not line.startswith(("#", "import ")) and place.is_dir():
                yield from _sources_in(place)


def _sources_in(place: Path) -> Iterator[str]:
    for file in sorted(place.rglob("*.py")):
        yield file.relative_to(place).as_posix()

"""What is checked: a wheel, a project folder or an installed distribution, read without running it.

A wheel is unpacked into a scratch folder and a project described there; neither is installed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from comfytavern.discovery import FoundPack, find_packs, normalise

from .environment import Environment, parse_requirements
from .projects import describe, files_below, read_project
from .wheels import UnreadableError, unpack

__all__ = ("Kind", "Subject", "read_subject")


class Kind(StrEnum):
    """Where a subject comes from."""

    WHEEL = "wheel"
    PROJECT = "project"
    INSTALLED = "installed"


@dataclass(frozen=True, slots=True)
class Subject:
    """A pack as its metadata and its list of files describe it.

    ``files`` are relative to where they are, or would be, installed. ``roots`` go on the path
    before it is imported. ``foreign`` are the tags of a wheel that is not for this Python.
    """

    given: str
    kind: Kind
    pack: FoundPack
    requires: tuple[Requirement, ...]
    requires_python: str
    files: frozenset[str] = frozenset()
    roots: tuple[Path, ...] = ()
    foreign: str = ""

    def __str__(self) -> str:
        return f"{self.pack.distribution} {self.pack.version}"

    @property
    def info(self) -> Path:
        """Its ``.dist-info``."""
        assert self.pack.location is not None  # it was read from there
        return self.pack.location

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that the host imports when it loads the pack."""
        return tuple(dict.fromkeys(entry.module for entry in self.pack.entry_points))

    @property
    def own_tops(self) -> frozenset[str]:
        """The top-level modules that its entry points name."""
        entries = (*self.pack.entry_points, *self.pack.commands)
        return frozenset(entry.module.partition(".")[0] for entry in entries)


def read_subject(given: str, environment: Environment, scratch: Path) -> Subject:
    """Read what was named: a ``.whl`` file, a folder, or an installed distribution's name.

    :param scratch: an empty folder
    :raises UnreadableError: there is no such thing, or it cannot be read
    """
    path = Path(given)
    if path.suffix == ".whl":
        return _read_wheel(given, path, scratch)
    if path.is_dir():
        return _read_project(given, path.resolve(), scratch)
    if path.exists():
        remedy = "give a wheel, the folder of a project, or an installed distribution's name"
        raise UnreadableError("it is neither a .whl file nor a folder", remedy)
    return _read_installed(given, environment)


def _read_wheel(given: str, path: Path, scratch: Path) -> Subject:
    rename = "give it the name that its build gave it"
    if not path.is_file():
        raise UnreadableError("there is no such file", "give the path of a wheel: dist/*.whl")
    try:
        name, version, _, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        raise UnreadableError("its name is none of a wheel", rename) from None
    info = unpack(path, scratch)
    foreign = "" if tags & set(sys_tags()) else ", ".join(sorted(map(str, tags)))
    files = files_below(scratch, scratch)
    subject = _read_info(given, Kind.WHEEL, info, files, (scratch,), foreign)
    try:
        is_meant = (subject.pack.distribution, Version(subject.pack.version)) == (name, version)
    except InvalidVersion:
        is_meant = False
    if not is_meant:
        raise UnreadableError(f"inside it is {subject}", rename)
    return subject


def _read_project(given: str, folder: Path, scratch: Path) -> Subject:
    project = read_project(folder)
    info = describe(project, scratch)
    bare = _read_info(given, Kind.PROJECT, info, ())
    tops = sorted(bare.own_tops)
    roots = (scratch, *project.roots_of(tops))
    return _read_info(given, Kind.PROJECT, info, project.files(tops), roots)


def _read_installed(given: str, environment: Environment) -> Subject:
    installed = environment.by_name.get(normalise(given))
    if installed is None:
        raise UnreadableError(
            "there is no such file, folder or installed distribution",
            "give the path of a wheel or a project, or a name as 'comfytavern packs list' has it",
        )
    bare = _read_info(given, Kind.INSTALLED, installed.location, installed.files)
    if not bare.pack.editable:
        return bare
    files = [*installed.files, *_files_of_tops(bare.own_tops)]
    return _read_info(given, Kind.INSTALLED, installed.location, files)


def _read_info(
    given: str,
    kind: Kind,
    info: Path,
    files: Iterable[str],
    roots: tuple[Path, ...] = (),
    foreign: str = "",
) -> Subject:
    """Read a ``.dist-info`` folder."""
    mend = "mend its metadata and build it anew"
    distribution = Distribution.at(info)
    try:
        metadata = distribution.metadata
        name, version = metadata["Name"], metadata["Version"]
        requires = parse_requirements(distribution.requires or ())
        requires_python = metadata["Requires-Python"] or ""
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UnreadableError(f"METADATA: {error}", mend) from error
    pack = next((pack for pack in find_packs([info.parent]) if pack.location == info), None)
    if pack is not None and pack.problem:
        raise UnreadableError(pack.problem, mend)
    if pack is None:
        if not (name and version):
            raise UnreadableError("METADATA: it has no Name or no Version", mend)
        pack = FoundPack(normalise(name), version, location=info)
    return Subject(given, kind, pack, requires, requires_python, frozenset(files), roots, foreign)


def _files_of_tops(tops: Iterable[str]) -> Iterator[str]:
    """Yield the files of top-level modules that only a finder knows."""
    for top in sorted(tops):
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):  # ValueError: a module without a spec is loaded
            continue
        if spec is None:
            continue
        for place in spec.submodule_search_locations or ():
            yield from files_below(Path(place), Path(place).parent)
        if not spec.submodule_search_locations and spec.origin:
            yield Path(spec.origin).name

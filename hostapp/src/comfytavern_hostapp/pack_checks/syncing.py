"""``packs sync``: an environment held against a frozen file, and the pip commands between them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from packaging.version import InvalidVersion, Version

from .environment import Environment, Installed
from .frozen import FrozenPack
from .recorded_files import compare_files, files_digest

__all__ = ("Difference", "DifferenceKind", "find_differences", "pip_commands")

Command = tuple[str, ...]


class DifferenceKind(StrEnum):
    """How an environment differs from the file."""

    MISSING = "missing"
    VERSION = "version"
    FILES = "files"
    EXTRA = "extra"


@dataclass(frozen=True, slots=True)
class Difference:
    """One distribution that is not as the file has it; a version is empty where there is none."""

    kind: DifferenceKind
    name: str
    wanted: str
    installed: str

    def __str__(self) -> str:
        words = {
            DifferenceKind.MISSING: f"{self.name!r} {self.wanted} is not installed",
            DifferenceKind.VERSION: f"{self.name!r} is {self.installed}, not {self.wanted}",
            DifferenceKind.FILES: f"{self.name!r} {self.wanted} has other files",
            DifferenceKind.EXTRA: f"{self.name!r} {self.installed} is not in the file",
        }
        return words[self.kind]

    def to_wire(self) -> dict[str, str | None]:
        """Return the same as JSON values."""
        return {
            "kind": self.kind.value,
            "name": self.name,
            "wanted": self.wanted or None,
            "installed": self.installed or None,
        }


def find_differences(
    environment: Environment, frozen: Iterable[FrozenPack], packs: Collection[str]
) -> tuple[Difference, ...]:
    """Compare; reads the files of what is in the file.

    :param packs: the installed packs that belong into such a file; editable ones never do
    """
    wanted = {pack.name: pack for pack in frozen}
    found = [_compare(environment.by_name.get(name), pack) for name, pack in wanted.items()]
    for name in sorted(set(packs) - set(wanted)):
        installed = environment.by_name.get(name)
        if installed is not None and not installed.editable:
            found.append(Difference(DifferenceKind.EXTRA, name, "", installed.version))
    return tuple(difference for difference in found if difference is not None)


def _compare(installed: Installed | None, wanted: FrozenPack) -> Difference | None:
    if installed is None:
        return Difference(DifferenceKind.MISSING, wanted.name, wanted.version, "")
    kind = None
    if not _is_same_version(installed.version, wanted.version):
        kind = DifferenceKind.VERSION
    elif installed.editable or (wanted.files and files_digest(installed) != wanted.files):
        kind = DifferenceKind.FILES
    elif compare_files(installed):
        kind = DifferenceKind.FILES
    if kind is None:
        return None
    return Difference(kind, wanted.name, wanted.version, installed.version)


def _is_same_version(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def pip_commands(
    differences: Iterable[Difference], file: Path, frozen: Sequence[FrozenPack]
) -> tuple[Command, ...]:
    """Return what pip has to be told to make the environment as the file has it.

    If the file has a hash for everything in it, pip takes nothing that has another. What is too
    much comes last, and is for the operator to remove.
    """
    listed = list(differences)
    new = [_pin(each) for each in listed if each.kind in _NEW]
    changed = [_pin(each) for each in listed if each.kind is DifferenceKind.FILES]
    extra = [each.name for each in listed if each.kind is DifferenceKind.EXTRA]
    # pip takes hashes from files only, and then wants one for every line.
    is_hashed = all(pack.archives for pack in frozen)
    hashed = ("--require-hashes", "-r", str(file))
    commands: list[Command] = []
    if new:
        commands.append(_pip("install", *(hashed if is_hashed else new)))
    if changed:
        anew = ("install", "--force-reinstall", "--no-deps")
        commands.append(_pip(*anew, *(hashed if is_hashed else changed)))
    if extra:
        commands.append(_pip("uninstall", *extra))
    return tuple(commands)


_NEW = (DifferenceKind.MISSING, DifferenceKind.VERSION)


def _pin(difference: Difference) -> str:
    return f"{difference.name}=={difference.wanted}"


def _pip(*arguments: str) -> Command:
    return (sys.executable, "-m", "pip", *arguments)

"""Everything that the rules of ``packs doctor`` look at; nothing is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from .approvals import Approval
from .environment import Environment, Installed
from .recorded_files import Deviations, compare_files

__all__ = ("PathFile", "Surroundings")


@dataclass(frozen=True)
class Surroundings:
    """What the rules of ``packs doctor`` look at.

    :param packs: the distributions that offer nodes or commands
    :param enabled: those of them that the operator lets run
    :param crashed: those that killed the process, and in which phase
    :param approvals_problem: why the approvals cannot be read
    """

    environment: Environment
    packs: frozenset[str] = frozenset()
    enabled: frozenset[str] = frozenset()
    crashed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    approvals: Mapping[str, Approval] = field(default_factory=lambda: MappingProxyType({}))
    approvals_problem: str = ""

    @property
    def installed(self) -> Iterable[Installed]:
        """The distributions that count: of each name the first on the path."""
        return self.environment.by_name.values()

    @cached_property
    def deviations(self) -> Mapping[str, Deviations]:
        """The files that differ from RECORD, by distribution. Reads every file, once."""
        compared = {each.name: compare_files(each) for each in self.installed}
        return {name: deviations for name, deviations in compared.items() if deviations}

    @cached_property
    def paths_with_code(self) -> tuple[PathFile, ...]:
        """The ``.pth`` files that run code whenever this Python starts."""
        owners = {
            each.location.parent / path: each
            for each in self.environment.distributions
            for path in each.record or ()
            if path.endswith(".pth")
        }
        files = (file for folder in self.environment.path for file in sorted(folder.glob("*.pth")))
        found = (PathFile(file, _code_in(file), owners.get(file)) for file in files)
        return tuple(file for file in found if file.code)


class PathFile(NamedTuple):
    """A ``.pth`` file: the first line of it that is code, and whose RECORD lists it."""

    file: Path
    code: str
    owner: Installed | None

    def __str__(self) -> str:
        return f"{self.file.name!r} in {str(self.file.parent)!r}"


def _code_in(file: Path) -> str:
    try:
        lines = file.read_bytes().decode("utf-8-sig", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in lines if line.startswith(("import ", "import\t"))), "")

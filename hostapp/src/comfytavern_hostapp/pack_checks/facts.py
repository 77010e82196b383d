"""Everything that the rules of ``packs check`` look at, gathered before the first of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from .environment import Environment
from .module_names import has_module
from .probes import Imported, Loaded, probe_import, probe_load
from .subjects import Subject

__all__ = ("PackFacts", "gather", "missing_modules")


@dataclass(frozen=True, slots=True)
class PackFacts:
    """A subject and what it does when it is imported; None where it was not."""

    subject: Subject
    environment: Environment
    imported: Imported | None = None
    loaded: Loaded | None = None


def gather(facts: PackFacts, scratch: Path, timeout: float) -> PackFacts:
    """Import the subject in scratch processes, if there is any use in that.

    :param scratch: an empty folder
    :param timeout: seconds for each process
    """
    subject = facts.subject
    if subject.foreign or not _can_import(subject):
        return facts
    imported = probe_import(subject, scratch / "import", timeout)
    if imported.ended.code is None:
        return replace(facts, imported=imported)
    loaded = probe_load(subject, facts.environment, scratch / "load", timeout)
    return replace(facts, imported=imported, loaded=loaded)


def _can_import(subject: Subject) -> bool:
    entries = (*subject.pack.entry_points, *subject.pack.commands)
    return bool(entries) and not missing_modules(subject.files, (e.module for e in entries))


def missing_modules(files: frozenset[str], modules: Iterable[str]) -> list[str]:
    """Return those of the modules that the files do not hold."""
    return [module for module in dict.fromkeys(modules) if not has_module(files, module)]

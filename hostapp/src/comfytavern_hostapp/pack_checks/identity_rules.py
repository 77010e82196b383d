"""Which distribution is which: metadata, top-level modules, and names that look like others."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from comfytavern.pack_records import BUILT_IN_PACKS

from .environment import Installed
from .findings import Fault, Rule, Severity
from .lookalikes import look_alike
from .surroundings import Surroundings

__all__ = ("IDENTITY_RULES",)


def _damaged(around: Surroundings) -> Iterator[Fault]:
    for each in around.environment.distributions:
        if each.problem:
            yield Fault(
                f"the metadata of {each.name!r} cannot be read: {each.problem}",
                f"look into {str(each.location)!r}, and reinstall what left it there",
            )


def _duplicates(around: Surroundings) -> Iterator[Fault]:
    for first, others in _copies(around):
        beside = [each for each in others if each.location.parent == first.location.parent]
        if beside:
            folder = str(first.location.parent)
            versions = ", ".join(each.version for each in (first, *beside))
            yield Fault(
                f"{folder!r} has several metadata of {first.name!r}: {versions}",
                f"remove them, then install one: python -m pip uninstall {first.name}",
            )


def _shadowed(around: Surroundings) -> Iterator[Fault]:
    for first, others in _copies(around):
        for each in others:
            if each.location.parent != first.location.parent:
                yield Fault(
                    f"{each.name!r} {each.version} in {str(each.location.parent)!r} is hidden by"
                    f" {first.version} in {str(first.location.parent)!r}",
                    "uninstall one of the two where it is installed",
                )


def _copies(around: Surroundings) -> Iterator[tuple[Installed, list[Installed]]]:
    for first in around.installed:
        others = [e for e in around.environment.distributions if e.name == first.name]
        yield first, others[1:]


def _shared_tops(around: Surroundings) -> Iterator[Fault]:
    return _doubled(around, of_packs=True)


def _doubled_tops(around: Surroundings) -> Iterator[Fault]:
    return _doubled(around, of_packs=False)


def _doubled(around: Surroundings, *, of_packs: bool) -> Iterator[Fault]:
    owners: dict[str, list[Installed]] = {}
    for each in around.installed:
        for top in each.tops:
            owners.setdefault(top, []).append(each)
    for top, several in sorted(owners.items()):
        clashing = [pair for pair in combinations(several, 2) if _clash(top, *pair) is not None]
        for one, other in clashing:
            if ({one.name, other.name} & around.packs != set()) is of_packs:
                yield Fault(
                    f"the top-level module {top!r} is one of {one.name!r} and of {other.name!r}"
                    f"{_clash(top, one, other)}",
                    "uninstall one of the two, and reinstall the other",
                )


def _clash(top: str, one: Installed, other: Installed) -> str | None:
    """Return which files both have; None if they share a namespace and nothing else."""
    both = sorted(path for path in one.files & other.files if path.partition("/")[0] == top)
    if both:
        return f" (both have {both[0]!r})"
    return "" if one.tops[top] and other.tops[top] else None


def _lookalikes(around: Surroundings) -> Iterator[Fault]:
    known = sorted(around.enabled.union(BUILT_IN_PACKS))
    for each in around.installed:
        for name in known:
            # Two enabled packs are told once; a built-in one is never the impostor.
            is_told = each.name in known and (each.name in BUILT_IN_PACKS or each.name < name)
            if not is_told and look_alike(each.name, name):
                yield Fault(
                    f"the name of {each.name!r} {each.version} is easily taken for {name!r}",
                    "see whether it is the one that you meant; if not:"
                    f" python -m pip uninstall {each.name}",
                )


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

IDENTITY_RULES: tuple[Rule[Surroundings], ...] = (
    Rule("metadata_damaged", _ERROR, "the metadata of every distribution can be read", _damaged),
    Rule("metadata_duplicate", _ERROR, "a folder has one metadata per distribution", _duplicates),
    Rule("metadata_shadowed", _WARNING, "no distribution hides another copy of itself", _shadowed),
    Rule("top_level_shared", _ERROR, "no pack shares a top-level module", _shared_tops),
    Rule("top_level_doubled", _WARNING, "no other distributions share one", _doubled_tops),
    Rule("name_lookalike", _ERROR, "no name is easily taken for a pack's", _lookalikes),
)

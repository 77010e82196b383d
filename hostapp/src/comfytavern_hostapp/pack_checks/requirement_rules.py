"""What a pack requires, held against what is installed; nothing is downloaded or installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from comfytavern.discovery import CORE_DISTRIBUTION, normalise

from .environment import Installed, applies
from .facts import PackFacts
from .findings import Fault, Rule, Severity
from .subjects import Kind

__all__ = ("REQUIREMENT_RULES", "are_disjoint")

_RANGE = f"state it as: {CORE_DISTRIBUTION}>=0.1,<1"
_UPPER = ("<", "<=", "~=", "==", "===")


class Demand(NamedTuple):
    """Something that the pack needs here; ``by`` says who states it, if not the pack itself."""

    requirement: Requirement
    by: str

    @property
    def name(self) -> str:
        """The normalised name of what is needed."""
        return normalise(self.requirement.name)

    def __str__(self) -> str:
        wanted = _shown(self.requirement.name, self.requirement.specifier)
        return f"it requires {wanted}{self.by}"


def _shown(name: str, specifier: SpecifierSet) -> str:
    return repr(f"{name}{specifier}")


def _api_missing(facts: PackFacts) -> Iterator[Fault]:
    if not _api_range(facts):
        yield Fault(f"it states no range of {CORE_DISTRIBUTION} in Requires-Dist", _RANGE)


def _api_open(facts: PackFacts) -> Iterator[Fault]:
    stated = _api_range(facts)
    if stated and not any(each.operator in _UPPER for each in stated):
        what = f"its range of {CORE_DISTRIBUTION} ({stated}) has no upper end"
        yield Fault(f"{what}, so it takes in versions that nobody has tried", _RANGE)


def _api_range(facts: PackFacts) -> SpecifierSet:
    stated = SpecifierSet()
    for requirement in facts.subject.requires:
        if normalise(requirement.name) == CORE_DISTRIBUTION and applies(requirement, {""}):
            stated &= requirement.specifier
    return stated


def _pins(facts: PackFacts) -> Iterator[Fault]:
    for requirement in facts.subject.requires:
        shared = normalise(requirement.name) in facts.environment.host_needs
        if shared and applies(requirement, {""}) and _is_pinned(requirement.specifier):
            shown = _shown(requirement.name, requirement.specifier)
            yield Fault(
                f"it pins {shown}, which the host needs too",
                f"give a range, so that both can be there: {requirement.name}>=...",
            )


def _is_pinned(specifier: SpecifierSet) -> bool:
    return any(
        each.operator == "===" or (each.operator == "==" and not each.version.endswith(".*"))
        for each in specifier
    )


def _conflicts(facts: PackFacts) -> Iterator[Fault]:
    own = facts.subject.pack.distribution
    widen = "widen one of the two ranges, or leave one of the two out"
    for demand in _open_demands(facts):
        for rival, theirs in _rivals(facts, demand):
            shown = _shown(demand.requirement.name, theirs)
            text = f"{demand}, and {rival.name!r} {rival.version} requires {shown}"
            yield Fault(text, widen)
    if facts.subject.kind is not Kind.WHEEL:
        return
    for rival, theirs in facts.environment.requirers(own):
        if not _fits(theirs, facts.subject.pack.version):
            text = f"{rival.name!r} {rival.version} requires {_shown(own, theirs)}"
            yield Fault(f"{text}, and this is {facts.subject.pack.version}", widen)


def _rivals(facts: PackFacts, demand: Demand) -> list[tuple[Installed, SpecifierSet]]:
    """Return who requires the same in versions that the pack cannot have."""
    own, wanted = facts.subject.pack.distribution, demand.requirement.specifier
    return [
        (rival, theirs)
        for rival, theirs in facts.environment.requirers(demand.name)
        if rival.name != own and are_disjoint(wanted, theirs)
    ]


def _unmet(facts: PackFacts) -> Iterator[Fault]:
    if facts.subject.kind is Kind.INSTALLED:
        for demand in _open_demands(facts):
            yield Fault(f"{demand}, and {_state(facts, demand)}", _install(demand))


def _missing(facts: PackFacts) -> Iterator[Fault]:
    for demand in _undecided(facts):
        if demand.name not in facts.environment.by_name:
            text = f"{demand}, which is not installed, so what that requires is not known"
            yield Fault(text, f"to check it too: {_install(demand)}")


def _changes(facts: PackFacts) -> Iterator[Fault]:
    for demand in _undecided(facts):
        if demand.name in facts.environment.by_name:
            text = f"{demand}, and {_state(facts, demand)}: installing the pack changes that"
            yield Fault(text, "let its range take in what is installed, if that works")


def _undecided(facts: PackFacts) -> Iterator[Demand]:
    """Yield what an installer would have to bring, and could without harm to anybody."""
    if facts.subject.kind is Kind.INSTALLED:
        return
    for demand in _open_demands(facts):
        if not _rivals(facts, demand):
            yield demand


def _state(facts: PackFacts, demand: Demand) -> str:
    installed = facts.environment.by_name.get(demand.name)
    return "it is not installed" if installed is None else f"{installed.version} is installed"


def _install(demand: Demand) -> str:
    return f'python -m pip install "{demand.requirement.name}{demand.requirement.specifier}"'


def _open_demands(facts: PackFacts) -> list[Demand]:
    """Return what the pack needs that is not here, or not in that version."""
    return [
        demand
        for demand in _demands(facts)
        if not (
            (installed := facts.environment.by_name.get(demand.name))
            and _fits(demand.requirement.specifier, installed.version)
        )
    ]


def _demands(facts: PackFacts) -> Iterator[Demand]:
    """Yield what the pack requires, then what the extras that it asks for require."""
    waiting = [Demand(each, "") for each in facts.subject.requires if applies(each, {""})]
    seen: set[tuple[str, str]] = set()
    while waiting:
        demand = waiting.pop(0)
        yield demand
        installed = facts.environment.by_name.get(demand.name)
        for extra in demand.requirement.extras:
            if installed is None or (demand.name, normalise(extra)) in seen:
                continue
            seen.add((demand.name, normalise(extra)))
            waiting += _of_extra(installed, extra)


def _of_extra(installed: Installed, extra: str) -> Iterator[Demand]:
    for requirement in installed.requires:
        if applies(requirement, {extra}) and not applies(requirement, {""}):
            yield Demand(requirement, f" through {f'{installed.name}[{extra}]'!r}")


def _fits(specifier: SpecifierSet, version: str) -> bool:
    try:
        return specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True  # nobody can tell


def are_disjoint(one: SpecifierSet, other: SpecifierSet) -> bool:
    """Return whether no version is in both ranges.

    Two ranges that overlap do so at an end of one of them, right above one, or at the bottom.
    """
    ends = [Version("0")]
    for each in (*one, *other):
        try:
            ends.append(Version(each.version.removesuffix(".*")))
        except InvalidVersion:
            continue  # '===' may name anything
    candidates = [candidate for end in ends for candidate in _at(end)]
    return not any(
        one.contains(candidate, prereleases=True) and other.contains(candidate, prereleases=True)
        for candidate in candidates
    )


def _at(end: Version) -> Iterable[Version]:
    base = Version(end.base_version)
    return (end, base, Version(f"{base}.0.1"))


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

REQUIREMENT_RULES: tuple[Rule[PackFacts], ...] = (
    Rule(
        "api_range_missing",
        _ERROR,
        f"`Requires-Dist` names a range of {CORE_DISTRIBUTION}",
        _api_missing,
    ),
    Rule("api_range_open", _WARNING, "that range has an upper end", _api_open),
    Rule("pin_shared", _ERROR, "what the host needs too is not pinned with `==`", _pins),
    Rule(
        "requirement_conflict",
        _ERROR,
        "its requirements and those of others go together",
        _conflicts,
    ),
    Rule("requirement_unmet", _ERROR, "an installed pack has what it requires", _unmet),
    Rule(
        "requirement_changes",
        _WARNING,
        "installing it leaves the versions of others alone",
        _changes,
    ),
    Rule("requirement_missing", _WARNING, "what it requires is here to be checked", _missing),
)

"""What is enabled held against what the operator approved of, and packs that end the process."""

from __future__ import annotations

from collections.abc import Iterator

from comfytavern.pack_records import BUILT_IN_PACKS

from .approvals import APPROVALS_FILE, Approval
from .environment import Installed
from .findings import Fault, Rule, Severity
from .recorded_files import files_digest
from .surroundings import Surroundings

__all__ = ("TRUST_RULES",)


def _broken_approvals(around: Surroundings) -> Iterator[Fault]:
    for each, approval in _approved(around):
        if each.version == approval.version and files_digest(each) != approval.digest:
            yield Fault(
                f"{_shown(each)} has other files than when it was approved",
                f"look at it, then approve it: comfytavern packs enable {each.name}",
            )


def _outdated_approvals(around: Surroundings) -> Iterator[Fault]:
    for each, approval in _approved(around):
        if each.version != approval.version:
            yield Fault(
                f"{each.name!r} was approved as {approval.version} and is {each.version} now",
                f"look at it, then approve it: comfytavern packs enable {each.name}",
            )


def _approved(around: Surroundings) -> Iterator[tuple[Installed, Approval]]:
    for each in around.installed:
        if each.name in around.approvals:
            yield each, around.approvals[each.name]


def _missing_approvals(around: Surroundings) -> Iterator[Fault]:
    if not around.approvals:
        return  # an operator who approves of nothing enables what is installed
    for name in sorted(around.enabled - set(around.approvals) - set(BUILT_IN_PACKS)):
        installed = around.environment.by_name.get(name)
        if installed is not None:
            yield Fault(
                f"{_shown(installed)} is enabled, and nobody has approved it",
                f"approve it: comfytavern packs enable {name}",
            )


def _approvals(around: Surroundings) -> Iterator[Fault]:
    if around.approvals_problem:
        yield Fault(
            f"{APPROVALS_FILE!r} in the data directory cannot be used: {around.approvals_problem}",
            "remove it, look at your packs, then: comfytavern packs enable NAME...",
        )


def _crashed(around: Surroundings) -> Iterator[Fault]:
    for name, phase in sorted(around.crashed.items()):
        yield Fault(
            f"pack {name!r} killed the process the last time it was loaded ({phase})",
            f"comfytavern packs disable {name}; to try it again: comfytavern packs enable {name}",
        )


def _shown(installed: Installed) -> str:
    return f"{installed.name!r} {installed.version}"


_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

TRUST_RULES: tuple[Rule[Surroundings], ...] = (
    Rule("approval_broken", _ERROR, "an approved pack has the files it had", _broken_approvals),
    Rule(
        "approval_outdated",
        _WARNING,
        "an approved pack has the version it had",
        _outdated_approvals,
    ),
    Rule(
        "approval_missing",
        _WARNING,
        "where packs are approved, every enabled one is",
        _missing_approvals,
    ),
    Rule("approvals_damaged", _ERROR, "the approvals can be read", _approvals),
    Rule("crash_marker", _ERROR, "no pack killed the process when it was loaded", _crashed),
)

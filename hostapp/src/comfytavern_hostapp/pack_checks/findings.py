"""What a rule is, and what it finds.

A rule is a function from facts to faults with a stable code, a severity and one line that
says what must hold. The tables of rules are read by the documentation's test, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

__all__ = ("Fault", "PackFinding", "Rule", "Severity", "apply_rules", "errors_in")

F = TypeVar("F")


class Severity(StrEnum):
    """How bad it is: an error fails the command, a warning does so only if asked for."""

    ERROR = "error"
    WARNING = "warning"


class Fault(NamedTuple):
    """Something that a rule objects to: what, naming the place, and the next step."""

    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class PackFinding:
    """A fault under the code and severity of its rule."""

    code: str
    severity: Severity
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity} [{self.code}] {self.message}; {self.remedy}"

    def to_wire(self) -> dict[str, str]:
        """Return the finding as JSON values."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class Rule(Generic[F]):
    """One thing that must hold.

    :param demand: what must hold, in one line, as the documentation says it
    :param find: what breaks it
    """

    code: str
    severity: Severity
    demand: str
    find: Callable[[F], Iterable[Fault]]


def apply_rules(rules: Iterable[Rule[F]], facts: F) -> tuple[PackFinding, ...]:
    """Return what the rules object to, in their order."""
    return tuple(
        PackFinding(rule.code, rule.severity, fault.message, fault.remedy)
        for rule in rules
        for fault in rule.find(facts)
    )


def errors_in(findings: Iterable[PackFinding]) -> int:
    """Return how many of the findings are errors."""
    return sum(finding.severity is Severity.ERROR for finding in findings)

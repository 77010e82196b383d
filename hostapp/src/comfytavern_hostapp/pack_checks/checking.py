"""``packs check``: one subject after the other, each with everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from .content_rules import CONTENT_RULES, UNREADABLE
from .environment import Environment
from .facts import PackFacts, gather
from .findings import PackFinding, Rule, apply_rules, errors_in
from .loading_rules import LOADING_RULES
from .requirement_rules import REQUIREMENT_RULES
from .subjects import read_subject
from .wheels import UnreadableError

__all__ = ("CHECK_RULES", "CheckedPack", "check_pack")

_RULES: Final[tuple[Rule[PackFacts], ...]] = (*CONTENT_RULES, *REQUIREMENT_RULES, *LOADING_RULES)
CHECK_RULES: Final[tuple[Rule[UnreadableError] | Rule[PackFacts], ...]] = (UNREADABLE, *_RULES)
"""Every rule of ``packs check``, in the order in which findings are told."""


@dataclass(frozen=True, slots=True)
class CheckedPack:
    """What came of one subject; the name is empty if it could not be read."""

    given: str
    name: str
    findings: tuple[PackFinding, ...]
    node_types: int = 0
    import_ms: float | None = None

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return errors_in(self.findings)

    def to_wire(self) -> dict[str, object]:
        """Return the same as JSON values."""
        return {
            "subject": self.given,
            "pack": self.name or None,
            "ok": not self.errors,
            "findings": [finding.to_wire() for finding in self.findings],
            "nodeTypes": self.node_types,
            "importMs": self.import_ms,
        }


def check_pack(
    given: str, environment: Environment, *, run: bool = True, timeout: float = 60.0
) -> CheckedPack:
    """Check a wheel, a project folder or an installed distribution.

    Its code runs in processes of their own, or not at all. Blocks.

    :param run: whether to import it, which some rules need
    :param timeout: seconds that each of those processes may take
    """
    with TemporaryDirectory(prefix="comfytavern-check-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder).resolve()
        unpacked = scratch / "files"
        unpacked.mkdir()
        try:
            subject = read_subject(given, environment, unpacked)
        except UnreadableError as error:
            return CheckedPack(given, "", apply_rules([UNREADABLE], error))
        facts = PackFacts(subject, environment)
        if run:
            facts = gather(facts, scratch, timeout)
        findings = apply_rules(_RULES, facts)
    record = facts.loaded.record if facts.loaded is not None else None
    took = facts.imported.total_ms if facts.imported is not None else None
    return CheckedPack(
        given,
        str(subject),
        findings,
        len(record["nodeTypes"]) if record else 0,
        None if took is None else round(took, 1),
    )

"""``packs doctor``: the whole environment, looked at from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from comfytavern.packs import PackManager

from .approvals import ApprovalsDamagedError, read_approvals
from .environment import Environment
from .file_rules import FILE_RULES
from .findings import PackFinding, apply_rules
from .identity_rules import IDENTITY_RULES
from .surroundings import Surroundings
from .trust_rules import TRUST_RULES

__all__ = ("DOCTOR_RULES", "examine")

DOCTOR_RULES: Final = (*IDENTITY_RULES, *FILE_RULES, *TRUST_RULES)
"""Every rule of ``packs doctor``, in the order in which findings are told."""


def examine(
    environment: Environment, packs: PackManager, data_dir: Path
) -> tuple[PackFinding, ...]:
    """Return what is wrong with an environment. Reads every installed file; imports no pack.

    :param packs: the packs by their metadata, and what the operator chose of them
    """
    approvals, problem = {}, ""
    try:
        approvals = read_approvals(data_dir)
    except ApprovalsDamagedError as error:
        problem = str(error)
    records = packs.records
    around = Surroundings(
        environment,
        packs=frozenset(record.distribution for record in records),
        enabled=frozenset(record.distribution for record in records if record.enabled),
        crashed=packs.crashed,
        approvals=approvals,
        approvals_problem=problem,
    )
    return apply_rules(DOCTOR_RULES, around)

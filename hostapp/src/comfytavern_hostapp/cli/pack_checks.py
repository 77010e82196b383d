"""``comfytavern packs check`` and ``packs doctor``: what is wrong with a pack, and around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .failures import BAD_INPUT, OK
from .session import Session, json_option, pass_session

if TYPE_CHECKING:
    from ..pack_checks.checking import CheckedPack
    from ..pack_checks.findings import PackFinding

__all__ = ("check_packs", "examine_packs")

_strict_option = click.option(
    "--strict-warnings", is_flag=True, help="Leave with code 2 for a warning, too."
)


@click.command("check")
@click.argument("subjects", nargs=-1, required=True, metavar="PATH|WHEEL|NAME...")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=60,
    show_default=True,
    help="Seconds that importing a pack may take.",
)
@click.option("--no-import", is_flag=True, help="Run nothing of it: metadata and files only.")
@_strict_option
@json_option("Print one JSON document: ok, and a list of what was checked with its findings.")
@pass_session
def check_packs(
    session: Session,
    subjects: tuple[str, ...],
    timeout: float,
    no_import: bool,
    strict_warnings: bool,
    as_json: bool,
) -> int:
    """Check packs before others get them: wheels, project folders, installed distributions.

    Nothing is installed. What is checked is imported in processes of its own.
    """
    from ..pack_checks.checking import check_pack  # pydantic and packaging: not for help
    from ..pack_checks.environment import read_environment

    environment, checked = read_environment(), []
    for given in subjects:
        session.console.status(f"checking {given}")
        checked.append(check_pack(given, environment, run=not no_import, timeout=timeout))
        session.console.status("")
        if not as_json:
            _tell(session, checked[-1])
    findings = [finding for pack in checked for finding in pack.findings]
    code = _code(findings, strict_warnings=strict_warnings)
    if as_json:
        packs = [pack.to_wire() for pack in checked]
        session.console.json({"ok": code == OK, "packs": packs})
    return code


def _tell(session: Session, checked: CheckedPack) -> None:
    for finding in checked.findings:
        session.console.line(f"{checked.given}: {finding}")
    if not checked.errors:
        types = _counted(checked.node_types, "node type")
        ms = checked.import_ms
        imported = "not imported" if ms is None else f"imported in {ms:.0f} ms"
        summary = ", ".join([types, imported, *_count_warnings(checked.findings)])
        session.console.line(f"ok: {checked.given} ({checked.name}): {summary}")


def _count_warnings(findings: Sequence[PackFinding]) -> list[str]:
    count = sum(finding.severity == "warning" for finding in findings)
    return [_counted(count, "warning")] if count else []


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _code(findings: Sequence[PackFinding], *, strict_warnings: bool) -> int:
    fails = any(strict_warnings or finding.severity == "error" for finding in findings)
    return BAD_INPUT if fails else OK


@click.command("doctor")
@_strict_option
@json_option("Print one JSON document: ok, distributions, packs, findings.")
@pass_session
def examine_packs(session: Session, strict_warnings: bool, as_json: bool) -> int:
    """Look through all that is installed for what is damaged, altered or slipped in.

    No pack is imported. Every installed file is read.
    """
    from ..pack_checks.doctor import examine  # pydantic and packaging: not for help
    from ..pack_checks.environment import read_environment

    environment, packs = read_environment(), session.packs()
    count = len(environment.by_name)
    session.console.status(f"reading the files of {count} distributions")
    findings = examine(environment, packs, session.config.data_dir)
    session.console.status("")
    code = _code(findings, strict_warnings=strict_warnings)
    if as_json:
        session.console.json(
            {
                "ok": code == OK,
                "distributions": count,
                "packs": len(packs.records),
                "findings": [finding.to_wire() for finding in findings],
            }
        )
        return code
    for finding in findings:
        session.console.line(str(finding))
    if not any(finding.severity == "error" for finding in findings):
        looked = [_counted(count, "distribution"), _counted(len(packs.records), "pack")]
        session.console.line(f"ok: {', '.join([*looked, *_count_warnings(findings)])}")
    return code

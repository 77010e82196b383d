"""``comfytavern config``: the effective configuration, and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .failures import BAD_INPUT, OK
from .session import Session, json_option, pass_session

if TYPE_CHECKING:
    from ..config import Problem

__all__ = ("config",)


@click.group()
def config() -> None:
    """The configuration that a command sees."""


@config.command("show")
@json_option("Print one JSON document: a list of key, value, origin.")
@pass_session
def show_config(session: Session, as_json: bool) -> None:
    """Show each effective value and where it came from. Secrets are not shown."""
    from ..config import describe  # pydantic and YAML: not for help

    rows = describe(session.config)
    if as_json:
        keys = ("key", "value", "origin")
        session.console.json([dict(zip(keys, row, strict=True)) for row in rows])
    else:
        session.console.table(("KEY", "VALUE", "ORIGIN"), rows)


@config.command("check")
@click.option("--load", is_flag=True, help="Load the packs and check their settings, too.")
@json_option("Print one JSON document: file, ok, problems, warnings.")
@pass_session
def check_config(session: Session, load: bool, as_json: bool) -> int:
    """Check the configuration: keys and values, secrets, names of packs.

    Packs know best what their settings may be; they are asked with --load only.
    """
    from ..config import ConfigError  # pydantic and YAML: not for help

    path = warnings = None
    try:
        current = session.config
        path, warnings = current.path, list(current.warnings)
        problems = _problems(session, load=load)
    except ConfigError as exc:
        problems = list(exc.problems)
    if as_json:
        session.console.json(
            {
                "file": None if path is None else str(path),
                "ok": not problems,
                "problems": [_wire(problem) for problem in problems],
                "warnings": warnings or [],
            }
        )
    else:
        for problem in problems:
            session.console.line(f"error: {problem}")
        if not problems:
            session.console.line(f"ok: {path or 'no file, so the defaults count'}")
    return BAD_INPUT if problems else OK


def _problems(session: Session, *, load: bool) -> list[Problem]:
    # The engine: not for help.
    from ..config import unresolved_references
    from ..hosting import (
        resource_store,
        secret_store,
        settings_problems,
        unknown_pack_problems,
    )

    current = session.config
    resource_store(current)
    secret_store(current)
    manager = session.open_host(quiet=True, imports="all").packs if load else session.packs()
    for record in manager.records if load else ():
        for warning in record.warnings:
            session.console.warning(f"pack {record.distribution!r}: {warning}")
    return [
        *unresolved_references(current),
        *unknown_pack_problems(current, manager),
        *(settings_problems(current, manager) if load else ()),
    ]


def _wire(problem: Problem) -> dict[str, object]:
    origin = problem.origin
    wire: dict[str, object] = {"message": problem.message, "key": problem.key}
    if origin is not None and origin.kind == "file":
        wire |= {"file": origin.name, "line": origin.line}
    return wire

"""``comfytavern packs``: what is installed, what became of it, and who may run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import OK, PACK_FAILED
from .pack_bisect import bisect_packs
from .pack_checks import check_packs, examine_packs
from .pack_locks import freeze_packs, note_approved, sync_packs
from .pack_new import new_pack
from .session import Session, json_option, pass_session

if TYPE_CHECKING:
    from comfytavern.errors import PackError
    from comfytavern.packs import PackManager, PackRecord

__all__ = ("packs",)

COLUMNS = ("PACK", "VERSION", "STATE", "NODES", "IMPORT", "SUMMARY")


@click.group()
def packs() -> None:
    """Packs: installed distributions that offer nodes."""


for _verb in (new_pack, check_packs, examine_packs, freeze_packs, sync_packs, bisect_packs):
    packs.add_command(_verb)


@packs.command("list")
@click.option("--load", is_flag=True, help="Load the enabled packs and show how that went.")
@click.option("-v", "--verbose", is_flag=True, help="Show warnings and tracebacks.")
@json_option("Print one JSON document: a record per pack.")
@pass_session
def list_packs(session: Session, load: bool, verbose: bool, as_json: bool) -> int:
    """List the installed packs.

    Without --load no pack is imported: the state then says what the configuration makes of
    it, not whether it works, and nodes and milliseconds are those of its last import.
    """
    from ..hosting import unknown_pack_problems, with_crash  # the engine: not for help

    if load:
        manager = session.open_host(quiet=True, imports="all").packs
    else:
        manager = session.packs()
        manager.recall()
    crashed = {} if load else manager.crashed  # a loaded host says it on the record itself
    records = [with_crash(_with_taken_verbs(record), crashed) for record in manager.records]
    for problem in unknown_pack_problems(session.config, manager):
        session.console.warning(str(problem))
    if as_json:
        session.console.json([record.to_wire() for record in records])
        return _code(session, records)
    session.console.table(COLUMNS, [_row(record, load=load) for record in records])
    _show_sum(session, records, load=load)
    for record in records:
        error = manager.error_of(record.distribution)
        _show_details(session, record, error, verbose=verbose)
    return _code(session, records)


def _code(session: Session, records: Sequence[PackRecord]) -> int:
    failed = [r for r in records if r.state.value in ("failed", "incompatible", "conflict")]
    return PACK_FAILED if session.strict and failed else OK


def _row(record: PackRecord, *, load: bool) -> tuple[str, ...]:
    state = record.state.value
    if state == "available" and record.enabled and not load:
        state = "enabled"
    took = f"{record.import_ms:.0f} ms" if record.import_ms is not None else ""
    count = str(len(record.node_types)) if record.node_types else ""
    return (record.distribution, record.version, state, count, took, record.summary)


def _show_sum(session: Session, records: Sequence[PackRecord], *, load: bool) -> None:
    """Say on stderr what importing costs in all."""
    took = [record.import_ms for record in records if record.import_ms is not None]
    if took:
        packs_said = f"{len(took)} pack{'' if len(took) == 1 else 's'}"
        when = "took" if load else "took, when they were last imported,"
        session.console.say(f"{packs_said} {when} {sum(took):.0f} ms to import", "dim")


def _show_details(
    session: Session, record: PackRecord, error: PackError | None, *, verbose: bool
) -> None:
    """Say on stderr why a pack is not there, and what to do about it.

    :param error: what names the places of this machine, which a record does not
    """
    console, name = session.console, f"{record.distribution} {record.version}"
    if record.error:
        reason = record.error if error is None else error.reason.strip().splitlines()[0]
        remedy = f"; {record.remedy}" if record.remedy else ""
        console.error(f"{name} ({record.phase}): {reason}{remedy}")
    if verbose:
        for warning in record.warnings:
            console.warning(f"{name}: {warning}")
        if record.traceback:
            console.say(record.traceback.rstrip(), "dim")


def _with_taken_verbs(record: PackRecord) -> PackRecord:
    """Warn of a verb that this command line has itself: the pack's own never runs."""
    from dataclasses import replace

    group = click.get_current_context().find_root().command
    own = group.commands if isinstance(group, click.Group) else {}
    taken = [
        f"its command {name!r} is taken by the host" for name in record.commands if name in own
    ]
    return replace(record, warnings=(*record.warnings, *taken)) if taken else record


@packs.command("enable")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@pass_session
def enable_packs(session: Session, names: tuple[str, ...]) -> None:
    """Let packs run: edits the configuration file, and notes which versions were approved."""
    _switch(session, names, enable=True)


@packs.command("disable")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@pass_session
def disable_packs(session: Session, names: tuple[str, ...]) -> None:
    """Keep packs from running: edits the configuration file, and only that.

    Without a file the user's own is made: it counts wherever a command is started.
    """
    _switch(session, names, enable=False)


def _switch(session: Session, names: Sequence[str], *, enable: bool) -> None:
    """Change the file for each name. Imports no pack and needs no valid file to start from."""
    from ..config import disable_pack, enable_pack, find_config, user_config_path

    path = find_config(session.config_path) or user_config_path()
    wanted = [_known_name(name, path) for name in names]
    verb = "enabled" if enable else "disabled"
    for name in wanted:
        changed = enable_pack(path, name) if enable else disable_pack(path, name)
        session.console.line(
            f"{verb} {name} in {path}" if changed else f"{name} is {verb} already ({_shown(path)})"
        )
    manager = session.packs()  # what the configuration says now; what is wrong with it is told
    for name in wanted:
        if enable and manager.clear_crash_marker(name):
            session.console.line(f"{name} killed the process once; it is tried again")
        _warn_if_overruled(session, manager, name, enable=enable)
    if enable:
        note_approved(session, wanted)


def _shown(path: Path) -> str:
    return str(path) if path.exists() else "no configuration file"


def _known_name(name: str, path: Path) -> str:
    """Return the distribution's name as pip has it.

    :raises UnknownPackError: it is neither installed nor named in the file
    """
    from comfytavern.discovery import find_packs, normalise
    from comfytavern.errors import UnknownPackError

    wanted = normalise(name)
    installed = {pack.distribution for pack in find_packs()}
    if wanted not in installed | _named_in(path):
        raise UnknownPackError(name, installed)
    return wanted


def _named_in(path: Path) -> set[str]:
    """Return the distributions that the file speaks of: one may be gone, and its entry remain."""
    from comfytavern.discovery import normalise

    from ..config import read_source

    listed = read_source(path).data.get("packs") if path.exists() else None
    found: set[str] = set()
    for key in ("enabled", "disabled"):
        names = listed.get(key) if isinstance(listed, dict) else None
        found |= {normalise(str(name)) for name in names} if isinstance(names, list) else set()
    return found


def _warn_if_overruled(session: Session, manager: PackManager, name: str, *, enable: bool) -> None:
    """Say if the pack's fate is not what the file says: a flag or a variable beats it."""
    from ..config import locate

    if manager.choice.enables(name) is enable:
        return
    config = session.config
    if session.safe:
        reason = "--safe"
    else:
        reason = locate(config, "packs.enabled" if not enable else "packs.disabled")
        if reason == "default" or config.provenance.exact(("packs", "enabled")).kind != "file":
            reason = locate(config, "packs.enabled")
    state = "not enabled" if enable else "still enabled"
    session.console.warning(f"{name} is {state} all the same, because of {reason}")

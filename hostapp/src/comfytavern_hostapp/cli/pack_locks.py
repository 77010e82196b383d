"""``comfytavern packs freeze`` and ``packs sync``: the same packs again, and nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import BAD_INPUT, OK, RUN_FAILED, BadInputError
from .session import Session, json_option, pass_session

if TYPE_CHECKING:
    from ..pack_checks.environment import Environment
    from ..pack_checks.frozen import FrozenPack
    from ..pack_checks.syncing import Difference

__all__ = ("freeze_packs", "note_approved", "sync_packs")


@click.command("freeze")
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--all", "everything", is_flag=True, help="Also the built-in packs.")
@json_option("Print one JSON document: a list of name, version, hashes, files.")
@pass_session
def freeze_packs(session: Session, file: str | None, everything: bool, as_json: bool) -> None:
    """Write which packs are installed, for 'packs sync', pip or uv to bring them back.

    Without FILE it goes to stdout. The built-in packs come with comfytavern itself.
    """
    from ..pack_checks.environment import read_environment  # packaging: not for help
    from ..pack_checks.frozen import freeze, write_frozen

    environment = read_environment()
    names = _pack_names(session, everything=everything)
    frozen = freeze(environment, names)
    for name in sorted(set(names) - {pack.name for pack in frozen}):
        text = "it is editable, or its metadata cannot be read"
        session.console.warning(f"{name} is left out, as no file can bring it back: {text}")
    bare = sum(not pack.archives for pack in frozen)
    if bare:
        text = f"{bare} of {len(frozen)} have no hash for pip: their installer noted none"
        session.console.say(text, "dim")
    if file is not None:
        _write(Path(file), write_frozen(frozen))
        session.console.say(f"wrote {len(frozen)} packs to {file}")
    if as_json:
        session.console.json([pack.to_wire() for pack in frozen])
    elif file is None:
        session.console.write(write_frozen(frozen))


def _pack_names(session: Session, *, everything: bool) -> list[str]:
    from comfytavern.pack_records import BUILT_IN_PACKS

    names = [record.distribution for record in session.packs().records]
    return [name for name in names if everything or name not in BUILT_IN_PACKS]


def _write(path: Path, text: str) -> None:
    """Replace a file that an earlier freeze wrote, or make one.

    :raises BadInputError: somebody else's file is there
    """
    from ..pack_checks.frozen import FROZEN_HEADER
    from ..pack_checks.writing import write_whole

    if path.exists() and not _read(path).startswith(FROZEN_HEADER):
        raise BadInputError(
            "file_exists", f"{str(path)!r} was not written by 'packs freeze'; name another file"
        )
    write_whole(path, text)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise BadInputError("unreadable", f"{str(path)!r} cannot be read: {reason}") from exc
    except UnicodeDecodeError as exc:
        raise BadInputError("unreadable", f"{str(path)!r} is not UTF-8 text") from exc


@click.command("sync")
@click.argument("file", metavar="FILE")
@click.option(
    "--install", is_flag=True, help="Have pip install what differs; FILE needs a hash for each."
)
@json_option("Print one JSON document: ok, differences, commands.")
@pass_session
def sync_packs(session: Session, file: str, install: bool, as_json: bool) -> int:
    """Hold what is installed against a file of 'packs freeze', pip or uv.

    Shows what differs, and the pip commands that would change that. Nothing is installed
    without --install, and nothing is ever removed. Packs that are as FILE has them count as
    approved from then on.
    """
    from ..pack_checks.environment import read_environment  # packaging: not for help
    from ..pack_checks.syncing import pip_commands

    path, environment = Path(file), read_environment()
    frozen = _read_frozen(path)
    differences = _differences(session, environment, frozen)
    if install and _to_install(differences):
        _check_can_install(path, frozen)
        if not _run(session, pip_commands(_to_install(differences), path, frozen)):
            return RUN_FAILED
        environment = read_environment()
        differences = _differences(session, environment, frozen)
    _approve_matching(session, environment, frozen, differences)
    commands = pip_commands(differences, path, frozen)
    if as_json:
        session.console.json(
            {
                "ok": not differences,
                "differences": [difference.to_wire() for difference in differences],
                "commands": [list(command) for command in commands],
            }
        )
    else:
        _tell(session, file, frozen, differences, commands)
    return BAD_INPUT if differences else OK


def _read_frozen(path: Path) -> tuple[FrozenPack, ...]:
    from ..pack_checks.frozen import FrozenFileError, read_frozen

    try:
        return read_frozen(_read(path))
    except FrozenFileError as exc:
        raise BadInputError("file_unfit", f"{path}: {exc}") from exc


def _differences(
    session: Session, environment: Environment, frozen: Sequence[FrozenPack]
) -> tuple[Difference, ...]:
    from ..pack_checks.syncing import find_differences

    return find_differences(environment, frozen, _pack_names(session, everything=False))


def _to_install(differences: Iterable[Difference]) -> list[Difference]:
    return [difference for difference in differences if difference.kind != "extra"]


def _check_can_install(path: Path, frozen: Sequence[FrozenPack]) -> None:
    """Refuse what could not be verified.

    :raises BadInputError: a line has no hash, or there is no pip
    """
    from importlib.util import find_spec

    bare = ", ".join(repr(pack.name) for pack in frozen if not pack.archives)
    if bare:
        raise BadInputError(
            "no_hashes",
            f"{str(path)!r} has no hash for {bare}, so nothing was installed; add hashes"
            " (uv pip compile --generate-hashes), or run the commands that sync shows yourself",
        )
    if find_spec("pip") is None:
        command = f"uv pip install --require-hashes -r {shlex.quote(str(path))}"
        raise BadInputError("no_pip", f"there is no pip in this environment; use uv: {command}")


def _run(session: Session, commands: Iterable[Sequence[str]]) -> bool:
    import subprocess
    import sys

    for command in commands:
        session.console.say(shlex.join(command), "dim")
        # Its output is no result of ours, and stdout may be a JSON document.
        done = subprocess.run(command, stdout=sys.stderr, check=False)
        if done.returncode:
            session.console.error(f"pip ended with code {done.returncode}; see above")
            return False
    return True


def _approve_matching(
    session: Session,
    environment: Environment,
    frozen: Iterable[FrozenPack],
    differences: Iterable[Difference],
) -> None:
    matching = {pack.name for pack in frozen} - {each.name for each in differences}
    packs = {record.distribution for record in session.packs().records}
    _approve(session, environment, matching & packs)


def _tell(
    session: Session,
    file: str,
    frozen: Sequence[FrozenPack],
    differences: Sequence[Difference],
    commands: Iterable[Sequence[str]],
) -> None:
    for difference in differences:
        session.console.line(f"differs [{difference.kind}] {difference}")
    for command in commands:
        session.console.line(f"to change that: {shlex.join(command)}")
    if not differences:
        session.console.line(f"ok: {len(frozen)} distributions are as {file} has them")


def note_approved(session: Session, names: Iterable[str]) -> None:
    """Note that the operator approves of these packs as they are installed now."""
    from ..pack_checks.environment import read_environment  # packaging: not for help

    _approve(session, read_environment(), names)


def _approve(session: Session, environment: Environment, names: Iterable[str]) -> None:
    """What cannot be noted is a warning: it must not keep a pack from being enabled."""
    from ..pack_checks.approvals import APPROVALS_FILE, ApprovalsDamagedError, approve

    packs = [environment.by_name[name] for name in names if name in environment.by_name]
    try:
        approve(session.config.data_dir, packs)
    except ApprovalsDamagedError as exc:
        session.console.warning(f"{APPROVALS_FILE!r} in the data directory cannot be used: {exc}")
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        session.console.warning(f"{APPROVALS_FILE!r} cannot be written: {reason}")

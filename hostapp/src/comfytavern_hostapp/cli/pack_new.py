"""``comfytavern packs new``: a pack to start from."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import BadInputError
from .session import Session, json_option, pass_session

if TYPE_CHECKING:
    from ..pack_names import PackName

__all__ = ("new_pack",)


@click.command("new")
@click.argument("name")
@click.option("--directory", metavar="DIR", help="The folder to write, in place of NAME.")
@click.option("--author", metavar="TEXT", help="Who holds the copyright.")
@json_option("Print one JSON document: names, folder, files, next commands.")
@pass_session
def new_pack(
    session: Session, name: str, directory: str | None, author: str | None, as_json: bool
) -> None:
    """Write a new pack: two nodes, their tests, and all that it takes to publish them.

    It needs no network, and writes nothing but the new folder.
    """
    from importlib.metadata import version  # reading what is installed: not for help

    from comfytavern.discovery import CORE_DISTRIBUTION

    from ..pack_template import PackFacts, core_range, write_pack

    names = _checked(name)
    facts = PackFacts(
        name=names.distribution,
        package=names.package,
        author=_one_line(author) if author is not None else f"The {names.distribution} authors",
        year=date.today().year,
        core_range=core_range(version(CORE_DISTRIBUTION)),
    )
    target = Path(names.distribution if directory is None else directory)
    files = write_pack(target, facts)
    commands = _next_commands(target)
    if as_json:
        session.console.json(
            {
                "distribution": facts.name,
                "package": facts.package,
                "coreRange": facts.core_range,
                "directory": str(target),
                "files": [file.relative_to(target).as_posix() for file in files],
                "next": commands,
            }
        )
        return
    for file in files:
        session.console.line(str(file))
    session.console.say("\n".join(["\nNext:", *(f"  {command}" for command in commands)]), "dim")


def _checked(name: str) -> PackName:
    """Return the names of a new pack.

    :raises BadInputError: no pack can be named so
    """
    from ..pack_names import PackNameError, check_name  # what is installed: not for help

    try:
        return check_name(name)
    except PackNameError as exc:
        raise BadInputError(exc.code, str(exc)) from exc


def _one_line(author: str) -> str:
    """Return the author in one line, as it is written into files.

    :raises click.UsageError: there is nothing, or something that is no text
    """
    line = " ".join(author.split())
    if not line or not line.isprintable():
        context = click.get_current_context()
        raise click.UsageError(f"--author is {author!r}; expected a name", context)
    return line


def _next_commands(target: Path) -> list[str]:
    """Return what to do with the new pack, as commands to start where we are."""
    import shlex  # both for this alone: not for help
    import subprocess

    quoted = subprocess.list2cmdline if os.name == "nt" else shlex.join
    tests = [] if target == Path() else [str(target)]
    return [
        quoted(["pip", "install", "-e", f"{target}[dev]"]),
        quoted(["pytest", *tests]),
        quoted(["comfytavern", "run", str(target / "examples" / "hello.json")]),
    ]

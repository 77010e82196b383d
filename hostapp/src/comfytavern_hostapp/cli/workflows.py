"""``comfytavern workflows``: what is done to workflow files, apart from running them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .failures import OK
from .session import Session, json_option, pass_session

if TYPE_CHECKING:
    from ..library.rewriting import Rewriting

__all__ = ("workflows",)


@click.group()
def workflows() -> None:
    """Workflow files."""


@workflows.command("migrate")
@click.argument("workflow", metavar="FILE")
@click.option("--write", is_flag=True, help="Rewrite the file; without it, only say what would be.")
@json_option("Print one JSON document: file, changes, recorded, missing, written.")
@pass_session
def migrate(session: Session, workflow: str, write: bool, as_json: bool) -> int:
    """Bring a workflow file up to date: nodes and slots that packs renamed.

    Every node is given the distribution and version of its pack. Nodes of missing packs and
    all that nobody renamed stay as they are, unknown fields and the order of keys included.
    """
    # The packs: not for help.
    from ..library.rewriting import prepare_rewriting
    from ..library.workflow_files import STDIN

    if write and workflow == STDIN:
        raise click.UsageError("--write needs a file", click.get_current_context())
    found = prepare_rewriting(workflow, session.open_host(imports="needed").registry)
    if write:
        found.write()
    is_written = write and found.text is not None
    if as_json:
        session.console.json(
            {
                "file": found.file,
                "changes": [finding.to_wire() for finding in found.notes],
                "recorded": found.recorded,
                "missing": [finding.to_wire() for finding in found.missing],
                "written": is_written,
            }
        )
        return OK
    for finding in found.notes:
        session.console.line(f"changed [{finding.code}] {finding.message}")
    for finding in found.missing:
        session.console.line(f"missing [{finding.code}] {finding.message}")
    session.console.line(_summary(found, is_written=is_written))
    return OK


def _summary(found: Rewriting, *, is_written: bool) -> str:
    if found.text is None:
        return "nothing to change"
    told = f"changes: {len(found.notes)}, packs recorded: {found.recorded}"
    return (
        f"{told}; written to {found.file}" if is_written else f"{told}; --write rewrites the file"
    )

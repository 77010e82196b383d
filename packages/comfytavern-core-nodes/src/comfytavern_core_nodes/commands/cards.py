"""``comfytavern cards``: look at a card, check cards, and ask why a prompt is as it is."""

from __future__ import annotations

import click

from .host import CommandHost, json_option

__all__ = ("cards",)

_OK, _WARNINGS, _UNREADABLE = 0, 1, 2


@click.group()
def cards() -> None:
    """Character cards, and the prompts that are made with them."""


@cards.command()
@click.argument("file", metavar="FILE")
@json_option("Print the normalised card as one JSON document.")
@click.pass_obj
def show(host: CommandHost, file: str, as_json: bool) -> int:
    """Show what a character card says: PNG, APNG, CHARX, JSON or YAML."""
    # The readers, pydantic and YAML: not for help.
    from ..cards import CardError, read_card
    from .card_files import CardFileError, card_bytes
    from .card_view import card_lines

    try:
        data = card_bytes(file)
        reading = read_card(data, file)
    except CardFileError as error:
        host.refuse("bad_file", str(error))
    except CardError as error:
        host.refuse(error.code, f"card {file!r} cannot be read: {error.reason}")
    for warning in reading.warnings:
        host.console.warning(warning)
    if as_json:
        host.console.json(reading.card.model_dump(mode="json"))
    else:
        for line in card_lines(reading.card, file, len(data)):
            host.console.line(line)
    return _OK


@cards.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@json_option("Print one JSON document: files, each with readable and findings.")
@click.pass_obj
def lint(host: CommandHost, files: tuple[str, ...], as_json: bool) -> int:
    """Say everything that is odd about character cards, each with its place and a reason.

    Notes are harmless; unknown keys are notes and are kept. The exit code is 0 if there is nothing
    but notes, 1 with warnings, 2 if a card cannot be read.
    """
    # As above.
    from .card_files import lint_file
    from .card_view import lint_document, lint_lines

    looked = [(file, lint_file(file)) for file in files]
    if as_json:
        host.console.json({"files": [lint_document(file, found) for file, found in looked]})
    else:
        for file, found in looked:
            for line in lint_lines(file, found):
                host.console.line(line)
    if any(found.reading is None for _, found in looked):
        return _UNREADABLE
    levels = {finding.level for _, found in looked for finding in found.findings}
    return _WARNINGS if "warning" in levels else _OK


@cards.command()
@click.argument("workflow", metavar="WORKFLOW")
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="KEY=VALUE",
    help="An input of the workflow; @FILE stands for a file's content, @- for stdin.",
)
@click.option(
    "--set",
    "values",
    multiple=True,
    metavar="NODE.KEY=VALUE",
    help="An input or a config value of one node.",
)
@json_option("Print one JSON document: nodes, each with its messages and report.")
@click.pass_obj
def explain(
    host: CommandHost,
    workflow: str,
    inputs: tuple[str, ...],
    values: tuple[str, ...],
    as_json: bool,
) -> int:
    """Say why the prompt of a workflow is as it is, without asking a model.

    Runs only what the workflow's Build Context nodes need, and shows for each which entries of
    world books fired or what stopped them, what every part costs, what was left out, and where
    each text of each message comes from.
    """
    # As above.
    from .explanation import explain_workflow

    explain_workflow(host, workflow, inputs, values, as_json=as_json)
    return _OK

"""``comfytavern runs``: what ran, runs and waits, on a server or in the data directory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from .failures import INTERRUPTED, OK, RUN_FAILED
from .session import Session, json_option, pass_session

if TYPE_CHECKING:
    from ..wire import RunEntry
    from .runs_source import RunsSource

__all__ = ("runs",)

_STATUSES = ("queued", "running", "complete", "error", "interrupted")

_server_option = click.option(
    "--server",
    metavar="URL",
    envvar="COMFYTAVERN_SERVER",
    help="Ask this server, not the one that has the data directory.",
)


@click.group()
def runs() -> None:
    """Runs: those of a server, or those that the data directory holds.

    Without --server it is the server that uses the data directory, if one does. A run is named
    by its id, or by as much of its beginning as no other run has.
    """


@runs.command("list")
@click.option("--status", "statuses", type=click.Choice(_STATUSES), multiple=True)
@click.option("--workflow", metavar="ID", help="Those of one stored workflow.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@_server_option
@json_option("Print one JSON document: a list of runs.")
@pass_session
def list_runs(
    session: Session,
    statuses: tuple[str, ...],
    workflow: str | None,
    limit: int,
    everything: bool,
    server: str | None,
    as_json: bool,
) -> None:
    """List runs: what runs, what waits, what has ended, the newest first."""
    from .runs_lookup import list_runs  # pydantic: not for help
    from .runs_view import run_table

    with _source(session, server) as source:
        listed = list_runs(source, statuses, workflow, None if everything else limit)
        if as_json:
            session.console.json([_wire(run) for run in listed.runs])
        else:
            run_table(session.console, listed.runs, is_live=source.is_live)
            if not listed.runs:
                session.console.say(f"no such runs at {source.place}", "dim")
            if len(listed.runs) < listed.total:
                count = f"{len(listed.runs)} of {listed.total} runs"
                session.console.say(f"{count}; --all lists them all", "dim")
        _tell_if_unattended(session, source, listed.runs)


@runs.command("show")
@click.argument("run_id", metavar="ID")
@click.option("--events", is_flag=True, help="Print the events so far, a line of JSON each.")
@_server_option
@json_option("Print one JSON document: the run with its workflow, nodes, outputs and error.")
@pass_session
def show_run(
    session: Session, run_id: str, events: bool, server: str | None, as_json: bool
) -> None:
    """Show a run: its status, its nodes, its outputs, why it failed.

    With --json, --events puts the events into the document.
    """
    from .runs_lookup import find_runs  # pydantic: not for help
    from .runs_view import run_lines

    console = session.console
    with _source(session, server) as source:
        (entry,) = find_runs(source, [run_id])
        if events and not as_json:
            for event in _events_so_far(source, entry):
                console.json(event, in_one_line=True)
            return
        run = source.show(entry.prompt_id)
        if as_json:
            told = {"events": list(_events_so_far(source, run))} if events else {}
            console.json(_wire(run) | told)
            return
        is_terminal, is_live = console.is_terminal, source.is_live
        for line in run_lines(run, is_terminal=is_terminal, is_live=is_live, debug=session.debug):
            console.line(line)
        _tell_if_unattended(session, source, [run])


@runs.command("tail")
@click.argument("run_id", metavar="[ID]", required=False)
@click.option("--since", type=click.IntRange(min=0), metavar="N", help="Only events after the Nth.")
@click.option(
    "--retry",
    type=click.FloatRange(min=0),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long to try again when the connection breaks.",
)
@_server_option
@json_option("Print every event as it comes, a line of JSON each.")
@pass_session
def tail_run(
    session: Session,
    run_id: str | None,
    since: int | None,
    retry: float,
    server: str | None,
    as_json: bool,
) -> int:
    """Follow a run to its end, as 'comfytavern run' shows its own.

    What was so far comes first. The exit code is that of the run: 0, 1 for an error, 130 if it
    was interrupted; Ctrl-C only ends the following. Without an ID every run is followed, from
    now on, a line per event with the beginning of its id. Without a server what is stored is
    shown.
    """
    if run_id is None and since is not None:
        raise click.UsageError("--since goes with an ID", click.get_current_context())
    from .runs_lookup import find_runs  # pydantic: not for help
    from .runs_tail import follow_all, follow_run

    with _source(session, server, patience=retry) as source:
        if run_id is None:
            follow_all(session.console, source, as_json=as_json)
            return OK
        (entry,) = find_runs(source, [run_id])
        try:
            return follow_run(session, source, entry, after=since or 0, as_json=as_json)
        except KeyboardInterrupt:
            session.console.end_line()
            # A terminal has shown the keys as '^C'.
            newline = "\n" if session.console.err.isatty() else ""
            session.console.say(f"{newline}left; run {entry.prompt_id} goes on")
            return INTERRUPTED


@runs.command("cancel")
@click.argument("run_ids", nargs=-1, metavar="[ID...]")
@click.option("--all-queued", is_flag=True, help="Every run that waits.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=10,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for running ones to stop.",
)
@_server_option
@json_option("Print one JSON document: a list of runs with what has become of each.")
@pass_session
def cancel_runs(
    session: Session,
    run_ids: tuple[str, ...],
    all_queued: bool,
    wait: float,
    server: str | None,
    as_json: bool,
) -> int:
    """Interrupt runs that wait or run, and say what has become of each.

    Without a server, what waits in the data directory is ended there, and so is what was
    running when its host stopped. The exit code is 1 if something has not stopped yet.
    """
    if bool(run_ids) == all_queued:
        raise click.UsageError("expected an ID, or --all-queued", click.get_current_context())
    from .runs_cancel import cancel  # pydantic: not for help
    from .runs_lookup import find_runs, queued_runs

    with _source(session, server) as source:
        wanted = queued_runs(source) if all_queued else find_runs(source, run_ids)
        outcomes = cancel(session.console, source, wanted, wait, as_json=as_json)
    if as_json:
        session.console.json([outcome.to_wire() for outcome in outcomes])
    elif not outcomes:
        session.console.say("no run waits")
    return OK if all(outcome.has_stopped for outcome in outcomes) else RUN_FAILED


@contextmanager
def _source(session: Session, server: str | None, *, patience: float = 0.0) -> Iterator[RunsSource]:
    from .runs_source import open_source  # pydantic: not for help

    source = open_source(session, server, patience=patience)
    try:
        yield source
    finally:
        source.close()


def _events_so_far(source: RunsSource, run: RunEntry) -> Iterator[dict[str, Any]]:
    """Give the events of a run without waiting for more. Any: JSON."""
    with closing(source.follow(run.prompt_id)) as events:
        for event in events:
            yield event
            if event["seq"] >= run.last_seq:
                return


def _tell_if_unattended(session: Session, source: RunsSource, listed: Sequence[RunEntry]) -> None:
    """Say what a status is worth while no host is there."""
    if source.is_live:
        return
    statuses = {run.status.value for run in listed}
    if "running" in statuses:
        session.warn(
            "no host is running, so what is marked as running has stopped; the next start of the"
            " host ends it, or 'comfytavern runs cancel'"
        )
    elif "queued" in statuses:
        session.warn("no host is running; what is queued waits for 'comfytavern serve'")


def _wire(run: RunEntry) -> dict[str, object]:
    return run.model_dump(mode="json", by_alias=True, exclude_none=True)

"""``comfytavern runs tail``: one run to its end, or all of them from now on."""

from __future__ import annotations

from contextlib import nullcontext

from comfytavern.events import FINAL_STATUSES, Status

from ..console import Console
from ..wire import RunEntry
from .failures import RUN_FAILED, BadInputError
from .run_report import exit_code
from .runs_lookup import SHORT
from .runs_source import RunsSource
from .runs_view import FollowedRun, event_line
from .session import Session

__all__ = ("follow_all", "follow_run")


def follow_run(
    session: Session, source: RunsSource, entry: RunEntry, *, after: int, as_json: bool
) -> int:
    """Show the events of a run after one, to its end; return the exit code that goes with it.

    Without a host it ends with what is stored.
    """
    console, run_id = session.console, entry.prompt_id
    if not source.is_live:
        console.say(f"no host is running; this is what {source.place} holds", "dim")
    view = None
    if not as_json:
        view = FollowedRun(console, source.show(run_id), after=after, debug=session.debug)
    with view or nullcontext():
        for event in source.follow(run_id, after):
            if view is None:
                console.json(event, in_one_line=True)
            else:
                view.take(event)
        run = source.show(run_id)
        if run.status in FINAL_STATUSES:
            return exit_code(run.status) if view is None else view.finish(run)
    stands = "waits" if run.status is Status.QUEUED else "was running when its host stopped"
    console.say(f"run {run_id} {stands}; 'comfytavern serve' takes it up")
    return RUN_FAILED


def follow_all(console: Console, source: RunsSource, *, as_json: bool) -> None:
    """Show what happens in every run from now on, until Ctrl-C.

    :raises BadInputError: no host is there in which anything could happen
    """
    from .server_feed import AllRuns  # WebSockets: for nothing else
    from .server_runs import ServerRuns

    if not isinstance(source, ServerRuns):
        message = "no host is running, so there is nothing to follow; name a run to see what is"
        raise BadInputError("no_host", f"{message} stored of it, or start 'comfytavern serve'")
    console.say(f"following every run at {source.place}; Ctrl-C ends it", "dim")
    for event in AllRuns(source):
        if as_json:
            console.json(event, in_one_line=True)
        elif (said := event_line(event)) is not None:
            console.line(f"{event['payload']['promptId'][:SHORT]}  {said}")

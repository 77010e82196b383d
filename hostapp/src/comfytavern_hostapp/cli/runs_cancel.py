"""``comfytavern runs cancel``: what is told of runs that are to be interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

from comfytavern.events import FINAL_STATUSES, Status

from ..console import Console
from ..wire import AbandonedWork, RunEntry
from .runs_lookup import short_ids
from .runs_source import RunsSource

__all__ = ("Outcome", "cancel")

_STOPPING = "interrupting"
_FINAL = {status.value for status in FINAL_STATUSES}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of a run.

    :param was: its status before
    :param status: its status now, ``interrupting`` if it has not ended yet
    :param goes_on: nodes that do not stop although the run has ended
    """

    run_id: str
    was: str
    status: str
    goes_on: Sequence[AbandonedWork] = ()

    @property
    def has_stopped(self) -> bool:
        """Whether nothing of it is executed any more."""
        return self.status in _FINAL and not self.goes_on

    def to_wire(self) -> dict[str, object]:
        """Return it as JSON."""
        works = [{"nodeId": work.node_id, "pack": work.pack} for work in self.goes_on]
        return {
            "promptId": self.run_id,
            "was": self.was,
            "status": self.status,
            "stopped": self.has_stopped,
            "goesOn": works,
        }


def cancel(
    console: Console, source: RunsSource, runs: Sequence[RunEntry], wait: float, *, as_json: bool
) -> list[Outcome]:
    """Interrupt runs and say what has become of each, as soon as that is known.

    :param wait: seconds until all of them should have ended
    """
    ids, until = short_ids(runs), monotonic() + wait
    outcomes = []
    for outcome in _outcomes(console, source, runs, until, as_json=as_json):
        outcomes.append(outcome)
        if not as_json:
            shown = ids[outcome.run_id] if console.is_terminal else outcome.run_id
            console.line(f"{shown}: {_told(outcome, source, wait)}")
    return outcomes


def _outcomes(
    console: Console, source: RunsSource, runs: Sequence[RunEntry], until: float, *, as_json: bool
) -> Iterator[Outcome]:
    """Ask for all at once; then wait for those that take their time."""
    # Those that wait first: they would begin when a running one makes room.
    ordered = sorted(runs, key=lambda run: run.status is not Status.QUEUED)
    entries = {run.prompt_id: run for run in ordered}
    stopping = []
    for run_id, told in source.interrupt(list(entries)):
        if told == _STOPPING:
            stopping.append(run_id)
        else:
            was = entries[run_id].status.value
            goes_on = source.abandoned(run_id) if was in _FINAL else ()
            yield Outcome(run_id, was, told, goes_on)
    if stopping and not as_json:
        what = f"{len(stopping)} runs" if len(stopping) > 1 else "the run"
        console.say(f"waiting for {what} to stop; Ctrl-C leaves without waiting", "dim")
    for run_id in stopping:
        entry = entries[run_id]
        status = _STOPPING
        if source.has_ended(run_id, entry.last_seq, max(0.0, until - monotonic())):
            status = source.show(run_id).status.value
        goes_on = source.abandoned(run_id) if status in _FINAL else ()
        yield Outcome(run_id, entry.status.value, status, goes_on)


def _told(outcome: Outcome, source: RunsSource, wait: float) -> str:
    if outcome.status not in _FINAL:
        return f"still stopping after {wait:g} s"
    has_ended = f"it was {outcome.status} already" if outcome.was in _FINAL else outcome.status
    if outcome.goes_on:
        nodes = ", ".join(f"{work.node_id!r} of pack {work.pack!r}" for work in outcome.goes_on)
        return f"{has_ended}, but its work goes on and holds a slot: node {nodes}"
    if outcome.was in _FINAL:
        return has_ended
    if outcome.status != Status.INTERRUPTED:
        return f"{outcome.status}; it ended before it could be interrupted"
    if outcome.was == Status.QUEUED:
        return "interrupted; it waited"
    if source.is_live:
        return "interrupted; its work has stopped"
    return "interrupted; it was running when its host stopped"

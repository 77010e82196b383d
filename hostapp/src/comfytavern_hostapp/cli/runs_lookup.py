"""Which runs are meant: by id or the beginning of one, by status and workflow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from comfytavern.errors import did_you_mean
from comfytavern.events import FINAL_STATUSES, Status

from ..store import RunFilter
from ..wire import HistoryPage, RunEntry
from .failures import BadInputError
from .runs_source import RunsSource

__all__ = ("Listed", "find_runs", "list_runs", "queued_runs", "short_ids")

SHORT = 8  # characters of an id that a person is shown, at the least
# Longer than any id is; a server takes no longer text to look for either.
_LONGEST = 200
_MOST_NAMED = 10
_PAGE = 500
_NEWEST = 100
_FINAL = tuple(status.value for status in Status if status in FINAL_STATUSES)


class Listed(NamedTuple):
    """Some runs, and how many there are."""

    runs: Sequence[RunEntry]
    total: int


def find_runs(source: RunsSource, given: Sequence[str]) -> list[RunEntry]:
    """Return the runs whose ids are given, or begin as is given; each once.

    :raises BadInputError: no run is meant, or more than one
    """
    found = [_find(source, begin) for begin in given]
    return list({run.prompt_id: run for run in found}.values())


def _find(source: RunsSource, begin: str) -> RunEntry:
    fitting: list[RunEntry] = []
    if 0 < len(begin) <= _LONGEST:
        for run in _all(source, RunFilter(text=begin)):
            if run.prompt_id == begin:
                return run
            if run.prompt_id.startswith(begin):
                fitting.append(run)
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        newest = source.page(RunFilter(limit=_NEWEST)).runs
        hint = did_you_mean(begin, {run.prompt_id[: max(len(begin), 1)] for run in newest})
        hint = hint or "; 'comfytavern runs list --all' lists them all"
        raise BadInputError("unknown_run", f"no run has an id that begins with {begin!r}{hint}")
    ids = [run.prompt_id for run in fitting[:_MOST_NAMED]]
    more = f" and {len(fitting) - len(ids)} more" if len(fitting) > len(ids) else ""
    message = f"{len(fitting)} runs have an id that begins with {begin!r}: {', '.join(ids)}{more}"
    raise BadInputError("ambiguous_run", message)


def list_runs(
    source: RunsSource,
    statuses: Sequence[str] = (),
    workflow_id: str | None = None,
    limit: int | None = None,
) -> Listed:
    """Return what runs, what waits, in order, then what has ended, newest first.

    :param limit: how many at the most; None for all
    """
    wanted = set(statuses) or {Status.RUNNING, Status.QUEUED, *_FINAL}
    listed = Listed([], 0)
    for group in ((Status.RUNNING.value,), (Status.QUEUED.value,), _FINAL):
        chosen = tuple(status for status in group if status in wanted)
        if chosen:
            room = None if limit is None else max(0, limit - len(listed.runs))
            more = _group(source, RunFilter(statuses=chosen, workflow_id=workflow_id), room)
            listed = Listed([*listed.runs, *more.runs], listed.total + more.total)
    return Listed(_each_once(listed.runs), listed.total)


def _group(source: RunsSource, wanted: RunFilter, room: int | None) -> Listed:
    """Return the runs of a status; the queue is in the order of its positions."""
    if wanted.statuses == (Status.QUEUED.value,):
        queue = sorted(_all(source, wanted), key=lambda run: run.queue_position or 0)
        return Listed(queue[:room], len(queue))
    size = _PAGE if room is None else min(max(1, room), _PAGE)
    first = source.page(replace(wanted, limit=size))
    return Listed(list(islice(_from(source, wanted, first), room)), first.total)


def _each_once(runs: Sequence[RunEntry]) -> list[RunEntry]:
    """Keep the latest of what is known of each run: one may go on while others are listed."""
    return list({run.prompt_id: run for run in runs}.values())


def queued_runs(source: RunsSource) -> list[RunEntry]:
    """Return the runs that wait, in order."""
    return list(list_runs(source, [Status.QUEUED.value]).runs)


def _all(source: RunsSource, wanted: RunFilter) -> Iterator[RunEntry]:
    """Give the runs of all pages."""
    wanted = replace(wanted, limit=_PAGE)
    return _from(source, wanted, source.page(wanted))


def _from(source: RunsSource, wanted: RunFilter, page: HistoryPage) -> Iterator[RunEntry]:
    """Give the runs of a page and of those that follow."""
    yield from page.runs
    while page.next_before is not None:
        page = source.page(replace(wanted, limit=_PAGE, before=page.next_before))
        yield from page.runs


def short_ids(runs: Sequence[RunEntry]) -> dict[str, str]:
    """Return the beginning of each id, as long as it takes to tell them apart."""
    ids = [run.prompt_id for run in runs]
    length = SHORT
    while len({run_id[:length] for run_id in ids}) < len(set(ids)):
        length += 1
    return {run_id: run_id[:length] for run_id in ids}

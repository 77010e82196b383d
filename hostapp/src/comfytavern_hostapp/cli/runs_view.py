"""What a person sees of runs: the list, one run in full, and events as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any

from comfytavern.errors import WorkflowError
from comfytavern.events import EventType, Status
from comfytavern.runner import Envelope
from comfytavern.workflow import parse_workflow

from ..console import Console
from ..wire import RunEntry, StoredRunDetail
from .run_report import Ending, TextReport, failure_text, output_line
from .run_view import Collected, Outline, RunView, duration, ended_node, waiting
from .runs_lookup import SHORT, short_ids

__all__ = ("FollowedRun", "event_line", "run_lines", "run_table", "status_text")

TICK = 0.1  # seconds between two drawings of the status line
_REMEDIES = {
    "host_stopped": "hand it in again",
    "runner_failed": "the log of the host says more",
}


def run_table(console: Console, runs: Sequence[RunEntry], *, is_live: bool) -> None:
    """Print a line per run. On a terminal ids are short and times are relative.

    :param is_live: whether what runs really goes on
    """
    ids, now = short_ids(runs), _now()
    rows = []
    for run in runs:
        started = run.started_at or ""
        if console.is_terminal:
            started = _ago(started, now)
        run_id = ids[run.prompt_id] if console.is_terminal else run.prompt_id
        workflow = run.workflow_name or run.workflow_id or ""
        took = _took(run, now if is_live else None)
        rows.append((run_id, status_text(run), workflow, started, took))
    if rows:
        console.table(("ID", "STATUS", "WORKFLOW", "STARTED", "TOOK"), rows)


def status_text(run: RunEntry) -> str:
    """Return the status of a run, with its place in the queue."""
    if run.queue_position is None:
        return run.status.value
    return f"{run.status.value} ({run.queue_position})"


def run_lines(
    run: StoredRunDetail, *, is_terminal: bool, is_live: bool, debug: bool
) -> Iterator[str]:
    """Give the lines that tell one run in full.

    :param is_live: whether a run that runs really goes on
    """
    now = _now()
    facts = {
        "id": run.prompt_id,
        "status": status_text(run),
        "workflow": _named(run),
        "priority": str(run.priority) if run.priority else "",
        "created": _moment(run.created_at, now, is_terminal=is_terminal),
        "started": _moment(run.started_at, now, is_terminal=is_terminal),
        "finished": _moment(run.finished_at, now, is_terminal=is_terminal),
        "took": _took(run, now if is_live else None),
    }
    yield from (f"{key}: {value}" for key, value in facts.items() if value)
    if run.nodes:
        yield from ("", "nodes:", *_node_lines(run))
    if run.outputs:
        yield from ("", "outputs:")
        for key, value in run.outputs.items():
            cut = " (cut here, whole in the events)" if key in run.cut_outputs else ""
            yield f"  {output_line(key, value, cut=is_terminal)}{cut}"
    errors = list(_error_lines(run, debug=debug))
    if errors:
        yield from ("", *errors)


def _node_lines(run: StoredRunDetail) -> Iterator[str]:
    for node_id, node in run.nodes.items():
        status = "bypassed" if node.bypassed else node.status.value
        notes = [
            "" if node.duration_ms is None else duration(node.duration_ms / 1000),
            node.reason or "",
            "with a part of its stream" if node.partial else "",
        ]
        told = ", ".join(note for note in notes if note)
        yield f"  {node_id}: {status}" + (f" ({told})" if told else "")


def _error_lines(run: StoredRunDetail, *, debug: bool) -> Iterator[str]:
    failed = {key: node.error for key, node in run.nodes.items() if node.error is not None}
    for node_id, details in failed.items():
        yield "error: " + _first_line(failure_text(node_id, details, {}))
        traceback = details.get("traceback")
        if traceback and debug:
            yield str(traceback).rstrip()
        elif traceback:
            short = run.prompt_id[:SHORT]
            yield f"  'comfytavern --debug runs show {short}' shows where in its code"
    if run.error is not None and run.error.node_id not in failed:
        yield "error: " + _why(run)


def _why(run: StoredRunDetail) -> str:
    """Say why a run has failed as a whole, and what can be done."""
    error = run.error
    if error is None:
        return "the engine stopped; the log of the host says why"
    remedy = _REMEDIES.get(error.code or "")
    said = _first_line(error.message or error.code or "no reason is known")
    return f"{said}; {remedy}" if remedy else said


def event_line(event: Envelope) -> str | None:
    """Say in one line what an event tells; None for what is no news of its own.

    Text that streams, progress and the start of nodes are none: ``--json`` has them.
    """
    payload = event["payload"]
    if event["type"] != EventType.EXECUTION_STATUS_UPDATE:
        return ended_node(event["type"], payload)
    if payload["status"] == Status.QUEUED:
        return waiting(payload)
    info: Mapping[str, Any] = payload.get("errorInfo") or {}  # Any: JSON
    message = _first_line(str(info.get("message") or ""))
    return f"{payload['status']}: {message}" if message else str(payload["status"])


class FollowedRun:
    """One run as it goes on elsewhere, shown as ``comfytavern run`` shows its own.

    A context manager. What comes is shown at once; on a terminal the status line goes on
    while nothing comes.

    :param run: as it is when following begins
    :param after: what came before this event is not told
    """

    def __init__(self, console: Console, run: StoredRunDetail, *, after: int, debug: bool) -> None:
        outline = _outline(run)
        self._console = console
        self._collected = Collected(outline)
        elapsed = 0.0
        if run.started_at is not None and run.finished_at is None:
            elapsed = max(0.0, (_now() - datetime.fromisoformat(run.started_at)).total_seconds())
        self._view = RunView(console, outline, elapsed=elapsed)
        self._report = TextReport(console, self._collected, self._view, debug=debug, quiet=False)
        self._is_whole = after == 0
        self._lock = Lock()
        self._stop = Event()
        self._ticker = Thread(target=self._tick, daemon=True) if console.is_live else None

    def __enter__(self) -> FollowedRun:
        if self._ticker is not None:
            self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._ticker is not None:
            self._ticker.join()
        self._view.close()

    def take(self, event: Envelope) -> None:
        """Show the next event."""
        with self._lock:
            self._collected.take([event])
            self._view.show([event])

    def finish(self, run: StoredRunDetail) -> int:
        """Print what came of the run and return the exit code.

        :param run: as it is at its end
        """
        streamed = self._collected.streams if self._is_whole else {}
        ending = Ending(
            run.status,
            {key: value for key, value in run.outputs.items() if not streamed.get(key)},
            {key: node.error for key, node in run.nodes.items() if node.error is not None},
            len(run.nodes),
            (run.duration_ms or 0.0) / 1000,
            why=_why(run),
        )
        with self._lock:
            code = self._report.tell(ending)
            if run.status is Status.INTERRUPTED and run.error is not None:
                self._console.say(_why(run))
            return code

    def _tick(self) -> None:
        while not self._stop.wait(TICK):
            with self._lock:
                self._view.tick()


def _outline(run: StoredRunDetail) -> Outline:
    try:
        return Outline.of_workflow(parse_workflow(run.workflow))
    except WorkflowError:  # of another release, which knows more shapes
        return Outline(0)


# --- words and times ----------------------------------------------------------------------


def _named(run: RunEntry) -> str:
    name, workflow_id = run.workflow_name, run.workflow_id
    return f"{name} ({workflow_id})" if name and workflow_id else name or workflow_id or ""


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _now() -> datetime:
    return datetime.now(UTC)


def _took(run: RunEntry, now: datetime | None) -> str:
    if run.duration_ms is not None:
        return duration(run.duration_ms / 1000)
    if now is None or run.started_at is None or run.finished_at is not None:
        return ""
    return duration(max(0.0, (now - datetime.fromisoformat(run.started_at)).total_seconds()))


def _moment(text: str | None, now: datetime, *, is_terminal: bool) -> str:
    if text is None or not is_terminal:
        return text or ""
    local = datetime.fromisoformat(text).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} ({_ago(text, now)})"


def _ago(text: str, now: datetime) -> str:
    """Say how long ago a moment was; nothing for no moment."""
    if not text:
        return ""
    seconds = (now - datetime.fromisoformat(text)).total_seconds()
    if seconds < 10:
        return "just now"
    for size, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size:
            count = int(seconds // size)
            plural = "s" if unit == "day" and count > 1 else ""
            return f"{count} {unit}{plural} ago"
    return f"{int(seconds)} s ago"

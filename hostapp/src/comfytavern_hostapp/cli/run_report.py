"""What is printed when a run has ended, and the exit code that goes with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from comfytavern.encoding import to_json
from comfytavern.engine import Run
from comfytavern.events import Status
from comfytavern.plan import Plan
from comfytavern.runlog import RunLog
from comfytavern.runner import Envelope

from ..console import Console
from .failures import INTERRUPTED, OK, RUN_FAILED
from .run_view import Collected, RunView, duration

__all__ = ("CommandAudience", "JsonReport", "TextReport", "failure_text")

_MOST_SHOWN = 400
_CODES = {Status.COMPLETE: OK, Status.INTERRUPTED: INTERRUPTED}


class CommandAudience:
    """Everything that hears of a run on the command line: collector, view, log, report."""

    def __init__(
        self,
        collected: Collected,
        view: RunView | None,
        report: JsonReport | TextReport,
        log: RunLog | None,
    ) -> None:
        self._collected = collected
        self._view = view
        self._report = report
        self._log = log

    def show(self, batch: list[Envelope]) -> None:
        """Take the next events. The log comes first: a reader of stdout may hold us up."""
        if self._log is not None:
            self._log.write(batch)
        self._collected.take(batch)
        if self._view is not None:
            self._view.show(batch)

    def finish(self, run: Run) -> int:
        """Print what came of the run and return the exit code."""
        return self._report.print(run)

    def close(self) -> None:
        """Close the log."""
        if self._log is not None:
            self._log.close()


class JsonReport:
    """One JSON document on stdout."""

    def __init__(self, console: Console, collected: Collected) -> None:
        self._console = console
        self._collected = collected

    def print(self, run: Run) -> int:
        """Print how a run ended and return the exit code."""
        result = run.result
        assert result is not None  # it has ended
        outputs = self._collected.outputs(result.outputs)
        document: dict[str, object] = {
            "runId": run.run_id,
            "status": result.status.value,
            "outputs": {key: to_json(value) for key, value in outputs.items()},
            "states": {node: state.value for node, state in result.states.items()},
            "durationMs": round(result.seconds * 1000, 3),
        }
        if result.status is Status.ERROR:
            document["error"] = _error(self._collected)
        if self._collected.events is not None:
            document["events"] = self._collected.events
        self._console.json(document)
        return _CODES.get(result.status, RUN_FAILED)


def _error(collected: Collected) -> dict[str, object]:
    if not collected.failures:
        return {"code": "run_failed", "message": "the engine stopped; its log says why"}
    first = collected.failures[0]
    details = {key: value for key, value in first["errorDetails"].items() if key != "traceback"}
    return {"nodeId": first["nodeId"], **details}


class TextReport:
    """The outputs on stdout; failures and a summary on stderr."""

    def __init__(
        self, console: Console, collected: Collected, view: RunView, *, debug: bool, quiet: bool
    ) -> None:
        self._console = console
        self._collected = collected
        self._view = view
        self._debug = debug
        self._quiet = quiet

    def print(self, run: Run) -> int:
        """Print how a run ended and return the exit code."""
        result = run.result
        assert result is not None  # it has ended
        self._view.close()
        self._show_outputs(run)
        for failure in self._collected.failures:
            self._show_failure(run.plan, failure)
        if result.status is Status.INTERRUPTED:
            self._console.say("interrupted")
        elif result.status is Status.ERROR and not self._collected.failures:
            self._console.error("the engine stopped; its log says why")
        elif not self._quiet:
            count = len(result.states)
            nodes = f"{count} node{'' if count == 1 else 's'}"
            took = duration(result.seconds)
            self._console.say(f"{result.status.value}: {nodes}, {took}", "dim")
        return _CODES.get(result.status, RUN_FAILED)

    def _show_outputs(self, run: Run) -> None:
        """Write what was not streamed: ``key: value``, or just the text if it is the only one.

        What repeats the streamed text, as workflows for both kinds of reader have it, is not
        written twice.
        """
        assert run.result is not None  # it has ended
        outputs, streamed = self._collected.outputs(run.result.outputs), self._view.streamed
        written = outputs.get(streamed) if streamed is not None else None
        only = next(iter(outputs.values()), None)
        if streamed is None and len(run.plan.outputs) == 1 and isinstance(only, str):
            self._console.line(only.removesuffix("\n"))
            return
        for key, value in outputs.items():
            repeats = bool(written) and value == written
            if key != streamed and not repeats:
                shown = _shown(value)
                if self._console.is_terminal and not isinstance(value, str):
                    shown = _cut(shown)
                self._console.line(f"{key}: {shown}")

    def _show_failure(self, plan: Plan, failure: Mapping[str, Any]) -> None:  # Any: JSON
        self._console.error(failure_text(plan, failure))
        details = failure["errorDetails"]
        if self._debug and details.get("traceback"):
            self._console.say(str(details["traceback"]).rstrip(), "dim")


def failure_text(plan: Plan, failure: Mapping[str, Any]) -> str:  # Any: JSON
    """Say which node failed, of which pack, and why."""
    node_id, details = failure["nodeId"], failure["errorDetails"]
    versions = {node.pack: node.version for node in plan.nodes}
    pack = details["pack"]
    return (
        f"node {node_id!r} ({details['nodeType']}, pack {pack!r} {versions.get(pack, '')})"
        f" failed: {details['message']}"
    )


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"\n{value}" if "\n" in value else value
    return json.dumps(to_json(value), ensure_ascii=False)


def _cut(text: str) -> str:
    """Leave out most of a value that would fill the screen; a pipe and ``--json`` get it all."""
    if len(text) <= _MOST_SHOWN:
        return text
    return f"{text[:_MOST_SHOWN]}… ({len(text):,} characters; --json prints them all)"

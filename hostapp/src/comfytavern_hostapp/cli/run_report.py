"""What is printed when a run has ended, and the exit code that goes with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comfytavern.encoding import to_json
from comfytavern.engine import Run
from comfytavern.events import Status
from comfytavern.runlog import RunLog
from comfytavern.runner import Envelope

from ..console import Console
from .failures import INTERRUPTED, OK, RUN_FAILED
from .run_view import Collected, RunView, duration

__all__ = (
    "CommandAudience",
    "Ending",
    "JsonReport",
    "TextReport",
    "exit_code",
    "failure_text",
    "output_line",
)

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
        return exit_code(result.status)


def exit_code(status: Status) -> int:
    """Return the exit code that goes with how a run has ended."""
    return _CODES.get(status, RUN_FAILED)


def _error(collected: Collected) -> dict[str, object]:
    if not collected.failures:
        return {"code": "run_failed", "message": "the engine stopped; its log says why"}
    first = collected.failures[0]
    details = {key: value for key, value in first["errorDetails"].items() if key != "traceback"}
    return {"nodeId": first["nodeId"], **details}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run has ended.

    :param outputs: those that were no streams
    :param failures: node id and error details of each node that failed
    :param nodes: how many have a final status
    :param versions: of packs, as far as they are known
    """

    status: Status
    outputs: Mapping[str, object]
    failures: Mapping[str, Mapping[str, Any]]  # Any: JSON
    nodes: int
    seconds: float
    why: str = "the engine stopped; its log says why"
    versions: Mapping[str, str] = field(default_factory=dict)


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
        failures = self._collected.failures
        return self.tell(
            Ending(
                result.status,
                result.outputs,
                {failure["nodeId"]: failure["errorDetails"] for failure in failures},
                len(result.states),
                result.seconds,
                versions={node.pack: node.version for node in run.plan.nodes},
            )
        )

    def tell(self, ending: Ending) -> int:
        """Print how a run ended and return the exit code."""
        self._view.close()
        self._show_outputs(ending)
        for node_id, details in ending.failures.items():
            self._show_failure(node_id, details, ending.versions)
        if ending.status is Status.INTERRUPTED:
            self._console.say("interrupted")
        elif ending.status is Status.ERROR and not ending.failures:
            self._console.error(ending.why)
        elif not self._quiet:
            nodes = f"{ending.nodes} node{'' if ending.nodes == 1 else 's'}"
            took = duration(ending.seconds)
            self._console.say(f"{ending.status.value}: {nodes}, {took}", "dim")
        return exit_code(ending.status)

    def _show_outputs(self, ending: Ending) -> None:
        """Write what was not streamed: ``key: value``, or just the text if it is the only one.

        What repeats the streamed text, as workflows for both kinds of reader have it, is not
        written twice.
        """
        outputs, streamed = self._collected.outputs(ending.outputs), self._view.streamed
        if streamed in ending.outputs:  # it was to be a stream, and is none
            streamed = None
        written = outputs.get(streamed) if streamed is not None else None
        only = next(iter(outputs.values()), None)
        if streamed is None and len(self._collected.outline.outputs) == 1 and isinstance(only, str):
            self._console.line(only.removesuffix("\n"))
            return
        for key, value in outputs.items():
            repeats = bool(written) and value == written
            if key != streamed and not repeats:
                self._console.line(output_line(key, value, cut=self._console.is_terminal))

    def _show_failure(
        self,
        node_id: str,
        details: Mapping[str, Any],  # Any: JSON
        versions: Mapping[str, str],
    ) -> None:
        self._console.error(failure_text(node_id, details, versions))
        if self._debug and details.get("traceback"):
            self._console.say(str(details["traceback"]).rstrip(), "dim")


def failure_text(
    node_id: str,
    details: Mapping[str, Any],  # Any: JSON
    versions: Mapping[str, str],
) -> str:
    """Say which node failed, of which pack, and why.

    :param versions: of packs, as far as they are known
    """
    pack = details["pack"]
    named = f"{pack!r} {versions.get(pack, '')}".rstrip()
    return f"node {node_id!r} ({details['nodeType']}, pack {named}) failed: {details['message']}"


def output_line(key: str, value: object, *, cut: bool) -> str:
    """Write an output as ``key: value``.

    :param cut: leave out most of a value that would fill the screen, unless it is a text
    """
    shown = _shown(value)
    return f"{key}: {_cut(shown) if cut and not isinstance(value, str) else shown}"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f"\n{value}" if "\n" in value else value
    return json.dumps(to_json(value), ensure_ascii=False)


def _cut(text: str) -> str:
    """Leave out most of a value that would fill the screen; a pipe and ``--json`` get it all."""
    if len(text) <= _MOST_SHOWN:
        return text
    return f"{text[:_MOST_SHOWN]}… ({len(text):,} characters; --json prints them all)"

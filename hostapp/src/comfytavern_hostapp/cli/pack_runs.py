"""Runs that the command of a pack asks for: a workflow, or the part of one that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from comfytavern.engine import Run
from comfytavern.events import Status
from comfytavern.plan import Plan, PlanNode
from comfytavern.runner import Envelope
from comfytavern.sinks import EventSink

from .failures import INTERRUPTED, OK, TERMINATED
from .run import prepare
from .run_process import RunProcess
from .run_report import failure_text
from .run_view import Collected, Outline, RunView
from .session import Session
from .upto import Wanted

__all__ = ("PackRunOutcome", "run_for_pack")


@dataclass(frozen=True)
class PackRunOutcome:
    """How such a run ended.

    :param wanted: the ids of the nodes that were asked for, in the order of the file
    :param outputs: what each node that completed gave, by its id
    :param states: the final state of every node by its id: complete, error, skipped
    :param error: what failed, a line per node; empty if nothing did
    """

    wanted: Sequence[str] = ()
    outputs: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


def run_for_pack(
    session: Session,
    workflow_file: str,
    inputs: Sequence[str] = (),
    sets: Sequence[str] = (),
    upto: Wanted | None = None,
) -> PackRunOutcome:
    """Run a workflow file to its end.

    Nothing runs if ``upto`` names no node of it. Ctrl-C interrupts the run and then the command.

    :raises FileError: the file cannot be read
    :raises WorkflowError: every problem of the workflow and of what it is given
    """
    prepared = prepare(session, workflow_file, inputs, sets, upto=upto)
    plan = prepared.plan
    if not plan.nodes:
        return PackRunOutcome()
    audience = _PackAudience(session, plan)
    with session.console.kept():
        process = RunProcess(session.console, prepared.host, plan, audience, audience.sink)
        code = process(uuid4().hex, prepared.inputs, prepared.resources)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code == TERMINATED:
        raise SystemExit(TERMINATED)
    nodes = plan.visible_nodes
    wanted = tuple(node.id for node in nodes if upto is None or upto(node.definition))
    return audience.outcome(wanted)


class _PackAudience:
    """Keeps what the nodes give; on a terminal it shows how far they are."""

    def __init__(self, session: Session, plan: Plan) -> None:
        self._plan = plan
        self._outputs: dict[str, Mapping[str, object]] = {}
        self._states: dict[str, str] = {}
        self._failed = False
        outline = Outline.of_plan(plan)
        self._collected = Collected(outline)
        console = session.console
        self._view = RunView(console, outline) if console.is_live else None
        self.sink = EventSink(node_completed=self._completed)

    def show(self, batch: list[Envelope]) -> None:
        """Take the next events."""
        self._collected.take(batch)
        if self._view is not None:
            self._view.show(batch)

    def finish(self, run: Run) -> int:
        """Keep how the run ended."""
        result = run.result
        assert result is not None  # it has ended
        self._states = {node: state.value for node, state in result.states.items()}
        self._failed = result.status is Status.ERROR
        return INTERRUPTED if result.status is Status.INTERRUPTED else OK

    def close(self) -> None:
        """Leave the screen as it was."""
        if self._view is not None:
            self._view.close()

    def outcome(self, wanted: Sequence[str]) -> PackRunOutcome:
        """Return how the run ended."""
        versions = {node.pack: node.version for node in self._plan.nodes}
        failures = [
            failure_text(failure["nodeId"], failure["errorDetails"], versions)
            for failure in self._collected.failures
        ]
        if self._failed and not failures:
            failures = ["the engine stopped; its log says why"]
        return PackRunOutcome(wanted, self._outputs, self._states, "\n".join(failures))

    def _completed(self, node: PlanNode, outputs: Mapping[str, object], seconds: float) -> None:
        self._outputs[node.id] = dict(outputs)

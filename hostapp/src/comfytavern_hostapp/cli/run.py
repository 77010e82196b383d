"""``comfytavern run``: a workflow from a file, to its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .session import Session, json_option, pass_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from comfytavern.compiler import WorkflowResolver
    from comfytavern.errors import Finding
    from comfytavern.plan import Plan
    from comfytavern.resources import ResourceStore
    from comfytavern.runlog import RunLog
    from comfytavern.workflow import Workflow

    from ..hosting import ConfiguredHost
    from .upto import Wanted

__all__ = ("Prepared", "prepare", "run", "run_prepared")


@dataclass(frozen=True)
class Prepared:
    """A workflow that can run, with everything that it is given."""

    host: ConfiguredHost
    document: Workflow
    plan: Plan
    inputs: dict[str, object]
    resources: ResourceStore


@click.command()
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
@click.option(
    "--allow-missing", is_flag=True, help="Run what does not need the nodes of missing packs."
)
@json_option("Print one JSON document: runId, status, outputs, states, error, durationMs.")
@click.option("--events", is_flag=True, help="With --json: every event of the run, too.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.option(
    "--run-log", metavar="PATH", help="Write the run's log there, not to logs/runs of data_dir."
)
@pass_session
def run(
    session: Session,
    workflow: str,
    inputs: tuple[str, ...],
    values: tuple[str, ...],
    allow_missing: bool,
    as_json: bool,
    events: bool,
    quiet: bool,
    run_log: str | None,
) -> int:
    """Run a workflow file ('-' reads it from stdin).

    Text that the workflow streams is written as it arrives, its other outputs at the end.
    Ctrl-C interrupts the run; pressed twice, it leaves at once.
    """
    if events and not as_json:
        raise click.UsageError("--events goes with --json", click.get_current_context())
    prepared = prepare(session, workflow, inputs, values, allow_missing=allow_missing)
    return run_prepared(
        session, prepared, as_json=as_json, events=events, quiet=quiet, run_log=run_log
    )


def prepare(
    session: Session,
    workflow_file: str,
    inputs: Sequence[str] = (),
    values: Sequence[str] = (),
    *,
    upto: Wanted | None = None,
    allow_missing: bool = False,
) -> Prepared:
    """Read and check everything; nothing is executed.

    :param upto: which nodes are wanted; what they do not need is left out and not checked
    :param allow_missing: a node of an unknown type fails when it runs, not the whole check
    :raises FileError: the file cannot be read
    :raises WorkflowError: every problem of the workflow and of what it is given
    """
    # The engine and pydantic: not for help.
    from ..hosting import resource_store
    from ..library.workflow_files import STDIN, WorkflowFolders, load_workflow
    from .assignments import Assignments
    from .upto import reduced

    document = load_workflow(workflow_file)
    host = session.open_host()
    base = Path.cwd() if workflow_file == STDIN else Path(workflow_file).absolute().parent
    given = Assignments(base)
    resolver: WorkflowResolver = WorkflowFolders([base, host.config.data_dir / "workflows"])
    with session.console.kept():  # packs say which inputs are required
        document = given.set_values(document, values, host.registry, resolver)
        bound = given.bind_inputs(document, inputs)
        if upto is not None:
            document, resolver = reduced(document, host.registry, resolver, upto)
        plan = _compiled(host, document, resolver, given.problems, allow_missing=allow_missing)
    for finding in (*plan.warnings, *given.warnings):
        session.console.warning(finding.message)
    resources = resource_store(host.config, base).with_admitted(given.admitted)
    return Prepared(host, document, plan, bound, resources)


def _compiled(
    host: ConfiguredHost,
    document: Workflow,
    resolver: WorkflowResolver,
    problems: Sequence[Finding],
    *,
    allow_missing: bool,
) -> Plan:
    """Compile a workflow; what is wrong with it is told together with what is wrong already."""
    from comfytavern.errors import WorkflowError

    try:
        plan = host.compile_now(document, resolver, allow_missing=allow_missing)
    except WorkflowError as exc:
        raise WorkflowError([*exc.findings, *problems]) from None
    if problems:
        raise WorkflowError(problems)
    return plan


def run_prepared(
    session: Session,
    prepared: Prepared,
    *,
    as_json: bool = False,
    events: bool = False,
    quiet: bool = False,
    run_log: str | None = None,
) -> int:
    """Run what was prepared, show it, and return the exit code."""
    from uuid import uuid4

    from .run_process import RunProcess  # the event loop: not for help
    from .run_report import CommandAudience, JsonReport, TextReport
    from .run_view import Collected, Outline, RunView

    console, plan, run_id = session.console, prepared.plan, uuid4().hex
    outline = Outline.of_plan(plan)
    collected = Collected(outline, keep_events=events)
    view = None if as_json else RunView(console, outline, quiet=quiet)
    report = (
        JsonReport(console, collected)
        if view is None
        else TextReport(console, collected, view, debug=session.debug, quiet=quiet)
    )
    log = _open_log(session, prepared, run_id, run_log)
    audience = CommandAudience(collected, view, report, log)
    try:
        with console.kept():
            process = RunProcess(console, prepared.host, plan, audience)
            return process(run_id, prepared.inputs, prepared.resources)
    finally:
        audience.close()


def _open_log(session: Session, prepared: Prepared, run_id: str, path: str | None) -> RunLog | None:
    """Open the log of the run: the named file, else one in the data directory."""
    from comfytavern.runlog import RunLog, RunLogs

    config, redact = prepared.host.config, prepared.host.secrets.redact
    if path is not None:
        log = RunLog(Path(path), run_id=run_id, redact=redact)
    elif session.keep:
        kept = config.history
        folder = config.data_dir / "logs" / "runs"
        bounds = (kept.keep_runs, kept.keep_bytes)
        log = RunLogs(folder, *bounds, redact=redact, keep_days=kept.keep_days).open(run_id)
    else:
        return None
    types = [{"fullType": node.full_type} for node in prepared.document.nodes]
    log.start({"nodes": types, "edges": prepared.document.edges}, prepared.inputs)
    return log

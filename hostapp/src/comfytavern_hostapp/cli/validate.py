"""``comfytavern validate``: everything that is wrong with a workflow; nothing is executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .failures import BAD_INPUT, OK
from .session import Session, json_option, pass_session

if TYPE_CHECKING:
    from comfytavern.errors import Finding
    from comfytavern.plan import Plan
    from comfytavern.workflow import InterfaceSlot

__all__ = ("validate",)


@click.command()
@click.argument("workflow", metavar="WORKFLOW")
@click.option(
    "--allow-missing", is_flag=True, help="Take nodes of missing packs for warnings, as run does."
)
@json_option("Print one JSON document: valid, nodes, inputs, outputs, errors, warnings.")
@pass_session
def validate(session: Session, workflow: str, allow_missing: bool, as_json: bool) -> int:
    """Check a workflow file ('-' reads it from stdin) without running it."""
    plan, errors = _compile(session, workflow, allow_missing=allow_missing)
    warnings = plan.warnings if plan is not None else ()
    if as_json:
        session.console.json(_document(plan, errors, warnings))
    else:
        for label, findings in (("error", errors), ("warning", warnings)):
            for finding in findings:
                session.console.line(f"{label} [{finding.code}] {finding.message}")
        if plan is not None:
            session.console.line(_summary(plan))
    return BAD_INPUT if errors else OK


def _compile(
    session: Session, name: str, *, allow_missing: bool
) -> tuple[Plan | None, Sequence[Finding]]:
    # The engine and pydantic: not for help.
    from comfytavern.errors import WorkflowError

    from ..library.workflow_files import STDIN, WorkflowFolders, load_workflow

    base = Path.cwd() if name == STDIN else Path(name).absolute().parent
    try:
        document = load_workflow(name)
        host = session.open_host(imports="needed")
        folders = WorkflowFolders([base, host.config.data_dir / "workflows"])
        with session.console.kept():  # packs say which inputs are required
            return host.compile_now(document, folders, allow_missing=allow_missing), ()
    except WorkflowError as exc:
        return None, exc.findings


def _summary(plan: Plan) -> str:
    count = sum(1 for _ in plan.visible_nodes)
    outputs = [_named(o.key, plan.interface_outputs.get(o.key), o.is_stream) for o in plan.outputs]
    inputs = [_named(name, slot, slot.is_stream) for name, slot in plan.interface_inputs.items()]
    return (
        f"ok: {count} node{'' if count == 1 else 's'}, inputs: {', '.join(inputs) or 'none'},"
        f" outputs: {', '.join(outputs) or 'none'}"
    )


def _named(name: str, slot: InterfaceSlot | None, is_stream: bool) -> str:
    kind = slot.data_flow_type.value if slot is not None else ""
    notes = [kind, "stream" if is_stream else "", "required" if slot and slot.required else ""]
    shown = " ".join(note for note in notes if note)
    return f"{name} ({shown})" if shown else name


def _document(
    plan: Plan | None, errors: Sequence[Finding], warnings: Sequence[Finding]
) -> dict[str, object]:
    document: dict[str, object] = {
        "valid": plan is not None,
        "errors": [finding.to_wire() for finding in errors],
        "warnings": [finding.to_wire() for finding in warnings],
    }
    if plan is not None:
        document |= {
            "nodes": sum(1 for _ in plan.visible_nodes),
            "inputs": _slots(plan.interface_inputs),
            "outputs": {
                output.key: {"isStream": output.is_stream, **_type(plan, output.key)}
                for output in plan.outputs
            },
        }
    return document


def _type(plan: Plan, key: str) -> dict[str, object]:
    slot = plan.interface_outputs.get(key)
    return {} if slot is None else {"dataFlowType": slot.data_flow_type.value}


def _slots(slots: Mapping[str, InterfaceSlot]) -> dict[str, object]:
    dumped = {
        name: slot.model_dump(mode="json", by_alias=True, exclude_none=True)
        for name, slot in slots.items()
    }
    return dict(dumped)

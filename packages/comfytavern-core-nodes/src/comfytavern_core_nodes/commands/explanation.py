"""``cards explain``: the contexts of a workflow and the reports of those who built them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from comfytavern.definitions import NodeDefinition
from comfytavern.errors import ComfyTavernError

from ..processors.definitions import CONTEXT_BUILDER
from .host import CommandHost, RunOutcome
from .report_view import report_lines

__all__ = ("ExplainError", "explain_workflow")


class ExplainError(ComfyTavernError):
    """What a context needs failed, so there is nothing to explain."""

    code = "run_failed"


def explain_workflow(
    host: CommandHost,
    workflow: str,
    inputs: Sequence[str],
    values: Sequence[str],
    *,
    as_json: bool,
) -> None:
    """Build the contexts of a workflow and print their reports.

    :raises ExplainError: a node failed; contexts that were built all the same are printed first
    """
    outcome = host.run_workflow(workflow, inputs, values, upto=_builds_contexts)
    if not outcome.wanted:
        name = CONTEXT_BUILDER.display_name
        host.refuse(
            "nothing_to_explain",
            f"workflow {workflow!r} has no {CONTEXT_BUILDER.type} node ({name}); prompts that are"
            " made in another way cannot be explained",
        )
    if outcome.error and as_json:
        raise ExplainError(outcome.error)
    if as_json:
        host.console.json({"nodes": [_document(node, outcome) for node in outcome.wanted]})
    else:
        _print(host, outcome)
    if outcome.error:
        raise ExplainError(outcome.error)


def _builds_contexts(definition: NodeDefinition) -> bool:
    return definition.execute == CONTEXT_BUILDER.execute


def _document(node: str, outcome: RunOutcome) -> dict[str, object]:
    outputs = outcome.outputs.get(node, {})
    return {
        "nodeId": node,
        "state": outcome.states.get(node),
        "messages": outputs.get("finalMessages"),
        "report": outputs.get("report"),
    }


def _print(host: CommandHost, outcome: RunOutcome) -> None:
    for number, node in enumerate(outcome.wanted):
        if number:
            host.console.line()
        outputs = outcome.outputs.get(node)
        if outputs is None:
            host.console.line(f"node {node!r} built nothing: {outcome.states.get(node)}")
            continue
        if len(outcome.wanted) > 1:
            host.console.line(f"node {node!r}")
            host.console.line()
        # Any: JSON that our own node has made.
        report = cast("dict[str, Any]", outputs["report"])
        messages = cast("list[dict[str, Any]]", outputs["finalMessages"])
        for line in report_lines(report, messages):
            host.console.line(line)

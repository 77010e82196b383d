"""From what a client asks for to a run that can be queued: everything is checked here, once.

A workflow is given whole, in either format, or by the id of a stored one. Those that its
groups refer to come from the stored ones and travel with the run, so that a later change of
them changes nothing for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from anyio import to_thread

from comfytavern.errors import Finding, WorkflowError
from comfytavern.host import PackHost
from comfytavern.runner import RunSpec
from comfytavern.workflow import Workflow, parse_workflow

from ..library.workflows import WorkflowLibrary
from .scheduler import IdempotencyKey, Submission

__all__ = ("Checked", "Request", "Submissions")

_Document = Mapping[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for: one of ``workflow`` and ``workflow_id``, and inputs by name.

    With ``allow_missing`` a node of an unknown type fails when it runs; the rest goes on.
    """

    workflow: _Document | None = None
    workflow_id: str | None = None
    inputs: Mapping[str, object] = field(default_factory=dict)
    priority: int = 0
    allow_missing: bool = False
    idempotency_key: str | None = None
    user_id: str | None = None

    @property
    def key(self) -> IdempotencyKey | None:
        """What tells this request from another that is sent under the same name."""
        if self.idempotency_key is None:
            return None
        asked = [self.workflow, self.workflow_id, self.inputs, self.priority, self.user_id]
        asked.append(self.allow_missing)
        text = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
        return IdempotencyKey(self.idempotency_key, hashlib.sha256(text).hexdigest())


@dataclass(frozen=True, slots=True)
class Checked:
    """What can be queued, and what is worth knowing about it."""

    submission: Submission
    warnings: Sequence[Finding]


class Submissions:
    """Checks what clients ask for against the nodes of a host."""

    def __init__(self, host: PackHost, library: WorkflowLibrary) -> None:
        self._host = host
        self._library = library

    async def check(self, request: Request) -> Checked:
        """Return what can be queued.

        :raises WorkflowError: every finding of the workflow and its inputs at once
        :raises UnknownWorkflowError: no stored workflow has the id
        :raises WorkflowNameError: no workflow can have it
        """
        document = request.workflow
        if document is None:
            assert request.workflow_id is not None  # the body's model sees to it
            stored = await to_thread.run_sync(self._library.read, request.workflow_id)
            document = stored.document
        embedded = _Embedded(self._library)
        text = _as_text(document)
        resolver = embedded if _refers(document) else None
        allow = request.allow_missing
        plan = await self._host.compile(document, resolver, key=text, allow_missing=allow)
        if text is None:
            message = "the workflow holds a number or a text that cannot be sent as JSON"
            raise WorkflowError([Finding("not_json", message)])
        plan.bind_inputs(request.inputs)
        spec = RunSpec(
            run_id="",
            workflow=document,
            inputs=request.inputs,
            workflows=embedded.documents,
            user_id=request.user_id,
            packs_digest=self._host.packs.digest(),
            allow_missing=allow,
        )
        submission = Submission(
            spec,
            workflow_id=request.workflow_id or _text(document, "id", "workflowId"),
            workflow_name=_text(document, "name"),
            priority=request.priority,
            key=request.key,
        )
        return Checked(submission, plan.warnings)


class _Embedded:
    """Resolves workflows by id and keeps what it found. Called in a thread."""

    def __init__(self, library: WorkflowLibrary) -> None:
        self._library = library
        self.documents: dict[str, _Document] = {}

    def __call__(self, workflow_id: str) -> Workflow | None:
        document = self._library.resolve(workflow_id)
        if document is None:
            return None
        self.documents[workflow_id] = document
        return parse_workflow(document, source=f"workflow {workflow_id!r}")


def _refers(document: _Document) -> bool:
    """Tell whether any node refers to another workflow; looking it up takes file work."""
    nodes = document.get("nodes")
    return isinstance(nodes, list) and any(
        isinstance(values, dict) and "referencedWorkflowId" in values
        for node in nodes
        if isinstance(node, dict)
        for values in node.values()
    )


def _as_text(document: _Document) -> bytes | None:
    """Return a document as JSON; None if it cannot be sent, as some that Python reads cannot."""
    try:
        return orjson.dumps(document)
    except TypeError:
        return None


def _text(document: _Document, *names: str) -> str | None:
    """Return the first of these that stands in a document as text."""
    found = (document.get(name) for name in names)
    return next((value for value in found if isinstance(value, str)), None)

"""``/api/prompt``: hand in a run, look at it, interrupt it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from starlette.responses import Response

from comfytavern.events import INTERFACE_OUTPUTS_NODE, EventType, Status

from ..runs import Request, run_detail, stored_events
from ..service import Service
from ..store import StoredRun
from ..wire import (
    ErrorDetail,
    Interrupted,
    PromptAccepted,
    PromptBody,
    RunDetail,
    RunQuery,
)
from .endpoint import Answer, Call, Endpoint, as_json
from .refusals import BadRequestError

__all__ = ("ENDPOINTS", "IdempotencyKey", "asked_for", "submit")

# Long enough for any identifier. A longer one is refused: cut, it might be another's.
IdempotencyKey = Annotated[str, Field(min_length=1, max_length=255)]
_KEY = TypeAdapter(IdempotencyKey)


def asked_for(body: PromptBody, key: str | None = None) -> Request:
    """Return what a client asks for. ``nodes`` make the body itself the workflow."""
    workflow = body.workflow
    if body.nodes is not None:
        own: dict[str, Any] = {**(body.model_extra or {}), "nodes": body.nodes}  # Any: JSON
        workflow = own if body.workflow_id is None else {**own, "workflowId": body.workflow_id}
    return Request(
        workflow=workflow,
        workflow_id=None if workflow is not None else body.workflow_id,
        inputs=body.inputs,
        priority=body.priority,
        allow_missing=body.allow_missing,
        idempotency_key=key,
    )


async def submit(service: Service, request: Request) -> tuple[PromptAccepted, bool]:
    """Check and queue a run; return what to answer, and whether the run is new."""
    key = request.key
    known = None if key is None else await service.scheduler.find_again(key)
    if known is not None:
        return _accepted(service, known.run), False
    checked = await service.submissions.check(request)
    created = await service.scheduler.submit(checked.submission)
    warnings = tuple(ErrorDetail(**finding.to_wire()) for finding in checked.warnings)
    return _accepted(service, created.run, warnings), created.is_new


def _accepted(
    service: Service, run: StoredRun, warnings: tuple[ErrorDetail, ...] = ()
) -> PromptAccepted:
    position = service.scheduler.queue.position(run.run_id)
    return PromptAccepted(
        prompt_id=run.run_id,
        status=Status(run.status),
        queue_position=position,
        warnings=warnings,
    )


async def _submit(call: Call[None, PromptBody]) -> Response:
    given = call.request.headers.get("idempotency-key")
    try:
        key = None if given is None else _KEY.validate_python(given)
    except ValidationError as exc:
        raise BadRequestError("the Idempotency-Key", exc) from None
    accepted, is_new = await submit(call.service, asked_for(call.body, key))
    return as_json(accepted, 202 if is_new else 200)


async def _show(call: Call[RunQuery, None]) -> Response:
    service = call.service
    run_id = call.path("prompt_id")
    run = await service.store.find(run_id)
    if run.started is not None and run.finished is None:
        if service.scheduler.execution(run_id) is None:
            run = await service.store.find(run_id)  # it has ended just now
    detail = run_detail(run, service.scheduler)
    if call.query.node_outputs:
        outputs = await _node_outputs(service, run.number)
        detail = detail.model_copy(update={"node_outputs": outputs})
    return as_json(detail)


async def _node_outputs(service: Service, number: int) -> Mapping[str, Any]:  # Any: JSON
    outputs: dict[str, Any] = {}
    async for events in stored_events(service.store, number):
        for event in events:
            if event["type"] == EventType.NODE_COMPLETE:
                outputs[event["payload"]["nodeId"]] = event["payload"]["output"]
    outputs.pop(INTERFACE_OUTPUTS_NODE, None)
    return outputs


async def _interrupt(call: Call[None, None]) -> Response:
    run_id = call.path("prompt_id")
    status = await call.service.scheduler.interrupt(run_id)
    told = Interrupted(prompt_id=run_id, status=status or "interrupting")
    return as_json(told, 202 if status is None else 200)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/api/prompt",
        _submit,
        "Queue a run of a workflow",
        "runs",
        {
            202: Answer("the run is stored and waits for a slot", PromptAccepted),
            200: Answer("the run that the idempotency key was first used for", PromptAccepted),
        },
        refusals=(404, 422, 503),
        body=PromptBody,
        headers={"Idempotency-Key": "the same key with the same body gives the same run"},
    ),
    Endpoint(
        "GET",
        "/api/prompt/{prompt_id}",
        _show,
        "Tell how a run stands: status, nodes, outputs, error",
        "runs",
        {200: Answer("the run", RunDetail)},
        refusals=(404, 422, 503),
        query=RunQuery,
    ),
    Endpoint(
        "POST",
        "/api/interrupt/{prompt_id}",
        _interrupt,
        "Interrupt a run that waits or runs",
        "runs",
        {
            202: Answer("the run was told to stop; its last event says when it has", Interrupted),
            200: Answer("the run has ended, now or before", Interrupted),
        },
        refusals=(404, 503),
    ),
)

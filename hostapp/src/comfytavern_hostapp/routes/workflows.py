"""``/api/workflows``: stored workflows and their earlier versions.

An id may hold slashes, so what is done with one beside reading and writing has a path of its
own: ``/api/workflow-versions/{id}`` and ``/api/workflow-renames``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from anyio import to_thread
from starlette.responses import Response

from comfytavern.errors import Finding, WorkflowError

from ..library.origins import with_packs
from ..library.workflows import (
    StoredWorkflow,
    WorkflowConflictError,
    WorkflowExistsError,
)
from ..wire_library import (
    RenameBody,
    Renamed,
    RestoreBody,
    SavedWorkflow,
    WorkflowDocument,
    WorkflowList,
    WorkflowQuery,
    WorkflowSummary,
    WorkflowVersion,
    WorkflowVersions,
    moment,
)
from .conditions import REVALIDATED, creates_only, is_known, not_modified, wanted
from .endpoint import Answer, Call, Endpoint, as_json
from .refusals import BadRequestError

__all__ = ("ENDPOINTS",)

T = TypeVar("T")


async def _list(call: Call[None, None]) -> Response:
    found = await to_thread.run_sync(call.service.workflows.list)
    summaries = (
        WorkflowSummary(
            id=entry.id,
            name=entry.name,
            description=entry.description,
            modified=moment(entry.modified),
            size=entry.size,
            etag=entry.etag,
            versions=entry.versions,
            problem=entry.problem,
        )
        for entry in found
    )
    return as_json(WorkflowList(workflows=tuple(summaries)))


async def _read(call: Call[WorkflowQuery, None]) -> Response:
    def read() -> tuple[str, bytes]:
        stored = call.service.workflows.read(call.path("workflow_id"), call.query.version)
        return stored.etag, _text(stored)

    etag, text = await to_thread.run_sync(read)
    if is_known(call.request, etag):
        return not_modified(etag)
    headers = {"ETag": etag, **REVALIDATED}
    return Response(text, headers=headers, media_type="application/json")


def _text(stored: StoredWorkflow) -> bytes:
    """Write a document for a client.

    :raises WorkflowError: its file holds what Python takes for a number and JSON does not
    """
    try:
        # Not by orjson: it refuses what a document may hold, such as half a surrogate pair.
        return json.dumps(stored.document, allow_nan=False).encode()
    except ValueError:
        message = f"workflow {stored.id!r} holds a number that is infinite or none"
        raise WorkflowError([Finding("not_json", message)]) from None


async def _save(call: Call[None, None]) -> Response:
    workflow_id, library = call.path("workflow_id"), call.service.workflows
    registry = call.service.host.registry
    text = await call.request.body()
    tags, create = wanted(call.request), creates_only(call.request)

    def save() -> tuple[StoredWorkflow, bool]:
        document = with_packs(_document(text), registry)
        change = partial(library.save, workflow_id, document, create_only=create)
        if tags or create:
            return _for_one_of(tags, lambda tag: change(if_match=tag)), create
        try:
            return change(create_only=True), True
        except WorkflowExistsError as exc:
            if exc.existing != workflow_id:
                raise
            return change(), False

    saved, is_new = await to_thread.run_sync(save)
    return _saved(saved, 201 if is_new else 200)


def _for_one_of(tags: Sequence[str], change: Callable[[str | None], T]) -> T:
    """Return what a change gives for the first of some etags that is the right one.

    :raises WorkflowConflictError: none is
    """
    for tag in tags[:-1]:
        try:
            return change(tag)
        except WorkflowConflictError:
            continue
    return change(tags[-1] if tags else None)


def _document(text: bytes) -> dict[str, object]:
    """Read a document as it is: numbers of any size, and any text that JSON can hold.

    :raises BadRequestError: it is not JSON
    """
    try:
        document: dict[str, object] = json.loads(text)  # its shape is the library's to check
    except ValueError as exc:
        raise BadRequestError("the body", exc) from None
    except RecursionError:
        raise BadRequestError("the body", ValueError("it is nested too deeply")) from None
    return document


async def _delete(call: Call[None, None]) -> Response:
    workflow_id, library = call.path("workflow_id"), call.service.workflows
    tags = wanted(call.request)
    await to_thread.run_sync(
        _for_one_of, tags, lambda tag: library.delete(workflow_id, if_match=tag)
    )
    return Response(status_code=204)


async def _versions(call: Call[None, None]) -> Response:
    found = await to_thread.run_sync(call.service.workflows.versions, call.path("workflow_id"))
    versions = (
        WorkflowVersion(
            version=entry.version,
            modified=moment(entry.modified),
            size=entry.size,
            etag=entry.etag,
        )
        for entry in found
    )
    return as_json(WorkflowVersions(versions=tuple(versions)))


async def _restore(call: Call[None, RestoreBody]) -> Response:
    workflow_id, library = call.path("workflow_id"), call.service.workflows
    version, tags = call.body.version, wanted(call.request)
    saved = await to_thread.run_sync(
        _for_one_of, tags, lambda tag: library.restore(workflow_id, version, if_match=tag)
    )
    return _saved(saved)


async def _rename(call: Call[None, RenameBody]) -> Response:
    old, new, library = call.body.old, call.body.new, call.service.workflows
    tags = wanted(call.request)
    await to_thread.run_sync(_for_one_of, tags, lambda tag: library.rename(old, new, if_match=tag))
    return as_json(Renamed(id=new))


def _saved(saved: StoredWorkflow, status: int = 200) -> Response:
    told = SavedWorkflow(id=saved.id, etag=saved.etag, modified=moment(saved.modified))
    return as_json(told, status, {"ETag": saved.etag})


_SCHEMA = {
    "type": "object",
    "required": ["nodes"],
    "properties": {"nodes": {"type": "array", "items": {"type": "object"}}},
    "description": "a saved canvas or an execution payload; it is kept as it is, except that each"
    " node is given the distribution and version of its pack",
}
_IF_MATCH = {"If-Match": "the etag that was seen, or * for any; 412 if it is another by now"}

ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/workflows",
        _list,
        "List the stored workflows, those that are broken with their problem",
        "workflows",
        {200: Answer("all of them", WorkflowList)},
    ),
    Endpoint(
        "GET",
        "/api/workflows/{workflow_id:path}",
        _read,
        "Give a stored workflow as it was saved, or an earlier version of it",
        "workflows",
        {
            200: Answer("the document; ETag tells it from any other", WorkflowDocument),
            304: Answer("it is the one that If-None-Match names"),
        },
        refusals=(404, 422),
        query=WorkflowQuery,
        headers={"If-None-Match": "the etag of what the client has"},
    ),
    Endpoint(
        "PUT",
        "/api/workflows/{workflow_id:path}",
        _save,
        "Store a workflow; what it replaces becomes a version",
        "workflows",
        {
            201: Answer("there was none of this id", SavedWorkflow),
            200: Answer("it replaces the one of this id, unless that is the same", SavedWorkflow),
        },
        refusals=(409, 412, 422, 503),
        headers={
            **_IF_MATCH,
            "If-None-Match": "only *: store a new one and replace none; 409 if there is one",
        },
        upload={"application/json": {"schema": _SCHEMA}},
    ),
    Endpoint(
        "DELETE",
        "/api/workflows/{workflow_id:path}",
        _delete,
        "Delete a workflow; it stays behind as a version",
        "workflows",
        {204: Answer("it is deleted")},
        refusals=(404, 412, 422, 503),
        headers=_IF_MATCH,
    ),
    Endpoint(
        "GET",
        "/api/workflow-versions/{workflow_id:path}",
        _versions,
        "List the earlier versions of a workflow, also of a deleted one",
        "workflows",
        {200: Answer("the newest first", WorkflowVersions)},
        refusals=(404, 422),
    ),
    Endpoint(
        "POST",
        "/api/workflow-versions/{workflow_id:path}",
        _restore,
        "Bring an earlier version back; what was there becomes a version",
        "workflows",
        {200: Answer("what is stored now", SavedWorkflow)},
        refusals=(404, 409, 412, 422, 503),
        body=RestoreBody,
        headers=_IF_MATCH,
    ),
    Endpoint(
        "POST",
        "/api/workflow-renames",
        _rename,
        "Give a workflow another id; its versions go with it",
        "workflows",
        {200: Answer("the id that it has now", Renamed)},
        refusals=(404, 409, 412, 422, 503),
        body=RenameBody,
        headers=_IF_MATCH,
    ),
)

"""``/api/history``: the stored runs, newest first; found, paged, deleted. And their blobs."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import orjson
from anyio import to_thread
from starlette.responses import Response

from ..library.media_types import serving_headers
from ..runs import run_detail, run_entry
from ..store import RunFilter
from ..wire import HistoryDeleteQuery, HistoryPage, HistoryQuery, Removed, StoredRunDetail
from .endpoint import Answer, Call, Endpoint, as_json
from .file_response import send_file
from .refusals import NotFoundError

__all__ = ("ENDPOINTS",)

# So many runs are deleted in one transaction.
STEP = 200


def _filter(query: HistoryQuery | HistoryDeleteQuery) -> RunFilter:
    return RunFilter(
        statuses=tuple(status.value for status in query.status),
        workflow_id=query.workflow_id,
        text=query.text,
        since=query.since,
        until=query.until,
    )


async def _list(call: Call[HistoryQuery, None]) -> Response:
    query = call.query
    wanted = replace(_filter(query), before=query.before, limit=query.limit)
    page = await call.service.store.page(wanted)
    scheduler = call.service.scheduler
    runs = tuple(run_entry(run, scheduler) for run in page.runs)
    return as_json(HistoryPage(runs=runs, next_before=page.next_before, total=page.total))


async def _show(call: Call[None, None]) -> Response:
    service, run_id = call.service, call.path("prompt_id")
    run = await service.store.find(run_id)
    spec = orjson.loads(await service.store.spec(run_id))
    detail = run_detail(run, service.scheduler)
    given = {"workflow": spec["workflow"], "inputs": spec["inputs"]}
    return as_json(StoredRunDetail(**dict(detail), **given))


async def _delete(call: Call[None, None]) -> Response:
    run_id = call.path("prompt_id")
    await call.service.store.find(run_id)
    return as_json(Removed(removed=await call.service.store.delete([run_id])))


async def _delete_matching(call: Call[HistoryDeleteQuery, None]) -> Response:
    store, removed = call.service.store, 0
    wanted = replace(_filter(call.query), finished=True, limit=STEP)
    while (page := await store.page(wanted)).runs:
        removed += await store.delete([run.run_id for run in page.runs])
    return as_json(Removed(removed=removed))


async def _blob(call: Call[None, None]) -> Response:
    sha256 = call.path("sha256")
    found = await call.service.store.blob(sha256)
    if found is None:
        raise NotFoundError(f"no stored run has a blob {sha256!r}")
    path, mime = found
    headers = {
        **serving_headers(sha256, mime.partition(";")[0]),
        "Content-Type": mime,
        "Cache-Control": "private, max-age=31536000, immutable",
    }
    try:
        file, size = await to_thread.run_sync(_open, path)
    except FileNotFoundError:
        raise NotFoundError(f"the blob {sha256!r} is no longer there") from None
    return send_file(call.request, file, size, f'"{sha256}"', headers)


def _open(path: Path) -> tuple[BinaryIO, int]:
    file = path.open("rb")
    return file, os.fstat(file.fileno()).st_size


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/history",
        _list,
        "List runs, newest first",
        "history",
        {200: Answer("a page of runs", HistoryPage)},
        refusals=(422, 503),
        query=HistoryQuery,
    ),
    Endpoint(
        "DELETE",
        "/api/history",
        _delete_matching,
        "Delete finished runs that fit every condition",
        "history",
        {200: Answer("how many were deleted", Removed)},
        refusals=(422, 503),
        query=HistoryDeleteQuery,
    ),
    Endpoint(
        "GET",
        "/api/history/{prompt_id}",
        _show,
        "Show a run with the workflow and the inputs it was handed in with",
        "history",
        {200: Answer("the run", StoredRunDetail)},
        refusals=(404, 503),
    ),
    Endpoint(
        "DELETE",
        "/api/history/{prompt_id}",
        _delete,
        "Delete a finished run with all that belongs to it; one that goes on stays",
        "history",
        {200: Answer("how many were deleted", Removed)},
        refusals=(404, 503),
    ),
    Endpoint(
        "GET",
        "/api/blobs/{sha256}",
        _blob,
        "Give the bytes that events refer to by their hash",
        "history",
        {
            200: Answer("the bytes, as a download unless they can only be shown", None, "*/*"),
            206: Answer("the range of them that was asked for", None, "*/*"),
            304: Answer("they are the ones that If-None-Match names"),
        },
        refusals=(404, 416, 503),
        headers={
            "If-None-Match": "the etag of what the client has",
            "Range": "one range in bytes; anything else is ignored",
            "If-Range": "the etag that the range belongs to",
        },
    ),
)

"""``/api/resources``: the files that loaders read; listed, given, uploaded, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from anyio import to_thread
from starlette.responses import Response

from comfytavern.errors import HostError, ResourceError

from ..library.resources import WRITE_REFUSED, ResourceEntry, ResourceLibrary
from ..wire_library import (
    ResourceDetail,
    ResourceList,
    ResourceListQuery,
    StoredResources,
    UploadQuery,
    moment,
)
from .conditions import REVALIDATED
from .endpoint import Answer, Call, Endpoint, as_json
from .file_response import send_file
from .uploads import MULTIPART, RAW, Upload, form_in, raw_in

__all__ = ("ENDPOINTS",)


class ResourceNameError(HostError):
    """No upload can have this name. Said in the same words whatever is there."""

    code = "bad_resource_name"
    status = 422


async def _list(call: Call[ResourceListQuery, None]) -> Response:
    query, library = call.query, call.service.resources
    page = await to_thread.run_sync(
        lambda: library.list(query.root, query.prefix, limit=query.limit, after=query.after)
    )
    details = tuple(_detail(entry) for entry in page.entries)
    return as_json(ResourceList(resources=details, next_after=page.following))


async def _read(call: Call[None, None]) -> Response:
    resource = await to_thread.run_sync(call.service.resources.open, _name(call))
    headers = {**resource.headers(), "Content-Type": resource.media_type, **REVALIDATED}
    return send_file(call.request, resource.file, resource.size, resource.etag, headers)


async def _put(call: Call[UploadQuery, None]) -> Response:
    library, name, replace = call.service.resources, _name(call), call.query.replace
    async with raw_in(call.request) as file:
        entry, is_new = await to_thread.run_sync(_save, library, name, file, replace)
    return as_json(_detail(entry), 201 if is_new else 200)


async def _upload(call: Call[None, None]) -> Response:
    async with form_in(call.request) as upload:
        saved = await to_thread.run_sync(_save_all, call.service.resources, upload)
    details = tuple(_detail(entry) for entry, _ in saved)
    any_new = any(is_new for _, is_new in saved)
    return as_json(StoredResources(resources=details), 201 if any_new else 200)


async def _delete(call: Call[None, None]) -> Response:
    library, name = call.service.resources, _name(call)

    def delete() -> None:
        with _refusing_names():
            library.delete(name)

    await to_thread.run_sync(delete)
    return Response(status_code=204)


def _save_all(library: ResourceLibrary, upload: Upload) -> list[tuple[ResourceEntry, bool]]:
    form = upload.form
    folder = f"{form.root}://{form.folder.removesuffix('/')}{'/' if form.folder else ''}"
    return [
        _save(library, f"{folder}{file.filename}", file.file, form.replace) for file in upload.files
    ]


def _save(
    library: ResourceLibrary, name: str, file: BinaryIO, replace: bool
) -> tuple[ResourceEntry, bool]:
    """Store a file; return it, and whether there was none of this name."""
    is_new = not _exists(library, name)
    with _refusing_names():
        return library.save(name, file, replace=replace), is_new


def _exists(library: ResourceLibrary, name: str) -> bool:
    try:
        library.open(name).file.close()
    except ResourceError:
        return False
    return True


@contextmanager
def _refusing_names() -> Iterator[None]:
    """Tell a name that cannot be written from a file that is not there.

    :raises ResourceNameError: in place of the library's own refusal
    """
    try:
        yield
    except ResourceError as exc:
        if exc.reason == WRITE_REFUSED:
            raise ResourceNameError(str(exc)) from None
        raise


def _name(call: Call[UploadQuery, None] | Call[None, None]) -> str:
    return f"{call.path('root')}://{call.path('path')}"


def _detail(entry: ResourceEntry) -> ResourceDetail:
    return ResourceDetail(
        name=entry.name,
        root=entry.root,
        path=entry.path,
        size=entry.size,
        modified=moment(entry.modified),
        media_type=entry.media_type,
    )


_BYTES = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "required": ["file"],
    "properties": {
        "file": {"type": "array", "minItems": 1, "maxItems": 100, "items": _BYTES},
        "root": {"type": "string", "enum": ["shared", "user"], "default": "shared"},
        "folder": {"type": "string", "default": "", "description": "below the root; it is made"},
        "replace": {"type": "boolean", "default": False},
    },
    "additionalProperties": False,
}

ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/resources",
        _list,
        "List the files that loaders can read, by name",
        "resources",
        {200: Answer("a page of files", ResourceList)},
        refusals=(404, 422),
        query=ResourceListQuery,
    ),
    Endpoint(
        "POST",
        "/api/resources",
        _upload,
        "Store the files of a form; at one that is refused it ends, and those before it stay",
        "resources",
        {
            201: Answer("they are stored, and some name is new", StoredResources),
            200: Answer("they are stored, and every name was there before", StoredResources),
        },
        refusals=(409, 422, 503),
        upload={MULTIPART: {"schema": _FORM}},
    ),
    Endpoint(
        "GET",
        "/api/resources/{root}/{path:path}",
        _read,
        "Give a file: as a download, unless a browser can do nothing but show it",
        "resources",
        {
            200: Answer("the file", None, "*/*"),
            206: Answer("the range of it that was asked for", None, "*/*"),
            304: Answer("it is the one that If-None-Match names"),
        },
        refusals=(404, 416),
        headers={
            "If-None-Match": "the etag of what the client has",
            "Range": "one range in bytes; anything else is ignored",
            "If-Range": "the etag that the range belongs to",
        },
    ),
    Endpoint(
        "PUT",
        "/api/resources/{root}/{path:path}",
        _put,
        "Store a file below shared or user",
        "resources",
        {
            201: Answer("it is stored, and the name is new", ResourceDetail),
            200: Answer("it is stored, and the name was there before", ResourceDetail),
        },
        refusals=(409, 422, 503),
        query=UploadQuery,
        upload={RAW: {"schema": _BYTES}},
    ),
    Endpoint(
        "DELETE",
        "/api/resources/{root}/{path:path}",
        _delete,
        "Delete a file below shared or user",
        "resources",
        {204: Answer("it is deleted")},
        refusals=(404, 422, 503),
    ),
)

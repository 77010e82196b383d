"""``/api/nodes``: node types with their slots, their scripts for the page, and the reload."""

from __future__ import annotations

import hashlib

from anyio import to_thread
from starlette.responses import Response

from ..wire_packs import NodeEntry, NodeList, Reloaded
from .conditions import REVALIDATED, is_known, not_modified
from .endpoint import Answer, Call, Endpoint, as_json

__all__ = ("ENDPOINTS",)

# For whoever opens a script by itself, or starts a worker with it.
_ALONE = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox"}
_KNOWN = {"If-None-Match": "the etag of what the client has"}


async def _list(call: Call[None, None]) -> Response:
    listing = await call.service.nodes.listing()
    if is_known(call.request, listing.etag):
        return not_modified(listing.etag)
    headers = {"ETag": listing.etag, **REVALIDATED}
    return Response(listing.text, headers=headers, media_type="application/json")


async def _show(call: Call[None, None]) -> Response:
    return as_json(await call.service.nodes.entry(_full_type(call)))


async def _script(call: Call[None, None]) -> Response:
    packs = call.service.host.packs
    found = await to_thread.run_sync(packs.client_script, _full_type(call), call.path("name"))
    etag = f'"{hashlib.sha256(found.content).hexdigest()}"'
    if is_known(call.request, etag):
        return not_modified(etag)
    headers = {"ETag": etag, **REVALIDATED, **_ALONE}
    return Response(found.content, headers=headers, media_type=found.media_type)


async def _reload(call: Call[None, None]) -> Response:
    return as_json(await call.service.reload())


def _full_type(call: Call[None, None]) -> str:
    return f"{call.path('namespace')}:{call.path('type')}"


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/nodes",
        _list,
        "List the node types of all loaded packs",
        "nodes",
        {
            200: Answer("all of them; ETag tells them from any others", NodeList),
            304: Answer("they are those that If-None-Match names"),
        },
        headers=_KNOWN,
    ),
    Endpoint(
        "POST",
        "/api/nodes/reload",
        _reload,
        "Take in what has changed in the configuration and in what is installed. Runs that go"
        " on are left alone",
        "nodes",
        {200: Answer("what has changed, and what takes a restart", Reloaded)},
        refusals=(422,),
    ),
    Endpoint(
        "GET",
        "/api/nodes/{namespace}/{type}",
        _show,
        "Give one node type; the namespace may be an alias",
        "nodes",
        {200: Answer("the node type", NodeEntry)},
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        "/api/nodes/{namespace}/{type}/client-script/{name:path}",
        _script,
        "Give the script of a node type, or what lies beside it in its pack",
        "nodes",
        {
            200: Answer("JavaScript, CSS, JSON or a source map", media_type="*/*"),
            304: Answer("it is the one that If-None-Match names"),
        },
        refusals=(404,),
        headers=_KNOWN,
    ),
)

"""``/api/plugins``: the installed packs and their settings; nothing here changes them.

Which packs run is the operator's to say, on the host itself: no route enables, installs or
configures one.
"""

from __future__ import annotations

from anyio import to_thread
from starlette.responses import Response

from ..wire_packs import PackEntry, PackList, SettingsBlock, SettingsCheck, SettingsSchema
from .endpoint import Answer, Call, Endpoint, as_json

__all__ = ("ENDPOINTS",)


async def _list(call: Call[None, None]) -> Response:
    return as_json(PackList(await to_thread.run_sync(call.service.packs.all)))


async def _show(call: Call[None, None]) -> Response:
    return as_json(await to_thread.run_sync(call.service.packs.one, call.path("name")))


async def _schema(call: Call[None, None]) -> Response:
    schema = await to_thread.run_sync(call.service.packs.settings_schema, call.path("name"))
    return as_json(schema)


async def _check(call: Call[None, SettingsBlock]) -> Response:
    name, block = call.path("name"), call.body.settings
    return as_json(await to_thread.run_sync(call.service.packs.check_settings, name, block))


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/plugins",
        _list,
        "List the installed packs, with what became of each",
        "packs",
        {200: Answer("all of them", PackList)},
    ),
    Endpoint(
        "GET",
        "/api/plugins/{name}",
        _show,
        "Tell what became of a pack",
        "packs",
        {200: Answer("the pack", PackEntry)},
        refusals=(404,),
    ),
    Endpoint(
        "GET",
        "/api/plugins/{name}/settings-schema",
        _schema,
        "Describe what a pack takes under packs.settings in the configuration",
        "packs",
        {200: Answer("a JSON Schema", SettingsSchema)},
        refusals=(404,),
    ),
    Endpoint(
        "POST",
        "/api/plugins/{name}/settings-check",
        _check,
        "Hold settings against a pack's own model; nothing is stored",
        "packs",
        {200: Answer("whether they fit, and if not, what does not", SettingsCheck)},
        refusals=(404, 422),
        body=SettingsBlock,
    ),
)

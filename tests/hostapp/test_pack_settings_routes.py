"""``/api/plugins/{name}/settings-*``: what a pack takes, and whether something would fit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ..packs_on_disk import PacksOnDisk, packs_on_path
from .live_server import Live, serving

Json = dict[str, Any]  # Any: JSON

SETTINGS = """
    from pydantic import BaseModel, ConfigDict, Field, field_validator
    from comfytavern.hookspecs import hookimpl

    class Channel(BaseModel):
        label: str = Field(min_length=2)

        @field_validator("label")
        @classmethod
        def fits(cls, value):
            if value.startswith("sk-"):
                raise ValueError(f"{value} is no label, as {__file__} says")
            return value

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        channels: list[Channel] = []

    @hookimpl
    def settings_model():
        return Settings
"""
BROKEN_MODEL = """
    from pydantic import BaseModel
    from comfytavern.hookspecs import hookimpl

    class Settings(BaseModel):
        @classmethod
        def __get_pydantic_json_schema__(cls, schema, handler):
            raise RuntimeError(__file__)

    @hookimpl
    def settings_model():
        return Settings
"""


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacksOnDisk]:
    with packs_on_path(tmp_path / "site", monkeypatch) as written:
        written.write("some-pack", SETTINGS)
        written.write("plain-pack")
        written.write("odd-pack", BROKEN_MODEL)
        written.write("bad-pack", "raise ValueError('why')")
        written.write("off-pack")
        yield written


@pytest.fixture
async def live(tmp_path: Path, packs: PacksOnDisk) -> AsyncIterator[Live]:
    """Serve all of these packs but one."""
    enabled = ["some-pack", "plain-pack", "odd-pack", "bad-pack"]
    async with serving(tmp_path / "data", packs={"enabled": enabled}) as server:
        yield server


def refused(answer: httpx2.Response, status: int = 404) -> tuple[str, str]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    return error["code"], error["message"]


async def test_the_schema_of_settings(live: Live) -> None:
    answer = await live.http.get("/api/plugins/Some_Pack/settings-schema")
    assert answer.status_code == 200
    schema = answer.json()
    assert schema["properties"]["channels"]["items"] == {"$ref": "#/$defs/Channel"}
    assert schema["additionalProperties"] is False


NOT_THERE = [
    ("plain-pack", "pack 'plain-pack' 1.0 takes no settings"),
    (
        "off-pack",
        (
            "pack 'off-pack' 1.0 does not say which settings it takes: it is not enabled;"
            " comfytavern packs enable off-pack"
        ),
    ),
    (
        "bad-pack",
        (
            "pack 'bad-pack' 1.0 does not say which settings it takes: ValueError: why; disable"
            " it with: comfytavern packs disable bad-pack"
        ),
    ),
]


@pytest.mark.parametrize(("name", "message"), NOT_THERE)
async def test_settings_of_a_pack_that_has_none(live: Live, name: str, message: str) -> None:
    schema = await live.http.get(f"/api/plugins/{name}/settings-schema")
    check = await live.http.post(f"/api/plugins/{name}/settings-check", json={"settings": {}})
    assert refused(schema) == refused(check) == ("settings_unknown", message)


async def test_settings_of_a_pack_that_is_not_there(live: Live) -> None:
    schema = await live.http.get("/api/plugins/gone/settings-schema")
    check = await live.http.post("/api/plugins/gone/settings-check", json={"settings": {}})
    assert refused(schema) == ("unknown_pack", "no installed pack is named 'gone'")
    assert refused(check) == refused(schema)


async def test_a_model_that_cannot_be_described_still_checks(live: Live) -> None:
    schema = await live.http.get("/api/plugins/odd-pack/settings-schema")
    assert refused(schema) == (
        "settings_unknown",
        (
            "pack 'odd-pack' 1.0 does not say which settings it takes: its settings model cannot"
            " be described: RuntimeError: odd_pack.py"
        ),
    )
    check = await live.http.post("/api/plugins/odd-pack/settings-check", json={"settings": {}})
    assert check.json() == {"valid": True, "problems": []}


async def check(live: Live, settings: object) -> Json:
    path = "/api/plugins/some-pack/settings-check"
    answer = await live.http.post(path, json={"settings": settings})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def test_settings_that_fit(live: Live) -> None:
    assert await check(live, {}) == {"valid": True, "problems": []}
    assert await check(live, {"channels": [{"label": "local"}]}) == {"valid": True, "problems": []}


async def test_settings_that_do_not_fit(live: Live) -> None:
    secret = "sk-0123456789"
    block = {"channels": [{"label": "x"}, {"label": secret}, {}], "token": secret}
    found = await check(live, block)
    assert found == {
        "valid": False,
        "problems": [
            {
                "path": "channels[0].label",
                "message": "String should have at least 2 characters",
            },
            {
                "path": "channels[1].label",
                "message": "Value error, <value> is no label, as some_pack.py says",
            },
            {"path": "channels[2].label", "message": "Field required"},
            {"path": "token", "message": "Extra inputs are not permitted"},
        ],
    }
    told = await live.http.get("/api/plugins/some-pack")
    assert told.json()["state"] == "loaded"  # and nothing has changed


@pytest.mark.parametrize(
    "body", [{}, {"settings": None}, {"settings": ["s3cret"]}, {"settings": {}, "s": 1}, "s3cret"]
)
async def test_a_body_that_does_not_fit(live: Live, body: object) -> None:
    answer = await live.http.post("/api/plugins/some-pack/settings-check", json=body)
    assert refused(answer, 422)[0] == "bad_request"
    assert "s3cret" not in answer.text


async def test_settings_that_are_nested_without_end(live: Live) -> None:
    deep: list[Any] = []
    for _ in range(900):
        deep = [deep]
    found = await check(live, {"channels": deep})
    assert not found["valid"]

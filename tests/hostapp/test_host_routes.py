"""``/health``, ``/api/system_stats``, the page at ``/``, and the cookie of ``/api/login``."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from comfytavern_hostapp.service import Service

from ..scenarios.building import flow, place
from .live_server import Live, serving

TOKEN = "a-token-of-forty-characters-or-so-1234567"


async def test_health_says_that_all_is_well(live: Live) -> None:
    told = (await live.http.get("/health")).json()
    digest = told.pop("packsDigest")
    assert len(digest) == 64
    assert told == {"status": "ok", "problems": [], "version": "0.1.0"}


async def test_health_says_what_is_wrong(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Service, "problems", property(lambda service: ["the disk is full"]))
    answer = await live.http.get("/health")
    assert answer.status_code == 200
    told = answer.json()
    assert (told["status"], told["problems"]) == ("degraded", ["the disk is full"])


async def test_the_numbers_are_those_of_the_host(tmp_path: Path) -> None:
    async with serving(tmp_path, limits={"concurrent_runs": 1}) as live, live.socket():
        await live.submit(flow(place("a", "Wait")))
        await live.stage.begun("a")
        await live.submit(flow(place("b", "Repeat", text="x")))
        told = (await live.http.get("/api/system_stats")).json()
        assert told["uptimeSeconds"] >= 0
        assert told["memoryBytes"] > 1_000_000
        assert told["storeBytes"] > 100
        assert told["packs"]["loaded"] == 1
        counted = ("slots", "running", "pending", "paused", "clients", "storedRuns", "abandoned")
        assert {name: told[name] for name in counted} == {
            "slots": 1,
            "running": 1,
            "pending": 1,
            "paused": False,
            "clients": 1,
            "storedRuns": 2,
            "abandoned": [],
        }


async def test_the_page_leads_to_what_there_is(tmp_path: Path) -> None:
    async with serving(tmp_path, server={"root_path": "/tavern"}) as live:
        answer = await live.http.get("/")
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "script-src" not in answer.headers["content-security-policy"]
        assert 'href="/tavern/api/openapi.json"' in answer.text


# --- login --------------------------------------------------------------------------------


async def test_a_browser_gets_a_cookie_for_the_token(tmp_path: Path) -> None:
    async with serving(tmp_path, token=TOKEN) as live:
        assert (await live.http.get("/api/history")).status_code == 401
        answer = await live.http.post("/api/login", json={"token": TOKEN})
        assert answer.json() == {"loggedIn": True, "tokenNeeded": True}
        cookie = answer.headers["set-cookie"]
        parts = {part.strip().partition("=")[0].lower() for part in cookie.split(";")}
        assert {"httponly", "samesite", "path", "max-age"} <= parts
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        # The client keeps cookies, as a browser does.
        assert (await live.http.get("/api/history")).status_code == 200
        value = cookie.partition(";")[0]
        async with live.socket(additional_headers={"Cookie": value}) as client:
            await client.ask("PROMPT_REQUEST", **flow(place("a", "Repeat", text="x")))
            await client.of("PROMPT_ACCEPTED_RESPONSE")
        answer = await live.http.post("/api/logout")
        assert answer.json() == {"loggedIn": False, "tokenNeeded": True}
        assert (await live.http.get("/api/history")).status_code == 401


async def test_a_wrong_token_opens_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, token=TOKEN) as live:
        for wrong in ("x", TOKEN[:-1], f"{TOKEN}ä"):
            answer = await live.http.post("/api/login", json={"token": wrong})
            assert answer.status_code == 401
            assert "set-cookie" not in answer.headers
            assert answer.json()["error"] == {
                "code": "wrong_token",
                "message": "that is not the token of this server (server.token)",
                "details": [],
            }
        with pytest.raises(InvalidStatus) as caught:
            async with live.socket():
                pass
        assert caught.value.response.status_code == 403


async def test_other_clients_send_the_token_itself(tmp_path: Path) -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with serving(tmp_path, token=TOKEN) as live:
        assert (await live.http.get("/api/history", headers=bearer)).status_code == 200
        async with live.socket(additional_headers=bearer) as client:
            assert client.received


async def test_a_host_without_a_token_needs_no_login(live: Live) -> None:
    answer = await live.http.post("/api/login", json={"token": "x"})
    assert answer.json() == {"loggedIn": True, "tokenNeeded": False}
    assert "set-cookie" not in answer.headers
    answer = await live.http.post("/api/logout")
    assert answer.json() == {"loggedIn": True, "tokenNeeded": False}

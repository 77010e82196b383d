"""Every refusal of every route has one shape: {"error": {code, message, details}}."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from comfytavern_hostapp.routes import ENDPOINTS
from comfytavern_hostapp.routes.endpoint import Endpoint
from comfytavern_hostapp.store import RunStore, StoreError

from .live_server import Live, serving

LIMIT = 2000
PUBLIC = {"/health", "/api/login"}
JSON = {"Content-Type": "application/json"}


def check(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:  # Any: JSON
    """Check that an answer is a refusal of the one shape, and return its error."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text[:200]}"
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]  # Any: JSON
    assert set(error) == {"code", "message", "details"}
    for told in (error, *error["details"]):
        assert re.fullmatch("[a-z_]+", told["code"])
        assert "\n" not in told["message"]
        assert told["message"]
        assert not told["message"].endswith(".")
    for detail in error["details"]:
        assert {"code", "message"} <= set(detail) <= {"code", "message", "node", "slot", "path"}
    assert error["code"] == code
    return error


@dataclass(frozen=True)
class Kind:
    """One way to be refused: which routes refuse so, what is sent, what comes back."""

    status: int
    code: str
    of: Callable[[Endpoint], bool] = lambda endpoint: True
    method: str = ""
    sent: dict[str, Any] = field(default_factory=dict)  # Any: arguments of a request
    token: str | None = None


def sends(endpoint: Endpoint) -> bool:
    return endpoint.method != "GET"


def takes_json(endpoint: Endpoint) -> bool:
    return endpoint.body is not None


def takes_query(endpoint: Endpoint) -> bool:
    return endpoint.query is not None


def shows_one(endpoint: Endpoint) -> bool:
    return endpoint.method == "GET" and "{" in endpoint.path and 404 in endpoint.refusals


KINDS = {
    "foreign-host": Kind(421, "host_refused", sent={"headers": {"Host": "evil.test"}}),
    "no-host": Kind(400, "host_malformed", sent={"headers": {"Host": ""}}),
    "foreign-page": Kind(
        403,
        "origin_refused",
        lambda endpoint: sends(endpoint) or endpoint.path not in PUBLIC,
        sent={"headers": {"Sec-Fetch-Site": "cross-site"}},
    ),
    "no-token": Kind(
        401, "token_required", lambda endpoint: endpoint.path not in PUBLIC, token="s" * 40
    ),
    "wrong-method": Kind(405, "method_not_allowed", method="TRACE"),
    "no-type": Kind(415, "media_type_refused", sends, sent={"content": b"{}"}),
    "other-type": Kind(
        415,
        "media_type_refused",
        sends,
        sent={"content": b"a=b", "headers": {"Content-Type": "text/plain"}},
    ),
    "too-long": Kind(
        413, "body_too_large", sends, sent={"content": b" " * (LIMIT + 1), "headers": JSON}
    ),
    "not-json": Kind(400, "bad_request", takes_json, sent={"content": b"{", "headers": JSON}),
    "not-utf-8": Kind(400, "bad_request", takes_json, sent={"content": b'"\xff"', "headers": JSON}),
    "nothing": Kind(400, "bad_request", takes_json),
    "other-body": Kind(422, "bad_request", takes_json, sent={"json": []}),
    "other-query": Kind(422, "bad_request", takes_query, sent={"params": {"nonsense": "1"}}),
}


def path_of(endpoint: Endpoint) -> str:
    """Return a path of an endpoint at which there is nothing."""
    return re.sub(r"{\w+(:path)?}", "no-such-thing", endpoint.path)


async def refused(live: Live, endpoints: Sequence[Endpoint], kind: Kind) -> list[str]:
    """Ask each of the endpoints, and return which of them do not refuse as they should."""
    wrong = []
    for endpoint in endpoints:
        method = kind.method or endpoint.method
        answer = await live.http.request(method, path_of(endpoint), **kind.sent)
        try:
            check(answer, kind.status, kind.code)
        except (AssertionError, KeyError) as exc:
            wrong.append(f"{method} {endpoint.path}: {exc}")
    return wrong


@pytest.mark.parametrize("name", KINDS)
async def test_every_route_refuses_in_one_shape(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    endpoints = [endpoint for endpoint in ENDPOINTS if kind.of(endpoint)]
    async with serving(tmp_path, token=kind.token, limits={"body": LIMIT}) as live:
        assert await refused(live, endpoints, kind) == []


async def test_what_is_not_there_is_refused_in_one_shape(live: Live) -> None:
    wrong = []
    for endpoint in filter(shows_one, ENDPOINTS):
        answer = await live.http.get(path_of(endpoint))
        code = answer.json().get("error", {}).get("code", "")
        try:
            assert code.startswith(("unknown_", "not_found", "resource_"))
            check(answer, 404, code)
        except AssertionError as exc:
            wrong.append(f"{endpoint.path}: {exc}")
    assert wrong == []


@pytest.mark.parametrize("path", ["/nope", "/api/nope", "/api/prompt/", "/api", "/%2e%2e/etc"])
async def test_a_path_that_leads_nowhere(live: Live, path: str) -> None:
    error = check(await live.http.get(path), 404, "not_found")
    shown = path.replace("%2e", ".")
    assert error["message"] == f"there is nothing at {shown!r}"


async def test_a_wrong_method_is_told_the_right_ones(live: Live) -> None:
    answer = await live.http.put("/api/history")
    error = check(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD"
    assert error["message"] == "'/api/history' does not take PUT; it takes DELETE, GET, HEAD"


async def test_a_fault_of_the_host_tells_nothing_of_itself(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def find(self: RunStore, run_id: str) -> None:
        raise RuntimeError("a secret place: /root/x")

    monkeypatch.setattr(RunStore, "find", find)
    answer = await live.http.get("/api/prompt/x")
    error = check(answer, 500, "fault")
    assert error["message"] == "a fault of the host; its log says more"
    assert "a secret place" in caplog.text


async def test_a_store_that_is_out_of_order_says_when_to_come_back(
    live: Live, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def find(self: RunStore, run_id: str) -> None:
        raise StoreError(tmp_path / "runs.sqlite3", "cannot be used: disk i/o error")

    monkeypatch.setattr(RunStore, "find", find)
    answer = await live.http.get("/api/prompt/x")
    error = check(answer, 503, "store_failed")
    assert error["message"] == "the file of runs 'runs.sqlite3' cannot be used: disk i/o error"
    assert answer.headers["retry-after"] == "5"


async def test_a_client_that_leaves_while_it_sends_is_no_fault(
    live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    head = (
        f"POST /api/prompt HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    async with await anyio.connect_tcp("127.0.0.1", live.port) as stream:
        await stream.send(head.encode())
        # Answered on another connection, so what came before it was read.
        await live.http.get("/health")
    await live.stop()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]

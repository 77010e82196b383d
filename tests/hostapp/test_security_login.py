"""Tokens, login cookies, and where the server listens without them (rows 4 and 11)."""

from __future__ import annotations

import socket
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from comfytavern.errors import HostError
from comfytavern_hostapp.config import Server
from comfytavern_hostapp.security import (
    LOGIN_COOKIE,
    BindRefusedError,
    LoginCookies,
    SecurityPolicy,
    check_bind,
    clear_cookie_header,
    set_cookie_header,
)

from .security_requests import NOW, OWN, TOKEN, Tavern, ask, guarded, shake

DAY = 24 * 3600
BEARER = f"authorization: Bearer {TOKEN}"
NEEDED = (
    "token_required",
    (
        "this request needs the token of the server; send it as 'Authorization: Bearer <token>',"
        " or log in with POST /api/login"
    ),
)


def cookie(value: str) -> str:
    return f"cookie: {LOGIN_COOKIE}={value}"


# --- tokens ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_line",
    ["GET /api/nodes", "POST /api/prompt", "GET /no", "GET /boom", "OPTIONS /api/nodes",
     "GET /healthy", "GET /health/x", "GET /api/login/x", "GET /staticx", "GET /static/../boom",
     "GET /static\\..\\x", "GET /static/x\\..\\..\\x", "GET /Health",
     f"GET /api/nodes?token={TOKEN}&access_token={TOKEN}"],
)  # fmt: skip
async def test_what_is_not_public_needs_the_token(request_line: str) -> None:
    tavern = Tavern()
    answer = await ask(guarded(tavern.app, token=TOKEN), request_line)
    assert (answer.status, answer.error) == (401, NEEDED)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert tavern.queued == []


@pytest.mark.parametrize("root_path", ["", "/tavern"])
async def test_public_paths_need_no_token(root_path: str) -> None:
    app = guarded(Tavern().app, token=TOKEN)

    async def status(request: str) -> int:
        method, path = request.split()
        return (await ask(app, f"{method} {root_path}{path}", root_path=root_path)).status

    for line in ("GET /", "GET /health", "HEAD /health", "POST /api/login"):
        assert await status(line) == 200
    assert await status("GET /static/no.css") == 404
    assert await status("GET /api/nodes") == 401


@pytest.mark.parametrize("lines", [[BEARER], [f"Authorization: bearer  {TOKEN}"]])
async def test_the_token_opens(lines: list[str]) -> None:
    app = guarded(Tavern().app, token=TOKEN)
    assert (await ask(app, "GET /api/nodes", *lines)).status == 200
    assert (await shake(app, "/ws", *lines)).status == 101


@pytest.mark.parametrize(
    "line",
    [f"authorization: Bearer {TOKEN}x", "authorization: Bearer", "authorization: Bearer ",
     f"authorization: {TOKEN}", f"authorization: Basic {TOKEN}", f"authorization: Bearer{TOKEN}",
     f"x-token: {TOKEN}", f"cookie: token={TOKEN}", cookie(TOKEN), cookie(""),
     "authorization: \xff", f"authorization: Bearer {TOKEN[:-1]}\xff",
     f"authorization: Bearer {TOKEN.upper()}"],
)  # fmt: skip
async def test_anything_else_does_not(line: str) -> None:
    app = guarded(Tavern().app, token=TOKEN)
    assert (await ask(app, "GET /api/nodes", line)).status == 401
    for denial in (True, False):
        assert (await shake(app, "/ws", line, denial=denial)).status == 403


async def test_two_tokens_are_none() -> None:
    app = guarded(Tavern().app, token=TOKEN)
    assert (await ask(app, "GET /api/nodes", BEARER, BEARER)).status == 401


async def test_the_token_is_told_nowhere() -> None:
    policy = SecurityPolicy.of(Server(), port=1, body_limit=1, token=TOKEN)
    assert TOKEN not in repr(policy)
    answer = await ask(guarded(Tavern().app, token=TOKEN), "GET /api/nodes", BEARER + "x")
    assert TOKEN not in answer.body.decode() + str(answer.headers)


# --- login cookies -----------------------------------------------------------------------------


def test_a_cookie_is_good_for_thirty_days_and_for_its_token() -> None:
    logins = LoginCookies(TOKEN)
    value = logins.issue(NOW)
    assert TOKEN not in value
    assert logins.check(value, NOW)
    assert logins.check(value, NOW + 30 * DAY - 1)
    assert not logins.check(value, NOW + 30 * DAY)
    assert not LoginCookies(TOKEN + "x").check(value, NOW)
    assert LoginCookies(TOKEN).check(value, NOW)  # another start of the server
    end, seal = value.split(".")
    assert not logins.check(f"{int(end) + 1}.{seal}", NOW)
    assert not logins.check(f"0{end}.{seal}", NOW)
    assert not logins.check(f"{'9' * 5000}.{seal}", NOW)
    assert not logins.check(f"{end}.{seal[:-1]}", NOW)
    assert not logins.check(end, NOW)


@given(st.text(max_size=90) | st.from_regex(r"\A[0-9]{1,13}\.[0-9a-f]{64}\Z"))
def test_no_other_value_is_good(value: str) -> None:
    assert not LoginCookies(TOKEN).check(value, NOW)


def test_an_empty_token_is_refused() -> None:
    with pytest.raises(ValueError, match="would let everybody in"):
        LoginCookies("")


def test_cookies_are_kept_from_scripts_and_other_sites() -> None:
    assert set_cookie_header("1.a", root_path="", scheme="http") == (
        "comfytavern_login=1.a; Max-Age=2592000; Path=/; HttpOnly; SameSite=Strict"
    )
    assert set_cookie_header("1.a", root_path="/tavern", scheme="https") == (
        "comfytavern_login=1.a; Max-Age=2592000; Path=/tavern; HttpOnly; SameSite=Strict; Secure"
    )
    cleared = clear_cookie_header(root_path="", scheme="http")
    assert cleared == "comfytavern_login=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict"
    assert SimpleCookie(cleared)[LOGIN_COOKIE].value == ""


async def test_a_cookie_opens_until_it_ends() -> None:
    app = guarded(Tavern().app, token=TOKEN)
    logins = LoginCookies(TOKEN)
    good, old = logins.issue(NOW), logins.issue(NOW - 30 * DAY)
    for lines in ([cookie(good)], [f"cookie: a=b;{LOGIN_COOKIE}={good} ; c"],
                  ["cookie: a=b", cookie(good)], [cookie(old), cookie(good)],
                  [cookie(good), "authorization: Basic eDp5"]):  # fmt: skip
        assert (await ask(app, "GET /api/nodes", *lines)).status == 200
        assert (await shake(app, "/ws", f"origin: http://{OWN}", *lines)).status == 101
    for line in (cookie(old), f"cookie: x{LOGIN_COOKIE}={good}", cookie(good + "0")):
        assert (await ask(app, "GET /api/nodes", line)).status == 401
        assert (await shake(app, "/ws", line)).status == 403


async def test_a_cookie_does_not_excuse_a_foreign_origin() -> None:
    app = guarded(Tavern().app, token=TOKEN)
    good = cookie(LoginCookies(TOKEN).issue(NOW))
    for line in ("origin: http://localhost:9999", "sec-fetch-site: same-site"):
        json = "content-type: application/json"
        assert (await ask(app, "POST /api/prompt", json, good, line)).status == 403
        assert (await shake(app, "/ws", good, line)).status == 403
    embedded = await ask(app, "GET /api/nodes", good, "sec-fetch-site: same-site")
    assert embedded.status == 403


def test_a_browser_logs_in(tmp_path: Path) -> None:
    (tmp_path / "page.css").write_text("body {}")
    app = guarded(Tavern(tmp_path).app, token=TOKEN)
    with TestClient(app, base_url=f"http://{OWN}") as client:
        assert client.get("/static/page.css").text == "body {}"
        assert client.get("/api/nodes").status_code == 401
        with (
            pytest.raises(WebSocketDisconnect) as refused,
            client.websocket_connect(f"ws://{OWN}/ws"),
        ):
            raise AssertionError
        assert getattr(refused.value, "status_code", None) == 403
        assert client.post("/api/login").status_code == 200
        assert client.get("/api/nodes").text == "page"
        with client.websocket_connect(f"ws://{OWN}/ws") as live:
            assert live.receive_text() == "state"


# --- where the server listens ------------------------------------------------------------------

MAKE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
RESOLVED = {
    "localhost": ["127.0.0.1", "::1"],
    "alias.test": ["127.0.0.2"],
    "box.lan": ["192.168.1.5"],
    "both.lan": ["127.0.0.1", "192.168.1.5"],
    "evil.test": ["::1", "::ffff:10.0.0.1"],
}


@pytest.fixture
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve the names above, and addresses as the system does."""
    system = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **named: Any) -> list[object]:  # Any: handed on
        if host not in RESOLVED and not host[-1].isdigit() and ":" not in host:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = RESOLVED.get(host, [host])
        return [entry for address in addresses for entry in system(address, *rest, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


HERE = ["127.0.0.1", "127.0.0.53", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "localhost",
    "alias.test", "127.1"]  # fmt: skip
WIDER = ["0.0.0.0", "::", "0", "0:0:0::0", "192.168.1.5", "10.0.0.1", "::ffff:0.0.0.0",
    "::ffff:192.168.1.5", "fd00::1", "8.8.8.8", "box.lan", "both.lan", "evil.test", "no.such.name",
    "a" * 64 + ".lan"]  # fmt: skip


@pytest.mark.usefixtures("_names")
@pytest.mark.parametrize("host", [*HERE, *WIDER])
def test_only_this_machine_is_served_without_a_token(host: str) -> None:
    server = Server(host=host)
    check_bind(server, "x" * 16)
    if host in HERE:
        check_bind(server, None)
        check_bind(server, "short")
        return
    with pytest.raises(BindRefusedError) as caught:
        check_bind(server, None)
    assert (caught.value.host, caught.value.code) == (host, "bind_refused")
    assert isinstance(caught.value, HostError)
    assert str(caught.value) == (
        f"cannot listen on server.host {host!r}: other machines may reach it and server.token is"
        f" not set; listen on 127.0.0.1, or make a token with {MAKE} and name its place in"
        " server.token as env:NAME or file:PATH"
    )
    for token in ("", "x" * 15):
        with pytest.raises(BindRefusedError) as caught:
            check_bind(server, token)
        assert str(caught.value) == (
            f"cannot listen on server.host {host!r}: other machines may reach it and the token has"
            f" {len(token)} characters; expected at least 16, make one with {MAKE}"
        )

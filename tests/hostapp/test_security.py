"""Whom the server answers: hosts, origins and other sites; and that nothing ever raises."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from comfytavern_hostapp.config import Server

from .security_requests import OWN, PORT, TOKEN, Tavern, ask, exchange, guarded, shake


@pytest.fixture
def site(tmp_path: Path) -> Tavern:
    """Serve a static page besides the routes."""
    (tmp_path / "page.txt").write_text("page")
    return Tavern(tmp_path)


JSON = "content-type: application/json"
POST = "POST /api/prompt"
CROSS = "sec-fetch-site: cross-site"
PROXIED = Server(
    host="0.0.0.0",
    allowed_hosts=("tavern.example", "lan.example:9000", "tls.example:443", "fd00:0::5"),
    allowed_origins=("https://tavern.example", "https://ui.example:8443", "http://dev.lan:80"),
)


async def post(*lines: str, server: Server | None = None, **more: str) -> tuple[int, int]:
    """Return the status of a JSON request, and how many prompts it left."""
    tavern = Tavern()
    answer = await ask(guarded(tavern.app, server), POST, JSON, *lines, body=[b"{}"], **more)
    return answer.status, len(tavern.queued)


# --- whose server this is (rows 3 and 5) -------------------------------------------------------

FOREIGN_HOSTS = [
    "evil.test", f"evil.test:{PORT}", f"127.0.0.1.nip.io:{PORT}", f"localhost.:{PORT}",
    f"localhost.evil.test:{PORT}", "localhost", "127.0.0.1", "localhost:80", "localhost:08321",
    f"0.0.0.0:{PORT}", f"127.0.0.2:{PORT}", f"127.1:{PORT}", f"[::]:{PORT}", f"[::2]:{PORT}",
]  # fmt: skip
MALFORMED_HOSTS = [
    "", " ", f"{OWN}/", f"{OWN}/health?", f"{OWN}?x", f"user@{OWN}", f"{OWN}@evil.test", "a b",
    f"{OWN}#", f"evil.test\\{OWN}", f"{OWN},evil.test", f"{OWN}:1", "localhost:", "localhost:x",
    "localhost:123456", "::1", f"::1:{PORT}", "[::1", "[::1]x", "[evil]", f"http://{OWN}", "\xff",
    f"{OWN}\x00", f"{OWN}\n",
]  # fmt: skip
EVERYWHERE = ["GET /", "GET /health", "GET /api/nodes", POST, "GET /static/page.txt", "GET /no",
    "GET //evil", "GET /boom", "OPTIONS *"]  # fmt: skip


@pytest.mark.parametrize("request_line", [*EVERYWHERE, "/ws"])
async def test_foreign_hosts_are_refused_on_every_route(request_line: str, site: Tavern) -> None:
    app = guarded(site.app)

    async def status(host: str | None, *lines: str) -> int:
        if request_line == "/ws":
            return (await shake(app, request_line, *lines, host=host)).status
        return (await ask(app, request_line, *lines, host=host)).status

    refused, malformed = (403, 403) if request_line == "/ws" else (421, 400)
    assert {host: await status(host) for host in FOREIGN_HOSTS} == dict.fromkeys(
        FOREIGN_HOSTS, refused
    )
    assert {host: await status(host) for host in MALFORMED_HOSTS} == dict.fromkeys(
        MALFORMED_HOSTS, malformed
    )
    assert await status(None) == malformed
    assert await status(OWN, f"host: {OWN}") == malformed
    assert await status(OWN, "Host: evil.test") == malformed


@pytest.mark.parametrize(
    ("host", "server", "status"),
    [
        (OWN, Server(), 200),
        (f"LocalHost:{PORT}", Server(), 200),
        (f"127.0.0.1:{PORT}", Server(), 200),
        (f"[::1]:{PORT}", Server(), 200),
        (f"127.0.0.5:{PORT}", Server(host="127.0.0.5"), 200),
        (f"[fd00::1]:{PORT}", Server(host="fd00:0:0::1"), 200),
        (f"[::]:{PORT}", Server(host="::"), 421),
        (f"0.0.0.0:{PORT}", Server(host="::ffff:0.0.0.0"), 421),
        (f"0.0.0.0:{PORT}", PROXIED, 421),
        (f"box.lan:{PORT}", Server(host="box.lan"), 200),
        ("tavern.example", PROXIED, 200),
        ("Tavern.Example:4711", PROXIED, 200),
        ("[fd00::5]:80", PROXIED, 200),
        ("lan.example:9000", PROXIED, 200),
        ("lan.example:9001", PROXIED, 421),
        ("lan.example", PROXIED, 421),
        ("tls.example", PROXIED, 200),
        ("tls.example:443", PROXIED, 200),
        ("tls.example:80", PROXIED, 421),
        ("sub.tavern.example", PROXIED, 421),
        ("tavern.example.", PROXIED, 421),
    ],
)
async def test_own_and_listed_hosts_are_answered(host: str, server: Server, status: int) -> None:
    assert (await ask(guarded(Tavern().app, server), "GET /health", host=host)).status == status


@pytest.mark.parametrize("port", [80, 443])
async def test_the_port_may_be_absent_where_it_is_the_schemes_own(port: int) -> None:
    app = guarded(Tavern().app, port=port)
    for host in ("localhost", f"localhost:{port}", "[::1]"):
        assert (await ask(app, "GET /", host=host)).status == 200
    assert (await ask(app, "GET /", host=OWN)).status == 421


async def test_refused_hosts_are_told_what_to_do() -> None:
    app = guarded(Tavern().app)
    expected = "expected one host name or address, with or without a port"
    assert (await ask(app, "GET /", host="evil.test")).error == (
        "host_refused",
        "this server does not answer to the host name 'evil.test'; add it to server.allowed_hosts",
    )
    malformed = await ask(app, "GET /", host="a/b?" + "c" * 200)
    shown = "a/b?" + "c" * 93 + "..."
    assert malformed.error == ("host_malformed", f"the Host header is {shown!r}; {expected}")
    assert (await ask(app, "GET /", host=None)).error == (
        "host_malformed",
        f"the request has no Host header; {expected}",
    )
    assert (await ask(app, "GET /", "host: b")).error == (
        "host_malformed",
        f"the request has more than one Host header; {expected}",
    )


# --- who asks (rows 1, 2 and 4) ----------------------------------------------------------------

FOREIGN_ORIGINS = [
    "null", "", "http://localhost.evil.com", f"http://127.0.0.1.evil.com:{PORT}", "localhost",
    f"http://{OWN}.evil.com", f"http://evil.com/{OWN}", f"http://{OWN}@evil.com", f"https://{OWN}",
    f"http://user@{OWN}", "http://localhost", "http://localhost:8322", f"http://127.0.0.1:{PORT}",
    f"http://{OWN}/", f"http://{OWN} ", f"http://{OWN}, http://{OWN}", f"//{OWN}", "file://",
    f"ws://{OWN}", f"http://{OWN}\x00", "\xff", f"chrome-extension://{OWN}",
]  # fmt: skip
FOREIGN_SITES = ["cross-site", "same-site", "", "Same-Origin", "same-origin, none", "x"]


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
async def test_foreign_origins_are_refused(origin: str) -> None:
    assert await post(f"origin: {origin}") == (403, 0)
    assert await post(f"origin: {origin}", "sec-fetch-site: same-origin") == (403, 0)
    for denial in (True, False):
        answer = await shake(guarded(Tavern().app), "/ws", f"origin: {origin}", denial=denial)
        assert answer.status == 403


@pytest.mark.parametrize("site", FOREIGN_SITES)
async def test_other_sites_are_refused(site: str) -> None:
    own = f"origin: http://{OWN}"  # as after a redirect by another site
    for lines in ([], [own]):
        assert await post(f"sec-fetch-site: {site}", *lines) == (403, 0)
        answer = await shake(guarded(Tavern().app), "/ws", f"sec-fetch-site: {site}", *lines)
        assert answer.status == 403


async def test_the_own_origin_passes_and_so_does_who_is_no_browser() -> None:
    assert await post() == (200, 1)
    for own in (f"http://{OWN}", f"HTTP://LocalHost:{PORT}"):
        for lines in ([], ["sec-fetch-site: same-origin"], ["sec-fetch-site: none"]):
            assert await post(f"origin: {own}", *lines) == (200, 1)
            answer = await shake(guarded(Tavern().app), "/ws", f"origin: {own}", *lines)
            assert answer.status == 101
    assert await post(f"origin: https://{OWN}", scheme="https") == (200, 1)
    assert await post(f"origin: http://{OWN}", scheme="https") == (403, 0)
    assert (await shake(guarded(Tavern().app), "/ws")).status == 101
    secure = await shake(guarded(Tavern().app), "/ws", f"origin: https://{OWN}", scheme="wss")
    assert secure.status == 101


async def test_an_origin_sent_twice_is_refused() -> None:
    own = f"origin: http://{OWN}"
    assert await post(own, own) == (403, 0)
    assert await post("sec-fetch-site: none", "Sec-Fetch-Site: none") == (403, 0)
    assert (await shake(guarded(Tavern().app), "/ws", own, own)).status == 403


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("https://tavern.example", "tavern.example", 200),
        ("https://tavern.example:443", "tavern.example:80", 200),
        ("http://tavern.example", "tavern.example", 200),  # its own, on plain HTTP
        ("http://tavern.example", "tavern.example:80", 200),
        ("https://ui.example:8443", "tavern.example", 200),
        ("https://ui.example", "tavern.example", 403),
        ("http://ui.example:8443", "tavern.example", 403),
        ("http://dev.lan", "tavern.example", 200),
        ("https://tavern.example.evil.com", "tavern.example", 403),
        ("https://tls.example", "tls.example", 403),  # not listed, and the scope says http
    ],
)
async def test_listed_origins_pass(origin: str, host: str, status: int) -> None:
    assert (await post(f"origin: {origin}", server=PROXIED, host=host))[0] == status


async def test_a_listed_origin_may_be_of_another_site() -> None:
    lines = ["origin: https://ui.example:8443", "sec-fetch-site: same-site"]
    app = guarded(Tavern().app, PROXIED)
    assert await post(*lines, server=PROXIED) == (200, 1)
    assert (await shake(app, "/ws", *lines)).status == 101
    assert (await ask(app, "GET /api/nodes", *lines, "sec-fetch-mode: cors")).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "post", "X"])
async def test_every_unknown_method_counts_as_unsafe(method: str) -> None:
    answer = await ask(guarded(Tavern().app), f"{method} /api/nodes", JSON, CROSS)
    assert answer.status == 403
    assert (await ask(guarded(Tavern().app), f"{method} /api/nodes", JSON)).status == 405


@pytest.mark.parametrize(
    ("path", "lines", "status"),
    [
        ("/", "navigate document", 200),
        ("/", "no-cors image", 200),
        ("/static/page.txt", "no-cors image", 200),
        ("/api/nodes", "navigate document", 200),
        ("/api/nodes", "navigate", 200),
        ("/api/nodes", "navigate iframe", 403),
        ("/api/nodes", "no-cors script", 403),
        ("/api/nodes", "cors empty", 403),
        ("/api/nodes", "", 403),
        ("/api/prompt", "navigate document", 405),
    ],
)
async def test_other_sites_may_link_but_not_embed(
    path: str, lines: str, status: int, site: Tavern
) -> None:
    names = ("sec-fetch-mode", "sec-fetch-dest")
    fetch = [f"{name}: {value}" for name, value in zip(names, lines.split(), strict=False)]
    app = guarded(site.app)
    for method in ("GET", "HEAD"):
        assert (await ask(app, f"{method} {path}", CROSS, *fetch)).status == status
    same_site = await ask(app, f"GET {path}", "sec-fetch-site: same-site", *fetch)
    assert same_site.status == status
    assert (await ask(app, f"GET {path}", "sec-fetch-site: same-origin")).status in (200, 405)


async def test_refused_origins_are_told_what_to_do() -> None:
    app = guarded(Tavern().app)
    expected = "this server takes no such request from pages of"
    for line in (CROSS, "origin: null"):
        error = (await ask(app, POST, JSON, line)).error
        assert error == ("origin_refused", f"{expected} other sites")
    assert (await ask(app, POST, JSON, CROSS, "origin: https://a.test")).error == (
        "origin_refused",
        f"{expected} 'https://a.test'; if they are yours, add it to server.allowed_origins",
    )


async def test_a_refused_handshake_tells_its_reason_and_nothing_else() -> None:
    app = guarded(Tavern().app, token=TOKEN)
    foreign = await shake(app, "/ws", "origin: null")
    assert (foreign.status, foreign.error[0]) == (403, "origin_refused")
    assert (await shake(app, "/ws", host="evil.test")).error[0] == "host_refused"
    assert (await shake(app, "/ws")).error[0] == "token_required"
    assert (await shake(app, "/")).error[0] == "token_required"  # public for pages alone
    assert (await shake(app, "//ws")).error[0] == "not_found"
    assert (await shake(app, "/ws", denial=False)).body == b""


# --- whatever comes ----------------------------------------------------------------------------

NAMES = st.sampled_from(
    "host origin sec-fetch-site sec-fetch-mode sec-fetch-dest content-type content-length"
    " transfer-encoding authorization cookie range".split()
).map(str.encode)
VALUES = st.binary(max_size=30) | st.sampled_from(
    [OWN, f"http://{OWN}", "application/json", "5", "Bearer x", "comfytavern_login=9.x", "none"]
).map(str.encode)
HEADERS = st.lists(st.tuples(NAMES | st.binary(max_size=10), VALUES), max_size=6)
PATHS = st.text(max_size=20) | st.sampled_from(["/", "/ws", "/api/prompt", "/health", "/tavern/"])


@given(
    headers=HEADERS,
    hosted=st.booleans(),
    path=PATHS,
    method=st.sampled_from(["GET", "POST", "OPTIONS", "HEAD", "\0"]),
    kind=st.sampled_from(["http", "websocket"]),
    root_path=st.sampled_from(["", "/tavern"]),
    body=st.lists(st.binary(max_size=600), max_size=3),
    token=st.sampled_from([None, TOKEN]),
)
async def test_arbitrary_requests_raise_nothing(
    headers: list[tuple[bytes, bytes]],
    hosted: bool,
    path: str,
    method: str,
    kind: str,
    root_path: str,
    body: list[bytes],
    token: str | None,
) -> None:
    own = [(b"host", OWN.encode())] if hosted else []
    scope: Scope = {
        "type": kind,
        "path": path,
        "root_path": root_path,
        "headers": [*own, *headers],
        "query_string": b"",
        "extensions": {"websocket.http.response": {}},
    }
    if kind == "http":
        scope["method"] = method

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    answer = await exchange(guarded(app, PROXIED, token=token), scope, body)
    assert answer.status < 500

"""What the server takes in and sends out: paths, types and sizes; the headers of responses."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from comfytavern_hostapp.config import Server
from comfytavern_hostapp.security import SecurityPolicy

from .security_requests import LIMIT, OWN, Answer, Tavern, ask, guarded

JSON = "content-type: application/json"
POST = "POST /api/prompt"
CROSS = "sec-fetch-site: cross-site"


@pytest.mark.parametrize(
    "path",
    ["//evil/x", "//evil/x/", "/\\evil", "///evil", "/\\/evil", "/\t/evil", "/a\n", "/a\x00b",
     "/a\x7f", "/\x85a", "//", "/\\"],
)  # fmt: skip
@pytest.mark.parametrize("root_path", ["", "/tavern"])
async def test_paths_that_could_lead_elsewhere_are_not_found(path: str, root_path: str) -> None:
    answer = await ask(guarded(Tavern().app), f"GET {root_path}{path}", root_path=root_path)
    assert (answer.status, answer.error) == (404, (
        "not_found",
        "nothing is served under a path that begins with '//' or holds control characters",
    ))  # fmt: skip
    assert "location" not in answer.headers


@pytest.mark.parametrize("path", [f"http://{OWN}/", "http://evil.test/", "*", "", "evil.test:80"])
@pytest.mark.parametrize("root_path", ["", "/tavern"])
async def test_a_request_line_without_a_path_is_refused(path: str, root_path: str) -> None:
    answer = await ask(guarded(Tavern().app), f"GET {root_path}{path}", root_path=root_path)
    if root_path and not path:
        # The root itself: the app adds its slash.
        assert answer.headers["location"] == f"http://{OWN}/tavern/"
    else:
        assert (answer.status, answer.error) == (
            400,
            ("path_malformed", "the request line names no path; expected one that begins with '/'"),
        )


@pytest.mark.parametrize("path", ["/api/nodés", "/api/\N{CAT FACE}\N{ZERO WIDTH JOINER}", "/a b"])
async def test_unusual_letters_in_a_path_are_no_fault(path: str) -> None:
    assert (await ask(guarded(Tavern().app), f"GET {path}")).body == b"Not Found"


REFUSED_TYPES = """
    text/plain text/plain;application/json application/x-www-form-urlencoded multipart/form-data
    application/octet-stream application/json-patch+json application/jsonx x,application/json json
""".split()


@pytest.mark.parametrize("media_type", ["", *REFUSED_TYPES])
async def test_other_types_than_json_are_refused(media_type: str) -> None:
    tavern = Tavern()
    app = guarded(tavern.app)
    for body in (["content-length: 2"], ["transfer-encoding: chunked"], []):
        answer = await ask(app, POST, f"content-type: {media_type}", *body, body=[b"{}"])
        assert (answer.status, answer.taken) == (415, 0)
    shown = media_type.partition(";")[0]
    assert answer.error == (
        "media_type_refused",
        f"this path takes no body of type {shown!r}; send it as application/json",
    )
    assert (
        await ask(app, POST, f"{JSON}; charset=utf-8", "content-type: text/plain")
    ).status == 415
    assert tavern.queued == []


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON ; charset=utf-8"])
async def test_json_is_taken(media_type: str) -> None:
    tavern = Tavern()
    await ask(guarded(tavern.app), POST, f"content-type: {media_type}", body=[b"{", b"}"])
    assert tavern.queued == [b"{}"]


@pytest.mark.parametrize("line", ["content-length: 2", "transfer-encoding: chunked", "x-none: "])
async def test_a_body_needs_a_type(line: str) -> None:
    tavern = Tavern()
    answer = await ask(guarded(tavern.app), POST, line, body=[b"{}"])
    assert (answer.status, tavern.queued) == (415, [])
    assert answer.error == (
        "media_type_refused",
        "the request has a body and no type; set the Content-Type header to application/json",
    )


@pytest.mark.parametrize("lines", [[], ["content-length: 0"], ["content-length: 00"]])
async def test_without_a_body_no_type_is_needed(lines: list[str]) -> None:
    tavern = Tavern()
    assert (await ask(guarded(tavern.app), POST, *lines)).status == 200
    assert tavern.queued == [b""]


async def test_files_are_taken_where_the_policy_says() -> None:
    tavern = Tavern()
    app = guarded(tavern.app)
    for media_type in ("multipart/form-data; boundary=x", "application/octet-stream"):
        line = f"content-type: {media_type}"
        assert (await ask(app, "POST /api/upload/card", line, body=[b"x"])).status == 200
        assert (await ask(app, "POST /api/uploads", line, body=[b"x"])).status == 415
        climbing = await ask(app, "POST /api/upload/../prompt", line, body=[b"x"])
        assert climbing.status == 415
        assert (await ask(app, "POST /api/upload/card", line, CROSS)).status == 403
    assert tavern.queued == [b"x", b"x"]
    assert (await ask(app, "POST /api/upload/card", "content-type: text/html")).error[1] == (
        "this path takes no body of type 'text/html'; send it as application/json,"
        " multipart/form-data or application/octet-stream"
    )


@pytest.mark.parametrize("length", [str(LIMIT + 1), "9" * 18, "9" * 5000])
async def test_a_length_over_the_limit_is_refused_unread(length: str) -> None:
    tavern = Tavern()
    answer = await ask(guarded(tavern.app), POST, JSON, f"content-length: {length}", body=[b"{}"])
    assert (answer.status, answer.taken, tavern.queued) == (413, 0, [])
    assert answer.headers["connection"] == "close"
    assert answer.error == (
        "body_too_large",
        "the body is longer than 1000 bytes; send less, or raise limits.body",
    )


@pytest.mark.parametrize("length", ["", "-1", "+1", "1.0", "0x1", "1_0", " 1", "1,1", "\xb2", "x"])
async def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    answer = await ask(guarded(Tavern().app), POST, JSON, f"content-length: {length}")
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert answer.error == (
        "length_malformed",
        (
            f"the Content-Length header is {length!r}; expected one whole number, and no"
            " Transfer-Encoding header beside it"
        ),
    )


async def test_lengths_that_contradict_are_refused() -> None:
    app = guarded(Tavern().app)
    for second in ("content-length: 2", "transfer-encoding: chunked"):
        answer = await ask(app, POST, JSON, "content-length: 2", second, body=[b"{}"])
        assert (answer.status, answer.taken) == (400, 0)


async def test_a_body_of_unknown_length_is_counted_while_it_comes() -> None:
    tavern = Tavern()
    app = guarded(tavern.app)
    chunked = [JSON, "transfer-encoding: chunked"]
    fits = await ask(app, POST, *chunked, body=[b"x" * 400, b"x" * 600])
    assert (fits.status, len(tavern.queued.pop())) == (200, LIMIT)
    answer = await ask(app, POST, *chunked, body=[b"x" * 400, b"x" * 601, b"x" * 9])
    assert (answer.status, answer.taken, tavern.queued) == (413, 2, [])
    assert (answer.error[0], answer.headers["connection"]) == ("body_too_large", "close")
    assert tavern.failures == ["ClientDisconnect"]


async def test_who_reads_on_after_a_refused_body_learns_that_the_client_is_gone() -> None:
    seen: list[str] = []

    async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([(await receive())["type"] for _ in range(4)])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})

    answer = await ask(guarded(stubborn), POST, JSON, body=[b"x", b"x" * LIMIT, b"x"])
    assert answer.error[0] == "body_too_large"
    assert seen == ["http.request", "http.disconnect", "http.disconnect", "http.disconnect"]


async def test_a_response_that_has_begun_is_not_ended_when_the_body_goes_over() -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        assert await receive() == {"type": "http.disconnect"}
        await send({"type": "http.response.body", "body": b"whole"})

    answer = await ask(guarded(early), POST, JSON, body=[b"x" * (LIMIT + 1)])
    assert (answer.status, answer.body) == (200, b"half")


@pytest.fixture
def site(tmp_path: Path) -> Tavern:
    """Serve a static page besides the routes."""
    (tmp_path / "page.txt").write_text("page")
    return Tavern(tmp_path)


async def test_many_ranges_and_fields_are_answered_at_once(site: Tavern) -> None:
    app = guarded(site.app)
    ranges = "range: bytes=" + ",".join("0-1" for _ in range(10_000))
    assert (await ask(app, "GET /static/page.txt", ranges)).status in (200, 206, 400, 416)
    form = "content-type: application/x-www-form-urlencoded"
    answer = await ask(app, POST, form, body=[b"a=1&" * 100_000])
    assert (answer.status, answer.taken) == (415, 0)


# --- what every response says ------------------------------------------------------------------

HARDENED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}


def added(answer: Answer) -> dict[str, str]:
    own = ("content-type", "content-length")
    return {name: value for name, value in answer.headers.items() if name not in own}


@pytest.mark.parametrize("root_path", ["", "/tavern"])
async def test_responses_are_hardened(root_path: str) -> None:
    app = guarded(Tavern().app)

    async def got(path: str) -> dict[str, str]:
        return added(await ask(app, f"GET {root_path}{path}", root_path=root_path))

    assert await got("/") == HARDENED
    assert await got("/api/nodes") == HARDENED | {"cache-control": "no-store"}
    assert (await got("//x")).items() >= (HARDENED | {"cache-control": "no-store"}).items()
    own = {"cache-control": "max-age=5", "content-security-policy": "default-src 'self'"}
    assert await got("/api/own") == HARDENED | own


def test_errors_of_the_app_are_hardened() -> None:
    app = guarded(Tavern().app)
    with TestClient(app, base_url=f"http://{OWN}", raise_server_exceptions=False) as client:
        answer = client.get("/boom")
    assert (answer.status_code, answer.headers["x-frame-options"]) == (500, "DENY")


async def test_other_scopes_pass_through() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    await guarded(app)({"type": "lifespan"}, receive, send)
    assert seen == ["lifespan"]


def test_a_policy_without_bounds_is_refused() -> None:
    for wrong in ("/", "", "static"):
        with pytest.raises(ValueError, match="expected such as '/static'"):
            SecurityPolicy.of(Server(), port=1, body_limit=1, public_paths=[wrong])

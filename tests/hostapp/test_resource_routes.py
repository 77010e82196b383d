"""``/api/resources``: what is listed, stored, deleted, and given so that nothing runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from email.message import Message
from pathlib import Path
from typing import Any

import anyio
import pytest

from .security_requests import Answer
from .test_workflow_routes import error
from .ways_out import WAYS_OUT
from .whole_app import WholeApp, whole_app

Json = dict[str, Any]  # Any: JSON
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
SCRIPT = b"<script>alert(document.cookie)</script>"
OUTSIDE = b"what nobody may read"
FILES = {
    "outside.txt": OUTSIDE,
    "elsewhere/known.txt": OUTSIDE,
    "data/config.yaml": OUTSIDE,
    "data/workflows/known.txt": OUTSIDE,
    "data/resources/shared/known.txt": b"0123456789",
    "data/resources/shared/deep/known.txt": b"deep",
    "data/resources/system/preset.json": b"{}",
    "data/resources/users/bob/known.txt": OUTSIDE,
}
LIMIT = 100_000


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[WholeApp]:
    """Start the application on a data directory with a few files."""
    for name, content in FILES.items():
        file = anyio.Path(tmp_path / name)
        await file.parent.mkdir(parents=True, exist_ok=True)
        await file.write_bytes(content)
    limits = {"body": LIMIT}
    async with whole_app(tmp_path / "data", limits=limits) as running:
        yield running


async def listed(app: WholeApp, query: str = "") -> list[str]:
    """Return the names in a list."""
    answer = await app.ask(f"GET /api/resources?{query}")
    return [entry["name"] for entry in json.loads(answer.body)["resources"]]


async def content(app: WholeApp, path: str) -> bytes:
    """Return what is given for ``root/path``."""
    answer = await app.ask(f"GET /api/resources/{path}")
    assert answer.status == 200
    return answer.body


async def test_files_are_listed_in_pages(app: WholeApp) -> None:
    everything = [
        "shared://deep/known.txt",
        "shared://known.txt",
        "system://preset.json",
    ]
    assert await listed(app) == everything
    assert await listed(app, "root=shared&prefix=deep") == everything[:1]
    first = json.loads((await app.ask("GET /api/resources?limit=2")).body)
    assert first["nextAfter"] == "shared://known.txt"
    assert first["resources"][1].pop("modified").endswith("+00:00")
    assert first["resources"][1] == {
        "name": "shared://known.txt",
        "root": "shared",
        "path": "known.txt",
        "size": 10,
        "mediaType": "text/plain",
    }
    assert await listed(app, f"limit=2&after={first['nextAfter']}") == everything[2:]
    assert "nextAfter" not in json.loads((await app.ask("GET /api/resources")).body)
    for query in ("limit=0", "limit=1001", "limit=x", "rooot=shared", f"prefix={'x' * 2000}"):
        assert error(await app.ask(f"GET /api/resources?{query}"), 422)["code"] == "bad_request"
    for query in ("root=nobody", "root=shared&prefix=../x", "prefix=/etc", "root="):
        assert error(await app.ask(f"GET /api/resources?{query}"), 404)["message"].endswith(
            "with no '..', no backslash, no colon and no hidden part"
        )


async def test_a_form_stores_its_files(app: WholeApp) -> None:
    answer = await app.upload(
        ("hesper.png", PNG), "Zoë's \u201ccard\u201d.json", folder="cards/new", replace="false"
    )
    assert answer.status == 201
    stored = json.loads(answer.body)["resources"]
    names = ["shared://cards/new/hesper.png", "shared://cards/new/Zoë's \u201ccard\u201d.json"]
    assert [entry["name"] for entry in stored] == names
    assert [entry["mediaType"] for entry in stored] == ["image/png", "application/json"]
    assert [entry["size"] for entry in stored] == [len(PNG), 7]
    assert await listed(app, "root=shared&prefix=cards") == sorted(names)
    assert await content(app, "shared/cards/new/hesper.png") == PNG
    again = await app.upload(("hesper.png", PNG), folder="cards/new/")
    assert again.status == 200
    mine = await app.upload("a.txt", root="user")
    assert json.loads(mine.body)["resources"][0]["name"] == "user://a.txt"


async def test_a_raw_body_is_stored_under_its_path(app: WholeApp) -> None:
    statuses = [
        (await app.put("shared/a b/ü.txt", b"one")).status,
        (await app.put("shared/a b/ü.txt", b"one")).status,
        (await app.put("shared/a b/ü.txt", b"two")).status,
        (await app.put("shared/a b/ü.txt?replace=true", b"two")).status,
        (await app.put("user/empty.bin", b"")).status,
    ]
    assert statuses == [201, 200, 409, 200, 201]
    assert await content(app, "shared/a b/ü.txt") == b"two"
    assert await content(app, "user/empty.bin") == b""


async def test_another_content_needs_a_word(app: WholeApp) -> None:
    for answer in (
        await app.put("shared/known.txt", b"other"),
        await app.upload("new.txt", "known.txt", "third.txt"),
    ):
        assert error(answer, 409) == {
            "code": "resource_exists",
            "message": (
                "resource 'shared://known.txt' exists with another content; replace it or choose"
                " another name"
            ),
            "details": [],
        }
    # A form ends at what is refused; what came before it is stored, and may be sent again.
    names = ["shared://deep/known.txt", "shared://known.txt", "shared://new.txt"]
    assert await listed(app, "root=shared") == names
    assert (await app.upload("new.txt", "known.txt", replace="true")).status == 200
    assert await content(app, "shared/known.txt") == b"content"
    beside = await app.put("shared/KNOWN.txt", b"x")
    assert error(beside, 409)["message"] == (
        "resource 'shared://KNOWN.txt' cannot be kept beside 'shared://known.txt'; choose another"
        " name"
    )


async def test_deleting_removes_one_upload(app: WholeApp) -> None:
    path = "/api/resources/shared/deep/known.txt"
    assert ((await app.ask(f"DELETE {path}")).status, await listed(app, "root=shared")) == (
        204,
        ["shared://known.txt"],
    )
    for request in (f"DELETE {path}", f"GET {path}"):
        assert error(await app.ask(request), 404)["message"] == (
            "resource 'shared://deep/known.txt': not found below shared://"
        )


async def test_what_is_the_operators_is_never_written(app: WholeApp) -> None:
    before = await anyio.to_thread.run_sync(app.files)
    for answer in (
        await app.put("system/preset.json?replace=true", b"x"),
        await app.put("system/new.json", b"x"),
        await app.put("nobody/new.json", b"x"),
        await app.upload("preset.json", root="system", replace="true"),
        await app.ask("DELETE /api/resources/system/preset.json"),
        await app.ask("DELETE /api/resources/system/new.json"),
    ):
        assert error(answer, 422)["code"] == "bad_resource_name"
    assert await anyio.to_thread.run_sync(app.files) == before


# --- giving -------------------------------------------------------------------------------


async def test_what_a_client_has_is_not_sent_again(app: WholeApp) -> None:
    request = "GET /api/resources/shared/known.txt"
    whole = await app.ask(request)
    etag = whole.headers["etag"]
    assert whole.headers["cache-control"] == "private, no-cache"
    assert whole.headers["content-length"] == "10"
    known = await app.ask(request, f"if-none-match: {etag}")
    assert (known.status, known.body, known.headers["etag"]) == (304, b"", etag)
    head = await app.ask(request.replace("GET", "HEAD"))
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "10")
    await app.put("shared/known.txt?replace=true", b"changed")
    assert (await app.ask(request, f"if-none-match: {etag}")).body == b"changed"


@pytest.mark.parametrize(
    ("given", "status", "expected", "where"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-999999999999999999", 206, b"89", "bytes 8-9/10"),
        ("bytes=9-9", 206, b"9", "bytes 9-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=99-100", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        # What HTTP lets a server ignore.
        ("bytes=5-4", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("bytes=0-0" + ",1-1" * 10_000, 200, b"0123456789", None),
        ("bytes=" + "9" * 5000 + "-", 200, b"0123456789", None),
        ("lines=0-1", 200, b"0123456789", None),
        ("bytes=\xb2-3", 200, b"0123456789", None),
        ("bytes", 200, b"0123456789", None),
        ("", 200, b"0123456789", None),
    ],
)
async def test_one_range_is_given(
    app: WholeApp, given: str, status: int, expected: bytes | None, where: str | None
) -> None:
    answer = await app.ask("GET /api/resources/shared/known.txt", f"range: {given}")
    assert (answer.status, answer.headers.get("content-range")) == (status, where)
    if expected is None:
        assert error(answer, 416)["message"] == (
            "the range lies outside the file, which has 10 bytes"
        )
    else:
        assert answer.body == expected
        assert answer.headers["content-length"] == str(len(expected))
        assert answer.headers["accept-ranges"] == "bytes"


async def test_a_range_belongs_to_what_the_client_has(app: WholeApp) -> None:
    request = "GET /api/resources/shared/known.txt"
    etag = (await app.ask(request)).headers["etag"]
    for line, status in ((f"if-range: {etag}", 206), ('if-range: "x"', 200), ("if-range: ", 200)):
        assert (await app.ask(request, "range: bytes=0-1", line)).status == status
    await app.put("shared/empty.txt", b"")
    empty = await app.ask("GET /api/resources/shared/empty.txt", "range: bytes=0-")
    assert error(empty, 416)["code"] == "range_outside"


async def test_a_large_file_is_given_in_pieces(app: WholeApp) -> None:
    data = bytes(range(256)) * 4096
    await anyio.Path(app.data_dir / "resources/shared/large.bin").write_bytes(data)
    assert await content(app, "shared/large.bin") == data
    part = await app.ask("GET /api/resources/shared/large.bin", "range: bytes=1000-999999")
    assert part.body == data[1000:1_000_000]


def disposition(answer: Answer) -> tuple[str, str | None]:
    """Return how a browser is told to treat a file, and the name it gets."""
    message = Message()
    message["content-disposition"] = answer.headers["content-disposition"]
    return message.get_content_disposition() or "", message.get_filename()


@pytest.mark.parametrize(
    "name",
    [
        *("a.html", "a.HTM", "a.svg", "a.xhtml", "a.xml", "a.xht", "a.mhtml", "a.js", "a.mjs"),
        *("a.css", "a.pdf", "a.swf", "a.wasm", "a.php", "a.shtml", "a.html.unknown", "noextension"),
        *("png.html", "a.png.svg", "a.webmanifest", "a.ics", "a.svgz", "a.hta", "a.url"),
    ],
)
async def test_pages_and_scripts_are_never_shown(app: WholeApp, name: str) -> None:
    await app.put(f"shared/{name}", SCRIPT)
    answer = await app.ask(f"GET /api/resources/shared/{name}")
    assert (answer.status, answer.body) == (200, SCRIPT)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert disposition(answer) == ("attachment", name)
    inert(answer)


@pytest.mark.parametrize(
    ("name", "data", "media_type"),
    [
        ("a.png", SCRIPT, "application/octet-stream"),
        ("a.jpg", b"\xff\xd8" + SCRIPT, "application/octet-stream"),
        ("a.gif", b"GIF87b" + SCRIPT, "application/octet-stream"),
        ("a.webp", b"RIFF1234WEBQ" + SCRIPT, "application/octet-stream"),
        # A picture with a page in it is a picture: that is all a browser may do with it.
        ("b.png", PNG + SCRIPT, "image/png"),
        ("b.gif", b"GIF89a" + SCRIPT, "image/gif"),
        ("a.txt", SCRIPT, "text/plain"),
        ("a.md", SCRIPT, "text/plain"),
        ("a.json", SCRIPT, "application/json"),
    ],
)
async def test_what_is_shown_cannot_run(
    app: WholeApp, name: str, data: bytes, media_type: str
) -> None:
    await app.upload((name, data))
    answer = await app.ask(f"GET /api/resources/shared/{name}")
    shown = media_type != "application/octet-stream"
    assert answer.headers["content-type"] == media_type
    assert disposition(answer) == ("inline" if shown else "attachment", name)
    inert(answer)
    part = await app.ask(f"GET /api/resources/shared/{name}", "range: bytes=0-")
    assert (part.status, part.headers["content-type"]) == (206, media_type)
    inert(part)


def inert(answer: Answer) -> None:
    """Check what keeps a browser from running a file."""
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_names_do_not_break_out_of_their_header(app: WholeApp) -> None:
    name = "a'b;filename=x.html\u202egnp.txt"
    assert (await app.put(f"shared/{name}", b"x")).status == 201
    answer = await app.ask(f"GET /api/resources/shared/{name}")
    assert answer.headers["content-disposition"] == (
        'inline; filename="a\'b_filename=x.html_gnp.txt"; '
        "filename*=UTF-8''a%27b%3Bfilename%3Dx.html%E2%80%AEgnp.txt"
    )


# --- refusing -----------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [way for way in WAYS_OUT if "?" not in way])
async def test_ways_out_are_refused_alike_whether_or_not_something_is_there(
    app: WholeApp, pattern: str
) -> None:
    before = await anyio.to_thread.run_sync(app.files)
    octets = "content-type: application/octet-stream"
    seen: set[tuple[str, int, str]] = set()
    for root in ("shared", "user", "system"):
        for target in ("outside.txt", "none", "known.txt", "config.yaml"):
            path = f"/api/resources/{root}/{pattern.replace('{}', target)}"
            for kind, answer in (
                ("read", await app.ask(f"GET {path}")),
                ("write", await app.ask(f"PUT {path}", octets, body=[b"bad"])),
                ("write", await app.ask(f"PUT {path}?replace=true", octets, body=[b"bad"])),
                ("write", await app.ask(f"DELETE {path}")),
            ):
                found = error(answer, answer.status)
                assert OUTSIDE not in answer.body
                seen.add((kind, answer.status, found["code"]))
    # Control characters do not even reach a route, nor do bodies whose path leads upwards.
    unrouted = {("read", 404, "not_found"), ("write", 404, "not_found")}
    refused = {("read", 404, "resource_refused"), ("write", 422, "bad_resource_name")}
    assert seen in (refused, unrouted, refused | {("write", 415, "media_type_refused")})
    assert await anyio.to_thread.run_sync(app.files) == before


@pytest.mark.parametrize("pattern", WAYS_OUT)
async def test_forms_lead_nowhere_else(app: WholeApp, pattern: str) -> None:
    before = await anyio.to_thread.run_sync(app.files)
    for target in ("outside.txt", "none.txt"):
        path = pattern.replace("{}", target)
        spelt = path.encode("utf-8", "replace").decode()
        for answer in (
            await app.upload((path, b"bad"), replace="true"),
            await app.upload(("x.txt", b"bad"), folder=spelt),
            await app.upload(("x.txt", b"bad"), root=spelt),
        ):
            assert answer.status in (201, 400, 413, 422)
    after = await anyio.to_thread.run_sync(app.files)
    assert {name: after.get(name) for name in before} == before
    # A browser of old sends the whole path, of which the plain name is left. And a name with a
    # slash behind it is a good folder.
    plain = {"outside.txt", "none.txt", "?outside.txt", "?none.txt"}
    places = {f"data/resources/shared/{name}{more}" for name in plain for more in ("", "/x.txt")}
    assert set(after) - set(before) <= places


async def test_links_that_lead_out_are_refused_alike(app: WholeApp, tmp_path: Path) -> None:
    shared = app.data_dir / "resources/shared"
    await anyio.Path(shared / "folder").symlink_to(tmp_path / "elsewhere")
    await anyio.Path(shared / "file.txt").symlink_to(tmp_path / "outside.txt")
    await anyio.Path(shared / "gone.txt").symlink_to(tmp_path / "none.txt")
    before = await anyio.to_thread.run_sync(app.files)
    for path in ("folder/known.txt", "folder/none.txt", "file.txt", "gone.txt"):
        told = []
        for answer in (
            await app.ask(f"GET /api/resources/shared/{path}"),
            await app.put(f"shared/{path}?replace=true", b"bad"),
            await app.ask(f"DELETE /api/resources/shared/{path}"),
        ):
            told.append((answer.status, error(answer, answer.status)["code"]))
            assert str(tmp_path) not in answer.body.decode()
        refused = (422, "bad_resource_name")
        assert told == [(404, "resource_refused"), refused, refused]
    assert await listed(app, "root=shared") == ["shared://deep/known.txt", "shared://known.txt"]
    assert await anyio.to_thread.run_sync(app.files) == before

"""Uploads to ``/api/resources``: what a form and a raw body may be, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import anyio
import pytest

from .live_server import Live
from .security_requests import Answer
from .test_resource_routes import LIMIT, app
from .test_workflow_routes import error
from .whole_app import BOUNDARY, WholeApp, form

__all__ = ("app",)  # a fixture

Json = dict[str, Any]  # Any: JSON


@pytest.mark.parametrize(
    "body",
    [
        {"path": "/etc/passwd"},
        {"file": {"path": "/etc/passwd", "filename": "x.txt"}},
        {"files": {"f": {"filepath": "/etc/passwd"}}},
    ],
)
async def test_files_come_from_the_body_alone(app: WholeApp, body: Json) -> None:
    before = await anyio.to_thread.run_sync(app.files)
    for request in ("POST /api/resources", "PUT /api/resources/shared/x.txt"):
        answer = await app.send(request, body)
        assert error(answer, 415)["code"] == "media_type_refused"
    for fields in ({"path": "/etc/passwd"}, {"file": "/etc/passwd"}, {"file.path": "/etc/passwd"}):
        answer = await app.upload(**fields)
        assert error(answer, 422)["code"] == "bad_request"
        assert error(await app.upload("x.txt", **fields), 422)["code"] == "bad_request"
    assert await anyio.to_thread.run_sync(app.files) == before


async def test_bodies_of_another_type_are_refused(app: WholeApp) -> None:
    raw = await app.ask(
        "POST /api/resources", "content-type: application/octet-stream", body=[b"x"]
    )
    assert error(raw, 415)["message"] == (
        "the request has a body of type 'application/octet-stream'; send the file itself as"
        " multipart/form-data"
    )
    asked = await app.ask(
        "PUT /api/resources/shared/a.txt",
        f"content-type: multipart/form-data; boundary={BOUNDARY}",
        body=[form("a.txt")],
    )
    assert error(asked, 415)["code"] == "media_type_refused"
    nothing = await app.ask("PUT /api/resources/shared/a.txt")
    assert error(nothing, 415)["message"] == (
        "the request gives no type for its body; send the file itself as application/octet-stream"
    )
    for path in ("/api/prompt", "/api/workflows/a"):
        method = "POST" if path == "/api/prompt" else "PUT"
        sent = await app.ask(
            f"{method} {path}", "content-type: application/octet-stream", body=[b"x"]
        )
        assert error(sent, 415)["code"] == "media_type_refused"


HEAD = f"--{BOUNDARY}\r\nContent-Disposition: form-data; "
FILE = f'{HEAD}name="file"; filename="a.txt"\r\n\r\n'
END = f"--{BOUNDARY}--\r\n"
BROKEN_OFF = "it ends before its last boundary"
NO_FORM = "invalid multipart data"
BROKEN_FORMS = {
    "": BROKEN_OFF,
    f"{FILE}half of a fi": BROKEN_OFF,
    f"{FILE}{'x' * 3000}": BROKEN_OFF,
    "what is no form": NO_FORM,
    f"{HEAD}filename=a.txt\r\n\r\nx\r\n{END}": (
        'the Content-Disposition header field "name" must be provided'
    ),
    f'{HEAD}name="folder"\r\n\r\n{"x" * 5000}\r\n{END}': "part exceeded maximum size of 4KB",
    f'{HEAD}name="x"\r\n\r\n\r\n' * 11 + END: "too many fields; maximum number of fields is 10",
    f"{FILE}x\r\n" * 101 + END: "too many files; maximum number of files is 100",
    f"--{BOUNDARY}\r\nX-A: {'x' * 9000}\r\n\r\nx\r\n{END}": NO_FORM,
    f"--{BOUNDARY}\r\n" + "X-A: x\r\n" * 100 + f"\r\nx\r\n{END}": NO_FORM,
}


@pytest.mark.parametrize("body", BROKEN_FORMS, ids=range(len(BROKEN_FORMS)))
async def test_forms_that_cannot_be_read_store_nothing(app: WholeApp, body: str) -> None:
    before = await anyio.to_thread.run_sync(app.files)
    kind = f"content-type: multipart/form-data; boundary={BOUNDARY}"
    pieces = [body.encode()[at : at + 700] for at in range(0, len(body), 700)]
    with anyio.fail_after(2):
        answer = await app.ask("POST /api/resources", kind, body=pieces or [b""])
    found = error(answer, 400)
    told = f"the upload cannot be read: {BROKEN_FORMS[body]}"
    assert (found["code"], found["message"]) == ("bad_upload", told)
    assert await anyio.to_thread.run_sync(app.files) == before


@pytest.mark.parametrize(
    "media_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary="a\xe4"',
        f"multipart/form-data; boundary={'x' * 100}",
        'multipart/form-data; boundary="a\\"b"',
    ],
)
async def test_a_form_needs_a_plain_boundary(app: WholeApp, media_type: str) -> None:
    answer = await app.ask("POST /api/resources", f"content-type: {media_type}", body=[b"x"])
    assert error(answer, 400)["message"] == (
        "the upload names no boundary of at most 70 plain characters"
    )


async def test_a_client_does_not_choose_how_names_are_decoded(app: WholeApp) -> None:
    kind = f"content-type: multipart/form-data; boundary={BOUNDARY}; charset=unicode_escape"
    answer = await app.ask("POST /api/resources", kind, body=[form("a\\x2fb.txt")])
    assert error(answer, 422)["code"] == "bad_resource_name"  # the backslash is one
    plain = await app.ask("POST /api/resources", kind, body=[form("ü.txt")])
    assert json.loads(plain.body)["resources"][0]["path"] == "ü.txt"


async def test_a_form_without_a_file_says_so(app: WholeApp) -> None:
    for parts in ((), (("", b""),)):
        found = error(await app.upload(*parts, folder="x"), 422)
        assert found["message"] == (
            "the upload holds no file; send each as a part with a file name"
        )
    wrong = error(await app.upload("a.txt", replace="perhaps", where="x"), 422)
    assert [detail["path"] for detail in wrong["details"]] == ["replace", "where"]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_limit_is_refused_and_leaves_nothing(
    app: WholeApp, announced: bool
) -> None:
    before = await anyio.to_thread.run_sync(app.files)
    octets = "content-type: application/octet-stream"
    kind = f"content-type: multipart/form-data; boundary={BOUNDARY}"
    large = bytes(LIMIT + 1)
    lines = () if announced else ("transfer-encoding: chunked",)
    for request, line, body in (
        ("PUT /api/resources/shared/large.bin", octets, large),
        ("POST /api/resources", kind, form(("large.bin", large))),
    ):
        pieces = [body[at : at + 9000] for at in range(0, len(body), 9000)]
        answer = await app.ask(request, line, *lines, body=pieces)
        assert error(answer, 413)["code"] == "body_too_large"
    assert await anyio.to_thread.run_sync(app.files) == before
    fits = await app.put("shared/large.bin", bytes(LIMIT))
    assert fits.status == 201


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("PUT /api/resources/shared/a.bin", "application/octet-stream"),
        ("POST /api/resources", f"multipart/form-data; boundary={BOUNDARY}"),
    ],
)
async def test_a_client_that_goes_away_leaves_nothing(
    live: Live, tmp_path: Path, head: str, body: str
) -> None:
    request = (
        f"{head} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\nContent-Type: {body}\r\n"
        f"Content-Length: 5000\r\n\r\n{FILE}"
    )
    async with await anyio.connect_tcp("127.0.0.1", live.port) as stream:
        await stream.send(request.encode())
    assert (await live.http.get("/api/resources?root=shared&prefix=a")).status_code == 200
    # What uvicorn logs as an error fails the test when the server ends.
    folder = anyio.Path(tmp_path / "data/resources/shared")
    names = [path.name async for path in folder.iterdir()]
    assert names == ["characters"]


async def test_a_full_disk_is_told_and_leaves_nothing(
    app: WholeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/machine/path")

    before = await anyio.to_thread.run_sync(app.files)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        for answer in (await app.put("shared/a.bin", b"x"), await app.upload("a.bin")):
            assert answer.headers["retry-after"] == "5"
            assert error(answer, 503)["message"] == (
                "resource 'shared://a.bin' was not written: no space left on device; what was"
                " there is unchanged"
            )
    with monkeypatch.context() as patched:
        patched.setattr(tempfile.SpooledTemporaryFile, "write", fail)
        for answer in (await app.put("shared/a.bin", b"x"), await app.upload("a.bin")):
            found = error(answer, 503)
            assert found["code"] == "not_written"
            assert "/machine/path" not in found["message"]
    assert await anyio.to_thread.run_sync(app.files) == before


async def test_many_uploads_of_one_name_leave_one(app: WholeApp) -> None:
    answers: list[Answer] = []

    async def save(number: int) -> None:
        answers.append(await app.put("shared/new.txt", b"%d" % number * 1000))

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(save, number)
    statuses = [answer.status for answer in answers]
    assert set(statuses) <= {200, 201, 409}
    assert statuses.count(409) == 11
    folder = anyio.Path(app.data_dir / "resources/shared")
    assert {path.name async for path in folder.iterdir()} == {"deep", "known.txt", "new.txt"}

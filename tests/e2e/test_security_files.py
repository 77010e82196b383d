"""The whole application against names, pages and files that would reach where they must not.

One class per row of the checklist; ``docs/security.md`` says what closes each.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
from pathlib import Path

import anyio
import pytest

from comfytavern_hostapp.routes import ENDPOINTS
from comfytavern_hostapp.routes.endpoint import Endpoint

from ..hostapp.live_server import serving
from ..hostapp.whole_app import WholeApp
from ..scenarios.building import flow, place
from .security_routes import (
    JSON,
    OCTETS,
    PAGES,
    READING,
    RUN,
    SMALL,
    UNSAFE,
    path_of,
    request,
    takes_files,
)

SCRIPT = "<script>alert(1)</script>"


class TestScriptsInWhatUsersBring:
    """Row 6: a name, an error, an upload that a page would run."""

    async def test_no_upload_runs_in_a_browser(self, app: WholeApp) -> None:
        for name in ("a.html", "a.svg", "a.xhtml", "a.png", "a.js", "a.txt"):
            await app.put(f"shared/{name}", SCRIPT.encode())
            answer = await app.ask(f"GET /api/resources/shared/{name}")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"].startswith("sandbox;")
            kind = answer.headers["content-type"], answer.headers["content-disposition"][:10]
            plain = ("text/plain", "inline; fi")
            assert kind == (
                plain if name == "a.txt" else ("application/octet-stream", "attachment")
            )

    async def test_no_name_or_error_is_part_of_a_page(self, app: WholeApp) -> None:
        named = flow(place(SCRIPT, "Fail", reason=SCRIPT), name=SCRIPT, id=SCRIPT)
        accepted = await app.send("POST /api/prompt", named)
        run_id = json.loads(accepted.body)["promptId"]
        events = await app.ask(f"GET /api/prompt/{run_id}/events")
        assert SCRIPT.encode() in events.body
        stored = {**named, "description": SCRIPT}
        assert (await app.send(f"PUT /api/workflows/{run_id}", stored)).status == 201
        wrong = flow(place(SCRIPT, SCRIPT), {**place("b", "Repeat"), "inputs": {SCRIPT: 1}})
        answers = [accepted, events, await app.send("POST /api/prompt", wrong)]
        for endpoint in READING:
            answers += [
                await app.ask(f"GET {path_of(endpoint, name)}") for name in (run_id, SCRIPT)
            ]
        lines = [*PAGES, f"GET /{SCRIPT}", f"TRACE /{SCRIPT}"]
        answers += [await app.ask(line) for line in lines]
        pages = [answer for answer in answers if "html" in answer.headers["content-type"]]
        assert pages
        assert not any(SCRIPT.encode() in page.body for page in pages)
        for answer in answers:
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert re.search("default-src 'none'", answer.headers["content-security-policy"])
            if SCRIPT.encode() in answer.body:
                kind = answer.headers["content-type"]
                assert kind.split(";")[0] in ("application/json", "text/event-stream")


# As they stand in a request line: what a server decodes, and what it decodes no further.
STEPS = [
    *("../", "..%2f", "%2e%2e/", "%2E%2E%2F", "..%5c", "..\\", "%252e%252e/", "..%252f", "....//"),
    *("%2f", "//", "/", ".%2e/", "..;/", "..%00/", "%5c", "..%c0%af", "x/../../", "./../"),
    *("%e2%80%a5/", "%ef%bc%8e%ef%bc%8e/", "file:%2f%2f%2f", "C:%5c", "%5c%5cserver%5c", "%00/"),
]


class TestNamesThatLeadElsewhere:
    """Row 7: a name in a request that reaches a file somewhere else, or tells whether it is."""

    @pytest.mark.timeout(120)
    async def test_names_lead_out_of_no_folder(self, tmp_path: Path) -> None:
        outside = b"what nobody may read"
        data_dir = tmp_path / "data"
        async with serving(data_dir) as live:
            for folder in (tmp_path, data_dir, data_dir / "resources", data_dir / "workflows"):
                await anyio.Path(folder / "there").write_bytes(outside)
                await anyio.Path(folder / "there.json").write_bytes(outside)
            for endpoint in (e for e in ENDPOINTS if "{" in e.path):
                for step in STEPS:
                    told = []
                    for target in ("there", "thele", "there.json", "thele.json"):
                        for depth in (1, 3):
                            path = path_of(endpoint, "shared").removesuffix("shared")
                            status, body = await anyio.to_thread.run_sync(
                                raw, live.port, endpoint, f"{path}{step * depth}{target}"
                            )
                            assert status >= 400, (endpoint.path, step)
                            assert outside not in body
                            told.append((status, body.replace(b"thele", b"there")))
                    assert told[:2] == told[2:4], (endpoint.path, step)
                    assert told[4:6] == told[6:], (endpoint.path, step)
            for folder in (tmp_path, data_dir, data_dir / "resources", data_dir / "workflows"):
                assert await anyio.Path(folder / "there").read_bytes() == outside

    async def test_the_data_directory_is_no_place_for_code(self, app: WholeApp) -> None:
        await app.put("shared/json.py", b"raise SystemExit")
        await app.send("POST /api/prompt", RUN)
        data_dir = str(app.data_dir)
        assert not any(
            place.startswith(data_dir) for place in [*sys.path, *sys.path_importer_cache]
        )


def raw(port: int, endpoint: Endpoint, path: str) -> tuple[int, bytes]:
    """Send a request whose path no library has looked at."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(endpoint.method, path, skip_accept_encoding=True)
    if endpoint.method != "GET":
        kind = OCTETS if takes_files(endpoint) else JSON
        connection.putheader(*kind.split(": "))
        connection.putheader("Content-Length", str(len(SMALL)))
    connection.endheaders(None if endpoint.method == "GET" else SMALL)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


class TestFilesByName:
    """Row 12: a body that names a file of this machine in place of its bytes."""

    @pytest.mark.parametrize("key", ["path", "file", "filepath", "filename", "url"])
    async def test_files_come_from_the_multipart_parser_alone(
        self, app: WholeApp, key: str
    ) -> None:
        before = await anyio.to_thread.run_sync(app.files)
        for endpoint in UNSAFE:
            for value in ("/etc/passwd", "file:///etc/passwd", {"path": "/etc/passwd"}):
                answer = await app.send(request(endpoint), {key: value})
                assert b"root:" not in answer.body
                if endpoint.upload is not None and takes_files(endpoint):
                    assert answer.status == 415
                elif endpoint.body is not None:
                    assert answer.status == 422, endpoint.path
        assert (await app.upload(**{key: "/etc/passwd"})).status == 422
        assert await anyio.to_thread.run_sync(app.files) == before

"""The whole application against what was done to others like it: who asks, and for what.

One class per row of the checklist; ``docs/security.md`` says what closes each. What the tests
of a part prove in full, such as every spelling of a foreign host, is only looked at here: that
the part stands where it should, before every route.
"""

from __future__ import annotations

import ast
import json
import tomllib
from importlib import metadata
from pathlib import Path

import anyio
import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from comfytavern_hostapp.routes import ENDPOINTS

from ..hostapp.security_requests import OWN, PORT
from ..hostapp.test_cli_support import CommandLine
from ..hostapp.test_security import FOREIGN_HOSTS, FOREIGN_ORIGINS, FOREIGN_SITES, MALFORMED_HOSTS
from ..hostapp.test_serve import served
from ..hostapp.whole_app import BOUNDARY, WholeApp, form, whole_app
from .security_routes import (
    FORM,
    JSON,
    OCTETS,
    PAGES,
    READING,
    RUN,
    SMALL,
    TOKEN,
    UNSAFE,
    path_of,
    request,
    takes_files,
    traces,
)


class TestCrossSiteRequests:
    """Row 1: a page of another site sends what a browser lets it send unasked."""

    @pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
    async def test_simple_requests_change_nothing(self, app: WholeApp, kind: str | None) -> None:
        before = await traces(app)
        for endpoint in UNSAFE:
            lines = [] if kind is None else [f"content-type: {kind}"]
            answer = await app.ask(request(endpoint), *lines, body=[SMALL])
            assert answer.status == 415, endpoint.path
        assert await traces(app) == before

    async def test_forms_are_taken_only_where_files_are(self, app: WholeApp) -> None:
        before = await traces(app)
        for endpoint in UNSAFE:
            if not takes_files(endpoint):
                answer = await app.ask(request(endpoint), FORM, body=[form("a.txt")])
                assert answer.status == 415, endpoint.path
        assert await traces(app) == before
        assert (await app.upload("a.txt")).status == 201

    @pytest.mark.parametrize(
        "line", ["sec-fetch-site: cross-site", "sec-fetch-site: same-site", "origin: null"]
    )
    async def test_what_says_where_it_comes_from_changes_nothing(
        self, app: WholeApp, line: str
    ) -> None:
        before = await traces(app)
        for endpoint in UNSAFE:
            kind = FORM if endpoint.path == "/api/resources" else JSON
            body = form("a.txt") if kind == FORM else SMALL
            answer = await app.ask(request(endpoint), kind, line, body=[body])
            assert answer.status == 403, endpoint.path
        assert await traces(app) == before

    async def test_reading_changes_nothing(self, app: WholeApp) -> None:
        before = await traces(app)
        readable = {path_of(endpoint) for endpoint in READING}
        for endpoint in UNSAFE:
            for method in ("GET", "HEAD", "OPTIONS"):
                answer = await app.ask(f"{method} {path_of(endpoint)}")
                if path_of(endpoint) not in readable:
                    assert answer.status in (404, 405), (method, endpoint.path)
        assert await traces(app) == before


class TestOrigins:
    """Row 2: an origin that looks like ours, or says that it is none."""

    async def test_only_the_own_origin_may_change_things(self, app: WholeApp) -> None:
        before = await traces(app)
        lines = [f"origin: {origin}" for origin in FOREIGN_ORIGINS]
        lines += [f"sec-fetch-site: {site}" for site in FOREIGN_SITES]
        for line in lines:
            answer = await app.ask("POST /api/prompt", JSON, line, body=[SMALL])
            assert answer.status == 403, line
        twice = (f"origin: http://{OWN}", f"origin: http://{OWN}")
        assert (await app.ask("POST /api/prompt", JSON, *twice, body=[SMALL])).status == 403
        assert await traces(app) == before
        for own in ([f"origin: http://{OWN}"], []):
            assert (await app.ask("POST /api/prompt", JSON, *own, body=[SMALL])).status == 202


class TestHosts:
    """Row 3: a name of the attacker's that leads to this machine."""

    async def test_foreign_host_names_are_refused_on_every_route(self, app: WholeApp) -> None:
        for line in [*map(request, ENDPOINTS), *PAGES]:
            for host in ("evil.test", f"evil.test:{PORT}", f"127.0.0.1.nip.io:{PORT}"):
                answer = await app.ask(line, host=host)
                assert answer.status == 421, (line, host)
                assert "x-comfytavern" not in answer.headers
            assert (await app.ask(line, host=None)).status == 400
            assert (await app.ask(line, f"host: {OWN}")).status == 400
        for host in FOREIGN_HOSTS:
            assert (await app.ask("GET /health", host=host)).status == 421, host
        for host in (OWN, f"127.0.0.1:{PORT}", f"[::1]:{PORT}"):
            assert (await app.ask("GET /health", host=host)).status == 200, host


class TestWebSocketHandshakes:
    """Row 4: a page of another site opens a WebSocket, which no other rule of browsers stops."""

    def test_foreign_pages_open_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        command = CommandLine(tmp_path, monkeypatch)
        environment = {"THE_TOKEN": TOKEN}
        with served(command, "--token", "env:THE_TOKEN", environment=environment) as server:
            own = server.url()
            uri = f"{own.replace('http', 'ws', 1)}/ws"
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            for headers in (
                {"Origin": "http://evil.test", **bearer},
                {"Origin": "null", **bearer},
                {"Origin": f"{own}.evil.test", **bearer},
                {"Sec-Fetch-Site": "cross-site", **bearer},
                {"Origin": own},
                {"Authorization": f"Bearer {TOKEN}x"},
            ):
                with pytest.raises(InvalidStatus) as caught:
                    connect(uri, additional_headers=headers, proxy=None)
                answer = caught.value.response
                assert answer.status_code == 403, headers
                assert set(json.loads(answer.body or b"")["error"]) == {
                    "code",
                    "message",
                    "details",
                }
            headers = {"Origin": own, **bearer}
            with connect(uri, additional_headers=headers, proxy=None) as client:
                assert json.loads(client.recv())["type"] == "SYSTEM_QUEUE_UPDATE"
            _, log = server.end()
        # What somebody else's page tries is no fault of the host, and fills no log.
        assert log.count("\n") == 2


class TestTheFramework:
    """Row 5: what was wrong with the framework below us."""

    @pytest.mark.parametrize(
        ("name", "floor", "holed"),
        [("starlette", "1.5.1", "1.5.0"), ("python-multipart", "0.0.27", "0.0.26")],
    )
    def test_versions_with_known_holes_are_not_installed(
        self, repository: Path, name: str, floor: str, holed: str
    ) -> None:
        project = tomllib.loads((repository / "hostapp/pyproject.toml").read_text("utf-8"))
        required = map(Requirement, project["project"]["dependencies"])
        [asked] = [needed for needed in required if needed.name == name]
        assert not asked.specifier.contains(holed)
        assert Version(metadata.version(name)) >= Version(floor)

    async def test_a_host_with_a_path_in_it_decides_nothing(self, tmp_path: Path) -> None:
        async with whole_app(tmp_path, token=TOKEN) as app:
            for host in MALFORMED_HOSTS:
                for line in ("GET /api/history", "GET /health", "POST /api/prompt"):
                    assert (await app.ask(line, host=host)).status in (400, 421), host
            assert (await app.ask("GET /api/history")).status == 401

    def test_nothing_reads_the_url_that_a_client_spells(self, repository: Path) -> None:
        for file in (repository / "hostapp/src/comfytavern_hostapp").rglob("*.py"):
            for found in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(found, ast.Attribute) and found.attr in (
                    "url",
                    "base_url",
                    "url_for",
                ):
                    # Requests that nodes send are httpcore's.
                    assert "request" not in ast.unparse(found.value) or file.stem == "outgoing"

    async def test_many_ranges_and_fields_are_answered_at_once(self, app: WholeApp) -> None:
        await app.put("shared/a.txt", b"x" * 1000)
        many = "bytes=" + ",".join(f"{at}-{at}" for at in range(10_000))
        field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'
        with anyio.fail_after(2):
            answer = await app.ask("GET /api/resources/shared/a.txt", f"range: {many}")
            assert (answer.status, len(answer.body)) == (200, 1000)
            fields = [(field * 1000).encode()] * 100
            assert (await app.ask("POST /api/resources", FORM, body=fields)).status == 400
            pairs = "a=b&" * 100_000
            assert (await app.ask(f"GET /api/history?{pairs}")).status == 422


# What changes something, each line a decision. No route installs or enables a pack, writes the
# configuration or names a program. ``reload`` takes in what the operator has changed on disk.
CHANGES = {
    "POST /api/prompt",
    "POST /api/interrupt/{prompt_id}",
    "PATCH /api/executions/{prompt_id}",
    "POST /api/queue/pause",
    "POST /api/queue/resume",
    "DELETE /api/history",
    "DELETE /api/history/{prompt_id}",
    "POST /api/nodes/reload",
    "POST /api/plugins/{name}/settings-check",
    "PUT /api/workflows/{workflow_id:path}",
    "DELETE /api/workflows/{workflow_id:path}",
    "POST /api/workflow-versions/{workflow_id:path}",
    "POST /api/workflow-renames",
    "POST /api/resources",
    "PUT /api/resources/{root}/{path:path}",
    "DELETE /api/resources/{root}/{path:path}",
    "POST /api/login",
    "POST /api/logout",
}


class TestChangingTheHost:
    """Row 10: a request that installs something, or writes the configuration."""

    async def test_no_route_installs_or_configures(self, app: WholeApp) -> None:
        assert {f"{endpoint.method} {endpoint.path}" for endpoint in UNSAFE} == CHANGES
        document = json.loads((await app.ask("GET /api/openapi.json")).body)
        described = {
            f"{method.upper()} {path}"
            for path, operations in document["paths"].items()
            for method in operations
            if method != "get"
        }
        assert described == {change.replace(":path", "") for change in CHANGES}

    async def test_a_check_of_settings_stores_nothing(self, app: WholeApp) -> None:
        before = await traces(app)
        for name in ("test", "comfytavern-llm-nodes", "x\r\ny"):
            path = f"/api/plugins/{name}/settings-check"
            await app.send(f"POST {path}", {"settings": {"a": "b\r\nc"}})
        await app.send("POST /api/nodes/reload", {})
        assert await traces(app) == before

    async def test_no_file_of_the_host_is_served(self, app: WholeApp) -> None:
        await anyio.Path(app.data_dir / "comfytavern.yaml").write_text("server: {}")
        run = await app.send("POST /api/prompt", RUN)
        await app.ask(f"GET /api/prompt/{json.loads(run.body)['promptId']}/events")
        found = [path async for path in anyio.Path(app.data_dir).rglob("*")]
        names = [path.relative_to(app.data_dir).as_posix() for path in found]
        assert {"comfytavern.yaml", "runs.sqlite3", "workflows/hello.json"} <= set(names)
        for name in names:
            for before in ("", "data/", "api/", "static/", "api/resources/", "api/workflows/../"):
                path = f"{before}{name}"
                if path.startswith("api/resources/shared/"):
                    continue  # an upload, under its own name
                lists = path in ("api/resources", "api/workflows")
                answer = await app.ask(f"GET /{path}")
                assert answer.status in ((200,) if lists else (404, 422)), path

    def test_no_value_brings_lines_along(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        command = CommandLine(tmp_path, monkeypatch)
        command.write("comfytavern.yaml", "packs: {enabled: []}\n")
        for name in ("x\nserver: {host: 0.0.0.0}", "x\r\nserver: {}", "x\x85y", "x\u2028y"):
            for verb in ("enable", "disable"):
                assert command("packs", verb, name).exit_code != 0
        text = (command.folder / "comfytavern.yaml").read_text()
        assert text == "packs: {enabled: []}\n"

    async def test_no_name_brings_lines_along(self, app: WholeApp) -> None:
        before = await traces(app)
        name = "a\r\nset-cookie: x=y"
        for answer in (
            await app.ask(f"PUT /api/resources/shared/{name}", OCTETS, body=[b"x"]),
            await app.send(f"PUT /api/workflows/{name}", RUN),
            await app.send("POST /api/workflow-renames", {"from": "hello", "to": name}),
            await app.upload("a.txt", folder=name),
            await app.upload("a\rb.txt"),
        ):
            assert answer.status in (400, 404, 422)
            assert "set-cookie" not in answer.headers
        assert await traces(app) == before


class TestTokens:
    """Row 11: a server that everybody may use, or whose token lies about."""

    async def test_nothing_but_the_token_lets_anybody_in(self, tmp_path: Path) -> None:
        async with whole_app(tmp_path, token=TOKEN) as app:
            for guess in (
                "",
                "admin",
                "password",
                "comfytavern",
                "changeme",
                "token",
                "dev",
                "null",
            ):
                for line in (
                    f"authorization: Bearer {guess}",
                    f"cookie: comfytavern_login={guess}",
                ):
                    assert (await app.ask("GET /api/history", line)).status == 401
                assert (await app.send("POST /api/login", {"token": guess})).status in (401, 422)
            assert (await app.ask(f"GET /api/history?token={TOKEN}")).status == 401
            for line in [*map(request, ENDPOINTS), *PAGES]:
                public = line.split()[1] in ("/", "/health", "/api/login")
                answer = await app.ask(line)
                assert (answer.status == 401) is not public, line
                assert answer.headers["referrer-policy"] == "no-referrer"
                assert TOKEN.encode() not in answer.body
            bearer = f"authorization: Bearer {TOKEN}"
            assert (await app.ask("GET /api/history", bearer)).status == 200

    def test_a_token_cannot_stand_on_the_command_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        result = CommandLine(tmp_path, monkeypatch)("serve", "--port=0", "--token", TOKEN)
        assert result.exit_code == 2
        assert TOKEN not in result.output


class TestRedirects:
    """Row 14: a path that a browser takes for another host."""

    async def test_no_answer_leads_to_another_host(self, app: WholeApp) -> None:
        paths = [
            "//evil.test/x/",
            "/\\evil.test",
            "///evil.test",
            "/%5cevil.test",
            "/%2f%2fevil.test",
        ]
        paths += ["/\tevil.test", "/http://evil.test", "/api/prompt/", "/api/workflows//evil.test/"]
        for method in ("GET", "HEAD", "POST"):
            for path in paths:
                answer = await app.ask(f"{method} {path}")
                assert answer.status in (404, 405, 422), path
                assert "location" not in answer.headers
        for endpoint in ENDPOINTS:
            assert "location" not in (await app.ask(f"{request(endpoint)}/")).headers

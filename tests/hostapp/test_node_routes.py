"""``/api/nodes``: definitions as the page reads them, and the scripts that packs give to it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import httpx2
import pytest

from ..packs_on_disk import PacksOnDisk, packs_on_path
from .live_server import Live, serving

SOURCE = """
    from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
    from comfytavern.hookspecs import hookimpl

    asked = []

    def required(config):
        asked.append(config)
        return True

    @hookimpl
    def register_nodes(pack):
        text = InputDefinition(data_flow_type="STRING", required=required)
        return [
            NodeDefinition(
                type="Scripted",
                category="Demo",
                inputs={"text": text},
                outputs={"text": OutputDefinition(data_flow_type="STRING")},
                client_script_url="scripts/own.js",
                execute=lambda inputs, context: {},
            ),
            NodeDefinition(type="Plain", execute=lambda inputs, context: {}),
        ]
"""
FILES = {
    "some_pack/__init__.py": SOURCE,
    "some_pack/secret.js": "secret",
    "some_pack/scripts/own.js": "import './lib/more.mjs'",
    "some_pack/scripts/lib/more.mjs": "more",
    "some_pack/scripts/style.css": "css",
    "some_pack/scripts/data.json": "{}",
    "some_pack/scripts/page.html": "html",
}
SCRIPTED = {
    "type": "Scripted",
    "fullType": "some-pack:Scripted",
    "namespace": "some-pack",
    "displayName": "Scripted",
    "category": "Demo",
    "description": "",
    "inputs": {
        "text": {"dataFlowType": "STRING", "required": True, "requiredDependsOnConfig": True}
    },
    "outputs": {"text": {"dataFlowType": "STRING"}},
    "clientScriptUrl": "/api/nodes/some-pack/Scripted/client-script/own.js",
    "filePath": "some_pack/__init__.py",
    "pack": "some-pack",
    "packVersion": "1.0",
}
ENABLED = {"enabled": ["some-pack"]}
ALIASES = {"core": ["gone-pack", "some-pack"]}
SCRIPTS = "/api/nodes/some-pack/Scripted/client-script"


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacksOnDisk]:
    with packs_on_path(tmp_path / "site", monkeypatch) as written:
        written.write("some-pack", None, files=FILES)
        yield written


@pytest.fixture
async def live(tmp_path: Path, packs: PacksOnDisk) -> AsyncIterator[Live]:
    async with serving(tmp_path / "data", packs=ENABLED, aliases=ALIASES) as server:
        yield server


def refused(answer: httpx2.Response, code: str) -> str:
    """Return why something is not there."""
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    error = answer.json()["error"]
    assert (error["code"], error["details"]) == (code, [])
    return str(error["message"])


# Definitions ------------------------------------------------------------------------


async def test_all_definitions_are_one_array(live: Live) -> None:
    answer = await live.http.get("/api/nodes")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    listed = answer.json()
    assert [node["fullType"] for node in listed][:2] == ["some-pack:Scripted", "some-pack:Plain"]
    assert listed[0] == SCRIPTED
    assert "clientScriptUrl" not in listed[1]
    assert {node["namespace"] for node in listed} == {"some-pack", "test"}


async def test_the_same_definitions_are_sent_once(live: Live) -> None:
    answers = []

    async def ask(**headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answers.append(await live.http.get("/api/nodes", headers=named))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
    [etag] = {answer.headers["etag"] for answer in answers}
    assert etag.startswith('"')
    await ask(if_none_match=f'"other", {etag}')
    assert (answers[-1].status_code, answers[-1].content) == (304, b"")
    assert answers[-1].headers["etag"] == etag
    assert answers[-1].headers["cache-control"] == "private, no-cache"
    await ask(if_none_match='"other"')
    assert answers[-1].status_code == 200
    assert len(sys.modules["some_pack"].asked) == 1  # packs are asked once, not per request


async def test_other_definitions_have_another_tag(live: Live, packs: PacksOnDisk) -> None:
    first = await live.http.get("/api/nodes")
    await live.http.post("/api/nodes/reload")
    again = await live.http.get("/api/nodes")
    assert again.headers["etag"] == first.headers["etag"]
    await anyio.Path(packs.root / "some_pack-1.0.dist-info" / "entry_points.txt").unlink()
    await live.http.post("/api/nodes/reload")
    headers = {"If-None-Match": first.headers["etag"]}
    without = await live.http.get("/api/nodes", headers=headers)
    assert without.status_code == 200
    assert {node["namespace"] for node in without.json()} == {"test"}


@pytest.mark.parametrize("namespace", ["some-pack", "core"])
async def test_one_definition(live: Live, namespace: str) -> None:
    answer = await live.http.get(f"/api/nodes/{namespace}/Scripted")
    assert (answer.status_code, answer.json()) == (200, SCRIPTED)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "some-pack/Scriptde",
            (
                "unknown node type 'some-pack:Scriptde'; pack 'some-pack' 1.0 has no such type; did"
                " you mean 'some-pack:Scripted'?"
            ),
        ),
        (
            "core/Plane",
            (
                "unknown node type 'core:Plane'; pack 'gone-pack' is not installed: pip install"
                " \"gone-pack\"; did you mean 'core:Plain'?"
            ),
        ),
        (
            "some-pakc/Plain",
            (
                "unknown node type 'some-pakc:Plain'; pack 'some-pakc' is not installed: pip"
                " install \"some-pakc\"; did you mean 'some-pack'?"
            ),
        ),
    ],
)
async def test_one_that_is_not_there(live: Live, path: str, message: str) -> None:
    assert refused(await live.http.get(f"/api/nodes/{path}"), "unknown_node_type") == message


@pytest.mark.parametrize(
    "path", ["a b/%00", "%22/%0d%0a", "some-pack/%ff", "%F0%9F%8D%BA/x:y", "::/::", "x/..%5cy"]
)
async def test_odd_names_are_no_fault(live: Live, path: str) -> None:
    for rest in ("", "/client-script/own.js"):
        answer = await live.http.get(f"/api/nodes/{path}{rest}")
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] in ("unknown_node_type", "not_found")


async def test_paths_begin_with_the_root_path(tmp_path: Path, packs: PacksOnDisk) -> None:
    server = {"root_path": "/tavern"}
    async with serving(tmp_path / "data", packs=ENABLED, server=server) as live:
        listed = (await live.http.get("/api/nodes")).json()
        assert listed[0]["clientScriptUrl"] == f"/tavern{SCRIPTS}/own.js"


# Scripts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "media_type"),
    [
        ("own.js", "import './lib/more.mjs'", "text/javascript; charset=utf-8"),
        ("lib/more.mjs", "more", "text/javascript; charset=utf-8"),
        ("style.css", "css", "text/css; charset=utf-8"),
        ("data.json", "{}", "application/json"),
    ],
)
async def test_a_script_and_what_lies_beside_it(
    live: Live, name: str, content: str, media_type: str
) -> None:
    answer = await live.http.get(f"{SCRIPTS}/{name}")
    assert (answer.status_code, answer.text) == (200, content)
    kept = {
        "content-type": media_type,
        "cache-control": "private, no-cache",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    }
    assert kept.items() <= dict(answer.headers).items()
    headers = {"If-None-Match": answer.headers["etag"]}
    again = await live.http.get(f"{SCRIPTS}/{name}", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == answer.headers["etag"]


async def test_a_script_by_the_alias_of_its_pack(live: Live) -> None:
    answer = await live.http.get("/api/nodes/core/Scripted/client-script/own.js")
    assert (answer.status_code, answer.text) == (200, "import './lib/more.mjs'")


async def test_a_changed_script_has_another_tag(live: Live, packs: PacksOnDisk) -> None:
    before = (await live.http.get(f"{SCRIPTS}/own.js")).headers["etag"]
    await anyio.Path(packs.root / "some_pack" / "scripts" / "own.js").write_text("changed")
    answer = await live.http.get(f"{SCRIPTS}/own.js", headers={"If-None-Match": before})
    assert (answer.status_code, answer.text) == (200, "changed")


@pytest.mark.parametrize(
    "name", ["gone.js", "page.html", "..%2Fsecret.js", "%2e%2e/secret.js", "lib%2F..%2Fown.js", ""]
)
async def test_nothing_else_is_given(live: Live, name: str) -> None:
    answer = await live.http.get(f"{SCRIPTS}/{name}")
    shown = name.replace("%2F", "/").replace("%2e", ".")
    assert refused(answer, "unknown_client_script") == (
        f"node type 'some-pack:Scripted' has no client script {shown!r}"
    )


async def test_a_node_without_a_script(live: Live) -> None:
    answer = await live.http.get("/api/nodes/some-pack/Plain/client-script/own.js")
    assert refused(answer, "unknown_client_script") == (
        "node type 'some-pack:Plain' has no client script 'own.js'"
    )


async def test_the_built_in_node_that_has_one(tmp_path: Path) -> None:
    enabled = {"enabled": ["comfytavern-core-nodes"]}
    async with serving(tmp_path / "data", packs=enabled) as live:
        entry = (await live.http.get("/api/nodes/core/RandomNumber")).json()
        answer = await live.http.get(entry["clientScriptUrl"])
    assert answer.status_code == 200
    assert entry["fullType"] == "comfytavern-core-nodes:RandomNumber"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"

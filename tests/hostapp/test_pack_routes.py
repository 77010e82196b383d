"""``/api/plugins``: what became of each pack, and that no text names a place of the machine."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import anyio
import httpx2
import pytest

from comfytavern_hostapp.routes import ENDPOINTS

from ..packs_on_disk import GOOD, PacksOnDisk, packs_on_path
from .live_server import Live, serving
from .test_cli_support import CommandLine
from .test_serve import answered, posix, served

Json = dict[str, Any]  # Any: JSON

SENTINEL = "from pathlib import Path\nPath({!r}).touch()\n"


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacksOnDisk]:
    with packs_on_path(tmp_path / "site", monkeypatch) as written:
        written.write("some-pack")
        written.write("plain-pack")
        written.write("bad-pack", "raise ValueError('why')")
        written.write("off-pack", SENTINEL.format(str(tmp_path / "imported")))
        yield written


@pytest.fixture
async def live(tmp_path: Path, packs: PacksOnDisk) -> AsyncIterator[Live]:
    """Serve all of these packs but one."""
    enabled = ["some-pack", "plain-pack", "bad-pack"]
    async with serving(tmp_path / "data", packs={"enabled": enabled}) as server:
        yield server


async def listed(live: Live) -> dict[str, Json]:
    answer = await live.http.get("/api/plugins")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    return {record["distribution"]: record for record in answer.json()}


def refused(answer: httpx2.Response, status: int = 404) -> tuple[str, str]:
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    return error["code"], error["message"]


# Records ----------------------------------------------------------------------------


async def test_a_loaded_pack(live: Live) -> None:
    record = (await listed(live))["plain-pack"]
    assert record.pop("importMs") > 0
    assert record == {
        "distribution": "plain-pack",
        "version": "1.0",
        "summary": "The pack plain-pack.",
        "state": "loaded",
        "enabled": True,
        "phase": "",
        "error": "",
        "remedy": "",
        "traceback": "",
        "nodeTypes": ["plain-pack:Hello"],
        "commands": [],
        "lazy": False,
        "apiRange": "<1,>=0.1",
        "warnings": [],
    }
    one = (await live.http.get("/api/plugins/Plain_Pack")).json()
    assert one["distribution"] == "plain-pack"


async def test_every_pack_is_listed_by_name(live: Live) -> None:
    found = await listed(live)
    assert list(found) == sorted(found)
    assert {name: record["state"] for name, record in found.items()}.items() >= {
        ("some-pack", "loaded"),
        ("bad-pack", "failed"),
        ("off-pack", "available"),
        ("comfytavern-core-nodes", "available"),
        ("test", "loaded"),
    }


async def test_a_pack_that_is_not_enabled_was_never_imported(live: Live, tmp_path: Path) -> None:
    record = (await listed(live))["off-pack"]
    assert (record["state"], record["enabled"], record["error"]) == ("available", False, "")
    assert record["enableCommand"] == "comfytavern packs enable off-pack"
    assert not await anyio.Path(tmp_path / "imported").exists()


async def test_a_failure_names_no_place_of_the_machine(live: Live, tmp_path: Path) -> None:
    record = (await listed(live))["bad-pack"]
    assert (record["state"], record["phase"], record["error"]) == (
        "failed",
        "import",
        "ValueError: why",
    )
    assert record["traceback"] == (
        "Traceback (most recent call last):\n"
        '  File "bad_pack.py", line 1, in <module>\n'
        "    raise ValueError('why')\n"
        "ValueError: why\n"
    )
    assert "enableCommand" not in record


@pytest.fixture
def telling(packs: PacksOnDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Install packs whose errors hold paths, and one of them a second time."""
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    sources = {
        "import-pack": "from json import nothing_of_this_name",
        "own-pack": f"raise OSError({str(packs.root / 'own_pack.bin')!r} + ' is not there')",
        "data-pack": f"open({str(tmp_path / 'data' / 'packs' / 'x.bin')!r})",
        "home-pack": f"raise OSError('in {home} or {home}/.cache/x, not in {home}s/x')",
        "syntax-pack": "x = (",
    }
    second = PacksOnDisk(tmp_path / "second")
    monkeypatch.setattr(sys, "path", [*sys.path, str(second.root)])
    for name, source in sources.items():
        packs.write(name, source)
    second.write("own-pack")
    return list(sources)


async def test_no_text_names_a_place_of_the_machine(telling: list[str], tmp_path: Path) -> None:
    async with serving(tmp_path / "data", packs={"enabled": telling}) as live:
        found = await listed(live)
    errors = {name: found[name]["error"] for name in telling}
    first, _, other = errors.pop("home-pack").partition(", not in ")
    assert first == "OSError: in <folder> or .cache/x"
    assert other.endswith("/homes/x")  # what merely begins like one is another folder
    assert errors == {
        "import-pack": "cannot import name 'nothing_of_this_name' from 'json' (json/__init__.py)",
        "own-pack": "OSError: own_pack.bin is not there",
        "data-pack": "FileNotFoundError: [Errno 2] No such file or directory: 'packs/x.bin'",
        "syntax-pack": "SyntaxError: '(' was never closed (syntax_pack.py, line 1)",
    }
    assert found["own-pack"]["warnings"] == ["a second copy is ignored: own_pack-1.0.dist-info"]
    assert str(tmp_path) not in str(found)


async def test_nor_does_a_refusal(telling: list[str], tmp_path: Path) -> None:
    why = (
        "pack 'import-pack' 1.0 failed to load (import): cannot import name"
        " 'nothing_of_this_name' from 'json' (json/__init__.py); disable it with: comfytavern"
        " packs disable import-pack"
    )
    async with serving(tmp_path / "data", packs={"enabled": telling}) as live:
        absent = await live.http.get("/api/nodes/import-pack/Any")
        workflow = {"nodes": [{"id": "a", "fullType": "import-pack:Any"}]}
        submitted = await live.http.post("/api/prompt", json={"workflow": workflow})
    assert refused(absent) == (
        "unknown_node_type",
        f"unknown node type 'import-pack:Any'; {why}",
    )
    assert refused(submitted, 422) == (
        "workflow_invalid",
        f"node 'a' has unknown type 'import-pack:Any'; {why}",
    )


@pytest.fixture
def deadly(packs: PacksOnDisk, tmp_path: Path) -> None:
    """Install packs of which some have killed the process."""
    markers = tmp_path / "data" / "loading"
    markers.mkdir(parents=True)
    for name in ("deadly-pack", "resting-pack"):
        packs.write(name)
        (markers / f"{name}.1.json").write_text("cut sh")
    (markers / "off-pack.1.json").write_text("cut sh")


@pytest.mark.usefixtures("deadly")
async def test_a_pack_that_killed_the_process(tmp_path: Path) -> None:
    chosen = {"enabled": ["deadly-pack", "off-pack", "plain-pack"], "disabled": ["off-pack"]}
    async with serving(tmp_path / "data", packs=chosen) as live:
        marker = anyio.Path(tmp_path / "data" / "loading" / "plain-pack.1.json")
        await marker.write_text("cut sh")  # of another process
        found = await listed(live)
    for name in ("deadly-pack", "resting-pack"):
        record, command = found[name], f"comfytavern packs enable {name}"
        assert (record["state"], record["phase"], record["error"], record["remedy"]) == (
            "failed",
            "import",
            "it killed the process the last time it was loaded",
            f"to try it again: {command}",
        )
        assert record["enableCommand"] == command
    assert (found["off-pack"]["state"], found["plain-pack"]["state"]) == ("disabled", "loaded")


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        (
            "som-pack",
            "unknown_pack",
            "no installed pack is named 'som-pack'; did you mean 'some-pack'?",
        ),
        ("a%22b %3C/x", "not_found", "there is nothing at '/api/plugins/a\"b </x'"),
        ("%ff%25", "unknown_pack", "no installed pack is named '\ufffd%'"),
        ("..%5c..", "unknown_pack", "no installed pack is named '..\\\\..'"),
    ],
)
async def test_one_that_is_not_there(live: Live, name: str, code: str, message: str) -> None:
    assert refused(await live.http.get(f"/api/plugins/{name}")) == (code, message)


def test_no_route_changes_which_packs_run() -> None:
    """The operator does, on the host itself."""
    methods = {(e.method, e.path) for e in ENDPOINTS if "plugin" in e.path or "node" in e.path}
    assert {(method, path) for method, path in methods if method != "GET"} == {
        ("POST", "/api/nodes/reload"),
        ("POST", "/api/plugins/{name}/settings-check"),
    }


# Through the real process -----------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


def told(url: str, request: str) -> Any:  # Any: JSON
    """Return what a server answers."""
    method, _, path = request.partition(" ")
    with answered(url, method, path) as response:
        assert response.status == 200
        return json.load(response)


@posix
def test_a_safe_server_has_only_built_in_packs(command: CommandLine, tmp_path: Path) -> None:
    imported = tmp_path / "imported"
    source = SENTINEL.format(str(imported)) + dedent(GOOD)
    command.packs().write("some-pack", source)
    command.packs().write("other-pack", source)
    command.write("comfytavern.yaml", "packs: {disabled: [other-pack]}\n")
    with served(command, "--safe", "serve") as server:
        url = server.url()
        for _ in range(2):
            found = {record["distribution"]: record for record in told(url, "GET /api/plugins")}
            some, other = found["some-pack"], found["other-pack"]
            assert (some["state"], some["enabled"], other["state"]) == (
                "disabled",
                False,
                "disabled",
            )
            assert some["remedy"] == "restart the host without --safe"
            assert "enableCommand" not in some
            assert other["enableCommand"] == "comfytavern packs enable other-pack"
            assert found["comfytavern-core-nodes"]["state"] == "loaded"
            packs = {node["pack"] for node in told(url, "GET /api/nodes")}
            assert packs == {"comfytavern-core-nodes", "comfytavern-llm-nodes"}
            # A reload is as safe, whatever the file names by now.
            named = "some-pack, comfytavern-core-nodes, comfytavern-llm-nodes"
            chosen = f"packs: {{enabled: [{named}], disabled: [other-pack]}}\n"
            command.write("comfytavern.yaml", chosen)
            assert told(url, "POST /api/nodes/reload")["changed"] == []
        server.end()
    assert not imported.exists()

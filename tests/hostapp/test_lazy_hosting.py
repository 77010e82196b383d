"""Commands and servers that import no pack which they know from its last import."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from anyio.to_thread import run_sync as in_thread

from comfytavern_hostapp.hosting import ConfiguredHost, open_host, pack_choice

from ..packs_on_disk import PacksOnDisk, packs_on_path
from .live_server import Json, Live, configured, serving
from .test_cli_support import CommandLine, node, outputs, workflow

SENTINEL = (
    "from pathlib import Path\nwith open('imported.txt', 'a') as file: file.write(__name__)\n"
)
PLAIN = (
    SENTINEL
    + """
from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.hookspecs import hookimpl


async def say(inputs, context):
    return {"text": inputs.get("text", "")}


@hookimpl
def register_nodes(pack):
    text = InputDefinition(data_flow_type="STRING", description="What to say.")
    return [
        NodeDefinition(
            type="Say",
            category="Talk",
            inputs={"text": text},
            outputs={"text": OutputDefinition(data_flow_type="STRING")},
            execute=say,
        )
    ]
"""
)
SERVICES = PLAIN + "\n\n@hookimpl\ndef register_services(pack):\n    return {'clock': 1}\n"
ONLY = "packs: {enabled: [plain-pack, more-pack], settings: {}}\n"
LAZY = {"enabled": ["plain-pack", "more-pack"], "lazy": True}
SAY = workflow(node("a", "plain-pack:Say", text="hello"), **outputs(said="a.text"))


class Warm:
    """A command line whose packs were imported by an earlier command."""

    def __init__(self, command: CommandLine) -> None:
        self.command = command
        self._imported = command.folder / "imported.txt"

    def run(self, *args: str) -> str:
        """Run a command that succeeds, and return what it prints."""
        result = self.command.run(*args)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def imported(self) -> str:
        """Return which packs were imported since the last question."""
        names = self._imported.read_text() if self._imported.exists() else ""
        self._imported.unlink(missing_ok=True)
        return names


@pytest.fixture
def warm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warm:
    command = CommandLine(tmp_path, monkeypatch)
    command.packs().write("plain-pack", PLAIN)
    command.packs().write("more-pack", SERVICES)
    command.write("comfytavern.yaml", ONLY)
    command.write("say.json", SAY)
    warm = Warm(command)
    warm.run("packs", "list", "--load")
    assert warm.imported() == "more_packplain_pack"
    return warm


LISTINGS = {
    "nodes list": ("nodes", "list"),
    "nodes list as JSON": ("nodes", "list", "--json"),
    "nodes of a pack": ("nodes", "list", "--pack", "more-pack", "--category", "talk"),
    "nodes show": ("nodes", "show", "plain-pack:Say"),
    "nodes show as JSON": ("nodes", "show", "more-pack:Say", "--json"),
    "validate": ("validate", "say.json"),
    "validate as JSON": ("validate", "say.json", "--json"),
    "help": ("--help",),
    "help of a verb": ("run", "--help"),
}


@pytest.mark.parametrize("args", LISTINGS.values(), ids=LISTINGS)
def test_a_listing_imports_nothing_and_says_the_same(args: tuple[str, ...], warm: Warm) -> None:
    again = warm.run(*args)
    assert warm.imported() == ""
    for entry in (warm.command.data_dir / "cache" / "definitions").iterdir():
        entry.write_bytes(b"damaged")
    assert warm.run(*args) == again
    assert warm.imported() == ("" if "--help" in args else "more_packplain_pack")


def test_a_listing_reads_an_upgraded_pack_anew(warm: Warm) -> None:
    site = warm.command.site
    (site / "plain_pack.py").write_text(PLAIN.replace('"Say"', '"Shout"'), "utf-8")
    info = site / "plain_pack-1.0.dist-info"
    warm.command.packs().write_record(info, {"plain_pack.py": PLAIN.replace('"Say"', '"Shout"')})
    assert "plain-pack:Shout\tTalk\tShout\n" in warm.run("nodes", "list")
    assert warm.imported() == "plain_pack"
    assert "plain-pack:Shout\tTalk\tShout\n" in warm.run("nodes", "list")
    assert warm.imported() == ""


def test_the_packs_and_what_their_imports_took(warm: Warm) -> None:
    result = warm.command.run("packs", "list")
    rows = {line.split("\t")[0]: line.split("\t")[2:5] for line in result.stdout.splitlines()}
    state, count, took = rows["plain-pack"]
    assert (state, count, took.endswith(" ms")) == ("enabled", "1", True)
    assert rows["comfytavern-core-nodes"] == ["available", "", ""]
    assert result.stderr.startswith("2 packs took, when they were last imported, ")
    assert result.stderr.endswith(" ms to import\n")
    records = {r["distribution"]: r for r in json.loads(warm.run("packs", "list", "--json"))}
    assert records["more-pack"]["importMs"] > 0
    assert records["more-pack"]["nodeTypes"] == ["more-pack:Say"]
    assert warm.imported() == ""
    loading = warm.command.run("packs", "list", "--load")
    assert loading.stderr.startswith("2 packs took ")
    assert warm.imported() == "more_packplain_pack"


def test_run_imports_every_pack_unless_it_may_be_lazy(warm: Warm) -> None:
    assert json.loads(warm.run("run", "say.json", "--json"))["outputs"] == {"said": "hello"}
    assert warm.imported() == "more_packplain_pack"
    warm.command.write("comfytavern.yaml", ONLY.replace("{enabled", "{lazy: true, enabled"))
    other = workflow(node("a", "more-pack:Say", text="hello"), **outputs(said="a.text"))
    warm.command.write("other.json", other)
    assert json.loads(warm.run("run", "other.json", "--json"))["outputs"] == {"said": "hello"}
    assert warm.imported() == "more_pack"
    assert json.loads(warm.run("run", "say.json", "--json"))["outputs"] == {"said": "hello"}
    assert warm.imported() == "more_packplain_pack"


def test_a_pack_that_kills_the_process_at_its_first_use_is_skipped_then(warm: Warm) -> None:
    command = warm.command
    command.write("comfytavern.yaml", ONLY.replace("{enabled", "{lazy: true, enabled"))
    (command.site / "plain_pack.py").write_text("import os; os._exit(7)", "utf-8")
    assert command.run("run", "say.json").returncode == 7
    result = command.run("packs", "list")
    assert (
        "error: plain-pack 1.0 (import): it killed the process the last time it was loaded;"
        " to try it again: comfytavern packs enable plain-pack\n"
    ) in result.stderr
    assert "it killed the process" in command.run("nodes", "list").stderr


def test_loading_for_a_listing_is_never_lazy(warm: Warm) -> None:
    warm.command.write("comfytavern.yaml", ONLY.replace("{enabled", "{lazy: true, enabled"))
    for args in (("packs", "list", "--load"), ("config", "check", "--load")):
        warm.run(*args)
        assert warm.imported() == "more_packplain_pack"


# A server -----------------------------------------------------------------------------


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacksOnDisk]:
    monkeypatch.chdir(tmp_path)
    with packs_on_path(tmp_path / "site", monkeypatch) as written:
        yield written


@pytest.fixture
def known(packs: PacksOnDisk, tmp_path: Path) -> Path:
    """Give the data directory of a host that has imported the packs before."""
    packs.write("plain-pack", PLAIN)
    packs.write("more-pack", SERVICES)
    config = configured(tmp_path / "data", packs=LAZY)
    host = ConfiguredHost(config, pack_choice(config))
    host.load()
    assert not any(record.lazy for record in host.records)
    forget(tmp_path)
    return tmp_path / "data"


def forget(folder: Path) -> None:
    """Forget the packs as another process would, and that they were imported."""
    (folder / "imported.txt").unlink()
    for name in ("plain_pack", "more_pack"):
        del sys.modules[name]


def imported(folder: Path) -> str:
    file = folder / "imported.txt"
    return file.read_text("utf-8") if file.exists() else ""


@pytest.fixture
async def live(known: Path) -> AsyncIterator[Live]:
    async with serving(known, packs=LAZY) as server:
        yield server


async def record(live: Live) -> tuple[str, bool]:
    answer = await live.http.get("/api/plugins/plain-pack")
    entry: Json = answer.json()
    assert entry["importMs"] > 0
    return entry["state"], entry["lazy"]


async def test_a_server_lists_what_it_has_not_imported_and_a_run_imports_it(
    live: Live, tmp_path: Path
) -> None:
    assert await in_thread(imported, tmp_path) == "more_pack"
    entries = {entry["fullType"]: entry for entry in (await live.http.get("/api/nodes")).json()}
    assert entries["plain-pack:Say"]["inputs"]["text"]["description"] == "What to say."
    plain = {**entries["plain-pack:Say"], "pack": "", "namespace": "", "fullType": ""}
    more = {**entries["more-pack:Say"], "pack": "", "namespace": "", "fullType": ""}
    assert plain.pop("filePath") == "plain_pack.py"
    assert more.pop("filePath") == "more_pack.py"
    assert plain == more
    assert await record(live) == ("loaded", True)
    assert await in_thread(imported, tmp_path) == "more_pack"
    ended = await live.ended(await live.submit(SAY))
    assert ended["status"] == "complete"
    assert await in_thread(imported, tmp_path) == "more_packplain_pack"
    assert await record(live) == ("loaded", False)
    again = {entry["fullType"]: entry for entry in (await live.http.get("/api/nodes")).json()}
    assert again == entries


async def test_a_pack_that_breaks_at_its_first_use_fails_the_node(
    live: Live, tmp_path: Path
) -> None:
    broken = tmp_path / "site" / "plain_pack.py"
    await in_thread(broken.write_text, "raise ValueError('why')")
    run_id = await live.submit(SAY)
    [error] = [m["payload"] for m in await live.log(run_id) if m["type"] == "NODE_ERROR"]
    details = error["errorDetails"]
    assert (details["pack"], details["phase"]) == ("plain-pack", "import")
    assert details["message"] == (
        "pack 'plain-pack' 1.0 failed to import: ValueError: why;"
        " disable it with: comfytavern packs disable plain-pack"
    )
    assert await record(live) == ("failed", False)
    answer = await live.http.post("/api/prompt", json={"workflow": SAY})
    assert answer.status_code == 422
    assert "failed to load (import): ValueError: why" in answer.json()["error"]["message"]


async def test_without_lazy_a_server_imports_every_pack(known: Path, tmp_path: Path) -> None:
    async with serving(known, packs={**LAZY, "lazy": False}) as live:
        assert await in_thread(imported, tmp_path) == "more_packplain_pack"
        assert await record(live) == ("loaded", False)


def test_a_host_that_keeps_nothing_knows_nothing(known: Path, tmp_path: Path) -> None:
    config = configured(known, packs=LAZY)
    host = open_host(config, keep=False)
    assert not any(record.lazy for record in host.records)
    assert imported(tmp_path) == "more_packplain_pack"

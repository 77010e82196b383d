"""``serve --reload``: a new server after each change, on the same socket."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from comfytavern_hostapp.pack_sources import PackSources, editable_sources

from ..packs_on_disk import PacksOnDisk
from .test_cli_support import CommandLine
from .test_serve import served, status_of

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and sockets of POSIX")

SOURCE = """
    from comfytavern.definitions import NodeDefinition
    from comfytavern.hookspecs import hookimpl

    @hookimpl
    def register_nodes(pack):
        return [NodeDefinition(type=name, execute=lambda inputs, context: {}) for name in NAMES]

    NAMES = ["Hello"]
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


@pytest.fixture
def source(command: CommandLine, tmp_path: Path) -> Path:
    """Install the pack ``edited``, and return its source."""
    folder = tmp_path / "project" / "src"
    files = {"edited_pack/__init__.py": SOURCE}
    packs = command.packs()
    packs.write("edited", None, module="edited_pack", files=files, editable=folder)
    (packs.root / "edited.pth").write_text(str(folder))  # only read in a real site-packages
    return folder / "edited_pack" / "__init__.py"


def on_path(source: Path, command: CommandLine) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join((str(command.site), str(source.parent.parent)))}


def node_types(ready: str) -> int:
    found = re.search(r"(\d+) node types", ready)
    assert found is not None, ready
    return int(found[1])


def test_changes_of_a_pack_and_of_the_configuration(command: CommandLine, source: Path) -> None:
    command.write("comfytavern.yaml", "logs: {level: info}\n")
    with served(command, "--reload", environment=on_path(source, command)) as server:
        ready = server.until("ComfyTavern is ready at ")
        url = ready.split()[4]
        source.write_text(source.read_text().replace('"Hello"', '"Hello", "Bye"'))
        assert server.until("changed") == f"{source} changed; starting anew\n"
        # No waiting for the new server: whoever comes meanwhile is not refused.
        assert status_of(url, "/health") == 200
        again = server.until("ComfyTavern is ready at ")
        assert again.split()[4] == url
        assert node_types(again) == node_types(ready) + 1
        command.write("comfytavern.yaml", "server: {hots: x}\n")
        assert server.until("changed") == "comfytavern.yaml changed; starting anew\n"
        assert server.until("error") == (
            "error: comfytavern.yaml:1: unknown key 'server.hots'; did you mean 'server.host'?\n"
        )
        assert server.until("ended") == "the server ended with code 2; waiting for a change\n"
        command.write("comfytavern.yaml", "server: {host: 0.0.0.0}\n")
        server.until("error: cannot listen on server.host '0.0.0.0': ")
        server.until("waiting for a change")
        command.write("comfytavern.yaml", "")
        server.until("ComfyTavern is ready at ")
        code, said = server.end(signal.SIGINT)
    assert said.endswith("stopping: waiting for running work\n")
    assert code == 0


def test_a_server_does_not_outlive_its_supervisor(command: CommandLine, source: Path) -> None:
    with served(command, "--reload", environment=on_path(source, command)) as server:
        server.url()
        code, said = server.end(signal.SIGKILL)
    assert said.endswith("stopping: waiting for running work\n")
    assert code == -signal.SIGKILL


def test_where_it_listens_cannot_change(command: CommandLine) -> None:
    command.write("comfytavern.yaml", "server: {port: 0}\n")
    with served(command, "--reload", port=None) as server:
        server.until("ComfyTavern is ready at ")
        command.write("comfytavern.yaml", "server: {port: 9}\n")
        assert server.until("error") == (
            "error: the configuration says 127.0.0.1:9 by now, and a reload cannot change where"
            " the server listens; end 'serve --reload' and start it again\n"
        )
        server.until("the server ended with code 2; waiting for a change")
        code, _ = server.end()
    assert code == 2  # of the last server


def test_nothing_to_watch_is_told(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = PackSources(frozenset(), frozenset())
    monkeypatch.setattr("comfytavern_hostapp.pack_sources.editable_sources", lambda _: nothing)
    monkeypatch.setattr("comfytavern_hostapp.reloader.Reloader.__call__", lambda _: 0)
    result = command("serve", "--port=0", "--reload")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        "warning: no pack is installed as editable; only the configuration file is watched\n"
    )


class TestSources:
    """Where editable packs are; none is imported."""

    @pytest.fixture
    def packs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PacksOnDisk:
        monkeypatch.syspath_prepend(tmp_path / "project" / "src")
        return PacksOnDisk(tmp_path / "site")

    def test_a_package_a_module_and_neither(self, tmp_path: Path, packs: PacksOnDisk) -> None:
        project = tmp_path / "project"
        broken = {"whole/__init__.py": "this is no Python", "whole/web/panel.js": ""}
        packs.write("whole", None, files=broken, editable=project / "src")
        packs.write("single", "raise SystemExit", editable=project / "src")
        packs.write("absent", None, editable=project)
        packs.write("ordinary")
        sources = editable_sources(packs.found())
        assert sources.packages == {project / "src" / "whole", project}
        assert sources.folders == {project / "src"}
        assert sources.places == sources.packages | sources.folders

    def test_a_module_of_somebody_else_is_left_alone(
        self, tmp_path: Path, packs: PacksOnDisk
    ) -> None:
        packs.write("odd", None, module="json", editable=tmp_path / "project")
        assert editable_sources(packs.found()).packages == frozenset()

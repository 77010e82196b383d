"""``packs doctor``: a seeded fault per rule, and what an approval remembers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from comfytavern.discovery import find_packs
from comfytavern.packs import PackChoice, PackManager
from comfytavern_hostapp.pack_checks.approvals import Approval, approve, read_approvals
from comfytavern_hostapp.pack_checks.doctor import DOCTOR_RULES, examine
from comfytavern_hostapp.pack_checks.environment import Environment, read_environment
from comfytavern_hostapp.pack_checks.lookalikes import look_alike

from .test_cli_support import CommandLine
from .wheels_on_disk import FakeWheel, error, warning

ENABLE = "look at it, then approve it: comfytavern packs enable some-pack"
REINSTALL = 'python -m pip install --force-reinstall --no-deps "some-pack==1.0"'
STARTS = "runs code at every start of Python"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a folder with one pack in it."""
    FakeWheel().install(tmp_path / "site")
    return tmp_path / "site"


def told(*sites: Path, choice: PackChoice | None = None) -> list[str]:
    """Examine folders as an environment of their own."""
    manager = PackManager(choice, found=find_packs(sites))
    data_dir = sites[0].parent / "data"
    return [str(finding) for finding in examine(read_environment(sites), manager, data_dir)]


def installed(site: Path) -> Environment:
    return read_environment([site])


def test_nothing_is_wrong_with_what_was_just_installed(site: Path) -> None:
    FakeWheel("other-thing", {"other_thing/__init__.py": ""}).install(site)
    assert told(site) == []


def test_every_rule_is_documented(repository: Path) -> None:
    text = (repository / "docs" / "looking-after-packs.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(rule.code, rule.severity.value, rule.demand) for rule in DOCTOR_RULES]


class TestIdentity:
    """Which distribution is which."""

    @pytest.mark.parametrize(
        ("metadata", "reason"),
        [
            ("Version: 1.0\n", "name is invalid: ''"),
            ("Name: x; rm -rf\nVersion: 1.0\n", "name is invalid: 'x; rm -rf'"),
            ("Name: some-thing\nVersion: 1;0\n", "Invalid version: '1;0'"),
            (
                "Name: some-thing\nVersion: 1.0\nRequires-Dist: what is this\n",
                "the requirement 'what is this' cannot be read",
            ),
        ],
    )
    def test_damaged_metadata_hides_nobody_else(
        self, site: Path, metadata: str, reason: str
    ) -> None:
        info = FakeWheel("some-thing", {}, entry_points="").install(site)
        (info / "METADATA").write_text(metadata)
        (info / "RECORD").unlink()
        FakeWheel("z-thing", {}, entry_points="").install(site)
        expected = error(
            "metadata_damaged",
            f"the metadata of 'some-thing' cannot be read: {reason}",
            f"look into {str(info)!r}, and reinstall what left it there",
        )
        assert told(site) == [expected]
        assert {"some-pack", "z-thing"} < set(installed(site).by_name)

    def test_two_metadata_in_one_folder(self, site: Path) -> None:
        FakeWheel(version="1.1", files={}).install(site)
        expected = error(
            "metadata_duplicate",
            f"{str(site)!r} has several metadata of 'some-pack': 1.0, 1.1",
            "remove them, then install one: python -m pip uninstall some-pack",
        )
        assert told(site) == [expected]

    def test_a_copy_that_is_hidden(self, site: Path, tmp_path: Path) -> None:
        FakeWheel(version="0.9").install(tmp_path / "later")
        later = str(tmp_path / "later")
        expected = warning(
            "metadata_shadowed",
            f"'some-pack' 0.9 in {later!r} is hidden by 1.0 in {str(site)!r}",
            "uninstall one of the two where it is installed",
        )
        assert told(site, tmp_path / "later") == [expected]

    def test_modules_that_two_distributions_have(self, site: Path) -> None:
        FakeWheel("a-thing", {"common/__init__.py": ""}, entry_points="").install(site)
        FakeWheel("b-thing", {"common/__init__.py": ""}, entry_points="").install(site)
        FakeWheel("c-thing", {"some_pack/extra.py": ""}, entry_points="").install(site)
        FakeWheel("d-thing", {"some_pack/__init__.py": ""}, entry_points="").install(site)
        lines = [line for line in told(site) if "[top_level_" in line]
        remedy = "uninstall one of the two, and reinstall the other"
        assert lines == [
            error(
                "top_level_shared",
                "the top-level module 'some_pack' is one of 'd-thing' and of 'some-pack'"
                " (both have 'some_pack/__init__.py')",
                remedy,
            ),
            warning(
                "top_level_doubled",
                "the top-level module 'common' is one of 'a-thing' and of 'b-thing'"
                " (both have 'common/__init__.py')",
                remedy,
            ),
        ]

    def test_names_that_look_like_a_pack(self, site: Path) -> None:
        for name in ("some-packs", "sorne-pack", "comfytavern-lim-nodes", "another-thing"):
            FakeWheel(name, {}, entry_points="").install(site)
        see = "see whether it is the one that you meant; if not: python -m pip uninstall"
        assert told(site) == [
            error(
                "name_lookalike",
                f"the name of {name!r} 1.0 is easily taken for {other!r}",
                f"{see} {name}",
            )
            for name, other in (
                ("comfytavern-lim-nodes", "comfytavern-llm-nodes"),
                ("some-packs", "some-pack"),
                ("sorne-pack", "some-pack"),
            )
        ]

    def test_two_packs_that_look_alike_are_told_once(self, site: Path) -> None:
        FakeWheel("some-pack2").install(site)
        [line] = told(site)
        assert line.startswith(
            "error [name_lookalike] the name of 'some-pack2' 1.0 is easily taken for 'some-pack';"
        )
        assert told(site, choice=PackChoice(enabled=frozenset())) == []

    @pytest.mark.parametrize(
        ("one", "other", "alike"),
        [
            ("some-pack", "some-pack", False),
            ("some-pack", "some-pck", True),
            ("some-pack", "some-paack", True),
            ("some-pack", "some-back", True),
            ("some-pack", "soem-pack", True),
            ("some-pack", "some-kcap", False),
            ("some-pack", "somepack", True),
            ("modern-web", "modem-vveb", True),
            ("so1o", "5olo", True),
            ("ab", "abcd", False),
        ],
    )
    def test_what_looks_alike(self, one: str, other: str, alike: bool) -> None:
        assert look_alike(one, other) is look_alike(other, one) is alike


class TestFiles:
    """Installed files."""

    def test_altered_ones(self, site: Path) -> None:
        module = site / "some_pack" / "__init__.py"
        module.write_text(module.read_text().replace("Hello", "Hallo"))  # of the same size
        text = "'some_pack/__init__.py' of 'some-pack' 1.0 is not as installed"
        remedy = f"look at what changed, then: {REINSTALL}"
        assert told(site) == [error("file_changed", text, remedy)]

    def test_missing_ones(self, site: Path) -> None:
        files = {f"many/{name}.py": "" for name in "abcde"}
        FakeWheel("many", files, entry_points="").install(site)
        for name in files:
            (site / name).unlink()
        expected = warning(
            "file_missing",
            "'many/a.py', 'many/b.py', 'many/c.py' and 2 more of 'many' 1.0 are missing",
            REINSTALL.replace("some-pack", "many"),
        )
        assert told(site) == [expected]

    def test_code_that_runs_at_every_start(self, site: Path) -> None:
        files = {"thing.pth": "import thing\n", "paths.pth": "# import\n/somewhere\n"}
        FakeWheel("thing", files, entry_points="").install(site)
        (site / "zz_init.pth").write_text("/somewhere\nimport os; os.system('true')\n")
        (site / "_virtualenv.pth").write_text("import _virtualenv")
        see = "see whether you expect that of it; uninstalling it removes the file"
        assert told(site) == [
            error(
                "pth_stray",
                f"'zz_init.pth' in {str(site)!r} {STARTS}, and no distribution has installed it:"
                " \"import os; os.system('true')\"",
                "remove it unless you have put it there",
            ),
            warning(
                "pth_code",
                f"'_virtualenv.pth' in {str(site)!r} of virtualenv {STARTS}: 'import _virtualenv'",
                see,
            ),
            warning(
                "pth_code",
                f"'thing.pth' in {str(site)!r} of thing 1.0 {STARTS}: 'import thing'",
                see,
            ),
        ]


class TestTrust:
    """Approvals, and packs that end the process."""

    def approve(self, site: Path, *names: str) -> None:
        approve(site.parent / "data", [installed(site).by_name[name] for name in names])

    def test_other_files_under_the_same_version(self, site: Path) -> None:
        self.approve(site, "some-pack")
        assert told(site) == []
        FakeWheel(files={"some_pack/__init__.py": "evil = True"}).install(site)
        text = "'some-pack' 1.0 has other files than when it was approved"
        assert told(site) == [error("approval_broken", text, ENABLE)]

    def test_another_version(self, site: Path) -> None:
        self.approve(site, "some-pack")
        for file in (site / "some_pack-1.0.dist-info").iterdir():
            file.unlink()
        (site / "some_pack-1.0.dist-info").rmdir()
        FakeWheel(version="1.1").install(site)
        text = "'some-pack' was approved as 1.0 and is 1.1 now"
        assert told(site) == [warning("approval_outdated", text, ENABLE)]

    def test_one_that_nobody_approved(self, site: Path) -> None:
        FakeWheel("other-nodes").install(site)
        assert told(site) == []  # nobody approves of anything here
        self.approve(site, "some-pack")
        text = "'other-nodes' 1.0 is enabled, and nobody has approved it"
        remedy = "approve it: comfytavern packs enable other-nodes"
        assert told(site) == [warning("approval_missing", text, remedy)]
        assert told(site, choice=PackChoice(disabled=frozenset({"other-nodes"}))) == []

    @pytest.mark.parametrize("text", ["{", "[]", '{"packs": {"a": {}}}'])
    def test_approvals_that_cannot_be_read(self, site: Path, text: str) -> None:
        (site.parent / "data").mkdir()
        (site.parent / "data" / "approvals.json").write_text(text)
        expected = error(
            "approvals_damaged",
            "'approvals.json' in the data directory cannot be used:"
            " it is not what 'packs enable' writes",
            "remove it, look at your packs, then: comfytavern packs enable NAME...",
        )
        assert told(site) == [expected]

    def test_the_same_wheel_elsewhere_is_the_same(self, site: Path, tmp_path: Path) -> None:
        info = FakeWheel().install(tmp_path / "other")
        record = (info / "RECORD").read_text()
        added = f"{info.name}/INSTALLER,sha256=x,3\n../../bin/tool,sha256=x,1\n"
        (info / "RECORD").write_text(f"some_pack/__pycache__/x.pyc,,\n{added}{record}")
        for folder in (site, tmp_path / "other"):
            approve(tmp_path / folder.name / "data", [installed(folder).by_name["some-pack"]])
        one, other = (read_approvals(tmp_path / name / "data") for name in ("site", "other"))
        assert one == other
        assert one["some-pack"].digest

    def test_an_editable_pack_may_change(self, site: Path, tmp_path: Path) -> None:
        info = site / "some_pack-1.0.dist-info"
        direct = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
        (info / "direct_url.json").write_text(json.dumps(direct))
        self.approve(site, "some-pack")
        assert read_approvals(tmp_path / "data") == {"some-pack": Approval("1.0", "")}


class TestCommand:
    """``comfytavern packs doctor``, and approvals by ``packs enable``."""

    @pytest.fixture
    def command(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
        return CommandLine(tmp_path, monkeypatch)

    def findings(self, command: CommandLine) -> list[dict[str, str]]:
        """Return what is found, apart from what is wrong with the machine of the tests."""
        result = command.run("packs", "doctor", "--json")
        assert (result.returncode, result.stderr) == (2, "")
        document: Mapping[str, Any] = json.loads(result.stdout)  # Any: JSON
        assert document["ok"] is False
        assert document["distributions"] > document["packs"] >= 3
        root = str(command.site)
        names = ("some-pack", "some-packs", "zz_init", "deadly-pack")
        told = [f for f in document["findings"] if any(n in f["message"] for n in (*names, root))]
        return told

    def test_everything_that_somebody_slipped_in(self, command: CommandLine) -> None:
        sentinel = "from pathlib import Path\nPath('imported.txt').touch()\n"
        FakeWheel(files={"some_pack.py": sentinel}).install(command.site)
        FakeWheel("some-packs", {"evil.py": sentinel}, entry_points="").install(command.site)
        (command.site / "zz_init.pth").write_text("import evil\n")
        (command.site / "some_pack.py").write_text(f"{sentinel}# altered\n")
        codes = [finding["code"] for finding in self.findings(command)]
        assert codes == ["name_lookalike", "file_changed", "pth_stray"]
        assert not (command.folder / "imported.txt").exists()

    def test_a_pack_that_kills_the_process(self, command: CommandLine) -> None:
        FakeWheel("deadly-pack", {"deadly_pack.py": "import os; os._exit(9)"}).install(command.site)
        assert command.run("packs", "list", "--load").returncode == 9
        remedy = "disable deadly-pack; to try it again: comfytavern packs enable deadly-pack"
        [finding] = self.findings(command)
        assert finding == {
            "code": "crash_marker",
            "severity": "error",
            "message": "pack 'deadly-pack' killed the process the last time it was loaded (import)",
            "remedy": f"comfytavern packs {remedy}",
        }

    def test_enabling_approves(self, command: CommandLine) -> None:
        FakeWheel().install(command.site)
        assert command.run("packs", "enable", "some-pack").returncode == 0
        approvals = read_approvals(command.data_dir)
        assert (list(approvals), approvals["some-pack"].version) == (["some-pack"], "1.0")
        FakeWheel(files={"some_pack/__init__.py": "evil = True"}).install(command.site)
        assert [finding["code"] for finding in self.findings(command)] == ["approval_broken"]
        command.run("packs", "enable", "some-pack")
        assert read_approvals(command.data_dir) != approvals

    def test_enabling_goes_on_where_approvals_are_damaged(self, command: CommandLine) -> None:
        command.data_dir.mkdir()
        (command.data_dir / "approvals.json").write_text("{")
        result = command("packs", "enable", "comfytavern-llm-nodes")
        told = "it is not what 'packs enable' writes"
        place = "'approvals.json' in the data directory"
        assert result.exit_code == 0
        assert result.stderr == f"warning: {place} cannot be used: {told}\n"
        assert (command.data_dir / "approvals.json").read_text() == "{"

    def test_an_environment_in_order(
        self, command: CommandLine, site: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = "comfytavern_hostapp.pack_checks.environment.read_environment"
        monkeypatch.setattr(place, lambda: installed(site))
        result = command("packs", "doctor")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == "ok: 1 distribution, 2 packs\n"
        (site / "_virtualenv.pth").write_text("import _virtualenv")
        told = command("packs", "doctor")
        assert (told.exit_code, told.stdout.splitlines()[1]) == (
            0,
            "ok: 1 distribution, 2 packs, 1 warning",
        )
        assert command("packs", "doctor", "--strict-warnings").exit_code == 2

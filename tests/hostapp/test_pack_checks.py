"""``packs check``: wheels, projects, installed packs; a seeded fault per rule that only reads."""

from __future__ import annotations

import json
import platform
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from comfytavern_hostapp.pack_checks.checking import CHECK_RULES, CheckedPack, check_pack
from comfytavern_hostapp.pack_checks.environment import Environment, read_environment

from ..packs_on_disk import GOOD
from .test_cli_support import CommandLine
from .wheels_on_disk import CORE, FakeWheel, error, warning

MODULE = {"some_pack.py": GOOD}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a folder for installed distributions, before those of this Python."""
    return tmp_path / "site"


def around(site: Path) -> Environment:
    return read_environment([site, *sys.path])


def check(given: str, site: Path) -> CheckedPack:
    return check_pack(given, around(site), run=False)


def told(checked: CheckedPack) -> list[str]:
    return [str(finding) for finding in checked.findings]


def test_a_sound_wheel_has_nothing_to_be_told(tmp_path: Path, site: Path) -> None:
    checked = check(FakeWheel().build(tmp_path), site)
    assert (checked.name, checked.findings, checked.errors) == ("some-pack 1.0", (), 0)


def test_nothing_is_left_behind(
    tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    check(FakeWheel().build(tmp_path), site)
    assert list((tmp_path / "tmp").iterdir()) == []


class TestUnreadable:
    """What is no wheel, no project and no distribution."""

    def test_names_that_lead_nowhere(self, tmp_path: Path, site: Path) -> None:
        (tmp_path / "notes.txt").touch()
        (tmp_path / "empty").mkdir()
        (tmp_path / "odd.whl").touch()
        expected = {
            "nothing-of-this-name": "there is no such file, folder or installed distribution; give"
            " the path of a wheel or a project, or a name as 'comfytavern packs list' has it",
            str(tmp_path / "gone-1.0-py3-none-any.whl"): "there is no such file;"
            " give the path of a wheel: dist/*.whl",
            str(tmp_path / "notes.txt"): "it is neither a .whl file nor a folder; give a wheel,"
            " the folder of a project, or an installed distribution's name",
            str(tmp_path / "empty"): "it has no pyproject.toml; give the folder of a project,"
            " a wheel, or an installed distribution's name",
            str(tmp_path / "odd.whl"): "its name is none of a wheel;"
            " give it the name that its build gave it",
        }
        for given, text in expected.items():
            assert told(check(given, site)) == [f"error [unreadable] {text}"]

    @pytest.mark.parametrize(
        ("entries", "reason"),
        [
            (None, "file is not a zip file"),
            ({"../evil.py": ""}, "its file '../evil.py' leads out of the wheel"),
            ({"/evil.py": ""}, "its file '/evil.py' leads out of the wheel"),
            ({"C:/evil.py": ""}, "its file 'C:/evil.py' leads out of the wheel"),
            ({"a.py": ""}, "it has 0 .dist-info folders; expected one"),
            ({"a-1.dist-info/METADATA": ""}, "it has no a-1.dist-info/WHEEL"),
        ],
    )
    def test_files_that_are_no_wheels(
        self, tmp_path: Path, site: Path, entries: dict[str, str] | None, reason: str
    ) -> None:
        path = tmp_path / "a-1-py3-none-any.whl"
        path.write_bytes(b"PK, but no more")
        if entries is not None:
            with zipfile.ZipFile(path, "w") as archive:
                for name, text in entries.items():
                    archive.writestr(name, text)
        expected = f"error [unreadable] {reason}; build it anew: python -m build --wheel"
        assert told(check(str(path), site)) == [expected]
        assert not (tmp_path / "evil.py").exists()

    def test_a_wheel_under_another_name(self, tmp_path: Path, site: Path) -> None:
        path = Path(FakeWheel(version="1.1").build(tmp_path))
        renamed = path.rename(tmp_path / "some_pack-1.0-py3-none-any.whl")
        assert told(check(str(renamed), site)) == [
            "error [unreadable] inside it is some-pack 1.1; give it the name that its build gave it"
        ]

    @pytest.mark.parametrize(
        ("requires", "entry_points", "reason"),
        [
            (["what is this"], None, "METADATA: the requirement 'what is this' cannot be read"),
            (
                [CORE],
                "[comfytavern.packs]\nno equals sign\n",
                "entry_points.txt: line 2 is 'no equals sign'; expected 'name = module:attribute'",
            ),
        ],
    )
    def test_damaged_metadata(
        self,
        tmp_path: Path,
        site: Path,
        requires: list[str],
        entry_points: str | None,
        reason: str,
    ) -> None:
        wheel = FakeWheel(requires=requires, entry_points=entry_points)
        remedy = "mend its metadata and build it anew"
        expected = [f"error [unreadable] {reason}; {remedy}"]
        assert told(check(wheel.build(tmp_path), site)) == expected


class TestContents:
    """What a wheel holds."""

    def test_a_record_that_does_not_fit(self, tmp_path: Path, site: Path) -> None:
        wheel = FakeWheel()
        listed = wheel.files[f"{wheel.info}/RECORD"]
        wheel.files[f"{wheel.info}/RECORD"] = listed + "gone.py,sha256=x,1\n"
        wheel.files["some_pack/__init__.py"] += "\n# changed after the build\n"
        wheel.files["some_pack/added.py"] = ""
        remedy = "build the wheel anew and change nothing in it afterwards"
        assert told(check(wheel.build(tmp_path), site)) == [
            error("record_wrong", "RECORD does not list 'some_pack/added.py'", remedy),
            error("record_wrong", "RECORD lists 'gone.py', which is not there", remedy),
            error(
                "record_wrong",
                "'some_pack/__init__.py' does not have the hash that RECORD has for it",
                remedy,
            ),
        ]

    def test_no_entry_point(self, tmp_path: Path, site: Path) -> None:
        wheel = FakeWheel(entry_points="[console_scripts]\nrun = some_pack:main\n")
        expected = error(
            "entry_point_missing",
            "it has no entry point in the group 'comfytavern.packs', so no host finds it",
            'add the table [project.entry-points."comfytavern.packs"] to its pyproject.toml',
        )
        assert told(check(wheel.build(tmp_path), site)) == [expected]

    def test_an_entry_point_whose_module_was_not_shipped(self, tmp_path: Path, site: Path) -> None:
        points = "[comfytavern.packs]\nnodes = some_pack.nodes:plugin\n"
        expected = error(
            "module_missing",
            "entry point 'nodes' names the module 'some_pack.nodes', which is not in the wheel",
            "have the build ship it, and look into the wheel: python -m zipfile -l dist/*.whl",
        )
        assert told(check(FakeWheel(entry_points=points).build(tmp_path), site)) == [expected]

    def test_a_wheel_for_another_python(self, tmp_path: Path, site: Path) -> None:
        expected = warning(
            "tags_foreign",
            "it is built for cp27-cp27m-win32, so it was not imported",
            "check it with a Python that it is built for",
        )
        wheel = FakeWheel(tag="cp27-cp27m-win32")
        assert told(check(wheel.build(tmp_path), site)) == [expected]

    def test_a_python_that_it_is_not_for(self, tmp_path: Path, site: Path) -> None:
        expected = error(
            "python_excluded",
            f"it requires Python <3, and this is {platform.python_version()}",
            "check it with a Python that it is made for, or widen requires-python",
        )
        wheel = FakeWheel(header="Requires-Python: <3\n")
        assert told(check(wheel.build(tmp_path), site)) == [expected]

    def test_top_level_names_of_others(self, tmp_path: Path, site: Path) -> None:
        FakeWheel("other-pack", {"helpers/__init__.py": "", "shared/a.py": ""}).install(site)
        files = {"helpers.py": "", "json/__init__.py": "", "shared/b.py": "", **MODULE}
        rename = "rename it; one package that is named like the distribution is enough"
        helpers = "its top-level module 'helpers' is one of 'other-pack', too"
        assert told(check(FakeWheel(files=files).build(tmp_path), site)) == [
            error("top_level_taken", helpers, rename),
            error("top_level_taken", "its top-level module 'json' is one of Python's own", rename),
        ]

    def test_a_namespace_is_shared_and_its_files_are_not(self, tmp_path: Path, site: Path) -> None:
        FakeWheel("other-pack", {"shared/a.py": "", "shared/b.py": ""}).install(site)
        wheel = FakeWheel(files={"shared/b.py": "", **MODULE})
        codes = [finding.code for finding in check(wheel.build(tmp_path), site).findings]
        assert codes == ["top_level_taken"]

    def test_an_older_version_of_itself_is_nobody_else(self, tmp_path: Path, site: Path) -> None:
        FakeWheel(version="0.9").install(site)
        assert told(check(FakeWheel().build(tmp_path), site)) == []

    def test_modules_that_an_installer_moves(self, tmp_path: Path, site: Path) -> None:
        wheel = FakeWheel(files={"some_pack-1.0.data/purelib/some_pack.py": GOOD})
        assert told(check(wheel.build(tmp_path), site)) == []


PROJECT = """
[project]
name = "Some.Pack"
version = "1.0"
dependencies = ["comfytavern-core>=0.1,<1"]
[project.optional-dependencies]
dev = ["nobody-has-this; python_version >= '3'"]
[project.entry-points."comfytavern.packs"]
some-pack = "some_pack"
"""


class TestProjects:
    """A project folder, as its pyproject.toml and its sources stand."""

    @pytest.mark.parametrize("source", ["some_pack.py", "src/some_pack/__init__.py"])
    def test_sources_are_found(self, tmp_path: Path, site: Path, source: str) -> None:
        file = tmp_path / "project" / source
        file.parent.mkdir(parents=True)
        file.write_text(GOOD)
        (tmp_path / "project" / "pyproject.toml").write_text(PROJECT)
        checked = check(str(tmp_path / "project"), site)
        assert (checked.name, told(checked)) == ("some-pack 1.0", [])

    @pytest.mark.parametrize(
        ("build", "folder"),
        [
            ('[tool.hatch.build.targets.wheel]\npackages = ["lib/some_pack"]', "lib"),
            ('[tool.setuptools.packages.find]\nwhere = ["python"]', "python"),
        ],
    )
    def test_the_build_says_where_they_are(
        self, tmp_path: Path, site: Path, build: str, folder: str
    ) -> None:
        package = tmp_path / folder / "some_pack"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(GOOD)
        (tmp_path / "pyproject.toml").write_text(f"{PROJECT}{build}\n")
        assert told(check(str(tmp_path), site)) == []

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("[project", "pyproject.toml: Expected ']' at the end of a table declaration"),
            ("[tool.x]\n", "its pyproject.toml has no table 'project' with a name"),
            (
                '[project]\nname = "x"\ndynamic = ["dependencies"]\n',
                "its pyproject.toml leaves 'dependencies' to the build",
            ),
        ],
    )
    def test_a_file_that_does_not_say_enough(
        self, tmp_path: Path, site: Path, text: str, reason: str
    ) -> None:
        (tmp_path / "pyproject.toml").write_text(text)
        [line] = told(check(str(tmp_path), site))
        assert line.startswith(f"error [unreadable] {reason}")

    def test_sources_that_are_not_there(self, tmp_path: Path, site: Path) -> None:
        (tmp_path / "pyproject.toml").write_text(PROJECT)
        [line] = told(check(str(tmp_path), site))
        assert line.startswith(
            "error [module_missing] entry point 'some-pack' names the module 'some_pack',"
            " which is not in the sources;"
        )


class TestInstalled:
    """What is installed already."""

    def test_by_any_spelling_of_its_name(self, site: Path) -> None:
        FakeWheel().install(site)
        assert told(check("Some_Pack", site)) == []

    def test_an_editable_one_is_checked_as_its_sources_stand(
        self, tmp_path: Path, site: Path
    ) -> None:
        (tmp_path / "src").mkdir()
        wheel = FakeWheel(files={"_some_pack.pth": f"{tmp_path / 'src'}\n"})
        direct = {"url": tmp_path.as_uri(), "dir_info": {"editable": True}}
        wheel.files[f"{wheel.info}/direct_url.json"] = json.dumps(direct)
        wheel.install(site)
        [line] = told(check("some-pack", site))
        assert line.startswith(
            "error [module_missing] entry point 'some-pack' names the module 'some_pack',"
            " which is not in the installed files;"
        )
        (tmp_path / "src" / "some_pack.py").write_text(GOOD)
        assert told(check("some-pack", site)) == []


def test_our_own_packs_pass(repository: Path) -> None:
    environment = read_environment()
    for pack in ("comfytavern-core-nodes", str(repository / "packages/comfytavern-llm-nodes")):
        assert check_pack(pack, environment, run=False).errors == 0


def test_every_rule_is_documented(repository: Path) -> None:
    text = (repository / "docs" / "publishing-a-pack.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(rule.code, rule.severity.value, rule.demand) for rule in CHECK_RULES]


class TestCommand:
    """``comfytavern packs check``."""

    @pytest.fixture
    def command(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
        return CommandLine(tmp_path, monkeypatch)

    @pytest.fixture
    def wheel(self, command: CommandLine) -> Callable[..., str]:
        def build(name: str = "some-pack", **options: object) -> str:
            made = FakeWheel(name, **options)  # type: ignore[arg-type]  # passed on as they are
            return str(Path(made.build(command.folder)).relative_to(command.folder))

        return build

    def test_a_line_per_finding(self, command: CommandLine, wheel: Callable[..., str]) -> None:
        good, bad = wheel(), wheel("bad-pack", entry_points="")
        result = command("packs", "check", "--no-import", good, bad)
        assert (result.exit_code, result.stderr) == (2, "")
        lines = result.stdout.splitlines()
        assert lines[0] == f"ok: {good} (some-pack 1.0): 0 node types, not imported"
        assert lines[1].startswith(f"{bad}: error [entry_point_missing] ")
        assert len(lines) == 2

    def test_warnings_fail_only_if_asked(
        self, command: CommandLine, wheel: Callable[..., str]
    ) -> None:
        path = wheel(requires=["comfytavern-core>=0.1"])
        result = command("packs", "check", "--no-import", path)
        assert result.exit_code == 0
        ok = f"ok: {path} (some-pack 1.0): 0 node types, not imported, 1 warning"
        assert result.stdout.splitlines()[1] == ok
        assert command("packs", "check", "--no-import", "--strict-warnings", path).exit_code == 2

    def test_json(self, command: CommandLine, wheel: Callable[..., str]) -> None:
        path = wheel(requires=[])
        result = command("packs", "check", "--no-import", "--json", path, "nope")
        assert (result.exit_code, result.stderr) == (2, "")
        document = json.loads(result.stdout)
        assert document["ok"] is False
        first, second = document["packs"]
        assert (first["subject"], first["pack"], first["ok"]) == (path, "some-pack 1.0", False)
        assert (first["nodeTypes"], first["importMs"]) == (0, None)
        assert [finding["code"] for finding in first["findings"]] == ["api_range_missing"]
        assert set(first["findings"][0]) == {"code", "severity", "message", "remedy"}
        assert (second["pack"], second["findings"][0]["code"]) == (None, "unreadable")

"""``packs new``: a pack from the template, its texts, and what it refuses."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from comfytavern import parse_workflow
from comfytavern_hostapp.library.workflow_files import FileError
from comfytavern_hostapp.pack_names import MAX_NAME, check_name
from comfytavern_hostapp.pack_template import PackFacts, core_range, write_pack

from ..offline_environment import Offline
from .test_cli_support import CommandLine

FILES = [
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "pyproject.toml",
    ".gitignore",
    ".github/workflows/ci.yml",
    "src/tavern_voices/__init__.py",
    "src/tavern_voices/nodes.py",
    "src/tavern_voices/py.typed",
    "tests/conftest.py",
    "tests/test_nodes.py",
    "tests/test_pack.py",
    "examples/hello.json",
]
FACTS = PackFacts("tavern-voices", "tavern_voices", 'Ann "A" Ø\\$name', 2031, ">=0.1,<1")
TEMPLATE = "hostapp/src/comfytavern_hostapp/pack_template"
RUFF = [sys.executable, "-m", "ruff"]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Give a pack that was just written."""
    write_pack(tmp_path / "pack", FACTS)
    return tmp_path / "pack"


def files_in(folder: Path) -> list[str]:
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


def project_of(pack: Path) -> dict[str, Any]:  # Any: TOML
    return tomllib.loads((pack / "pyproject.toml").read_text("utf-8"))


class TestVerb:
    """What is said and written."""

    def test_it_tells_the_files_and_what_comes_next(self, command: CommandLine) -> None:
        result = command("packs", "new", "Tavern_Voices")
        assert result.exit_code == 0
        assert result.stdout.splitlines() == [f"tavern-voices/{file}" for file in FILES]
        assert result.stderr == (
            "\nNext:\n"
            "  pip install -e 'tavern-voices[dev]'\n"
            "  pytest tavern-voices\n"
            "  comfytavern run tavern-voices/examples/hello.json\n"
        )
        assert os.listdir(command.folder) == ["tavern-voices"]
        assert files_in(command.folder / "tavern-voices") == sorted(FILES)

    def test_it_touches_nothing_else(self, command: CommandLine) -> None:
        command.write("comfytavern.yaml", "packs: [\n")  # not even read
        before = files_in(command.folder.parent)
        assert command.run("packs", "new", "tavern-voices").returncode == 0
        written = [f"work/tavern-voices/{file}" for file in FILES]
        assert files_in(command.folder.parent) == sorted([*before, *written])

    def test_json_is_one_document(self, command: CommandLine) -> None:
        result = command("packs", "new", "tavern-voices", "--directory", "my voices", "--json")
        assert (result.exit_code, result.stderr) == (0, "")
        assert json.loads(result.stdout) == {
            "distribution": "tavern-voices",
            "package": "tavern_voices",
            "coreRange": ">=0.1,<1",
            "directory": "my voices",
            "files": FILES,
            "next": [
                "pip install -e 'my voices[dev]'",
                "pytest 'my voices'",
                "comfytavern run 'my voices/examples/hello.json'",
            ],
        }

    def test_the_folder_may_be_there_and_empty(self, command: CommandLine) -> None:
        result = command("packs", "new", "tavern-voices", "--directory", ".", "--json")
        assert json.loads(result.stdout)["next"] == [
            "pip install -e '.[dev]'",
            "pytest",
            "comfytavern run examples/hello.json",
        ]
        assert files_in(command.folder) == sorted(FILES)

    def test_the_folder_of_the_name_is_in_nobodys_way(self, command: CommandLine) -> None:
        # Started as a module, the working directory is on the path: an empty folder is a module.
        (command.folder / "voices").mkdir()
        assert command.run("packs", "new", "voices").returncode == 0

    def test_the_author_holds_the_copyright(self, command: CommandLine) -> None:
        command("packs", "new", "tavern-voices", "--author", "  Ann\n Author ")
        pack = command.folder / "tavern-voices"
        line = (pack / "LICENSE").read_text("utf-8").splitlines()[2]
        assert line == f"Copyright (c) {date.today().year} Ann Author"
        assert project_of(pack)["project"]["authors"] == [{"name": "Ann Author"}]

    def test_without_an_author_they_are_those_of_the_pack(self, command: CommandLine) -> None:
        command("packs", "new", "tavern-voices")
        project = project_of(command.folder / "tavern-voices")["project"]
        assert project["authors"] == [{"name": "The tavern-voices authors"}]

    def test_help_says_what_it_is(self, command: CommandLine) -> None:
        assert "\n  new      Write a new pack: " in command("packs", "--help").stdout


class TestRefusals:
    """What cannot be written, and that nothing is then."""

    def test_a_folder_with_something_in_it(self, command: CommandLine) -> None:
        names = ["a", "b", "c", "d", "e\x1b", "f", ".git/HEAD"]
        for name in names:
            command.write(f"tavern-voices/{name}", "")
        result = command("packs", "new", "tavern-voices")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            "error: folder 'tavern-voices' is not empty; name another one, or move what is in it:"
            " .git, a, b, c, d, 2 more\n"
        )
        assert files_in(command.folder / "tavern-voices") == sorted(names)

    def test_names_in_the_way_are_shown_as_text(self, command: CommandLine) -> None:
        command.write("there/e\x1b", "")
        result = command("packs", "new", "tavern-voices", "--directory", "there")
        assert result.stderr.endswith(" move what is in it: 'e\\x1b'\n")

    @pytest.mark.parametrize("target", ["tavern-voices", "tavern-voices/below"])
    def test_a_file_in_the_way(self, command: CommandLine, target: str) -> None:
        command.write("tavern-voices", "mine")
        result = command("packs", "new", "tavern-voices", "--directory", target, "--json")
        message = f"folder {target!r} is a file, or below one; name another one"
        assert (result.exit_code, result.stderr) == (2, f"error: {message}\n")
        error = {"code": "bad_file", "message": message, "details": []}
        assert json.loads(result.stdout) == {"error": error}
        assert (command.folder / "tavern-voices").read_text() == "mine"

    def test_a_name(self, command: CommandLine) -> None:
        result = command("packs", "new", "json", "--json")
        message = (
            "a pack cannot be named 'json': it would hide the module 'json' of Python's own"
            " library; try 'json-nodes'"
        )
        assert (result.exit_code, result.stderr) == (2, f"error: {message}\n")
        error = {"code": "bad_pack_name", "message": message, "details": []}
        assert json.loads(result.stdout) == {"error": error}
        assert not list(command.folder.iterdir())

    @pytest.mark.parametrize("author", ["", " \n", "Ann\x1b[2J"])
    def test_an_author_who_is_none(self, command: CommandLine, author: str) -> None:
        result = command("packs", "new", "tavern-voices", "--author", author)
        assert (result.exit_code, result.stdout) == (2, "")
        message = f"error: --author is {author!r}; expected a name\n"
        assert result.stderr == message + "try 'cli packs new --help'\n"
        assert not list(command.folder.iterdir())

    def test_what_was_written_is_removed_if_the_rest_cannot_be(self, tmp_path: Path) -> None:
        # Paths end at 4095 bytes: the README fits, the longer ones do not.
        there = tmp_path
        while len(str(there)) < 3800:
            there = there / ("x" * 200)
        there.mkdir(parents=True)
        room = 4095 - len(str(there)) - len("/p//pyproject.toml") - 3
        target = there / "p" / ("y" * room)
        with pytest.raises(OSError, match="File name too long"):
            write_pack(target, FACTS)
        assert not list(there.iterdir())


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.1.0", ">=0.1,<1"),
        ("1.4", ">=1.4,<2"),
        ("2.10.3.post1", ">=2.10,<3"),
        ("0.2.0rc1", ">=0.2.0rc1,<1"),
        ("0.2.0.dev3+g12ab", ">=0.2.0.dev3,<1"),
    ],
)
def test_the_range_of_the_api(version: str, expected: str) -> None:
    assert core_range(version) == expected
    assert Requirement(f"comfytavern-core{expected}").specifier.contains(version, prereleases=True)


def test_a_range_needs_a_version() -> None:
    with pytest.raises(ValueError, match="'latest' is no version; expected one such as"):
        core_range("latest")


class TestFiles:
    """What stands in a pack that was just written."""

    def test_nothing_is_left_to_fill_in(self, pack: Path) -> None:
        for file in files_in(pack):
            content = (pack / file).read_bytes()
            # A prompt, an expression of GitHub's, and the author's own name stay as they are.
            assert re.search(rb"\$(?! |\{\{|name(\n|\"))", content) is None, file
            assert b"\r" not in content
            assert content.endswith(b"\n") or file.endswith("py.typed")

    def test_the_template_holds_no_more(self, repository: Path) -> None:
        template = repository / TEMPLATE
        wanted = [f.replace("tavern_voices", "package").replace("/.", "/") + ".in" for f in FILES]
        assert files_in(template) == sorted(file.removeprefix(".") for file in wanted)

    @pytest.mark.slow
    def test_the_template_is_in_the_sdist(self, repository: Path, tmp_path: Path) -> None:
        build = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir"]
        project = repository / "hostapp"
        subprocess.run([*build, str(tmp_path), str(project)], check=True, capture_output=True)
        [archive] = tmp_path.iterdir()
        with tarfile.open(archive) as sdist:
            listed = [name.partition("/")[2] for name in sdist.getnames()]
        template = (repository / TEMPLATE).rglob("*.in")
        assert {file.relative_to(project).as_posix() for file in template} <= set(listed)

    def test_the_python_files_parse(self, pack: Path) -> None:
        for file in pack.rglob("*.py"):
            assert ast.get_docstring(ast.parse(file.read_text("utf-8"))), file

    def test_the_project_is_a_pack(self, pack: Path) -> None:
        settings = project_of(pack)
        project = settings["project"]
        assert (project["name"], project["license"]) == ("tavern-voices", "MIT")
        assert project["authors"] == [{"name": FACTS.author}]
        assert project["dependencies"][0] == "comfytavern-core>=0.1,<1"
        assert project["entry-points"] == {"comfytavern.packs": {"tavern-voices": "tavern_voices"}}
        requirements = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
        assert all(Requirement(requirement).specifier for requirement in requirements)
        assert "==" not in str(requirements)
        assert settings["build-system"]["build-backend"] == "hatchling.build"
        assert settings["tool"]["hatch"]["build"]["targets"]["wheel"] == {
            "packages": ["src/tavern_voices"]
        }
        assert settings["tool"]["mypy"]["strict"] is True

    def test_the_licence_is_ours_in_the_authors_name(self, pack: Path, repository: Path) -> None:
        ours = (repository / "LICENSE").read_text("utf-8").splitlines()
        theirs = (pack / "LICENSE").read_text("utf-8").splitlines()
        assert theirs[2] == f"Copyright (c) 2031 {FACTS.author}"
        assert [*ours[:2], *ours[3:]] == [*theirs[:2], *theirs[3:]]

    def test_the_ci_file_publishes_without_a_token(self, pack: Path) -> None:
        text = (pack / ".github/workflows/ci.yml").read_text("utf-8")
        workflow = yaml.safe_load(text)
        jobs = workflow["jobs"]
        assert list(jobs) == ["test", "build", "publish"]
        assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
        assert jobs["test"]["runs-on"] == "${{ matrix.os }}"
        assert workflow["permissions"] == {"contents": "read"}
        assert jobs["publish"]["permissions"] == {"id-token": "write"}
        assert jobs["publish"]["if"] == "startsWith(github.ref, 'refs/tags/v')"
        assert "secrets" not in text
        assert "password" not in text

    def test_the_example_is_a_workflow_of_its_nodes(self, pack: Path) -> None:
        example = json.loads((pack / "examples/hello.json").read_text("utf-8"))
        types = [node.full_type for node in parse_workflow(example).nodes]
        assert types == ["tavern-voices:Shout", "tavern-voices:Recite"]

    @pytest.mark.parametrize("name", ["v", "tavern-voices", "x" * MAX_NAME])
    def test_ruff_finds_nothing_whatever_the_name(self, tmp_path: Path, name: str) -> None:
        names = check_name(name)
        target = tmp_path / "pack"
        write_pack(target, PackFacts(*names, "Ann", 2031, ">=0.1,<1"))
        for arguments in (["check"], ["format", "--check"]):
            done = subprocess.run(
                [*RUFF, *arguments, "--no-cache"],
                cwd=target,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr

    def test_a_second_one_into_the_same_folder_is_refused(self, pack: Path) -> None:
        with pytest.raises(FileError, match="is not empty"):
            write_pack(pack, FACTS)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_pack_passes_its_own_checks(offline: Offline, tmp_path: Path) -> None:
    """A fresh environment without a network: build, install, tests, mypy, a run."""
    variables = offline.environment(tmp_path)

    def run(*command: str, folder: Path = tmp_path) -> str:
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(str(offline.tools / "python3"), "-m", "venv", ".venv")
    variables["PATH"] = os.pathsep.join([str(tmp_path / ".venv" / "bin"), variables["PATH"]])
    run("pip", "install", "comfytavern-hostapp")
    run("comfytavern", "packs", "new", "tavern-voices")
    pack = tmp_path / "tavern-voices"
    run("pip", "wheel", "--no-deps", "--wheel-dir", str(tmp_path / "dist"), str(pack))
    [wheel] = (tmp_path / "dist").iterdir()
    assert wheel.name == "tavern_voices-0.1.0-py3-none-any.whl"
    run("pip", "install", "--no-deps", str(wheel))
    assert "5 passed" in run("pytest", folder=pack)
    run("mypy", "--strict", folder=pack)
    records = json.loads(run("comfytavern", "--strict", "packs", "list", "--load", "--json"))
    [record] = [r for r in records if r["distribution"] == "tavern-voices"]
    assert (record["state"], record["apiRange"]) == ("loaded", "<1,>=0.1")
    assert (record["warnings"], len(record["nodeTypes"])) == ([], 2)
    said = run("comfytavern", "run", "tavern-voices/examples/hello.json")
    assert said == "GOOD EVENING, TRAVELLER, THE FIRE IS LIT!!!\n"

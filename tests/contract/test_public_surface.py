"""Core's public surface changes on purpose only, and never without a line in its changelog."""

from __future__ import annotations

import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import comfytavern
from comfytavern import authoring, hookspecs, testing

REMEDY = (
    "if the change is meant: python scripts/surface.py --write, and say what changes for pack"
    " authors in core/CHANGELOG.md, in the same commit"
)


@pytest.fixture(scope="module")
def script(repository: Path) -> ModuleType:
    """Import the script that knows the surface."""
    spec = importlib.util.spec_from_file_location("surface", repository / "scripts" / "surface.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def snapshot(repository: Path, script: Any) -> str:  # Any: a script, by its path
    """Read the snapshot."""
    text: str = (repository / script.SNAPSHOT).read_text("utf-8")
    return text


def test_the_surface_is_as_the_snapshot_says(script: Any) -> None:  # Any: a script, by its path
    changed = script.difference()
    assert not changed, f"the public surface of core has changed:\n{changed}\n\n{REMEDY}"


def test_every_public_name_is_in_the_snapshot(snapshot: str) -> None:
    parts = dict(part.split("\n", 1) for part in snapshot.split("== ")[1:])
    for module in (comfytavern, authoring, testing):
        lines = parts[module.__name__].splitlines()
        for name in module.__all__:
            heads = (f"{name}:", f"{name} =", f"class {name}", f"def {name}(", f"async def {name}(")
            assert any(line.startswith(heads) for line in lines), name
    specs = [name for name, value in vars(hookspecs).items() if hasattr(value, "comfytavern_spec")]
    for name in specs:
        names = ", ".join(inspect.signature(getattr(hookspecs, name)).parameters)
        assert f"@hookspec\ndef {name}({names}:" in parts["comfytavern.hookspecs"]


def test_what_packs_may_import_is_covered(script: Any) -> None:  # Any: a script, by its path
    assert {"authoring", "chunks", "context", "definitions", "errors", "events", "hookspecs"} < set(
        script.public_modules()
    )


class Checkout:
    """A copy of what the script reads, under git."""

    def __init__(self, root: Path, repository: Path) -> None:
        self.root = root
        for folder in ("core/src/comfytavern", "scripts"):
            shutil.copytree(
                repository / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__")
            )
        for file in ("pyproject.toml", "core/CHANGELOG.md", "tests/contract/public_surface.txt"):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(repository / file, root / file)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.name", "Somebody")
        self.git("config", "user.email", "somebody@example.invalid")
        self.commit()

    def git(self, *arguments: str) -> None:
        """Run git, whatever checkout this test itself runs in."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        command = ["git", "-c", "commit.gpgsign=false", *arguments]
        subprocess.run(command, cwd=self.root, env=env, check=True, capture_output=True)

    def commit(self) -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "Change something")

    def append(self, file: str, text: str) -> None:
        """Add to a file."""
        with (self.root / file).open("a", encoding="utf-8") as stream:
            stream.write(text)

    def run(self, *command: str) -> tuple[int, str]:
        """Run one of the scripts; return its exit code and what it printed."""
        done = subprocess.run(
            [sys.executable, *command], cwd=self.root, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout


@pytest.fixture
def checkout(repository: Path, tmp_path: Path) -> Checkout:
    """Give a checkout with one commit."""
    return Checkout(tmp_path, repository)


def widen(checkout: Checkout) -> None:
    """Give a public function a further argument."""
    file = checkout.root / "core/src/comfytavern/types.py"
    text = file.read_text("utf-8")
    before = "def describe_value(value: object)"
    assert before in text
    file.write_text(text.replace(before, "def describe_value(value: object, short: bool)"), "utf-8")


def test_a_change_is_shown_and_asks_for_the_changelog(checkout: Checkout) -> None:
    assert checkout.run("scripts/check.py", "surface")[0] == 0
    widen(checkout)
    code, told = checkout.run("scripts/check.py", "surface")
    assert code == 1
    assert "-def describe_value(value: object) -> str\n" in told
    assert "+def describe_value(value: object, short: bool) -> str\n" in told
    assert f"the public surface has changed; {REMEDY}\n" in told

    code, told = checkout.run("scripts/surface.py", "--write")
    assert code == 1
    assert told == (
        "tests/contract/public_surface.txt differs from HEAD and core/CHANGELOG.md does not; say"
        " there what changes for pack authors\n"
    )
    checkout.append("core/CHANGELOG.md", "- `describe_value` takes `short`.\n")
    assert checkout.run("scripts/surface.py") == (
        0,
        "the public surface is as the snapshot says\n",
    )


def test_a_branch_is_held_against_where_it_began(checkout: Checkout) -> None:
    checkout.git("switch", "-q", "-c", "branch")
    widen(checkout)
    checkout.run("scripts/surface.py", "--write")
    checkout.commit()
    code, told = checkout.run("scripts/surface.py")
    assert code == 1
    assert "and core/CHANGELOG.md does not" in told
    checkout.append("core/CHANGELOG.md", "- `describe_value` takes `short`.\n")
    checkout.commit()
    assert checkout.run("scripts/surface.py")[0] == 0


def test_without_git_only_the_snapshot_counts(checkout: Checkout) -> None:
    shutil.rmtree(checkout.root / ".git")
    assert checkout.run("scripts/surface.py")[0] == 0
    widen(checkout)
    assert checkout.run("scripts/surface.py")[0] == 1
    assert checkout.run("scripts/surface.py", "--write")[0] == 0

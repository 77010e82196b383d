"""The five distributions fit together: versions, requirements, changelogs, licences, commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

FOLDERS = (
    ".",
    "core",
    "hostapp",
    "packages/comfytavern-core-nodes",
    "packages/comfytavern-llm-nodes",
)


def project(repository: Path, folder: str) -> dict[str, Any]:  # Any: a TOML table
    """Read the project table of one distribution."""
    text = (repository / folder / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, Any] = tomllib.loads(text)["project"]  # Any: a TOML table
    return table


def test_versions_are_equal(repository: Path) -> None:
    assert len({project(repository, folder)["version"] for folder in FOLDERS}) == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_distribution_is_complete(repository: Path, folder: str) -> None:
    for name in ("README.md", "CHANGELOG.md", "LICENSE"):
        assert (repository / folder / name).is_file(), name
    licence = (repository / folder / "LICENSE").read_text(encoding="utf-8")
    assert licence == (repository / "LICENSE").read_text(encoding="utf-8")
    assert project(repository, folder)["requires-python"] == ">=3.11"


@pytest.mark.parametrize("folder", FOLDERS[1:])
def test_package_is_typed(repository: Path, folder: str) -> None:
    packages = [path.parent for path in (repository / folder / "src").glob("*/__init__.py")]
    assert packages
    assert all((package / "py.typed").is_file() for package in packages)


@pytest.mark.parametrize("folder", FOLDERS)
def test_own_distributions_are_required_by_range(repository: Path, folder: str) -> None:
    own = [r for r in project(repository, folder)["dependencies"] if r.startswith("comfytavern")]
    assert all(requirement.endswith(">=0.1,<1") for requirement in own)


def test_root_requires_every_other_distribution(repository: Path) -> None:
    required = {r.partition(">=")[0] for r in project(repository, ".")["dependencies"]}
    assert required == {project(repository, folder)["name"] for folder in FOLDERS[1:]}


def test_changelogs_name_the_version_on_top(repository: Path) -> None:
    command = [sys.executable, "scripts/check.py", "changelogs"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_readme_commands_exist(repository: Path) -> None:
    readme = (repository / "README.md").read_text(encoding="utf-8")
    verbs = re.findall(r"python3 scripts/bootstrap\.py (\w+)", readme)
    assert verbs == ["demo", "check"]
    helped = subprocess.run(
        [sys.executable, "scripts/bootstrap.py", "--help"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "demo ... | check ..." in helped.stdout
    for script in re.findall(r"scripts/\w+\.py", readme):
        assert (repository / script).is_file(), script


def test_ci_runs_the_readme_test_command(repository: Path) -> None:
    script = repository / ".ci/run"
    assert "python3 scripts/bootstrap.py check" in script.read_text(encoding="utf-8")
    assert os.name == "nt" or os.access(script, os.X_OK)

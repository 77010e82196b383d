"""The example adapter pack as a wheel: it works where it is installed, and is unseen where not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NAME = "comfytavern-shouting-llm"
LLM_NODES = "comfytavern-llm-nodes"
PROJECT = f"examples/packs/{NAME}"

CONFIG = """
data_dir: {data_dir}
packs:
  settings:
    comfytavern-llm-nodes:
      channels:
        - {{label: loud, adapter: shouting, options: {{marks: 3}}}}
        - {{label: spare, adapter: echo}}
"""
MESSAGES = [{"role": "user", "content": "hello there"}]
WORKFLOW = {
    "nodes": [
        {"id": "chat", "type": "core:GenericLlmRequest", "inputValues": {"messages": MESSAGES}},
        {"id": "out", "type": "core:GroupOutput"},
    ],
    "edges": [
        {"source": "chat", "sourceHandle": "response", "target": "out", "targetHandle": "response"}
    ],
    "interfaceOutputs": {"response": {"key": "response", "dataFlowType": "OBJECT"}},
}


def run(command: list[str | Path], folder: Path | None = None) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Environment:
    """A virtual environment that sees what is installed where the tests run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        venv.create(root / "venv", symlinks=True)
        self.python = root / "venv" / "bin" / "python"
        [site] = (root / "venv").glob("lib/python*/site-packages")
        # As a site folder and not as a path, so that editable installations count, too.
        borrowed = sysconfig.get_path("purelib")
        (site / "borrowed.pth").write_text(f"import site; site.addsitedir({borrowed!r})\n", "utf-8")
        (root / "config.yaml").write_text(CONFIG.format(data_dir=root / "data"), "utf-8")
        (root / "workflow.json").write_text(json.dumps(WORKFLOW), "utf-8")

    def install(self, wheel: Path) -> None:
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", self.python, "install"]
        run([*pip, "--no-deps", "--no-index", "--disable-pip-version-check", "-q", wheel])

    def command(self, *arguments: str) -> tuple[Any, str]:  # Any: JSON
        """Run the command in a folder from which nothing can be imported; return stdout, stderr."""
        options = ["-m", "comfytavern_hostapp", "--config", "config.yaml"]
        done = subprocess.run(
            [self.python, *options, *arguments, "--json"],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": "", "COVERAGE_PROCESS_START": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout), done.stderr

    def response(self) -> tuple[dict[str, Any], str]:  # Any: JSON
        document, told = self.command("run", "workflow.json")
        return document["outputs"]["response"], told

    def packs(self) -> dict[str, dict[str, Any]]:  # Any: JSON
        document, _ = self.command("packs", "list")
        listed = document["packs"] if isinstance(document, dict) else document
        return {record["distribution"]: record for record in listed}


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the hatchling at hand."""
    folder = tmp_path_factory.mktemp("wheels")
    build: list[str | Path] = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        folder,
    ]
    run([*build, "--outdir", folder, repository / PROJECT])
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Give an environment with the pack."""
    environment = Environment(tmp_path_factory.mktemp("with"))
    environment.install(wheel)
    return environment


def test_the_wheel_holds_the_pack_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    module = NAME.replace("-", "_")
    assert names == {f"{module}/{file}" for file in ("__init__.py", "adapter.py", "py.typed")}


def test_it_works_when_installed(installed: Environment) -> None:
    response, _ = installed.response()
    assert (response["channel"], response["adapter"]) == ("loud", "shouting")
    assert response["text"] == "HELLO THERE!!!"
    record = installed.packs()[NAME]
    assert (record["version"], record["enabled"]) == ("0.1.0", True)


def test_it_is_unseen_when_not(tmp_path: Path) -> None:
    without = Environment(tmp_path)
    response, told = without.response()
    assert (response["channel"], response["adapter"]) == ("spare", "echo")
    assert "channel 'loud' is out of service: adapter 'shouting' is unknown" in told
    assert NAME not in without.packs()
    assert LLM_NODES in without.packs()


def test_it_is_never_imported_when_disabled(installed: Environment) -> None:
    config = installed.root / "config.yaml"
    before = config.read_text("utf-8")
    config.write_text(before.replace("packs:\n", f"packs:\n  disabled: [{NAME}]\n", 1), "utf-8")
    try:
        response, told = installed.response()
    finally:
        config.write_text(before, "utf-8")
    assert response["channel"] == "spare"
    assert "adapter 'shouting' is unknown" in told


def test_its_own_tests_pass(installed: Environment, repository: Path) -> None:
    tests = repository / PROJECT / "tests"
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", "/dev/null"]
    told = run([installed.python, "-m", "pytest", *options, tests], installed.root)
    assert " passed" in told

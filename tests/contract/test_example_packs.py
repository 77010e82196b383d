"""The example packs as somebody installs them: found, loaded, tested; and every hook is in use.

Together with the built-in packs they prove each hook from outside, in a distribution of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import comfytavern_core_nodes
import comfytavern_llm_nodes
from comfytavern import PackHost, hookspecs
from comfytavern.packs import PackChoice, PackState

from ..packs_on_disk import packs_on_path

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples" / "packs"
NAMES = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir())
BUILT_IN = {
    "comfytavern-core-nodes": comfytavern_core_nodes,
    "comfytavern-llm-nodes": comfytavern_llm_nodes,
}
HOOKS = sorted(
    name for name, value in vars(hookspecs).items() if hasattr(value, "comfytavern_spec")
)

# which example shows a hook; the built-in packs use more than these
SHOWN = {
    "bypass_outputs": "comfytavern-gentle-bypass",
    "host_started": "comfytavern-run-journal",
    "host_stopping": "comfytavern-run-journal",
    "register_nodes": "comfytavern-gentle-bypass",
    "register_runners": "comfytavern-run-journal",
    "register_services": "comfytavern-run-journal",
    "settings_model": "comfytavern-run-journal",
    "register_hookspecs": "comfytavern-llm-nodes",
    "register_llm_adapters": "comfytavern-shouting-llm",
    **dict.fromkeys(hookspecs.EVENT_HOOKS, "comfytavern-run-metrics"),
}


def project(name: str) -> dict[str, Any]:  # Any: a TOML table
    """Read the project table of an example."""
    text = (EXAMPLES / name / "pyproject.toml").read_text("utf-8")
    table: dict[str, Any] = tomllib.loads(text)["project"]  # Any: a TOML table
    return table


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PackHost]:
    """Give a host that finds the examples by their entry points, beside the built-in packs."""
    with packs_on_path(tmp_path / "site", monkeypatch) as packs:
        for name in NAMES:
            table = project(name)
            [(label, value)] = table["entry-points"]["comfytavern.packs"].items()
            entry_points = f"[comfytavern.packs]\n{label} = {value}\n"
            source = EXAMPLES / name / "src"
            monkeypatch.syspath_prepend(source)
            packs.write(
                name, None, version=table["version"], entry_points=entry_points, editable=source
            )
        host = PackHost(PackChoice(strict=True), found=packs.found())
        for name, module in BUILT_IN.items():
            host.packs.add(module, distribution=name, finish=False)
        host.load()
        host.packs.finish()
        yield host


def test_every_example_loads(host: PackHost) -> None:
    records = {record.distribution: record for record in host.records}
    assert set(records) == {*NAMES, *BUILT_IN}
    assert {record.state for record in records.values()} == {PackState.LOADED}
    assert [record.warnings for record in records.values() if record.warnings] == []


def test_every_hook_is_shown_by_a_pack_of_its_own(host: PackHost) -> None:
    assert sorted(SHOWN) == sorted([*HOOKS, "register_llm_adapters"])
    for hook, name in SHOWN.items():
        assert name in {each.distribution for each in host.packs.listeners(hook)}, hook


def test_what_they_offer_is_there(host: PackHost) -> None:
    assert {"run_metrics", "run_journal", "llm"} <= set(host.packs.services)
    assert list(host.packs.runners) == ["journaling"]
    assert [d.distribution for d in host.packs.bypass_deciders("comfytavern-gentle-bypass")] == [
        "comfytavern-gentle-bypass"
    ]
    assert host.packs.bypass_deciders("comfytavern-core-nodes") == []


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_complete(name: str) -> None:
    table = project(name)
    assert table["name"] == name
    assert table["description"].startswith("An example for ComfyTavern: ")
    assert "comfytavern-core>=0.1,<1" in table["dependencies"]
    readme = (EXAMPLES / name / "README.md").read_text("utf-8")
    assert f"pip install ./examples/packs/{name}\n" in readme
    package = EXAMPLES / name / "src" / name.replace("-", "_")
    assert (package / "py.typed").is_file()
    assert list((EXAMPLES / name / "tests").glob("test_*.py"))
    named = set(re.findall(r"^\| `(\w+\.py)` \|", readme, re.MULTILINE))
    assert named <= {file.name for file in package.iterdir()}
    assert f"packs/{name}/" in (EXAMPLES.parent / "README.md").read_text("utf-8")


# --- as wheels ----------------------------------------------------------------------------------

FIXTURES = """
from comfytavern import node


@node
async def shout(text: str) -> str:
    return text.upper()


async def test_a_fixture_of_core(run_node):
    assert (await run_node(shout, text="hi")).outputs == {"result": "HI"}
"""


def run(command: list[str | Path], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "", "COVERAGE_PROCESS_START": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install core and the examples as wheels, where the libraries of this environment are."""
    root = tmp_path_factory.mktemp("examples")
    projects = [repository / "core", *(EXAMPLES / name for name in NAMES)]
    options: list[str | Path] = ["--wheel", "--no-isolation", "--outdir", root / "wheels"]

    def build(project: Path) -> None:
        run([sys.executable, "-m", "build", *options, project], root)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(build, projects))
    venv.create(root / "venv", symlinks=True)
    made = root / "venv" / "bin" / "python"
    [site] = (root / "venv").glob("lib/python*/site-packages")
    borrowed = sysconfig.get_path("purelib")
    (site / "borrowed.pth").write_text(f"import site; site.addsitedir({borrowed!r})\n", "utf-8")
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", made, "install", "-q"]
    offline = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    run([*pip, *offline, *sorted((root / "wheels").iterdir())], root)
    return made


PYTEST = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-c", os.devnull]
LISTING = (
    "from comfytavern import PackHost; h = PackHost(); h.load();"
    "print(*(f'{r.distribution} {r.state} {r.warnings}' for r in h.records), sep='\\n')"
)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_wheels_are_found(python: Path, tmp_path: Path) -> None:
    listed = run([python, "-c", LISTING], tmp_path, PYDANTIC_DISABLE_PLUGINS="__all__")
    assert {f"{name} loaded ()" for name in NAMES} <= set(listed.splitlines())


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_the_tests_of_a_wheel_pass(python: Path, name: str, tmp_path: Path) -> None:
    told = run([python, *PYTEST, "--import-mode=importlib", EXAMPLES / name / "tests"], tmp_path)
    assert " passed" in told


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_pytest_finds_the_fixtures_of_core(python: Path, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n", "utf-8")
    (tmp_path / "test_fixtures.py").write_text(FIXTURES, "utf-8")
    assert "2 passed" in run([python, "-m", "pytest", "-q", "-p", "no:asyncio"], tmp_path)

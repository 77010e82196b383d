"""Broken and sound packs as real wheels, installed by pip: what a host says of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

REAL = ("core", "packages/comfytavern-core-nodes", "packages/comfytavern-llm-nodes")

HEAD = """
from comfytavern.definitions import NodeDefinition
from comfytavern.hookspecs import hookimpl
"""
NODES = HEAD + "@hookimpl\ndef register_nodes(pack):\n    return [{nodes}]\n"
HELLO = NODES.format(nodes="NodeDefinition(type='Hello')")

# what stands in the module of each pack
SOURCES = {
    "w-good": HELLO,
    "w-same-label": HELLO,
    "w-import-error": "import a_module_that_nobody_has",
    "w-syntax-error": "def broken(:",
    "w-sys-exit": "import sys; sys.exit(3)",
    "w-os-exit": "import os; os._exit(7)",
    "w-missing-attribute": "plugin = 1",
    "w-misspelt-hook": HELLO.replace("register_nodes", "register_node"),
    "w-wrong-argument": HELLO.replace("(pack)", "(packs)"),
    "w-duplicate-type": NODES.format(nodes="NodeDefinition(type='A'), NodeDefinition(type='A')"),
    "w-foreign-namespace": NODES.format(nodes="NodeDefinition(type='A', namespace='core')"),
    "w-wrong-range": HELLO,
    "w-damaged": HELLO,
    "w-damaged-entry-points": HELLO,
    "w-disabled": "open(__file__ + '.imported', 'w').close()",
    "w-shared-one": NODES.format(nodes="NodeDefinition(type='One')"),
    "w-shared-two": NODES.format(nodes="NodeDefinition(type='Two')"),
}
ATTRIBUTES = {"w-missing-attribute": ":plugins"}
RANGES = {"w-wrong-range": ">=99"}

DISABLE = "disable it with: comfytavern packs disable {}"

# state, phase, error, remedy
EXPECTED = {
    "w-good": ("loaded", "", "", ""),
    "w-same-label": ("loaded", "", "", ""),
    "comfytavern-core-nodes": ("loaded", "", "", ""),
    "comfytavern-llm-nodes": ("loaded", "", "", ""),
    "w-import-error": (
        "failed",
        "import",
        "No module named 'a_module_that_nobody_has'",
        "install it or disable the pack",
    ),
    "w-syntax-error": (
        "failed",
        "import",
        "SyntaxError: invalid syntax (w_syntax_error.py, line 1)",
        DISABLE,
    ),
    "w-sys-exit": ("failed", "import", "it called sys.exit(3)", DISABLE),
    "w-os-exit": (
        "failed",
        "import",
        "it killed the process the last time it was loaded",
        "try it again with: comfytavern packs enable {}",
    ),
    "w-missing-attribute": (
        "failed",
        "attribute",
        "module 'w_missing_attribute' has no attribute 'plugins'; did you mean 'plugin'?",
        "",
    ),
    "w-misspelt-hook": (
        "failed",
        "hooks",
        "no hook is named 'register_node'; did you mean 'register_nodes'?",
        "if another pack defines it, mark it hookimpl(optionalhook=True)",
    ),
    "w-wrong-argument": (
        "failed",
        "hooks",
        "hook 'register_nodes' asks for 'packs'",
        "it offers: pack",
    ),
    "w-duplicate-type": (
        "conflict",
        "nodes",
        "it has two node types 'w-duplicate-type:A' (no file)",
        "",
    ),
    "w-foreign-namespace": (
        "failed",
        "nodes",
        "node type 'A' claims the namespace 'core', which is not its own",
        "leave the namespace out, or grant it in the config: packs.namespaces: {{core: {}}}",
    ),
    "w-damaged": (
        "failed",
        "metadata",
        "METADATA: it has no Name",
        'reinstall it: pip install --force-reinstall "{}"',
    ),
    "w-damaged-entry-points": (
        "failed",
        "metadata",
        "entry_points.txt: this is not UTF-8 text",
        'reinstall it: pip install --force-reinstall "{}"',
    ),
    "w-disabled": ("disabled", "", "", ""),
}

PROBE = """
import json, sys
from pathlib import Path
from comfytavern.packs import PackChoice, PackManager

choice = PackChoice(disabled=frozenset({"w-disabled"}))
manager = PackManager(choice, data_dir=Path(sys.argv[1]))
manager.load()
print(json.dumps([record.to_wire() for record in manager.records]))
"""


class Environment:
    """A virtual environment that borrows the libraries of the one that runs the tests."""

    def __init__(self, root: Path) -> None:
        venv.create(root, symlinks=True)
        self.python = root / "bin" / "python"
        [self.site] = root.glob("lib/python*/site-packages")
        (self.site / "borrowed.pth").write_text(sysconfig.get_path("purelib"), "utf-8")

    def install(self, wheels: list[Path]) -> None:
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install"]
        options = ["--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check", "-q"]
        run([*pip, *options, *map(str, wheels)])

    def probe(self, data_dir: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-c", PROBE, data_dir],
            # Damaged entry points anywhere would end pydantic: what a host's start sets.
            env={
                **os.environ,
                "PYDANTIC_DISABLE_PLUGINS": "__all__",
                "PYTHONPATH": str(path or ""),
                "COVERAGE_PROCESS_START": "",
            },
            cwd=data_dir.parent,
            capture_output=True,
            text=True,
            check=False,
        )


def run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def write_project(root: Path, name: str, source: str) -> Path:
    """Write the project of one pack; the two that share a module both ship ``w_shared``."""
    module = "w_shared" if name.startswith("w-shared-") else name.replace("-", "_")
    folder = root / name
    folder.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source, "utf-8")
    (folder / "pyproject.toml").write_text(
        dedent(f"""
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"

            [project]
            name = "{name}"
            version = "1.0"
            dependencies = ["comfytavern-core{RANGES.get(name, ">=0.1,<1")}"]

            [project.entry-points."comfytavern.packs"]
            nodes = "{module}{ATTRIBUTES.get(name, "")}"

            [tool.hatch.build.targets.wheel]
            only-include = ["{module}.py"]
        """),
        "utf-8",
    )
    return folder


def build(project: Path, wheels: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels)]
    run([*command, str(project)])


@pytest.fixture(scope="module")
def wheels(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Build every wheel, offline."""
    root = tmp_path_factory.mktemp("projects")
    built = root / "wheels"
    projects = [write_project(root, name, source) for name, source in SOURCES.items()]
    projects += [repository / folder for folder in REAL]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda project: build(project, built), projects))
    return sorted(built.iterdir())


@pytest.fixture(scope="module")
def environment(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install the wheels and damage two of them."""
    made = Environment(tmp_path_factory.mktemp("environment") / "venv")
    made.install(wheels)
    (made.site / "w_damaged-1.0.dist-info" / "METADATA").write_bytes(b"\x00\xff")
    damaged = made.site / "w_damaged_entry_points-1.0.dist-info" / "entry_points.txt"
    damaged.write_bytes(b"[comfytavern.packs]\nnodes = \xff\n")
    return made


Records = dict[str, dict[str, Any]]  # Any: JSON


def records_of(done: subprocess.CompletedProcess[str]) -> Records:
    assert done.returncode == 0, done.stderr
    return {record["distribution"]: record for record in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def records(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Records:
    """List the packs, at the second start: the first one is killed by a pack."""
    data_dir = tmp_path_factory.mktemp("host") / "data"
    assert environment.probe(data_dir).returncode == 7
    return records_of(environment.probe(data_dir))


def test_every_pack_is_listed(records: Records) -> None:
    assert set(records) == {*SOURCES, "comfytavern-core-nodes", "comfytavern-llm-nodes"}


@pytest.mark.parametrize("name", EXPECTED)
def test_record(records: Records, name: str) -> None:
    record = records[name]
    state, phase, error, remedy = EXPECTED[name]
    shown = tuple(record[key] for key in ("state", "phase", "error", "remedy"))
    assert shown == (state, phase, error, remedy.format(name))
    assert bool(record["traceback"]) == (state in ("failed", "conflict"))
    assert bool(record["nodeTypes"]) == (state == "loaded")


def test_wrong_range_names_both_versions(records: Records) -> None:
    record = records["w-wrong-range"]
    assert (record["state"], record["phase"], record["apiRange"]) == ("incompatible", "api", ">=99")
    assert record["error"].startswith("it is built for comfytavern-core >=99, and this is 0.")


def test_only_the_pack_whose_file_it_is_gets_a_shared_module(records: Records) -> None:
    one, two = records["w-shared-one"], records["w-shared-two"]
    winner, loser = (one, two) if one["state"] == "loaded" else (two, one)
    expected = "One" if winner is one else "Two"
    assert winner["nodeTypes"] == [f"{winner['distribution']}:{expected}"]
    assert (loser["state"], loser["error"]) == (
        "conflict",
        (
            "its entry point 'nodes' names the module 'w_shared', which belongs to pack"
            f" '{winner['distribution']}'"
        ),
    )


def test_a_disabled_pack_was_never_imported(environment: Environment, records: Records) -> None:
    assert records["w-disabled"]["version"] == "1.0"
    assert (environment.site / "w_disabled.py").exists()
    assert not (environment.site / "w_disabled.py.imported").exists()


def test_one_distribution_twice_on_the_path(
    environment: Environment, wheels: list[Path], tmp_path: Path
) -> None:
    [wheel] = [wheel for wheel in wheels if wheel.name.startswith("w_good-")]
    [crashing] = environment.site.glob("w_os_exit.py")
    target = tmp_path / "target"
    run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(target)])
    (target / crashing.name).write_text("", "utf-8")  # the first on the path is imported
    record = records_of(environment.probe(tmp_path / "data", target))["w-good"]
    hidden = environment.site / "w_good-1.0.dist-info"
    assert record["state"] == "loaded"
    assert record["warnings"] == [f"a second copy is ignored: {hidden}"]

"""``packs check``: what a pack does when it is loaded, in processes of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from comfytavern_hostapp.pack_checks.checking import CheckedPack, check_pack
from comfytavern_hostapp.pack_checks.environment import read_environment
from comfytavern_hostapp.pack_checks.import_times import heaviest, read_import_times

from ..packs_on_disk import GOOD
from .test_cli_support import CommandLine
from .wheels_on_disk import FakeWheel, error, warning

pytestmark = pytest.mark.timeout(60)  # each starts processes, which take what they take

HEAD = """
from comfytavern.definitions import NodeDefinition
from comfytavern.hookspecs import hookimpl
"""
NODES = HEAD + "@hookimpl\ndef register_nodes(pack):\n    return [{}]\n"
NODE = "NodeDefinition(type='A', {})"
SETTINGS = """
from pydantic import BaseModel
from comfytavern.hookspecs import hookimpl

class Settings(BaseModel):
    key: str

@hookimpl
def settings_model():
    return Settings
"""
SERVICES = """
from comfytavern.hookspecs import hookimpl

@hookimpl
def register_services():
    raise LookupError("no such database")
"""
COMMAND = (
    "[comfytavern.packs]\nsome-pack = some_pack\n[comfytavern.commands]\ngreet = some_pack:greet\n"
)
SHIP = "have the build ship it, and look into the wheel: python -m zipfile -l dist/*.whl"
LEAVE = "leave that to the code of its nodes: loading a pack only says what it has"


def check(folder: Path, *, timeout: float = 60.0, **options: object) -> CheckedPack:
    wheel = FakeWheel(**options)  # type: ignore[arg-type]  # passed on as they are
    return check_pack(wheel.build(folder), read_environment(), timeout=timeout)


def told(checked: CheckedPack) -> list[str]:
    return [str(finding) for finding in checked.findings]


def test_a_sound_wheel_loads(tmp_path: Path) -> None:
    checked = check(tmp_path)
    assert (told(checked), checked.node_types) == ([], 1)
    assert checked.import_ms is not None
    assert checked.import_ms < 500


INSTALL = "mend that, or install what is missing"
LOG = "log it instead: logging.getLogger(__name__)"
ASKED = HEAD + "@hookimpl\ndef register_nodes(pack):\n    {}\n    return []\n"
KILL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
SOUND = dedent(GOOD)
TWICE = f"{NODE.format('')}, {NODE.format('')}"

# what stands in the module, and what is told of it
FAULTS = {
    "missing import": (
        "import nothing_of_this_name",
        error(
            "import_failed",
            "importing it fails: No module named 'nothing_of_this_name'",
            INSTALL,
        ),
    ),
    "sys.exit": (
        "import sys; sys.exit(3)",
        error("import_failed", "importing it fails: it called sys.exit(3)", INSTALL),
    ),
    "os._exit": (
        "import os; os._exit(7)",
        error("process_killed", "loading it takes the host with it: it ended with code 7", LEAVE),
    ),
    "killed in a hook": (
        ASKED.format(KILL),
        error(
            "process_killed", "loading it takes the host with it: it was ended by SIGKILL", LEAVE
        ),
    ),
    "print": (
        f"{SOUND}print('hello')\n",
        error("import_prints", "importing it writes to stdout: 'hello'", LOG),
    ),
    "output past Python": (
        f"{SOUND}import os\nos.write(1, b'past it')\n",
        error("import_prints", "importing it writes to stdout: 'past it'", LOG),
    ),
    "print in a hook": (
        ASKED.format("print('hello')"),
        error("import_prints", "loading it printed 1 line to stdout while loading", LOG),
    ),
    "working directory": (
        f"{SOUND}import os\nos.chdir('/')\n",
        warning(
            "import_meddles",
            "loading it changed the working directory, which is the whole process's",
            "leave it as it is: the host puts it back",
        ),
    ),
    "misspelt hook": (
        GOOD.replace("register_nodes", "register_node"),
        error(
            "hook_wrong",
            "no hook is named 'register_node'; did you mean 'register_nodes'?",
            "if another pack defines it, mark it hookimpl(optionalhook=True)",
        ),
    ),
    "wrong argument": (
        GOOD.replace("(pack)", "(packs)"),
        error("hook_wrong", "hook 'register_nodes' asks for 'packs'", "it offers: pack"),
    ),
    "same type twice": (
        NODES.format(TWICE),
        error("type_taken", "it has two node types 'some-pack:A' (no file)", "rename one of them"),
    ),
    "wrong definition": (
        NODES.format(NODE.format("inputs=3")),
        error(
            "definition_wrong",
            "hook 'register_nodes' raised ValidationError: 1 validation error for NodeDefinition",
            "mend the definition; see register_nodes in docs/hooks.md",
        ),
    ),
    "foreign namespace": (
        NODES.format(NODE.format("namespace='core'")),
        error(
            "definition_wrong",
            "node type 'A' claims the namespace 'core', which is not its own",
            "leave the namespace out, or grant it in the config:"
            " packs.namespaces: {core: some-pack}",
        ),
    ),
    "missing code": (
        NODES.format(NODE.format("execute='some_pack:run'")),
        error(
            "code_missing",
            "node type 'A' cannot run: 'some_pack:run': module 'some_pack' has no attribute 'run'",
            "name it as 'package.module:attribute'",
        ),
    ),
    "missing script": (
        NODES.format(NODE.format("client_script_url='js/a.js'")),
        error(
            "asset_missing",
            "node type 'some-pack:A' names the client script 'js/a.js', which is not in the wheel",
            SHIP,
        ),
    ),
    "missing file": (
        NODES.format(NODE.format("file_path='some_pack/data.json'")),
        error(
            "asset_missing",
            "node type 'some-pack:A' names the file 'some_pack/data.json',"
            " which is not in the wheel",
            SHIP,
        ),
    ),
    "settings": (
        SETTINGS,
        warning(
            "settings_required",
            "it does not load without settings: key: Field required",
            "give each field of its settings model a default",
        ),
    ),
    "services": (
        SERVICES,
        error(
            "contribution_wrong",
            "hook 'register_services' raised LookupError: no such database",
            "see docs/hooks.md",
        ),
    ),
    "no hook": (
        "plugin = 1",
        warning(
            "load_warning",
            "the host says of it: it implements no hook, so it adds nothing",
            "see docs/hooks.md",
        ),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_in_the_module(tmp_path: Path, fault: str) -> None:
    source, expected = FAULTS[fault]
    assert told(check(tmp_path, files={"some_pack/__init__.py": source})) == [expected]


def test_an_attribute_that_is_not_there(tmp_path: Path) -> None:
    points = "[comfytavern.packs]\nsome-pack = some_pack:plugin\n"
    expected = error(
        "attribute_wrong",
        "its entry point leads nowhere: module 'some_pack' has no attribute 'plugin'",
        "name it as 'module:attribute'",
    )
    assert told(check(tmp_path, entry_points=points)) == [expected]


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    expected = error(
        "code_missing",
        "its command 'greet' cannot run: 'some_pack:greet':"
        " module 'some_pack' has no attribute 'greet'",
        "name it as 'package.module:attribute'",
    )
    assert told(check(tmp_path, entry_points=COMMAND)) == [expected]


def test_one_that_never_comes_back(tmp_path: Path) -> None:
    source = {"some_pack.py": "import threading\nthreading.Event().wait()\n"}
    text = "importing it holds up the host: it did not end in time"
    checked = check(tmp_path, files=source, timeout=2.0)
    assert told(checked) == [error("process_killed", text, LEAVE)]


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"some_pack/heavy.py": "import time\ntime.sleep(0.6)\n"}, "'some_pack.heavy' alone"),
        ({"some_heavy.py": "import time\ntime.sleep(0.6)\n"}, "'some_heavy' alone"),
    ],
)
def test_a_slow_import_names_the_heavy_module(
    tmp_path: Path, files: Mapping[str, str], text: str
) -> None:
    imports = "".join(f"import {path[:-3].replace('/', '.')}\n" for path in files)
    source = {"some_pack/__init__.py": imports + dedent(GOOD)}
    [finding] = check(tmp_path, files={**source, **files}).findings
    assert (finding.code, finding.severity) == ("import_slow", "warning")
    assert finding.message.startswith("importing it takes ")
    assert text in finding.message


def test_what_lies_in_the_wheel_is_found(tmp_path: Path) -> None:
    definition = NODE.format("client_script_url='js/a.js', execute='some_pack.code:run'")
    files = {
        "some_pack/__init__.py": NODES.format(definition),
        "some_pack/code.py": "def run(inputs, context): return {}",
        "some_pack/js/a.js": "export {}",
    }
    assert told(check(tmp_path, files=files)) == []


def test_code_that_needs_what_is_not_here_is_no_fault(tmp_path: Path) -> None:
    files = {
        "some_pack/__init__.py": NODES.format(NODE.format("execute='some_pack.code:run'")),
        "some_pack/code.py": "import a_heavy_library_of_others",
    }
    assert told(check(tmp_path, files=files)) == []


def test_hooks_of_a_pack_that_it_requires(tmp_path: Path) -> None:
    source = """
    from comfytavern.hookspecs import hookimpl

    @hookimpl
    def register_llm_adapters():
        return {}
    """
    files = {"some_pack.py": source}
    [finding] = check(tmp_path / "without", files=files).findings
    assert finding.code == "hook_wrong"
    requires = ("comfytavern-core>=0.1,<1", "comfytavern-llm-nodes>=0.1,<1")
    assert told(check(tmp_path / "with", files=files, requires=requires)) == []


def test_it_runs_in_a_place_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYTAVERN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    source = """
    import os, pathlib, tempfile
    from comfytavern.hookspecs import hookimpl

    here = pathlib.Path.cwd()
    assert not [name for name in os.environ if name.startswith("COMFYTAVERN_")]
    assert pathlib.Path(tempfile.gettempdir()).is_relative_to(here)
    assert pathlib.Path.home() == here
    pathlib.Path("left-behind.txt").touch()

    @hookimpl
    def register_nodes(pack):
        assert pack.data_dir is None
        return []
    """
    assert told(check(tmp_path / "dist", files={"some_pack.py": source})) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dist"]


def test_the_wheel_counts_and_not_what_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeWheel(files={"some_pack/__init__.py": "import os; os._exit(9)"}).install(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    environment = read_environment([tmp_path / "site", *sys.path])
    wheel = FakeWheel(version="1.1").build(tmp_path)
    assert told(check_pack(wheel, environment)) == []
    assert [f.code for f in check_pack("some-pack", environment).findings] == ["process_killed"]


def test_a_project_folder_is_loaded_from_its_sources(tmp_path: Path) -> None:
    (tmp_path / "src" / "some_pack").mkdir(parents=True)
    (tmp_path / "src" / "some_pack" / "__init__.py").write_text(NODES.format(NODE.format("")))
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "some-pack"\ndynamic = ["version"]\n'
        'dependencies = ["comfytavern-core>=0.1,<1"]\n'
        '[project.entry-points."comfytavern.packs"]\nsome-pack = "some_pack"\n'
    )
    checked = check_pack(str(tmp_path), read_environment())
    assert (told(checked), checked.node_types) == ([], 1)


def test_nothing_of_it_runs_if_so_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = CommandLine(tmp_path, monkeypatch)
    source = f"open({str(tmp_path / 'imported.txt')!r}, 'w').close()"
    wheel = FakeWheel(files={"some_pack.py": source}).build(tmp_path)
    assert command("packs", "check", "--no-import", wheel).exit_code == 0
    assert not (tmp_path / "imported.txt").exists()
    assert json.loads(command("packs", "check", "--json", wheel).stdout)["ok"] is True
    assert (tmp_path / "imported.txt").exists()


def test_import_times_are_read_as_python_writes_them() -> None:
    lines = [
        "import time: self [us] | cumulative | imported package",
        "import time:       100 |        100 |     heavy.core",
        "import time:       200 |        300 |   heavy",
        "import time:       150 |        450 | some_pack",
        "something else",
    ]
    times = list(read_import_times(lines))
    assert [(t.module, t.depth, t.own_ms, t.total_ms) for t in times] == [
        ("heavy.core", 2, 0.1, 0.1),
        ("heavy", 1, 0.2, 0.3),
        ("some_pack", 0, 0.15, 0.45),
    ]
    assert heaviest(times, ["some_pack"]) == times[1]
    assert heaviest(times[2:], ["some_pack"]) == times[2]
    assert heaviest([], ["some_pack"]) is None

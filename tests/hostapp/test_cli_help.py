"""Help, arguments, and what a command may load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from comfytavern_hostapp.cli import cli

from .test_cli_support import CommandLine

# Nothing of this is needed to say how the command is used.
HEAVY = ("pydantic", "rich", "yaml", "ruamel", "anyio", "httpx", "comfytavern.host")
WEB = ("starlette", "uvicorn")
PACKS = ("comfytavern_core_nodes", "comfytavern_llm_nodes")
LOADED = """
import sys
from click.testing import CliRunner
from comfytavern_hostapp.cli import cli
result = CliRunner().invoke(cli, sys.argv[1:])
assert result.exit_code == 0, result.output
print(*sorted(sys.modules))
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


def loaded_by(*args: str) -> set[str]:
    environment = os.environ | {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
    process = subprocess.run(
        [sys.executable, "-c", LOADED, *args],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(process.stdout.split())


@pytest.mark.parametrize("args", [("--help",), ("run", "--help"), ("packs", "list", "--help")])
def test_help_loads_next_to_nothing(command: CommandLine, args: tuple[str, ...]) -> None:
    assert loaded_by(*args).isdisjoint({*HEAVY, *WEB, *PACKS})


@pytest.mark.parametrize("args", [("packs", "list"), ("config", "check"), ("config", "show")])
def test_what_needs_no_pack_imports_none(command: CommandLine, args: tuple[str, ...]) -> None:
    assert loaded_by(*args).isdisjoint({*WEB, *PACKS, "httpx"})


def test_a_run_loads_no_web(command: CommandLine, repository: Path) -> None:
    file = str(repository / "examples" / "hello.json")
    assert loaded_by("run", file).isdisjoint({*WEB, "rich"})


def test_every_verb_has_a_line(command: CommandLine) -> None:
    shown = command("--help").stdout
    for verb in ("run", "validate", "nodes", "packs", "config", "demo"):
        assert f"\n  {verb} " in shown
    assert shown.endswith("\nCommands of packs:\n  cards  from comfytavern-core-nodes\n")


@pytest.mark.parametrize(
    ("args", "message", "hint"),
    [
        (("rnu",), "there is no verb 'rnu'; did you mean 'run'?", ""),
        (("run",), "missing argument 'WORKFLOW'", " run"),
        (("run", "w", "--evnts"), "no such option '--evnts'; did you mean '--events'?", " run"),
        (("run", "w", "--events"), "--events goes with --json", " run"),
        (("packs", "lst"), "no such command 'lst'; did you mean 'list'?", " packs"),
    ],
)
def test_arguments_that_are_none(
    command: CommandLine, args: tuple[str, ...], message: str, hint: str
) -> None:
    result = CliRunner().invoke(cli, args, prog_name="comfytavern")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"error: {message}\ntry 'comfytavern{hint} --help'\n"


def test_no_argument_shows_the_help(command: CommandLine) -> None:
    for args in ((), ("packs",)):
        result = command(*args)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("Usage: cli")


def test_a_fault_of_our_own_is_one_line(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfytavern_hostapp.config.describe", lambda config: 1 / 0)
    result = command("config", "show")
    assert (result.exit_code, result.stdout) == (70, "")
    assert result.stderr == (
        "error: this is a fault of comfytavern (ZeroDivisionError: division by zero);"
        " --debug shows where\n"
    )
    assert "Traceback" in command("--debug", "config", "show").stderr


def test_a_damaged_environment_ends_no_command(command: CommandLine) -> None:
    # pydantic looks for plugins of its own, and one such file would end every start.
    info = command.packs().write("damaged", None, entry_points="[pydantic\nno = equals\n")
    (info / "entry_points.txt").write_bytes(b"[pydantic]\nx\n\xff\xfe")
    assert command.run("packs", "list").returncode == 0

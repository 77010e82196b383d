"""``docs/writing-a-pack.md`` from top to bottom: its commands are run, its files are written."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from ..offline_environment import Offline

STEP = re.compile(r"^## (\d+)\. (.+)$")
FILE = re.compile(r"^`([^`]+)`:$")


class Command(NamedTuple):
    """A command, and what the page says that it prints."""

    step: str
    text: str
    shown: list[str]


class File(NamedTuple):
    """A file that the page has somebody write."""

    step: str
    path: str
    text: str


def read_page(page: Path) -> list[Command | File]:
    """Return what there is to do, in order; a block that is neither is a mistake."""
    found: list[Command | File] = []
    step = path = ""
    lines = iter(page.read_text("utf-8").splitlines())
    for line in lines:
        if heading := STEP.match(line):
            step = heading[0]
        elif named := FILE.match(line):
            path = named[1]
        elif line.startswith("```"):
            block = list(iter(lambda: next(lines), "```"))
            if line == "```console":
                found += commands_of(step, block)
            else:
                assert path, f"{step}: a block is no file and no command: {block[0]}"
                found.append(File(step, path, "\n".join([*block, ""])))
            path = ""
        elif line:
            path = ""
    return found


def commands_of(step: str, block: list[str]) -> list[Command]:
    """Return the commands of a block; a line without a prompt belongs to the one before it."""
    commands: list[Command] = []
    for line in block:
        if line.startswith("$ "):
            commands.append(Command(step, line.removeprefix("$ "), []))
        else:
            commands[-1].shown.append(line)
    return commands


class Shell:
    """A shell: the folder and the variables of one command are those of the next."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment | {"STATE": str(folder / ".state")}

    def run(self, command: str) -> str:
        """Run a command and return what it wrote, results first."""
        kept = f'{command}\nstatus=$?\nenv -0 > "$STATE"\nexit $status\n'
        done = subprocess.run(
            ["bash", "-c", kept],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        variables = Path(self.environment["STATE"]).read_text("utf-8").split("\0")
        self.environment = dict(variable.split("=", 1) for variable in variables if variable)
        self.folder = Path(self.environment["PWD"])
        return done.stdout + done.stderr


def test_the_steps_are_numbered(repository: Path) -> None:
    text = (repository / "docs" / "writing-a-pack.md").read_text("utf-8")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    numbers = [found[1] if (found := STEP.match(line)) else line for line in headings]
    assert numbers == [str(number) for number in range(1, len(headings) + 1)]


@pytest.mark.slow
@pytest.mark.timeout(60)  # it takes 25 s, most of it pip
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
def test_every_step_works_in_the_order_written(
    repository: Path, offline: Offline, tmp_path: Path
) -> None:
    shell = Shell(tmp_path, offline.environment(tmp_path))
    written: dict[str, str] = {}
    for action in read_page(repository / "docs" / "writing-a-pack.md"):
        if isinstance(action, File):
            (tmp_path / action.path).write_text(action.text, "utf-8")
            continue
        written[action.text] = shell.run(action.text)
        said = iter(written[action.text].splitlines())
        for line in action.shown:
            assert line in said, f"{action.step}: {action.text}\n{written[action.text]}"

    [told] = [text for command, text in written.items() if command.endswith("--json --events")]
    document, _ = json.JSONDecoder().raw_decode(told)
    streamed = [e for e in document["events"] if e["type"] == "WORKFLOW_INTERFACE_YIELD"]
    pieces = [event["payload"]["yieldedContent"]["content"] for event in streamed]
    assert pieces[:3] == ["not", " so", " loud,"]

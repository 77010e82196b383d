"""``config``: the effective values, and everything that is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .test_cli_support import CommandLine

SETTINGS = """
    from pydantic import BaseModel, ConfigDict
    from comfytavern.hookspecs import hookimpl

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        size: int = 1

    @hookimpl
    def settings_model():
        return Settings
"""
SET = """\
packs:
  settings:
    set-pack:
      size: large
      colour: red
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


def test_show_names_the_origin_of_each_value(command: CommandLine) -> None:
    command.write("comfytavern.yaml", "limits:\n  threads: 3\n")
    result = command("--log-level", "debug", "config", "show")
    shown = {line.split("\t")[0]: line.split("\t")[1:] for line in result.stdout.splitlines()}
    assert shown["limits.threads"] == ["3", "file comfytavern.yaml:2"]
    assert shown["limits.body"] == ["16MiB", "default"]
    assert shown["logs.level"] == ["debug", "flag"]
    assert shown["data_dir"] == [str(command.data_dir), "environment COMFYTAVERN_DATA_DIR"]
    flagged = json.loads(command("--data-dir", "here", "config", "show", "--json").stdout)
    row = next(row for row in flagged if row["key"] == "data_dir")
    assert row == {"key": "data_dir", "value": str(command.folder / "here"), "origin": "flag"}


def test_check_is_content_without_a_file(command: CommandLine) -> None:
    result = command("config", "check")
    assert (result.exit_code, result.stdout) == (0, "ok: no file, so the defaults count\n")


def test_check_tells_every_problem_with_its_line(command: CommandLine) -> None:
    command.write("comfytavern.yaml", "server:\n  prot: 1\nlimits:\n  threads: many\n")
    result = command("config", "check")
    assert (result.exit_code, result.stderr) == (2, "")
    assert result.stdout.splitlines() == [
        "error: comfytavern.yaml:2: unknown key 'server.prot'; did you mean 'server.port'?",
        (
            "error: comfytavern.yaml:4: key 'limits.threads' is 'many';"
            " expected a whole number from 1 to 1024"
        ),
    ]
    document = json.loads(command("config", "check", "--json").stdout)
    assert document["ok"] is False
    assert [problem["line"] for problem in document["problems"]] == [2, 4]
    # The same file ends any other verb, in the same words.
    assert command("nodes", "list").stderr == result.stdout


def test_check_knows_names_and_references(command: CommandLine) -> None:
    command.write(
        "comfytavern.yaml",
        "packs:\n  bypass: [comfytavern-core-node]\n"
        "secrets:\n  key: {value: env:NO_SUCH_VARIABLE, base_urls: [https://api.example]}\n",
    )
    result = command("config", "check")
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        (
            "error: comfytavern.yaml:4: key 'secrets.key.value': secret reference"
            " 'env:NO_SUCH_VARIABLE' cannot be resolved: the variable is not set"
        ),
        (
            "error: comfytavern.yaml:2: no installed pack is named 'comfytavern-core-node';"
            " did you mean 'comfytavern-core-nodes'?"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resources: {roots: {shared: /tmp}}\n", "a resource root cannot be named 'shared'"),
        (
            "secrets: {key: {value: env:HOME, base_urls: [https://api.example/a/%2e%2e/b]}}\n",
            "secret 'key' has the base URL 'https://api.example/a/%2e%2e/b'",
        ),
    ],
)
def test_check_knows_what_only_its_user_can_judge(
    command: CommandLine, text: str, message: str
) -> None:
    command.write("comfytavern.yaml", text)
    for verb in (("config", "check"), ("nodes", "list")):
        result = command(*verb)
        assert (result.exit_code, result.output.count("error: ")) == (2, 1)
        assert f"error: comfytavern.yaml:1: {message}" in result.output


def test_packs_check_their_settings_with_load(command: CommandLine) -> None:
    command.packs().write("set-pack", SETTINGS)
    command.write("comfytavern.yaml", SET)
    assert command.run("config", "check").returncode == 0
    result = command.run("config", "check", "--load")
    assert (result.returncode, result.stderr) == (2, "")
    places = [
        (
            "comfytavern.yaml:4: key 'packs.settings.set-pack.size': input should be a valid"
            " integer, unable to parse string as an integer"
        ),
        "comfytavern.yaml:5: key 'packs.settings.set-pack.colour': extra inputs are not permitted",
    ]
    assert result.stdout.splitlines() == [f"error: {place}" for place in places]
    # Any other verb goes on without the pack, and says so once.
    listed = command.run("nodes", "list")
    assert listed.returncode == 0
    assert listed.stderr.splitlines() == [
        f"warning: {place}; the pack is not loaded" for place in places
    ]


def test_a_file_that_is_not_there(command: CommandLine) -> None:
    result = command("--config", "nope.yaml", "config", "show")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "error: config file 'nope.yaml' of flag '--config' does not exist\n"

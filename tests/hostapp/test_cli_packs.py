"""``packs``, ``nodes`` and the verbs of packs."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from .test_cli_support import CommandLine

SENTINEL = "from pathlib import Path\nPath('imported.txt').touch()\n"
VERBS = """
    import click

    @click.command()
    @click.argument("word", default="nobody")
    @click.pass_obj
    def greet(context, word):
        click.echo(f"{context.distribution} greets {word}: {dict(context.settings)}")

    number = 7
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


@pytest.fixture
def verbs(command: CommandLine) -> CommandLine:
    entry_points = "[comfytavern.packs]\nverbs = verb_pack\n[comfytavern.commands]\n"
    names = "greet = verb_pack:greet\nrun = verb_pack:greet\nodd = verb_pack:number\n"
    command.packs().write("verb-pack", VERBS, entry_points=entry_points + names)
    return command


def rows(text: str) -> dict[str, list[str]]:
    return {line.split("\t")[0]: line.split("\t")[1:] for line in text.splitlines()}


class TestList:
    """``packs list``."""

    def test_without_load_nothing_is_imported(self, command: CommandLine) -> None:
        for name in ("some-pack", "off-pack", "unlisted-pack"):
            command.packs().write(name, SENTINEL)
        command.write(
            "comfytavern.yaml",
            "packs: {enabled: [some-pack, comfytavern-core-nodes], disabled: [off-pack]}\n",
        )
        result = command.run("packs", "list")
        assert (result.returncode, result.stderr) == (0, "")
        assert {name: row[1] for name, row in rows(result.stdout).items()} == {
            "comfytavern-core-nodes": "enabled",
            "comfytavern-llm-nodes": "available",
            "off-pack": "disabled",
            "some-pack": "enabled",
            "unlisted-pack": "available",
        }
        assert not (command.folder / "imported.txt").exists()

    def test_with_load_every_state_and_its_remedy(self, command: CommandLine) -> None:
        command.with_nodes().packs().write("bad-pack", "import nothing_of_this_name")
        command.packs().write("old-pack", requires="comfytavern-core<0.1")
        result = command.run("packs", "list", "--load", "-v")
        states = {name: row[1] for name, row in rows(result.stdout).items()}
        assert states["test-nodes"] == states["comfytavern-core-nodes"] == "loaded"
        assert (states["bad-pack"], states["old-pack"]) == ("failed", "incompatible")
        assert rows(result.stdout)["test-nodes"][2] == "9"
        assert (
            "error: bad-pack 1.0 (import): No module named 'nothing_of_this_name';"
            " install it or disable the pack\n"
        ) in result.stderr
        assert "Traceback" in result.stderr
        assert result.stderr.count("nothing_of_this_name'; install") == 1
        assert result.returncode == 0

    def test_json_holds_the_records(self, command: CommandLine) -> None:
        source = "import sys\nprint('on stdout')\nsys.__stdout__.write('past it')\n"
        command.packs().write("loud-pack", source)
        records = json.loads(command.run("packs", "list", "--load", "--json").stdout)
        loud = next(record for record in records if record["distribution"] == "loud-pack")
        assert loud["state"] == "loaded"
        assert {"version", "nodeTypes", "importMs", "error", "remedy", "traceback"} <= set(loud)

    def test_names_in_vain_are_told_with_their_line(self, command: CommandLine) -> None:
        command.write("comfytavern.yaml", "packs:\n  disabled:\n    - comfytavern-lm-nodes\n")
        result = command("packs", "list")
        assert result.exit_code == 0
        assert result.stderr == (
            "warning: comfytavern.yaml:3: no installed pack is named 'comfytavern-lm-nodes';"
            " did you mean 'comfytavern-llm-nodes'?\n"
        )


class TestSwitching:
    """``packs enable`` and ``packs disable``."""

    def test_the_file_keeps_its_comments(self, command: CommandLine) -> None:
        text = "# ours\npacks:\n  disabled: [] # none\n"
        command.write("comfytavern.yaml", text)
        result = command("packs", "disable", "Comfytavern_LLM.nodes")
        assert result.stdout == "disabled comfytavern-llm-nodes in comfytavern.yaml\n"
        path = command.folder / "comfytavern.yaml"
        changed = path.read_text("utf-8")
        assert changed == text.replace("[]", "[comfytavern-llm-nodes]")
        again = command("packs", "disable", "comfytavern-llm-nodes")
        assert again.stdout == "comfytavern-llm-nodes is disabled already (comfytavern.yaml)\n"
        assert command("packs", "enable", "comfytavern-llm-nodes").exit_code == 0
        assert path.read_text("utf-8") == text

    def test_without_a_file_the_users_own_is_made(self, command: CommandLine) -> None:
        result = command("packs", "disable", "comfytavern-llm-nodes")
        assert result.stdout == f"disabled comfytavern-llm-nodes in {command.user_config}\n"
        assert rows(command("packs", "list").stdout)["comfytavern-llm-nodes"][1] == "disabled"

    def test_enabling_what_is_enabled_makes_no_file(self, command: CommandLine) -> None:
        result = command("packs", "enable", "comfytavern-llm-nodes")
        said = "comfytavern-llm-nodes is enabled already (no configuration file)\n"
        assert (result.exit_code, result.stdout) == (0, said)
        assert not command.user_config.exists()

    @pytest.mark.parametrize("verb", ["enable", "disable"])
    def test_an_unknown_name_changes_nothing(self, command: CommandLine, verb: str) -> None:
        result = command("packs", verb, "comfytavern-llm-nodes", "comfytavern-lm-nodes")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            "error: no installed pack is named 'comfytavern-lm-nodes';"
            " did you mean 'comfytavern-llm-nodes'?\n"
        )
        assert not command.user_config.exists()

    def test_what_is_gone_can_still_leave_the_file(self, command: CommandLine) -> None:
        command.write("comfytavern.yaml", "packs: {disabled: [gone-pack]}\n")
        assert command("packs", "enable", "gone-pack").exit_code == 0
        text = (command.folder / "comfytavern.yaml").read_text("utf-8")
        assert "gone-pack" not in text

    def test_a_variable_that_overrules_is_told(
        self, command: CommandLine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COMFYTAVERN_PACKS", "comfytavern-core-nodes")
        result = command("packs", "enable", "comfytavern-llm-nodes")
        assert result.stderr == (
            "warning: comfytavern-llm-nodes is not enabled all the same,"
            " because of environment COMFYTAVERN_PACKS\n"
        )

    def test_a_pack_that_kills_the_process_can_be_disabled_and_tried_again(
        self, command: CommandLine
    ) -> None:
        command.packs().write("deadly-pack", "import os\nos._exit(9)\n")
        assert command.run("packs", "list", "--load").returncode == 9
        unloaded = command.run("packs", "list")
        assert rows(unloaded.stdout)["deadly-pack"][1] == "failed"
        assert "to try it again: comfytavern packs enable deadly-pack" in unloaded.stderr
        listed = command.run("packs", "list", "--load")
        assert rows(listed.stdout)["deadly-pack"][1] == "failed"
        assert "it killed the process the last time it was loaded" in listed.stderr
        disabled = command.run("packs", "disable", "deadly-pack")
        assert disabled.returncode == 0
        enabled = command.run("packs", "enable", "deadly-pack")
        assert enabled.stdout.endswith("deadly-pack killed the process once; it is tried again\n")
        assert command.run("packs", "list", "--load").returncode == 9

    def test_a_file_that_cannot_be_read_stays_as_it_is(self, command: CommandLine) -> None:
        command.write("comfytavern.yaml", "packs: [\n")
        result = command("packs", "disable", "comfytavern-llm-nodes")
        assert result.exit_code == 2
        assert result.stderr.startswith("error: comfytavern.yaml:")


class TestVerbs:
    """Verbs that packs bring."""

    def test_one_runs_with_the_configuration(self, verbs: CommandLine) -> None:
        verbs.write("own.yaml", "packs: {settings: {verb-pack: {loud: true}}}\n")
        result = verbs.run("--config", "own.yaml", "greet", "Ann")
        assert result.stdout == "verb-pack greets Ann: {'loud': True}\n"

    def test_help_lists_them_and_imports_nothing(self, command: CommandLine) -> None:
        entry_points = "[comfytavern.commands]\ngreet = shy_pack:greet\n"
        command.packs().write("shy-pack", SENTINEL, entry_points=entry_points)
        result = command.run("--help")
        listed = "  cards  from comfytavern-core-nodes\n  greet  from shy-pack\n"
        assert f"Commands of packs:\n{listed}" in result.stdout
        assert "shy-pack" not in command.run("--safe", "--help").stdout
        command.write("off.yaml", "packs: {disabled: [shy-pack]}\n")
        assert "shy-pack" not in command.run("--config", "off.yaml", "--help").stdout
        assert not (command.folder / "imported.txt").exists()

    def test_ours_come_first(self, verbs: CommandLine) -> None:
        assert "Run a workflow file" in verbs.run("run", "--help").stdout
        listed = verbs.run("packs", "list", "-v")
        assert "warning: verb-pack 1.0: its command 'run' is taken by the host" in listed.stderr

    def test_one_of_a_disabled_pack(self, verbs: CommandLine) -> None:
        verbs.write("comfytavern.yaml", "packs: {disabled: [verb-pack]}\n")
        result = verbs.run("greet")
        assert result.returncode == 2
        assert result.stderr.startswith(
            "error: there is no verb 'greet'; pack 'verb-pack' has it but is not enabled:"
            " comfytavern packs enable verb-pack\n"
        )
        assert "--safe leaves that out" in verbs.run("--safe", "greet").stderr

    def test_one_that_is_no_command(self, verbs: CommandLine) -> None:
        result = verbs.run("odd")
        assert result.returncode == 3
        assert result.stderr == (
            "error: pack 'verb-pack' failed: its command 'odd' is no click command"
            " but of type int\n"
        )


class TestNodes:
    """``nodes list`` and ``nodes show``."""

    def test_list(self, command: CommandLine) -> None:
        listed = rows(command("nodes", "list", "--category", "group").stdout)
        assert listed["comfytavern-core-nodes:NodeGroup"] == ["Group", "Node Group"]
        assert {row[0] for row in listed.values()} == {"Group"}
        only = command("nodes", "list", "--pack", "Comfytavern_LLM_nodes", "--json")
        listed_nodes = json.loads(only.stdout)
        assert {node["pack"] for node in listed_nodes} == {"comfytavern-llm-nodes"}
        assert all({"fullType", "packVersion"} <= set(node) for node in listed_nodes)

    @pytest.mark.parametrize(
        ("option", "message"),
        [
            ("--category=Grop", "there is no category 'Grop'; did you mean 'Group'?"),
            ("--pack=nope", "no installed pack is named 'nope'"),
        ],
    )
    def test_list_of_what_is_not(self, command: CommandLine, option: str, message: str) -> None:
        result = command("nodes", "list", option)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.splitlines()[0] == f"error: {message}"

    @pytest.mark.parametrize("name", ["core:RandomNumber", "RandomNumber"])
    def test_show(self, command: CommandLine, name: str) -> None:
        shown = command("nodes", "show", name).stdout
        assert shown.startswith("comfytavern-core-nodes:RandomNumber  Random Number\n")
        assert "\ninputs:\n" in shown
        assert "\noutputs:\n" in shown
        wire = json.loads(command("nodes", "show", name, "--json").stdout)
        assert wire["fullType"] == "comfytavern-core-nodes:RandomNumber"
        assert (wire["pack"], wire["packVersion"]) == (
            "comfytavern-core-nodes",
            version("comfytavern-core-nodes"),
        )

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("core:TextMreg", "; did you mean 'core:TextMerge'?"),
            ("Nothing", "; a full type is 'namespace:Type'"),
            ("absent-nodes:X", "; pack 'absent-nodes' is not installed: pip install"),
        ],
    )
    def test_show_of_what_is_not(self, command: CommandLine, name: str, hint: str) -> None:
        result = command("nodes", "show", name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith(f"error: unknown node type {name!r}{hint}")

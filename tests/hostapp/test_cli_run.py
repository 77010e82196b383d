"""``run``: what reaches stdout and stderr, and with which exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from comfytavern_hostapp.console import Console

from .test_cli_support import CommandLine, node, outputs, workflow


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


@pytest.fixture
def examples(repository: Path) -> Path:
    return repository / "examples"


def test_the_only_text_is_all_of_stdout(command: CommandLine, examples: Path) -> None:
    result = command("run", str(examples / "hello.json"))
    assert (result.exit_code, result.stdout) == (0, "Good evening, Traveller\n")
    lines = result.stderr.splitlines()
    assert [line.partition(" (")[0] for line in lines[:-1]] == [
        "node hello: complete",
        "node whom: complete",
        "node merge: complete",
        "node out: complete",
    ]
    assert lines[-1].startswith("complete: 4 nodes, ")


def test_several_outputs_are_named_in_the_order_of_the_file(
    command: CommandLine, examples: Path
) -> None:
    result = command("run", "-q", str(examples / "interface-inputs.json"), "-i", "nights=3")
    assert result.stdout == "welcome: Supper is served, Traveller, leek soup\ncoins: 6\n"
    assert result.stderr == ""


def test_the_example_chat_streams_and_says_nothing_twice(
    command: CommandLine, examples: Path
) -> None:
    result = command("run", str(examples / "tavern-chat.json"), "-i", "message=A bed, please")
    assert result.exit_code == 0
    assert result.stdout.startswith("[echo: an offline test model] *Hesper")
    assert "“A bed, please”, you say?" in result.stdout
    assert (
        result.stdout.count("\n") == 1
    )  # the whole reply, which is an output too, is not repeated


def test_json_is_one_document(command: CommandLine, examples: Path) -> None:
    result = command("run", str(examples / "tavern-chat.json"), "--json", "--events")
    document = json.loads(result.stdout)
    assert document["status"] == "complete"
    assert document["outputs"]["reply"] == document["outputs"]["text"]
    assert list(document["outputs"]) == ["reply", "text"]
    assert set(document["states"].values()) == {"complete"}
    assert document["durationMs"] > 0
    assert [event["seq"] for event in document["events"]] == [
        *range(1, len(document["events"]) + 1)
    ]
    assert document["events"][-1]["payload"]["promptId"] == document["runId"]
    assert "events" not in json.loads(command("run", str(examples / "hello.json"), "--json").stdout)


def test_a_failure_names_node_type_and_pack(command: CommandLine) -> None:
    command.with_nodes()
    file = command.write(
        "w.json", workflow(node("a", "Fail"), node("b", "Say"), edges=("a.text > b.text",))
    )
    result = command.run("run", file)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[:3] == [
        "node a: error",
        "node b: skipped (node 'a' failed)",
        "error: node 'a' (test-nodes:Fail, pack 'test-nodes' 1.0) failed: the kettle is empty",
    ]
    assert "Traceback" not in result.stderr
    assert "Traceback" in command.run("--debug", "run", file).stderr


def test_a_failure_as_json(command: CommandLine) -> None:
    command.with_nodes()
    file = command.write(
        "w.json", workflow(node("a", "Fail"), node("b", "Say"), edges=("a.text > b.text",))
    )
    result = command.run("run", file, "--json")
    document = json.loads(result.stdout)
    assert (result.returncode, result.stderr) == (1, "")
    assert document["states"] == {"a": "error", "b": "skipped"}
    assert document["error"] == {
        "nodeId": "a",
        "message": "the kettle is empty",
        "code": "node_failed",
        "nodeType": "test-nodes:Fail",
        "pack": "test-nodes",
    }


def test_what_nodes_print_never_reaches_stdout(command: CommandLine) -> None:
    command.with_nodes()
    file = command.write("w.json", workflow(node("a", "Chatter"), **outputs(said="a.text")))
    result = command.run("run", file, "--json")
    assert json.loads(result.stdout)["outputs"] == {"said": "quiet"}
    for said in ("printed by a node", "printed by a child", "warning: node 'a': logged by a node"):
        assert said in result.stderr


def test_a_reader_that_leaves_ends_the_run_quietly(command: CommandLine) -> None:
    command.with_nodes()
    file = command.write("w.json", workflow(node("a", "Words"), **outputs(stream="a.text")))
    reading, writing = os.pipe()
    os.close(reading)
    result = command.run("run", "-q", file, stdout=writing)
    os.close(writing)
    assert (result.returncode, result.stderr) == (141, "")


def test_a_workflow_from_stdin(command: CommandLine, examples: Path) -> None:
    text = (examples / "hello.json").read_text("utf-8")
    assert command("run", "-q", "-", stdin=text).stdout == "Good evening, Traveller\n"


def test_the_run_is_logged(command: CommandLine, examples: Path) -> None:
    command("run", "-q", str(examples / "hello.json"))
    (log,) = (command.data_dir / "logs" / "runs").iterdir()
    events = [json.loads(line)["event"] for line in log.read_text("utf-8").splitlines()]
    assert (events[0], events[-1]) == ("run_start", "run_end")
    command("run", "-q", str(examples / "hello.json"), "--run-log", "here.jsonl")
    assert (command.folder / "here.jsonl").read_text("utf-8").count("run_end") == 1
    assert len(list((command.data_dir / "logs" / "runs").iterdir())) == 1


class TestGroups:
    """Workflows that groups refer to: beside the file, then in the data directory."""

    @pytest.fixture
    def group(self, command: CommandLine, examples: Path) -> str:
        text = (examples / "group.json").read_text("utf-8")
        return command.write("group.json", text.replace("greeting-group.json", "greeting"))

    @pytest.fixture
    def greeting(self, examples: Path) -> str:
        return (examples / "greeting-group.json").read_text("utf-8")

    def test_beside_the_file(self, command: CommandLine, group: str, greeting: str) -> None:
        command.write("greeting.json", greeting)
        assert command("run", "-q", group).stdout.count("Good evening") == 3

    def test_in_the_data_directory(self, command: CommandLine, group: str, greeting: str) -> None:
        folder = command.data_dir / "workflows"
        folder.mkdir(parents=True)
        (folder / "greeting.json").write_text(greeting, "utf-8")
        assert command("run", "-q", group).stdout.count("Good evening") == 3

    def test_set_gives_a_group_its_input(
        self, command: CommandLine, group: str, greeting: str
    ) -> None:
        command.write("greeting.json", greeting)
        result = command("run", "-q", group, "--set", "third.name=7")
        assert result.stdout.splitlines()[-1] == "Good evening, 7"

    @pytest.mark.parametrize(
        "reference",
        ["../greeting", "/{folder}/greeting", "sub/../greeting", "..\\greeting", "link"],
    )
    def test_never_outside(
        self, command: CommandLine, group: str, greeting: str, reference: str
    ) -> None:
        outside = command.folder.parent / "greeting.json"
        outside.write_text(greeting, "utf-8")
        (command.folder / "link.json").symlink_to(outside)
        named = reference.format(folder=command.folder.parent)
        text = (command.folder / group).read_text("utf-8")
        command.write(group, text.replace('"greeting"', json.dumps(named)))
        result = command("run", group)
        assert result.exit_code == 2
        assert f"error: node 'first' refers to workflow {named!r}, which is not known here" in (
            result.stderr.splitlines()
        )

    def test_a_broken_one_is_told_at_its_group(self, command: CommandLine, group: str) -> None:
        command.write("greeting.json", "{")
        assert "error: node 'first': workflow file" in command("run", group).stderr


def test_strict_and_safe(command: CommandLine, examples: Path) -> None:
    command.packs().write("bad-pack", "import nothing_of_this_name")
    hello = str(examples / "hello.json")
    failed = "pack 'bad-pack' 1.0 failed to import: No module named 'nothing_of_this_name'"
    plain = command.run("run", "-q", hello)
    assert (plain.returncode, plain.stdout) == (0, "Good evening, Traveller\n")
    assert plain.stderr.startswith(f"warning: {failed}")
    strict = command.run("--strict", "run", hello)
    assert (strict.returncode, strict.stdout) == (3, "")
    assert f"error: {failed}" in strict.stderr
    safe = command.run("--safe", "--strict", "run", "-q", hello)
    assert (safe.returncode, safe.stderr) == (0, "")


def test_the_example_chat_needs_no_file_of_the_user(command: CommandLine) -> None:
    result = command("demo", "-m", "Hello there")
    assert result.exit_code == 0
    assert "“Hello there”, you say?" in result.stdout
    assert result.stderr.count("  comfytavern ") == 3
    assert not command.data_dir.exists()


def test_a_large_value_does_not_fill_a_terminal(
    command: CommandLine, examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("run", "-q", str(examples / "roleplay.json"))
    assert '"world_info": ' in command(*args).stdout
    monkeypatch.setattr(Console, "is_terminal", True)
    *_, report = command(*args).stdout.splitlines()
    assert len(report) < 500
    assert report.startswith('report: {"type": "normal", "tokens": ')
    assert report.endswith(" characters; --json prints them all)")

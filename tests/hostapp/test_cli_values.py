"""``-i`` and ``--set``: what a command line gives to a workflow, and every way to get it wrong."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from .test_cli_support import CommandLine, node, outputs, workflow

CORE = "comfytavern-core-nodes"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


@pytest.fixture
def echo(command: CommandLine) -> str:
    """Give a workflow that prints its input ``value``, as the type of the slot makes it."""
    return command.write("echo.json", passing("STRING"))


def passing(flow: str, **slot: object) -> dict[str, Any]:  # Any: JSON
    return workflow(
        node("in", f"{CORE}:GroupInput"),
        node("out", f"{CORE}:GroupOutput"),
        edges=("in.value > out.shown",),
        interfaceInputs={"value": {"dataFlowType": flow, **slot}},
        interfaceOutputs={"shown": {"dataFlowType": flow}},
    )


@pytest.mark.parametrize(
    ("flow", "given", "shown"),
    [
        ("STRING", "7", "7"),
        ("STRING", "a=b", "a=b"),
        ("STRING", "", ""),
        ("INTEGER", "7", "shown: 7"),
        ("FLOAT", "1.5", "shown: 1.5"),
        ("BOOLEAN", "no", "shown: false"),
        ("OBJECT", '{"a": [1]}', 'shown: {"a": [1]}'),
        ("ARRAY", "[1, 2]", "shown: [1, 2]"),
        ("WILDCARD", "3", "shown: 3"),
        ("WILDCARD", "free text", "free text"),
    ],
)
def test_an_input_is_parsed_by_its_type(
    command: CommandLine, flow: str, given: str, shown: str
) -> None:
    file = command.write("w.json", passing(flow))
    assert command("run", "-q", file, "-i", f"value={given}").stdout == f"{shown}\n"


class TestFiles:
    """``@FILE``, and what it stands for."""

    def test_text(self, command: CommandLine, echo: str) -> None:
        command.write("letter.txt", "Dear Hesper,\n\nä")
        result = command("run", "-q", echo, "-i", "value=@letter.txt")
        assert result.stdout == "Dear Hesper,\n\nä\n"

    def test_a_literal_at(self, command: CommandLine, echo: str) -> None:
        assert command("run", "-q", echo, "-i", "value=@@home").stdout == "@home\n"

    def test_stdin(self, command: CommandLine, echo: str) -> None:
        assert command("run", "-q", echo, "-i", "value=@-", stdin="piped").stdout == "piped\n"

    def test_a_file_for_another_type_holds_its_text(self, command: CommandLine) -> None:
        file = command.write("w.json", passing("OBJECT"))
        command.write("o.json", '{"a": 1}\n')
        assert command("run", "-q", file, "-i", "value=@o.json").stdout == 'shown: {"a": 1}\n'

    def test_bytes(self, command: CommandLine) -> None:
        command.with_nodes()
        command.write("data.bin", b"\xff\x00\xfe")
        sized = workflow(node("a", "Size"), **outputs(size="a.text"))
        file = command.write("w.json", sized)
        result = command.run("run", "-q", file, "--set", "a.data=@data.bin")
        assert result.stdout == "bytes 3\n"

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("nothing.txt", "does not exist"),
            (".", "is a directory; expected a file"),
            ("data.bin", "is not UTF-8 text"),
        ],
    )
    def test_unusable(self, command: CommandLine, echo: str, name: str, reason: str) -> None:
        command.write("data.bin", b"\xff\xfe")
        result = command("run", echo, "-i", f"value=@{name}")
        assert result.exit_code == 2
        assert result.stderr == f"error: input 'value' is '@{name}': file '{name}' {reason}\n"


class TestResources:
    """A slot that takes a resource gets the file itself, admitted for this run."""

    @pytest.fixture
    def chat(self, repository: Path) -> str:
        return str(repository / "examples" / "tavern-chat.json")

    @pytest.fixture
    def card(self, command: CommandLine, repository: Path) -> str:
        shutil.copy(repository / "examples/characters/hesper.json", command.folder / "own.json")
        return "own.json"

    @pytest.mark.parametrize("spelling", ["{}", "@{}", "./{}"])
    def test_a_file_of_the_working_directory(
        self, command: CommandLine, chat: str, card: str, spelling: str
    ) -> None:
        result = command("run", "-q", chat, "--set", f"card.cardResource={spelling.format(card)}")
        assert (result.exit_code, "*Hesper" in result.stdout) == (0, True)

    def test_a_file_beside_the_workflow(self, command: CommandLine, chat: str) -> None:
        result = command("run", "-q", chat, "--set", "card.cardResource=characters/hesper.json")
        assert result.exit_code == 0

    def test_a_name_below_a_root(self, command: CommandLine, chat: str, card: str) -> None:
        folder = command.data_dir / "resources" / "shared"
        folder.mkdir(parents=True)
        (command.folder / card).rename(folder / "own.json")
        result = command("run", "-q", chat, "--set", "card.cardResource=shared://own.json")
        assert (result.exit_code, "*Hesper" in result.stdout) == (0, True)

    def test_only_what_was_named_is_admitted(self, command: CommandLine, card: str) -> None:
        command.with_nodes()
        secret = command.folder.parent / "secret.txt"
        secret.write_text("hidden", "utf-8")
        reading = workflow(node("a", "Read", {"file": str(secret)}), **outputs(o="a.text"))
        file = command.write("w.json", reading)
        refused = command.run("run", "-q", file, "--set", f"a.text=@{card}")
        assert (refused.returncode, "hidden" in refused.stdout) == (2, False)
        refused = command.run("run", "-q", file)
        assert (refused.returncode, "refused" in refused.stderr) == (1, True)
        admitted = command.run("run", "-q", file, "--set", f"a.file={secret}")
        assert admitted.stdout == "hidden\n"

    def test_a_missing_file_is_known_before_anything_runs(
        self, command: CommandLine, chat: str
    ) -> None:
        result = command("run", chat, "--set", "card.cardResource=nobody.png")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == (
            "error: --set 'card.cardResource' is 'nobody.png': file 'nobody.png' does not exist\n"
        )


class TestSet:
    """``--set NODE.KEY=VALUE``."""

    def test_presets_and_config_values(self, command: CommandLine, repository: Path) -> None:
        hello = str(repository / "examples" / "hello.json")
        result = command(
            "run", "-q", hello, "--set", "hello.value=Good night", "--set", "merge.separator=\\n"
        )
        assert result.stdout == "Good night\nTraveller\n"

    def test_an_id_may_hold_dots(self, command: CommandLine) -> None:
        command.with_nodes()
        mapped = {"o": {"sourceNodeId": "a.b", "sourceSlotKey": "text"}}
        document = workflow(node("a.b", "Say"), node("a", "Say"), outputInterfaceMappings=mapped)
        file = command.write("w.json", document)
        assert command.run("run", "-q", file, "--set", "a.b.text=hi").stdout == "hi\n"

    def test_an_edge_wins_and_says_so(self, command: CommandLine, repository: Path) -> None:
        hello = str(repository / "examples" / "hello.json")
        result = command("run", "-q", hello, "--set", 'merge.text_inputs=["a"]')
        assert result.stdout == "Good evening, Traveller\n"
        assert result.stderr == (
            "warning: --set 'merge.text_inputs' has no effect: an edge brings that input\n"
        )

    def test_every_mistake_is_told_at_once_and_nothing_runs(self, command: CommandLine) -> None:
        command.with_nodes()
        file = command.write(
            "w.json",
            workflow(
                node("a", "Say"),
                node("g", f"{CORE}:NodeGroup", {"referencedWorkflowId": "inner"}),
                node("in", f"{CORE}:GroupInput"),
                node("b", "Sya"),
                interfaceInputs={
                    "nights": {"dataFlowType": "INTEGER", "config": {"max": 9}},
                    "guest": {"dataFlowType": "STRING", "required": True},
                },
            ),
        )
        command.write("inner.json", workflow(node("x", "Say")))
        given = ["a.txet=1", "aa.text=1", "g/x.text=1", "in.guest=Ann", "a.count=12", "a.count=x"]
        sets = [part for text in [*given, "a", "a.text"] for part in ("--set", text)]
        result = command.run("run", file, *sets, "-i", "nights=10", "-i", "gest=Ann", "-i", "=1")
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.splitlines() == [
            f"error: {text}"
            for text in (
                "node 'a': input 'count' is 12, above the maximum 9",
                (
                    "node 'b' has unknown type 'test-nodes:Sya'; pack 'test-nodes' 1.0 has no such"
                    " type; did you mean 'test-nodes:Say'?"
                ),
                (
                    "--set 'a.txet': node 'a' (test-nodes:Say) has no input or config value 'txet';"
                    " did you mean 'text'?"
                ),
                "--set 'aa.text': there is no node 'aa'; did you mean 'a'?",
                (
                    "--set 'g/x.text': the nodes inside group 'g' cannot be set from here; change"
                    " the workflow that the group refers to, or give the group an input"
                ),
                (
                    f"--set 'in.guest': node 'in' ({CORE}:GroupInput) has no input or config value"
                    " 'guest'; inputs of the workflow are given with -i guest=..."
                ),
                "--set 'a.count' is 'x': expected a whole number",
                "--set 'a' is not NODE.KEY=VALUE",
                "--set 'a.text' is not NODE.KEY=VALUE",
                "-i '=1' is not KEY=VALUE",
                "the workflow has no input 'gest'; did you mean 'guest'?",
                "input 'nights' is 10, above the maximum 9",
                "input 'guest' (STRING) is required; give it by name",
            )
        ]
        assert command.executed() == []

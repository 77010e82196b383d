"""``validate``, and bad input to ``run``: one clear message each, and nothing is executed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .test_cli_support import CommandLine, node, outputs, workflow

SENTINEL = "from pathlib import Path\nPath('imported.txt').touch()\n"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


@pytest.mark.parametrize("verb", ["run", "validate"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "{\n  nodes: []\n}",
            "is not JSON: expecting property name enclosed in double quotes (line 2, column 3)",
        ),
        ("", "is not JSON: expecting value (line 1, column 1)"),
        ("[" * 100_000, "is nested too deeply to be a workflow"),
        ('{"nodes": ' + "[" * 300 + "]" * 300 + "}", "is nested more than 200 levels deep"),
        ("[]", "is not a workflow: expected an object with a list of 'nodes'"),
        ('{"name": "x"}', "is not a workflow: expected an object with a list of 'nodes'"),
        ('{"nodes": [{"id": "a"}]}', ": nodes.0.fullType: field required"),
    ],
    ids=["not-json", "empty", "too-deep", "deep", "a-list", "no-nodes", "wrong-shape"],
)
def test_no_workflow(command: CommandLine, verb: str, content: str, message: str) -> None:
    file = command.write("w.json", content)
    result = command(verb, file)
    space = "" if message.startswith(":") else " "
    said = result.stderr if verb == "run" else result.stdout
    assert result.exit_code == 2
    assert said.count("\n") == 1
    assert said.endswith(f"workflow file 'w.json'{space}{message}\n")


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_no_file(command: CommandLine, verb: str) -> None:
    command.write("latin.json", b'{"name": "\xe4"}')
    large = command.folder / "large.json"
    with large.open("wb") as file:
        file.truncate(64 * 1024**2 + 1)
    reasons = {
        "missing.json": "does not exist",
        ".": "is a directory; expected a file",
        "latin.json": "is not UTF-8 text",
        "large.json": "is larger than 64 MiB",
        "latin.json/x": "cannot be read: not a directory",
    }
    for name, reason in reasons.items():
        result = command(verb, name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"error: workflow file '{name}' {reason}\n"


def test_json_tells_a_failure_as_json(command: CommandLine) -> None:
    assert json.loads(command("run", "--json", "missing.json").stdout) == {
        "error": {
            "code": "bad_file",
            "message": "workflow file 'missing.json' does not exist",
            "details": [],
        }
    }
    file = command.write("w.json", workflow(node("a", "x:Y"), node("b", "x:Z")))
    error = json.loads(command("run", file, "--json").stdout)["error"]
    assert (error["code"], error["message"]) == ("workflow_invalid", "2 problems")
    assert [detail["code"] for detail in error["details"]] == ["unknown_node_type"] * 2


def test_five_faults_at_once(command: CommandLine) -> None:
    command.with_nodes()
    file = command.write(
        "w.json",
        workflow(
            node("a", "Say", text=7),
            node("a", "Say"),
            node("b", "Syy"),
            node("c", "Words"),
            node("d", "Say", count=0),
            edges=("a.text > d.txt", "c.text > d.text"),
        ),
    )
    result = command.run("validate", file)
    assert (result.returncode, result.stderr) == (2, "")
    codes = [line.split("]")[0] + "]" for line in result.stdout.splitlines()]
    assert sorted(codes) == sorted(
        f"error [{code}]"
        for code in (
            "bad_value",
            "duplicate_id",
            "unknown_node_type",
            "bad_value",
            "unknown_slot",
            "slot_mismatch",
        )
    )
    run = command.run("run", file)
    assert run.returncode == 2
    lines = [line.split("] ")[1] for line in result.stdout.splitlines()]
    assert run.stderr.splitlines() == [f"error: {line}" for line in lines]
    assert command.executed() == []


def test_why_a_type_is_unknown(command: CommandLine) -> None:
    packs = command.packs()
    packs.write("off-pack", SENTINEL)
    packs.write("bad-pack", "import nothing_of_this_name")
    command.write("comfytavern.yaml", "packs: {disabled: [off-pack]}\n")
    types = ("off-pack:A", "bad-pack:A", "absent-nodes:A", "core:TextMreg", "TextMerge")
    file = command.write("w.json", workflow(*(node(f"n{i}", t) for i, t in enumerate(types))))
    result = command.run("validate", file)
    assert result.returncode == 2
    assert result.stdout.splitlines() == [
        f"error [unknown_node_type] node {text}"
        for text in (
            (
                "'n0' has unknown type 'off-pack:A'; pack 'off-pack' 1.0 is disabled:"
                " comfytavern packs enable off-pack"
            ),
            (
                "'n1' has unknown type 'bad-pack:A'; pack 'bad-pack' 1.0 failed to load (import):"
                " No module named 'nothing_of_this_name'; install it or disable the pack"
            ),
            (
                "'n2' has unknown type 'absent-nodes:A'; pack 'absent-nodes' is not installed:"
                ' pip install "absent-nodes"'
            ),
            "'n3' has unknown type 'core:TextMreg'; did you mean 'core:TextMerge'?",
            (
                "'n4' has unknown type 'test-nodes:TextMerge'; pack 'test-nodes' is not installed:"
                ' pip install "test-nodes"'
            ),
        )
    ]
    assert not (command.folder / "imported.txt").exists()


def test_a_good_one(command: CommandLine, repository: Path) -> None:
    result = command("validate", str(repository / "examples" / "tavern-chat.json"))
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "ok: 5 nodes, inputs: message (STRING), name (STRING),"
        " outputs: reply (STRING stream), text (STRING)\n"
    )


def test_warnings_do_not_fail(command: CommandLine) -> None:
    file = command.write(
        "w.json",
        workflow(node("m", "comfytavern-core-nodes:TextMerge", seperator="x"), **outputs(o="q.r")),
    )
    result = command("validate", file)
    assert result.exit_code == 0
    assert [line.split("]")[0] for line in result.stdout.splitlines()] == [
        "warning [unknown_input",
        "warning [unfed_output",
        "ok: 1 node, inputs: none, outputs: o (STRING)",
    ]


def test_json(command: CommandLine, repository: Path) -> None:
    document = json.loads(
        command("validate", "--json", str(repository / "examples/tavern-chat.json")).stdout
    )
    assert (document["valid"], document["nodes"], document["errors"]) == (True, 5, [])
    assert document["inputs"]["name"]["config"] == {"default": "Traveller"}
    assert document["outputs"]["reply"] == {"isStream": True, "dataFlowType": "STRING"}
    file = command.write("w.json", workflow(node("a", "x:Y")))
    result = command("validate", "--json", file)
    document = json.loads(result.stdout)
    assert (result.exit_code, document["valid"]) == (2, False)
    assert document["errors"][0]["node"] == "a"

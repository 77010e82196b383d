"""``workflows migrate``, and old workflows and missing packs in ``run`` and ``validate``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..packs_on_disk import packs_on_path
from .test_cli_support import CommandLine, node, outputs, workflow

SHOUT = """
    from comfytavern import InputDefinition, NodeDefinition, OutputDefinition, Replacement
    from comfytavern.hookspecs import hookimpl

    async def shout(inputs, context):
        tone = context.config.get("tone", "")
        return {"loud": inputs["message"].upper() * inputs.get("times", 1) + tone}

    @hookimpl
    def register_nodes(pack):
        text = InputDefinition(data_flow_type="STRING")
        return [
            NodeDefinition(
                type="Shout",
                inputs={"message": text, "times": InputDefinition(data_flow_type="INTEGER")},
                outputs={"loud": OutputDefinition(data_flow_type="STRING")},
                config_schema={"tone": text},
                replaces=(
                    Replacement(
                        type="Yell",
                        inputs={"text": "message", "count": "times"},
                        outputs={"out": "loud"},
                        config={"level": "tone"},
                    ),
                ),
                execute=shout,
            )
        ]
"""
OLD = workflow(
    node("y", "shout-pack:Yell", {"level": "!"}, text="hey", count=2),
    node("z", "shout-pack:Yell", count=1),
    edges=("y.out > z.text",),
    **outputs(said="z.out"),
)
GONE = {"pack": {"distribution": "gone-pack", "version": "1.4"}}
MISSING = workflow(
    node("x", "gone-pack:Thing", odd=1) | GONE,
    node("z", "shout-pack:Shout"),
    node("y", "shout-pack:Shout", message="ab"),
    edges=("x.y > z.message",),
    **outputs(said="y.loud"),
)
PIP = (
    "node 'x' has unknown type 'gone-pack:Thing'; pack 'gone-pack' is not installed:"
    ' pip install "gone-pack>=1.4"'
)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CommandLine]:
    """Give the command line, with a pack that has renamed its node."""
    command = CommandLine(tmp_path, monkeypatch)
    with packs_on_path(tmp_path / "shown", monkeypatch) as packs:
        packs.write("shout-pack", SHOUT, version="2.1")
        yield command


def test_an_old_workflow_runs_and_says_what_was_renamed(command: CommandLine) -> None:
    result = command("run", command.write("old.json", OLD), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["outputs"] == {"said": "HEYHEY!"}
    assert "node 'y': its type 'shout-pack:Yell' is 'shout-pack:Shout' now" in result.stderr


@pytest.mark.parametrize("names", [("text", "level", "count"), ("message", "tone", "times")])
def test_values_are_set_by_old_and_by_new_names(
    command: CommandLine, names: tuple[str, ...]
) -> None:
    text, level, count = names
    sets = ("--set", f"y.{text}=ho", "--set", f"y.{level}=?", "--set", f"z.{count}=2")
    result = command("run", command.write("old.json", OLD), "--json", *sets)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["outputs"] == {"said": "HOHO?HOHO?"}
    connected = command("run", "old.json", "--set", f"z.{text}=no")
    assert "--set 'z.message' has no effect: an edge brings that input" in connected.stderr


def test_migrate_says_what_it_would_change(command: CommandLine) -> None:
    file = command.write("old.json", OLD)
    before = Path(file).read_bytes()
    result = command("workflows", "migrate", file)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "changed [node_replaced] node 'y': its type 'shout-pack:Yell' is 'shout-pack:Shout' now",
        "changed [input_renamed] node 'y': input 'text' is 'message' now",
        "changed [input_renamed] node 'y': input 'count' is 'times' now",
        "changed [config_renamed] node 'y': config value 'level' is 'tone' now",
        "changed [node_replaced] node 'z': its type 'shout-pack:Yell' is 'shout-pack:Shout' now",
        "changed [input_renamed] node 'z': input 'count' is 'times' now",
        "changed [output_renamed] node 'y': output 'out' is 'loud' now",
        "changed [input_renamed] node 'z': input 'text' is 'message' now",
        "changed [output_renamed] node 'z': output 'out' is 'loud' now",
        "changes: 9, packs recorded: 2; --write rewrites the file",
    ]
    assert Path(file).read_bytes() == before


def test_migrate_rewrites_the_file_once(command: CommandLine) -> None:
    file = command.write("old.json", OLD)
    result = command("workflows", "migrate", file, "--write")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "changes: 9, packs recorded: 2; written to old.json"
    text = Path(file).read_text("utf-8")
    assert "\n" not in text, "it was on one line"
    own = {"pack": {"distribution": "shout-pack", "version": "2.1"}}
    assert json.loads(text) == workflow(
        node("y", "shout-pack:Shout", {"tone": "!"}, message="hey", times=2) | own,
        node("z", "shout-pack:Shout", times=1) | own,
        edges=("y.loud > z.message",),
        **outputs(said="z.loud"),
    )
    again = command("workflows", "migrate", file, "--write")
    assert again.stdout == "nothing to change\n"
    assert Path(file).read_text("utf-8") == text
    validated = command("validate", file)
    assert (validated.exit_code, validated.stdout.count("\n")) == (0, 1)


def test_migrate_keeps_what_it_does_not_know(command: CommandLine) -> None:
    """Layout, unknown fields, order of keys, halves of pairs; only the old names change."""
    text = (
        '{\n\t"zebra": [1, {"x": null}],\n\t"nodes": [{"position": {"x": 1.5}, "type":'
        ' "shout-pack:Yell", "id": "y", "inputValues": {"text": "\\ud800 \u00e9"}}],\n'
        '\t"edges": null\n}\n'
    )
    file = command.write("old.json", text)
    os.chmod(file, 0o640)
    result = command("workflows", "migrate", file, "--write", "--json")
    assert json.loads(result.stdout) == {
        "file": "old.json",
        "changes": [
            {
                "code": "node_replaced",
                "message": "node 'y': its type 'shout-pack:Yell' is 'shout-pack:Shout' now",
                "node": "y",
            },
            {
                "code": "input_renamed",
                "message": "node 'y': input 'text' is 'message' now",
                "node": "y",
                "slot": "text",
            },
        ],
        "recorded": 1,
        "missing": [],
        "written": True,
    }
    after = Path(file).read_text("utf-8")
    assert after.startswith('{\n\t"zebra": [\n\t\t1,\n')
    assert after.endswith("\n}\n")
    assert '"\\ud800 \u00e9"' in after
    document = json.loads(after)
    [placed] = document["nodes"]
    assert list(document) == ["zebra", "nodes", "edges"]
    assert list(placed) == ["position", "type", "id", "inputValues", "pack"]
    assert os.stat(file).st_mode & 0o777 == 0o640


def test_migrate_leaves_the_nodes_of_a_missing_pack_as_they_are(command: CommandLine) -> None:
    file = command.write("gone.json", MISSING)
    result = command("workflows", "migrate", file, "--write")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"missing [unknown_node_type] {PIP}",
        "changes: 0, packs recorded: 2; written to gone.json",
    ]
    after = json.loads(Path(file).read_text("utf-8"))
    assert after["nodes"][0] == MISSING["nodes"][0]
    assert after["edges"] == MISSING["edges"]


def test_migrate_follows_a_link(command: CommandLine) -> None:
    command.write("real/old.json", OLD)
    os.symlink("real/old.json", "link.json")
    assert command("workflows", "migrate", "link.json", "--write").exit_code == 0
    assert os.path.islink("link.json")
    assert "Yell" not in Path("real/old.json").read_text("utf-8")


def test_migrate_reads_stdin_and_cannot_rewrite_it(command: CommandLine) -> None:
    result = command("workflows", "migrate", "-", stdin=json.dumps(OLD))
    assert result.stdout.endswith("changes: 9, packs recorded: 2; --write rewrites the file\n")
    refused = command("workflows", "migrate", "-", "--write", stdin=json.dumps(OLD))
    assert refused.exit_code == 2
    assert "--write needs a file" in refused.stderr


def test_migrate_refuses_what_is_no_workflow(command: CommandLine) -> None:
    result = command("workflows", "migrate", command.write("w.json", "[]"), "--write")
    assert result.exit_code == 2
    assert "workflow file 'w.json' is not a workflow" in result.stderr
    assert Path("w.json").read_text("utf-8") == "[]"


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_a_missing_pack_is_refused_with_its_pip_line(command: CommandLine, verb: str) -> None:
    result = command(verb, command.write("gone.json", MISSING))
    assert result.exit_code == 2
    assert PIP in result.output


def test_branches_run_if_asked_for(command: CommandLine) -> None:
    file = command.write("gone.json", MISSING)
    valid = command("validate", file, "--allow-missing")
    assert valid.exit_code == 0
    assert valid.stdout.startswith(f"warning [unknown_node_type] {PIP}\nok: 3 nodes")
    result = command("run", file, "--allow-missing", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told["status"] == "error"
    assert told["outputs"] == {"said": "AB"}
    assert told["states"] == {"x": "error", "z": "skipped", "y": "complete"}
    assert told["error"]["code"] == "missing_pack"
    assert PIP in result.stderr

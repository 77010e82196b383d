"""What the command of a pack may ask of the host: runs up to the nodes it wants, and refusals."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from .test_cli_support import CommandLine, node, workflow

VERB = """
    import sys

    import anyio
    import click

    from comfytavern.definitions import NodeDefinition
    from comfytavern.hookspecs import hookimpl

    async def wait(inputs, context):
        print("waiting", file=sys.stderr, flush=True)
        await anyio.Event().wait()

    @hookimpl
    def register_nodes():
        return [NodeDefinition(type="Wait", execute=wait)]

    @click.command()
    @click.argument("file")
    @click.argument("types", nargs=-1)
    @click.option("-i", "inputs", multiple=True)
    @click.option("--set", "sets", multiple=True)
    @click.option("--json", "as_json", is_flag=True)
    @click.pass_obj
    def peek(host, file, types, inputs, sets, as_json):
        if as_json:
            host.answer_in_json()
        upto = (lambda definition: definition.type in types) if types else None
        outcome = host.run_workflow(file, inputs, sets, upto=upto)
        if not outcome.wanted:
            host.refuse("nothing", "there is nothing of that kind")
        host.console.json({
            "wanted": list(outcome.wanted), "states": dict(outcome.states),
            "outputs": {node: dict(o) for node, o in outcome.outputs.items()},
            "error": outcome.error,
        })
"""
GROUP = "comfytavern-core-nodes:NodeGroup"
IN, OUT = "comfytavern-core-nodes:GroupInput", "comfytavern-core-nodes:GroupOutput"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    line = CommandLine(tmp_path, monkeypatch).with_nodes()
    entry_points = "[comfytavern.packs]\npeek = peek_pack\n[comfytavern.commands]\n"
    line.packs().write("peek-pack", VERB, entry_points=f"{entry_points}peek = peek_pack:peek\n")
    return line


def peeked(command: CommandLine, *args: str) -> dict[str, Any]:  # Any: JSON
    result = command.run("peek", *args)
    assert (result.returncode, result.stderr) == (0, "")
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def group(node_id: str, reference: str, **inputs: object) -> dict[str, Any]:  # Any: JSON
    return node(node_id, GROUP, {"referencedWorkflowId": reference}, **inputs)


def test_only_what_is_wanted_and_what_it_needs_runs(command: CommandLine) -> None:
    file = command.write(
        "w.json",
        workflow(
            node("in", IN),
            node("a", "Say"),
            node("after", "Fail"),
            node("beside", "Words"),
            node("unknown", "Nothing"),
            edges=("in.word > a.text", "a.text > after.text", "a.text > unknown.text"),
            interfaceInputs={"word": {"dataFlowType": "STRING"}},
            interfaceOutputs={"out": {"dataFlowType": "STRING"}},
            outputInterfaceMappings={"out": {"sourceNodeId": "after", "sourceSlotKey": "text"}},
        ),
    )
    assert peeked(command, file, "Say", "-i", "word=hi") == {
        "wanted": ["a"],
        "states": {"in": "complete", "a": "complete"},
        "outputs": {"in": {"word": "hi"}, "a": {"text": "hi"}},
        "error": "",
    }


def test_inputs_and_values_are_those_of_run(command: CommandLine) -> None:
    slots = {"word": {"dataFlowType": "STRING", "required": True}}
    nodes = (node("in", IN), node("a", "Say"), node("b", "Say"))
    document = workflow(*nodes, edges=("in.word > a.text",), interfaceInputs=slots)
    file = command.write("w.json", document)
    found = peeked(command, file, "Say", "-i", "word=hi", "--set", "b.text=ho")
    assert {name: given.get("text") for name, given in found["outputs"].items()} == {
        "in": None,
        "a": "hi",
        "b": "ho",
    }
    refused = command.run("peek", file, "Say", "--json", "--set", "b.count=x")
    assert refused.returncode == 2
    told = json.loads(refused.stdout)["error"]
    assert [detail["code"] for detail in told["details"]] == ["bad_value", "missing_input"]
    assert sorted(command.executed()) == ["a", "b"]


def test_without_a_choice_everything_runs(command: CommandLine) -> None:
    file = command.write("w.json", workflow(node("a", "Say", text="x"), node("b", "Fail")))
    found = peeked(command, file)
    assert found["wanted"] == ["a", "b"]
    assert found["states"] == {"a": "complete", "b": "error"}
    assert found["error"] == (
        "node 'b' (test-nodes:Fail, pack 'test-nodes' 1.0) failed: the kettle is empty"
    )


def test_nothing_runs_if_nothing_is_wanted(command: CommandLine) -> None:
    file = command.write("w.json", workflow(node("a", "Say", text="x")))
    result = command.run("peek", file, "Read", "--json")
    error = {"code": "nothing", "message": "there is nothing of that kind", "details": []}
    assert (result.returncode, json.loads(result.stdout)) == (2, {"error": error})
    assert result.stderr == "error: there is nothing of that kind\n"
    assert command.executed() == []


INNER = {
    "interfaceInputs": {"word": {"dataFlowType": "STRING"}},
    "interfaceOutputs": {"out": {"dataFlowType": "STRING"}},
}


def test_of_a_group_only_the_wanted_part_runs(command: CommandLine) -> None:
    nodes = (
        node("in", IN),
        node("chosen", "Size"),
        node("beside", "Chatter"),
        node("last", "Fail"),
        node("out", OUT),
    )
    edges = ("in.data > chosen.data", "chosen.text > last.text", "last.text > out.out")
    slots = {"data": {"dataFlowType": "WILDCARD"}}
    command.write("inner.json", workflow(*nodes, edges=edges, **INNER | {"interfaceInputs": slots}))
    command.write("outer.json", workflow(group("g", "inner", data="abc"), node("x", "Fail")))
    around = (node("a", "Say", text="hi"), group("g", "inner"), node("z", "Say"))
    outer_edges = ("a.text > g.data", "g.out > z.text")
    placed = (*around, group("deep", "outer"))
    file = command.write("w.json", workflow(*placed, edges=outer_edges))
    found = peeked(command, file, "Size")
    assert found["wanted"] == ["g/chosen", "deep/g/chosen"]
    assert found["outputs"]["g/chosen"] == {"text": "str 2"}
    assert found["outputs"]["deep/g/chosen"] == {"text": "str 3"}
    assert command.executed() == ["a"]
    assert {name for name in found["states"] if not name.startswith("deep")} == {
        "a",
        "g",
        "g/in",
        "g/chosen",
    }


def test_a_group_that_is_needed_stays_whole(command: CommandLine) -> None:
    nodes = (node("more", "Say", text="more"), node("beside", "Words"), node("out", OUT))
    command.write("inner.json", workflow(*nodes, edges=("more.text > out.out",), **INNER))
    around = (group("g", "inner"), node("z", "Say"), group("alone", "inner"))
    file = command.write("w.json", workflow(*around, edges=("g.out > z.text",)))
    found = peeked(command, file, "Say")
    assert found["wanted"] == ["g/more", "z", "alone/more"]
    assert found["outputs"]["z"] == {"text": "more"}
    assert {name for name in found["states"] if "/" in name} == {
        "g/more",
        "g/beside",
        "g/out",
        "alone/more",
    }


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "")],
)
def test_an_interrupt_ends_the_run_and_the_command(
    command: CommandLine, number: signal.Signals, code: int, said: str
) -> None:
    file = command.write("w.json", workflow(node("a", "peek-pack:Wait")))
    with command.start("peek", file) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "waiting\n"
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (code, "", said)


def test_groups_that_cannot_be_read_hold_nothing(command: CommandLine) -> None:
    command.write("inner.json", "{")
    command.write("self.json", workflow(group("g", "self"), group("h", "other")))
    nodes = (group("g", "inner"), group("s", "self"), node("a", "Say", text="x"))
    file = command.write("w.json", workflow(*nodes))
    assert peeked(command, file, "Say")["wanted"] == ["a"]

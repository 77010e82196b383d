"""What the tests of the command line share: a place of its own, packs, both ways to start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from comfytavern_hostapp.cli import cli

from ..packs_on_disk import PacksOnDisk

# Node types for whatever a test needs to see; each writes down that it was executed.
NODES = """
import subprocess
import sys
import threading

import anyio

from comfytavern.chunks import Outputs
from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.hookspecs import hookimpl

TEXT = InputDefinition(data_flow_type="STRING")


def note(context):
    with open("executed.txt", "a") as file:
        file.write(context.node_id + "\\n")


def say(inputs, context):
    note(context)
    return {"text": inputs.get("text", "")}


def fail(inputs, context):
    note(context)
    raise ValueError("the kettle is empty")


def chatter(inputs, context):
    print("printed by a node")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
    context.log.warning("logged by a node")
    return {"text": "quiet"}


def size(inputs, context):
    return {"text": f"{type(inputs['data']).__name__} {len(inputs['data'])}"}


async def read(inputs, context):
    return {"text": (await context.resources.read(context.config["file"])).decode()}


async def words(inputs, context):
    for word in ("one ", "two ", "three"):
        yield word
    yield Outputs()


async def flood(inputs, context):
    for _ in range(100):
        yield "x" * 10_000
    print("flooded", file=sys.stderr, flush=True)
    yield Outputs()


async def endless(inputs, context):
    yield "so far"
    await anyio.Event().wait()
    yield Outputs()


def hang(inputs, context):
    print("hanging", file=sys.stderr, flush=True)
    threading.Event().wait()


def node(type, execute, *, stream=False, config={}, **inputs):
    output = OutputDefinition(data_flow_type="STRING", is_stream=stream)
    return NodeDefinition(
        type=type, execute=execute, inputs=inputs, outputs={"text": output}, config_schema=config
    )


@hookimpl
def register_nodes(pack):
    file = InputDefinition(data_flow_type="STRING", match_categories=("ResourceId",))
    bounded = InputDefinition(data_flow_type="INTEGER", config={"min": 1, "max": 9})
    return [
        node("Say", say, text=TEXT, count=bounded),
        node("Fail", fail, text=TEXT),
        node("Chatter", chatter),
        node("Size", size, data=InputDefinition(data_flow_type="BINARY")),
        node("Read", read, config={"file": file}),
        node("Words", words, stream=True),
        node("Flood", flood, stream=True),
        node("Endless", endless, stream=True),
        node("Hang", hang, text=TEXT),
    ]
"""


class CommandLine:
    """The command line in a folder of its own, with its own home and data directory."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = root / "work"
        self.folder.mkdir()
        self.data_dir = root / "data"
        self.user_config = root / "xdg" / "comfytavern" / "comfytavern.yaml"
        self.site = root / "site"
        for name in [name for name in os.environ if name.startswith("COMFYTAVERN_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("HOME", str(root / "home"))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(root / "xdg"))
        monkeypatch.setenv("COMFYTAVERN_DATA_DIR", str(self.data_dir))
        monkeypatch.chdir(self.folder)

    def __call__(self, *args: str, stdin: str | bytes | None = None) -> Result:
        """Run a command in this process."""
        return CliRunner().invoke(cli, args, input=stdin)

    def packs(self) -> PacksOnDisk:
        """Give a folder for packs; only processes of their own see them."""
        return PacksOnDisk(self.site)

    def with_nodes(self) -> CommandLine:
        """Install the pack ``test-nodes`` and return self."""
        self.packs().write("test-nodes", NODES)
        return self

    def start(
        self, *args: str, environment: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[str]:  # Any: arguments of Popen
        """Start a command in a process of its own, which sees the packs."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | options
        return subprocess.Popen(
            [sys.executable, "-m", "comfytavern_hostapp", *args],
            env={**os.environ, "PYTHONPATH": str(self.site), **(environment or {})},
            text=True,
            encoding="utf-8",
            **pipes,
        )

    def run(self, *args: str, stdin: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own, to its end; options as of ``start``."""
        with self.start(*args, **options) as process:
            out, err = process.communicate(stdin, timeout=15)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def write(self, name: str, content: object) -> str:
        """Write a file: text and bytes as they are, anything else as JSON; return its name."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, "utf-8")
        return name

    def executed(self) -> list[str]:
        """Return the ids of the nodes of ``test-nodes`` that were executed."""
        path = self.folder / "executed.txt"
        return path.read_text().split() if path.exists() else []


def workflow(*nodes: dict[str, Any], edges: tuple[str, ...] = (), **rest: object) -> dict[str, Any]:
    """Make an execution payload. An edge is ``a.out > b.in``. Any: JSON."""
    return {"nodes": list(nodes), "edges": [_edge(text) for text in edges], **rest}


def node(node_id: str, full_type: str, config: object = None, **inputs: object) -> dict[str, Any]:
    """Make a placed node; a bare type is one of ``test-nodes``. Any: JSON."""
    named = full_type if ":" in full_type else f"test-nodes:{full_type}"
    return {"id": node_id, "fullType": named, "inputs": inputs, "configValues": config or {}}


def outputs(**mapped: str) -> dict[str, Any]:
    """Make interface outputs, as ``name="a.out"``; what ends in ``stream`` is one. Any: JSON."""
    slots = {
        name: {"dataFlowType": "STRING", "isStream": name.endswith("stream")} for name in mapped
    }
    ends = {name: source.split(".") for name, source in mapped.items()}
    mappings = {name: {"sourceNodeId": n, "sourceSlotKey": s} for name, (n, s) in ends.items()}
    return {"interfaceOutputs": slots, "outputInterfaceMappings": mappings}


def _edge(text: str) -> dict[str, str]:
    source, target = (end.strip().split(".") for end in text.split(">"))
    return {
        "sourceNodeId": source[0],
        "sourceHandle": source[1],
        "targetNodeId": target[0],
        "targetHandle": target[1],
    }

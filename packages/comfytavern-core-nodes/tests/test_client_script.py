"""The page's half of RandomNumber, in a JavaScript engine and with a page that only takes notes."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

NODE = shutil.which("node")

# Runs the steps in [values, steps] on a node whose inputs are `values`; prints them afterwards.
PAGE = """
import { setupClientNode } from "./RandomNumber.mjs";
const [values, steps] = JSON.parse(process.argv[2]);
const shown = [], timers = [];
globalThis.setTimeout = (action) => timers.push(action);
globalThis.clearTimeout = () => timers.splice(0);
const page = {
  updateInputValue: (name, value) => { values[name] = value; },
  getNodeInputValue: (name) => values[name],
  setNodeOutputValue: (name, value) => shown.push([name, value]),
  ref: (value) => ({ value }),
  watch: () => () => {},
};
const script = setupClientNode(null, { id: "dice" }, page);
const edgeInto = (slot) => ({ nodeId: "dice", workflowContext: { nodes: [], edges: [
  { source: "other", sourceHandle: "value", target: "dice", targetHandle: slot }] } });
for (const step of steps) {
  if (step === "run") script.onWorkflowExecute({ nodeId: "dice" });
  else if (step === "wait") timers.splice(0).forEach((action) => action());
  else if (step.startsWith("edge ")) script.onWorkflowExecute(edgeInto(step.slice(5)));
  else script.onButtonClick(step);
}
console.log(JSON.stringify([values, shown]));
"""


def play(folder: Path, values: dict[str, object], *steps: str) -> tuple[dict[str, object], object]:
    assert NODE is not None
    script = resources.files("comfytavern_core_nodes") / "client_scripts" / "RandomNumber.js"
    (folder / "RandomNumber.mjs").write_text(script.read_text("utf-8"), "utf-8")
    (folder / "page.mjs").write_text(PAGE, "utf-8")
    command = [NODE, str(folder / "page.mjs"), json.dumps([values, steps])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after, shown = json.loads(done.stdout)
    return after, shown


pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node to run JavaScript with")


@pytest.mark.parametrize(
    ("mode", "value", "after"),
    [
        ("fixed", 7, 7),
        ("增加", 7, 8),
        ("increase", 2**32 - 1, 0),
        ("decrease", 0, 2**32 - 1),
        ("减少", 7, 6),
        ("increase", None, 1),
    ],
)
def test_run_takes_the_step_and_leaves_the_mark(
    tmp_path: Path, mode: str, value: object, after: int
) -> None:
    values, shown = play(tmp_path, {"mode": mode, "value": value}, "run")
    assert values == {"mode": mode, "value": after, "page_value": after}
    assert shown == [["number", after]]


def test_random_draws_within_the_range(tmp_path: Path) -> None:
    values, _ = play(tmp_path, {"mode": "随机", "value": -1}, "run")
    assert values["value"] == values["page_value"]
    assert isinstance(values["value"], int)
    assert 0 <= values["value"] < 2**32


def test_mark_is_taken_back_after_a_while(tmp_path: Path) -> None:
    values, _ = play(tmp_path, {"mode": "increase", "value": 1}, "run", "run", "wait")
    assert values == {"mode": "increase", "value": 3, "page_value": None}


def test_reroll_button_draws_and_leaves_no_mark(tmp_path: Path) -> None:
    values, _ = play(tmp_path, {"mode": "fixed", "value": -1}, "reroll")
    assert "page_value" not in values
    assert values["value"] != -1


def test_other_button_does_nothing(tmp_path: Path) -> None:
    assert play(tmp_path, {"value": 1}, "something else") == ({"value": 1}, [])


@pytest.mark.parametrize("slot", ["mode", "value", "reroll"])
def test_connected_input_is_left_to_the_host(tmp_path: Path, slot: str) -> None:
    before: dict[str, object] = {"mode": "increase", "value": 1}
    assert play(tmp_path, before, f"edge {slot}") == (before, [])


def test_unknown_mode_is_left_to_the_host(tmp_path: Path) -> None:
    assert play(tmp_path, {"mode": "sideways", "value": 1}, "run")[0]["value"] == 1

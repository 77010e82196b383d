"""The recorded cases of the original engine, and the rules where it is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from comfytavern.errors import WorkflowError

from .comparing import Case, check, recorded
from .expectations import EXPECTED
from .rejections import ALLOWED, REJECTED
from .running import OnEvent, RunInProgress, observe

_FILES = sorted((Path(__file__).parent / "cases").glob("*.json"))
CASES: dict[int, Case] = {
    int(path.name[:3]): json.loads(path.read_text(encoding="utf-8")) for path in _FILES
}
GROUP = 58  # in tests of its own: it depends on the workflows that are known
# The workflow that 058 refers to; the case does not say what is in it.
WF1 = {
    "nodes": [
        {"id": "inner", "fullType": "test:Const", "inputs": {"value": "from inside"}},
        {"id": "exit", "fullType": "core:GroupOutput"},
    ],
    "edges": [
        {
            "id": "e",
            "sourceNodeId": "inner",
            "sourceHandle": "value",
            "targetNodeId": "exit",
            "targetHandle": "out",
        }
    ],
    "interfaceOutputs": {"out": {"key": "out", "dataFlowType": "WILDCARD"}},
}


def name_of(number: int) -> str:
    """Return the name of a case."""
    return f"{number:03}-{CASES[number]['name']}"


def test_every_case_has_one_expectation() -> None:
    deviating = {number for number, case in CASES.items() if case["deviations"]}
    known = REJECTED.keys() | EXPECTED.keys() | {GROUP}
    assert len(CASES) == 102
    assert deviating <= known
    assert known <= CASES.keys()
    assert not REJECTED.keys() & EXPECTED.keys()


@pytest.mark.parametrize("number", sorted(CASES.keys() - REJECTED.keys() - {GROUP}), ids=name_of)
async def test_case(number: int) -> None:
    case = CASES[number]
    expected = EXPECTED.get(number) or recorded(case)
    control = case.get("control", {})
    seen = await observe(
        case["payload"],
        on_event=_interrupting(control["on"]) if "on" in control else None,
        started=RunInProgress.interrupt if "interruptAfterRunCall" in control else None,
    )
    check(case, expected, seen)


def _interrupting(control: Mapping[str, Any]) -> OnEvent:  # Any: JSON
    """Return what interrupts a run as the case says: when, how much later, how often."""
    heard: Counter[tuple[str, str]] = Counter()

    def on_event(progress: RunInProgress, kind: str, about: str) -> None:
        heard[kind, about] += 1
        wanted = (control["type"], control["nodeId"])
        if (kind, about) != wanted or heard[wanted] != control.get("occurrence", 1):
            return
        for _ in range(control.get("times", 1)):
            if "delayMs" in control:
                progress.clock.call_in(control["delayMs"], progress.interrupt)
            else:
                progress.interrupt()

    return on_event


@pytest.mark.parametrize("number", sorted(REJECTED), ids=name_of)
async def test_rejected_case(number: int) -> None:
    with pytest.raises(WorkflowError) as caught:
        await observe(CASES[number]["payload"])
    found = [(f.code, f.node, f.slot) for f in caught.value.findings]
    assert len(found) == len(set(found)), "reported twice"
    assert REJECTED[number] <= set(found) <= REJECTED[number] | ALLOWED.get(number, set())


async def test_case_058_runs_the_workflow_that_it_refers_to() -> None:
    seen = await observe(CASES[GROUP]["payload"], workflows={"wf1": WF1})
    assert seen.status == "complete"
    assert seen.node_outputs["g"] == {"out": "from inside"}
    received = {"a": "from inside", "c": "c-default"}
    assert seen.node_outputs["i"] == {"received": received, "keys": ["a", "c"]}
    assert seen.states == dict.fromkeys(("g", "g/inner", "g/exit", "i"), "complete")


async def test_case_058_without_that_workflow() -> None:
    with pytest.raises(WorkflowError) as caught:
        await observe(CASES[GROUP]["payload"])
    assert [(f.code, f.node) for f in caught.value.findings] == [("unknown_workflow", "g")]

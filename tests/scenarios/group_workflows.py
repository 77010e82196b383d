"""Workflows that groups refer to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from comfytavern.errors import WorkflowError

from .building import flow, interface, place
from .running import Observed, observe

__all__ = ("FAILING", "RELAY", "SHOUT", "SOURCE", "WORDS", "group", "refused", "states")

Json = dict[str, Any]  # Any: JSON
WORDS = "one two three four five"


def group(node_id: str, workflow_id: str, **more: Any) -> Json:
    """Return a group node."""
    config = {"referencedWorkflowId": workflow_id}
    return place(node_id, "core:NodeGroup", config=config, **more)


def states(seen: Observed) -> dict[str, str]:
    """Return the states as text."""
    return {node: state.value for node, state in seen.states.items()}


async def refused(payload: Json, workflows: Mapping[str, Json]) -> list[tuple[str, str | None]]:
    """Return the findings of a workflow that is not run."""
    with pytest.raises(WorkflowError) as caught:
        await observe(payload, workflows=workflows)
    return [(finding.code, finding.node) for finding in caught.value.findings]


# text and times in, loud and n out
SHOUT = flow(
    place("gi", "core:GroupInput"),
    place("m", "Modes", config={"mode": "repeat"}),
    place("go", "core:GroupOutput"),
    "gi.text > m.text",
    "gi.times > m.n",
    "m.text > go.loud",
    "m.n > go.n",
    interfaceInputs=interface(text="STRING!", times="INTEGER"),
    interfaceOutputs=interface(loud="STRING", n="INTEGER"),
)
# a stream in, the same in upper case out; beside it a node that takes 50 ms
RELAY = flow(
    place("gi", "core:GroupInput"),
    place("u", "StreamUpper"),
    place("slow", "Slow", ms=50, in_="late"),
    place("go", "core:GroupOutput"),
    "gi.st > u.in",
    "u.out > go.st",
    "u.joined > go.joined",
    "slow.out > go.late",
    interfaceInputs=interface(st="STRING~"),
    interfaceOutputs=interface(st="STRING~", joined="STRING", late="WILDCARD"),
)
FAILING = flow(
    place("gi", "core:GroupInput"),
    place("f", "Fail", message="inside broke"),
    place("e", "Echo"),
    place("go", "core:GroupOutput"),
    "gi.v > f.in",
    "f.out > e.in",
    "e.out > go.v",
    interfaceInputs=interface(v="WILDCARD"),
    interfaceOutputs=interface(v="WILDCARD"),
)
# no inputs: what it gives comes from inside
SOURCE = flow(
    place("k", "Const", value="made inside"),
    place("go", "core:GroupOutput"),
    "k.value > go.v",
    interfaceOutputs=interface(v="WILDCARD"),
)

"""Random graphs of plain values: one final state each, order along edges, the same twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition
from comfytavern.engine import EngineLimits

from .building import flow, place
from .random_graphs import PROPERTY, check_ends, check_interrupt, interrupting
from .running import observe
from .slots import give, take

Json = dict[str, Any]  # Any: JSON


async def _sum(inputs: Mapping[str, Any], context: NodeContext) -> dict[str, object]:
    if inputs["fail"]:
        raise ValueError(context.node_id)
    return {"out": _total(context.node_id, inputs.get("in", []), inputs.get("one"))}


def _in_thread(inputs: Mapping[str, Any], context: NodeContext) -> dict[str, object]:
    if inputs["fail"]:
        raise ValueError(context.node_id)
    return {"out": _total(context.node_id, inputs.get("in", []), inputs.get("one"))}


def _total(node_id: str, values: list[int], one: int | None) -> int:
    """Return a number that tells another order or another set of inputs apart."""
    total = int(node_id.rpartition("n")[2]) + 1
    for value in [*values, one or 0]:
        total = (total * 31 + value) % 1_000_003
    return total


_INPUTS = {
    "in": take("I", multi=True),
    "one": take("I"),
    "fail": take("B", False),
}
SUMS = tuple(
    NodeDefinition(type=name, inputs=_INPUTS, outputs={"out": give("I")}, execute=execute)
    for name, execute in (("Sum", _sum), ("SumInThread", _in_thread))
)


@dataclass(slots=True)
class Batch:
    """A random workflow of numbers, and what its nodes must give."""

    payload: Json
    outputs: dict[str, int] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    # the failed nodes behind which a node lies
    causes: dict[str, set[str]] = field(default_factory=dict)


@st.composite
def batches(draw: st.DrawFn, *, failing: bool = True) -> Batch:
    """Return a random acyclic workflow; the nodes are placed in random order."""
    count = draw(st.integers(1, 12))
    nodes: list[Json] = []
    edges: list[str] = []
    batch = Batch({})
    for number in range(count):
        node_id = f"n{number}"
        before = [f"n{other}" for other in range(number)]
        many = draw(st.lists(st.sampled_from(before), max_size=3)) if before else []
        one = draw(st.none() | st.sampled_from(before)) if before else None
        fail = failing and draw(st.integers(0, 7)) == 0
        kind = draw(st.sampled_from(["Sum", "Sum", "Sum", "SumInThread"]))
        nodes.append(place(node_id, kind, fail=fail))
        edges += [f"{source}.out > {node_id}.in" for source in many]
        edges += [f"{one}.out > {node_id}.one"] if one else []
        sources = {*many, *([one] if one else [])}
        causes = {cause for source in sources for cause in batch.causes[source]}
        causes |= sources & batch.failed
        batch.causes[node_id] = causes
        if fail and not causes:
            batch.failed.add(node_id)
        elif not causes:
            values = [batch.outputs[source] for source in many]
            batch.outputs[node_id] = _total(node_id, values, batch.outputs.get(one or ""))
    batch.payload = flow(*draw(st.permutations(nodes)), *edges)
    return batch


@PROPERTY
@given(batch=batches(), parallel=st.sampled_from([1, 2, 256]))
async def test_every_node_ends_in_one_state(batch: Batch, parallel: int) -> None:
    limits = EngineLimits(nodes_in_parallel=parallel)
    seen = await observe(batch.payload, *SUMS, limits=limits)
    check_ends(batch.payload, seen)
    assert {node: found["out"] for node, found in seen.node_outputs.items()} == batch.outputs
    assert set(seen.order("NODE_ERROR")) == batch.failed
    skipped = seen.skipped()
    assert skipped.keys() == {node for node, causes in batch.causes.items() if causes}
    assert all(cause in batch.causes[node] for node, cause in skipped.items())
    assert seen.status == ("error" if batch.failed else "complete")


@PROPERTY
@given(batch=batches(failing=False))
async def test_same_workflow_twice_gives_the_same(batch: Batch) -> None:
    first = await observe(batch.payload, *SUMS)
    second = await observe(batch.payload, *SUMS)
    assert first.node_outputs == second.node_outputs
    assert first.states == second.states


@PROPERTY
@given(batch=batches(), after=st.integers(0, 30))
async def test_interrupt_after_any_event_leaves_every_node_final(batch: Batch, after: int) -> None:
    seen = await observe(batch.payload, *SUMS, on_event=interrupting(after))
    check_ends(batch.payload, seen)
    check_interrupt(seen)
    assert seen.order("NODE_COMPLETE") == list(seen.node_outputs)
    for node, found in seen.node_outputs.items():
        assert found == {"out": batch.outputs[node]}


@PROPERTY
@given(batch=batches(), parallel=st.sampled_from([1, 2, 256]))
async def test_inside_a_group_it_is_the_same(batch: Batch, parallel: int) -> None:
    group = place("g", "core:NodeGroup", config={"referencedWorkflowId": "w"})
    seen = await observe(
        flow(group), *SUMS, workflows={"w": batch.payload}, limits=EngineLimits(parallel)
    )
    outputs = {node: given for node, given in seen.node_outputs.items() if node != "g"}
    assert outputs == {f"g/{node}": {"out": out} for node, out in batch.outputs.items()}
    failed = {f"g/{node}" for node in batch.failed} | ({"g"} if batch.failed else set())
    assert set(seen.order("NODE_ERROR")) == failed
    assert seen.states["g"] == ("error" if batch.failed else "complete")

"""What is found in a workflow with groups before anything runs."""

from __future__ import annotations

import pytest

from comfytavern.errors import WorkflowError

from .building import flow, interface, place
from .group_workflows import SHOUT, group, refused, states
from .running import observe


async def test_required_input_of_a_group() -> None:
    findings = await refused(flow(group("g", "shout")), {"shout": SHOUT})
    assert findings == [("missing_input", "g")]


async def test_unknown_slots_of_a_group() -> None:
    findings = await refused(
        flow(
            place("a", "Const", value=1),
            group("g", "shout", text="x"),
            place("e", "Echo"),
            "a.value > g.txet",
            "g.quiet > e.in",
        ),
        {"shout": SHOUT},
    )
    assert sorted(findings) == [("unknown_slot", "g"), ("unknown_slot", "g")]


async def test_preset_of_a_group_that_breaks_its_type() -> None:
    findings = await refused(flow(group("g", "shout", text="x", times="many")), {"shout": SHOUT})
    assert findings == [("bad_value", "g")]


async def test_faults_inside_a_group_are_found_with_the_path() -> None:
    broken = flow(place("x", "Nope"), place("r", "Require"), interfaceOutputs=interface(v="STRING"))
    findings = await refused(flow(group("g", "broken")), {"broken": broken})
    assert sorted(findings) == [("missing_input", "g/r"), ("unknown_node_type", "g/x")]


async def test_group_that_contains_itself() -> None:
    one = flow(group("b", "two"))
    two = flow(group("a", "one"))
    findings = await refused(flow(group("g", "one")), {"one": one, "two": two})
    assert findings == [("recursive_group", "g/b/a")]


async def test_groups_nest_sixteen_deep_and_no_deeper() -> None:
    chain = {f"w{i}": flow(group("g", f"w{i + 1}")) for i in range(16)}
    chain["w16"] = flow(place("k", "Const", value=1))
    seen = await observe(flow(group("g", "w1")), workflows=chain)
    assert states(seen)["/".join("g" * 16) + "/k"] == "complete"
    findings = await refused(flow(group("g", "w0")), chain)
    assert findings == [("group_depth", "/".join("g" * 17))]


async def test_group_without_a_workflow() -> None:
    empty = place("g", "core:NodeGroup")
    assert await refused(flow(empty), {}) == [("missing_workflow", "g")]


async def test_cycle_through_a_group() -> None:
    payload = flow(group("g", "shout"), place("e", "Echo"), "g.loud > e.in", "e.out > g.text")
    with pytest.raises(WorkflowError) as caught:
        await observe(payload, workflows={"shout": SHOUT})
    assert [finding.code for finding in caught.value.findings] == ["cycle"]

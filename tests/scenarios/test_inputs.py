"""Where the inputs of a node come from: edges, presets, defaults, and what is absent."""

from __future__ import annotations

from typing import Any

import pytest

from comfytavern.errors import WorkflowError

from .building import flow, place
from .comparing import same
from .running import observe

Json = dict[str, Any]  # Any: JSON


async def items(payload: Json) -> object:
    """Return what the multi input of the node ``j`` received."""
    return (await observe(payload)).node_outputs["j"]["items"]


def joined(*edges: str, orders: list[str] | None = None, **inputs: Any) -> Json:
    """Return five constants and a Concat, joined by these edges: ids e0, e1 and so on."""
    constants = [place(name, "Const", value=name) for name in "ABCDE"]
    join = place("j", "Concat", **inputs)
    if orders is not None:
        join["inputConnectionOrders"] = {"texts": orders}
    return flow(*constants, join, *(f"{edge[0]}.value > j.{edge[2:]}" for edge in edges))


@pytest.mark.parametrize(
    ("edges", "orders", "expected"),
    [
        (["C texts", "A texts", "B texts"], None, "CAB"),
        (["C texts__2", "A texts__0", "B texts__1"], None, "ABC"),
        (["C texts__10", "A texts__9", "B texts__2"], None, "BAC"),
        # without an index after those with one, in the order of the edges
        (["C texts", "B texts__1", "A texts", "D texts__0"], None, "DBCA"),
        # listed ids first, unknown ones ignored, the rest by index and edge
        (["A texts", "B texts", "C texts"], ["e2", "gone", "e0"], "CAB"),
        (["A texts__3", "B texts__2", "C texts__1", "D texts"], ["e3"], "DCBA"),
        (["A texts", "B texts"], [], "AB"),
        # one source twice counts twice
        (["A texts", "A texts", "B texts"], None, "AAB"),
    ],
)
async def test_order_of_a_multi_input(
    edges: list[str], orders: list[str] | None, expected: str
) -> None:
    assert await items(joined(*edges, orders=orders)) == list(expected)


async def test_edges_into_a_multi_input_beat_its_preset() -> None:
    assert await items(joined("A texts", texts=["preset", "other"])) == ["A"]


async def test_absent_values_leave_a_multi_input_shorter() -> None:
    payload = joined("A texts__0", "B texts__1", "C texts__2")
    del payload["nodes"][1]["inputs"]["value"]
    assert await items(payload) == ["A", "C"]


async def test_multi_input_of_absent_values_falls_back() -> None:
    payload = joined("A texts", texts=["preset"])
    del payload["nodes"][0]["inputs"]["value"]
    assert await items(payload) == ["preset"]


async def test_none_is_a_value_of_a_multi_input() -> None:
    payload = joined("A texts", "B texts")
    payload["nodes"][0]["inputs"]["value"] = None
    assert await items(payload) == [None, "B"]


async def test_scalar_preset_of_a_multi_input_is_handed_over_as_it_is() -> None:
    seen = await observe(flow(place("i", "Inspect", m="scalar")))
    assert seen.node_outputs["i"]["received"] == {"c": "c-default", "m": "scalar"}


async def test_values_are_converted_along_edges() -> None:
    seen = await observe(
        flow(
            place("p", "Pair"),
            place("x", "Add", b=0.5),
            place("y", "Add"),
            place("d", "Defaults"),
            place("t", "Concat"),
            "p.a > x.a",
            "p.b > y.a",
            "p.a > t.texts__0",
            "x.sum > t.texts__1",
            "y.sum > t.texts__2",
            "y.sum > d.s",
        )
    )
    # numbers print as in JavaScript: a float without a fraction has no point
    assert seen.node_outputs["t"]["items"] == ["1", "1.5", "2"]
    received = seen.node_outputs["d"]["received"]
    assert isinstance(received, dict)
    assert received["s"] == "2"


@pytest.mark.parametrize(
    "edge",
    [
        "c.text > d.n",  # STRING -> INTEGER
        "c.text > a.a",  # STRING -> FLOAT
        "c.items > c2.texts",  # ARRAY -> STRING
        "a.sum > d.n",  # FLOAT -> INTEGER
        "d.received > c2.texts",  # OBJECT -> STRING
        "p.a > d.no",  # INTEGER -> BOOLEAN
        "p.a > k.in",  # no stream -> stream
        "s.stream > c2.texts",  # stream -> no stream
        "s.stream > i.a",  # stream -> WILDCARD that is no stream
    ],
)
async def test_slots_that_do_not_fit(edge: str) -> None:
    target, slot = edge.split(" > ")[1].split(".")
    with pytest.raises(WorkflowError) as caught:
        await observe(
            flow(
                place("c", "Concat", texts="x"),
                place("c2", "Concat", texts="x"),
                place("d", "Defaults"),
                place("a", "Add", a=1),
                place("p", "Pair"),
                place("i", "Inspect"),
                place("s", "StreamWords", text="x"),
                place("k", "CollectAfter" if target != "k" else "Collect"),
                "s.stream > k.in" if target != "k" else "p.a > i.b",
                edge,
            )
        )
    found = [(f.code, f.node, f.slot) for f in caught.value.findings]
    assert found == [("slot_mismatch", target, slot)]


@pytest.mark.parametrize(
    ("inputs", "slot"),
    [({"n": "text"}, "n"), ({"n": 1.5}, "n"), ({"no": 1}, "no"), ({"s": 5}, "s")],
)
async def test_presets_that_break_their_type(inputs: Json, slot: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        await observe(flow(place("d", "Defaults", **inputs)))
    assert [(f.code, f.node, f.slot) for f in caught.value.findings] == [("bad_value", "d", slot)]


async def test_unknown_presets_are_not_handed_over() -> None:
    seen = await observe(flow(place("i", "Inspect", surprise=1)))
    assert seen.status == "complete"
    assert same(seen.node_outputs["i"], {"received": {"c": "c-default"}, "keys": ["c"]})


async def test_all_findings_at_once() -> None:
    with pytest.raises(WorkflowError) as caught:
        await observe(
            flow(
                place("x", "Nope"),
                place("r", "Require"),
                place("d", "Defaults", n="text"),
                place("p", "Pair"),
                place("i", "Inspect"),
                "ghost.out > i.a",
                "p.a > i.b",
                "p.b > i.b",
                "p.nope > i.c",
                "p.a > d.no",
            )
        )
    assert sorted(finding.code for finding in caught.value.findings) == [
        "bad_value",
        "missing_input",
        "slot_mismatch",
        "two_edges",
        "unknown_node",
        "unknown_node_type",
        "unknown_slot",
    ]

"""What bypassed nodes hand on, beyond the recorded cases (rule 1)."""

from __future__ import annotations

from typing import Any

import pytest

from comfytavern.definitions import NodeDefinition

from .building import flow, place
from .comparing import check_order, same
from .running import Observed, observe

Json = dict[str, Any]  # Any: JSON
WORDS = "one two three four five"
COLLECTED = {"text": "onetwothreefourfive", "n": 5, "types": ["text_chunk"] * 5}


async def run(payload: Json, *definitions: NodeDefinition, **options: Any) -> Observed:
    """Run a payload and check what holds for all."""
    seen = await observe(payload, *definitions, **options)
    check_order(payload, seen)
    return seen


def states(seen: Observed) -> dict[str, str]:
    """Return the states as text."""
    return {node: state.value for node, state in seen.states.items()}


async def test_bypassed_relay_hands_the_same_stream_to_every_reader() -> None:
    """What 073 is about, with readers that take a stream."""
    seen = await run(
        flow(
            place("s", "StreamWords", text=WORDS),
            place("b1", "ByStream", bypassed=True),
            place("b2", "ByStreamPass", bypassed=True),
            place("c1", "Collect"),
            place("c2", "Collect"),
            place("c3", "Collect"),
            "s.stream > b1.in",
            "b1.out > b2.in",
            "b1.out > c1.in",
            "b2.out > c2.in",
            "s.stream > c3.in",
        )
    )
    assert states(seen)["b1"] == states(seen)["b2"] == "skipped"
    assert [seen.node_outputs[c] for c in ("c1", "c2", "c3")] == [COLLECTED] * 3


async def test_bypassed_relay_whose_writer_breaks() -> None:
    seen = await run(
        flow(
            place("s", "StreamWords", text=WORDS, throw_at=2, delay=1),
            place("b", "ByStream", bypassed=True),
            place("c", "CollectSafe"),
            "s.stream > b.in",
            "b.out > c.in",
        )
    )
    assert states(seen) == {"s": "error", "b": "skipped", "c": "complete"}
    assert seen.node_outputs["c"]["text"] == "onetwo"
    assert "stream broke" in str(seen.node_outputs["c"]["error"])


async def test_bypassed_stream_that_is_not_there_is_an_empty_stream() -> None:
    seen = await run(
        flow(place("b", "ByStream", bypassed=True), place("c", "Collect"), "b.out > c.in")
    )
    assert seen.node_outputs["c"] == {"text": "", "n": 0, "types": []}


@pytest.mark.parametrize(
    ("node_type", "inputs", "outputs"),
    [
        ("ByMute", {"in_": "x"}, {}),
        ("ByDefaults", {"in_": "x"}, {"out": "DEF", "n": 5, "flag": False}),
        ("ByRequired", {}, {"out": ""}),
        ("ByRequired", {"x": "v"}, {"out": "v"}),
        ("ByCategory", {"o": {"k": 1}, "h": {"h": 2}}, {"out": {"h": 2}}),
        ("ByWildCat", {"o": {"k": 1}}, {"out": {"k": 1}}),
        ("ByMixedRev", {"in_": "x"}, {}),
        ("ByAuto", {"s": None}, {"of": 0, "os": None, "oi": 0, "ob": False, "oa": [], "oo": {}}),
    ],
)
async def test_bypassed_alone(node_type: str, inputs: Json, outputs: Json) -> None:
    seen = await run(flow(place("b", node_type, bypassed=True, **inputs)))
    pseudo = seen.events.of("NODE_BYPASSED")[0]["pseudoOutputs"]
    pseudo.pop("ow", None)
    assert same(pseudo, outputs)
    assert (seen.status, states(seen)) == ("complete", {"b": "skipped"})

"""The scenario table: what every engine must do, one whole workflow each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition
from comfytavern.engine import EngineLimits

from .batch_nodes import clock_of
from .building import flow, place
from .comparing import check_order, same, txt
from .running import Observed, RunInProgress, observe
from .slots import give, take

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


async def test_empty() -> None:
    seen = await run(flow())
    assert (seen.status, states(seen), dict(seen.outputs)) == ("complete", {}, {})
    kinds = [(event["type"], event["payload"]["status"]) for event in seen.events]
    assert kinds == [
        ("EXECUTION_STATUS_UPDATE", "running"),
        ("EXECUTION_STATUS_UPDATE", "complete"),
    ]


async def test_chain() -> None:
    links = [place(f"n{i}", "Echo") for i in range(1, 6)]
    edges = ["n0.value > n1.in", *(f"n{i}.out > n{i + 1}.in" for i in range(1, 5))]
    seen = await run(flow(*reversed(links), place("n0", "Const", value="v"), *edges))
    assert seen.order() == ["n0", "n1", "n2", "n3", "n4", "n5"]
    assert seen.node_outputs["n5"] == {"out": "v"}


async def test_diamond() -> None:
    seen = await run(
        flow(
            place("a", "Const", value=10),
            place("l", "Add", b=1),
            place("r", "Add", b=2),
            place("j", "Add"),
            "a.value > l.a",
            "a.value > r.a",
            "l.sum > j.a",
            "r.sum > j.b",
        )
    )
    assert same(seen.node_outputs["j"], {"sum": 23})


async def test_ready_nodes_start_in_payload_order() -> None:
    ids = [str(i) for i in (30, 4, 100, 2, 1)]
    seen = await run(flow(*(place(i, "Const", value=i) for i in ids)))
    assert seen.order() == ids


async def _read_both(inputs: Mapping[str, Any], context: NodeContext) -> dict[str, object]:
    return {"out": [await inputs["a"].text(), await inputs["b"].text()]}


READ_BOTH = NodeDefinition(
    type="ReadBoth",
    inputs={"a": take("W~!"), "b": take("W~!")},
    outputs={"out": give("A")},
    execute=_read_both,
)


async def test_two_streams_into_one_node() -> None:
    seen = await run(
        flow(
            place("s", "StreamWords", text="a b c"),
            place("t", "StreamCount", n=3),
            place("r", "ReadBoth"),
            "s.stream > r.a",
            "t.stream > r.b",
        ),
        READ_BOTH,
    )
    assert seen.node_outputs["r"] == {"out": ["abc", "012"]}


async def test_late_reader_gets_what_came_before() -> None:
    """What 107 is about: the collector begins 60 ms after the writer has finished."""
    seen = await run(
        flow(
            place("s", "StreamWords", text=WORDS),
            place("w", "Slow", ms=60),
            place("c", "CollectAfter"),
            "s.stream > c.in",
            "w.out > c.after",
        )
    )
    assert seen.index("NODE_COMPLETE", "s") < seen.index("NODE_EXECUTING", "c")
    assert seen.node_outputs["c"] == COLLECTED
    assert seen.chunks("s") == list(txt(*WORDS.split()))


async def test_reader_that_is_skipped_does_not_hold_its_writer() -> None:
    """What 089 is about: the only reader of 1,000 chunks is skipped for another reason."""
    seen = await run(
        flow(
            place("s", "StreamCount", n=1000),
            place("f", "Fail"),
            place("c", "CollectAfter"),
            "s.stream > c.in",
            "f.out > c.after",
        )
    )
    assert states(seen) == {"s": "complete", "f": "error", "c": "skipped"}
    assert same(seen.node_outputs["s"], {"total": 1000})
    assert seen.skipped() == {"c": "f"}


async def test_error_skips_descendants() -> None:
    seen = await run(
        flow(
            place("a", "Const", value=1),
            place("f", "Fail", message="first"),
            place("g", "Echo"),
            place("h", "Inspect"),
            place("x", "Echo"),
            place("x2", "Echo"),
            "a.value > f.in",
            "f.out > g.in",
            "g.out > h.a",
            "x2.out > h.b",
            "a.value > x.in",
            "x.out > x2.in",
        )
    )
    assert states(seen) == {
        "a": "complete",
        "f": "error",
        "g": "skipped",
        "h": "skipped",
        "x": "complete",
        "x2": "complete",
    }
    assert seen.skipped() == {"g": "f", "h": "f"}
    position = seen.index("NODE_ERROR", "f")
    following = [event["type"] for event in seen.events[position + 1 : position + 3]]
    assert following == ["NODE_SKIPPED", "NODE_SKIPPED"]
    details = seen.events.of("NODE_ERROR")[0]["errorDetails"]
    assert details["message"] == "first"
    assert (details["nodeType"], details["pack"]) == ("test:Fail", "test")
    assert "batch_nodes.py" in details["traceback"]
    assert "_node_run.py" not in details["traceback"]


async def test_interrupt_mid_stream() -> None:
    def on_event(progress: RunInProgress, kind: str, about: str) -> None:
        if (kind, about) == ("NODE_EXECUTING", "s"):
            progress.clock.call_in(25, progress.interrupt)

    seen = await run(
        flow(
            place("s", "StreamWords", text=WORDS, delay=10),
            place("u", "StreamUpper"),
            place("c", "Collect"),
            place("e", "Echo"),
            "s.stream > u.in",
            "u.out > c.in",
            "c.text > e.in",
            outputs={"out": "u.out", "text": "c.text"},
        ),
        on_event=on_event,
    )
    assert states(seen) == dict.fromkeys("suce", "interrupted")
    assert seen.chunks("s") == list(txt("one", "two"))
    assert seen.chunks("u") == list(txt("ONE", "TWO"))
    partial = {p["nodeId"]: p.get("partial", False) for p in seen.events.of("NODE_INTERRUPTED")}
    assert partial == {"s": True, "u": True, "c": False, "e": False}
    assert [message.keys() for message in seen.interface_messages()] == [{"out"}]


async def test_hung_stream_cannot_hang_the_run() -> None:
    def on_event(progress: RunInProgress, kind: str, about: str) -> None:
        if kind == "NODE_YIELD":
            progress.clock.call_in(5, progress.interrupt)

    seen = await run(
        flow(place("s", "StreamStuck"), place("c", "Collect"), "s.stream > c.in"),
        on_event=on_event,
    )
    assert states(seen) == {"s": "interrupted", "c": "interrupted"}
    assert seen.chunks("s") == list(txt("first"))


async def _read_one(inputs: Mapping[str, Any], context: NodeContext) -> dict[str, object]:
    async for chunk in inputs["in"]:
        return {"out": chunk.content}
    return {}


READ_ONE = NodeDefinition(
    type="ReadOne", inputs={"in": take("W~!")}, outputs={"out": give("W")}, execute=_read_one
)


async def test_reader_leaves() -> None:
    seen = await run(
        flow(
            place("s", "StreamCount", n=1000),
            place("r", "ReadOne"),
            place("c", "Collect"),
            "s.stream > r.in",
            "s.stream > c.in",
        ),
        READ_ONE,
    )
    assert states(seen) == dict.fromkeys("src", "complete")
    assert seen.node_outputs["r"] == {"out": "0"}
    assert seen.node_outputs["c"]["n"] == 1000


async def test_slow_reader_holds_its_writer() -> None:
    """Back-pressure: the writer is never more than a bufferful ahead."""
    written: list[int] = []
    ahead: list[int] = []

    async def write(inputs: Mapping[str, Any], context: NodeContext) -> Any:
        for number in range(40):
            written.append(number)
            yield str(number)

    async def read(inputs: Mapping[str, Any], context: NodeContext) -> dict[str, object]:
        taken = 0
        async for _ in inputs["in"]:
            taken += 1
            await clock_of(context).sleep(1)
            ahead.append(len(written) - taken)
        return {"n": taken}

    seen = await run(
        flow(place("w", "Write"), place("r", "Read"), "w.out > r.in"),
        NodeDefinition(type="Write", outputs={"out": give("S~")}, execute=write),
        NodeDefinition(
            type="Read", inputs={"in": take("S~!")}, outputs={"n": give("I")}, execute=read
        ),
        limits=EngineLimits(stream_buffer=4),
    )
    assert seen.node_outputs["r"] == {"n": 40}
    # the reader may hold one bufferful while the next fills, and the writer one chunk in hand
    assert max(ahead) <= 2 * 4 + 1

"""No combination of readers deadlocks or loses a chunk, however small the buffers are."""

from __future__ import annotations

from typing import Any

import pytest

from comfytavern.engine import EngineLimits

from .building import flow, place
from .comparing import check_order
from .ordered_readers import ORDERED_NODES, reading
from .running import Observed, observe

Json = dict[str, Any]  # Any: JSON
COUNT = 100
W = [f"w:{number}" for number in range(COUNT)]
V = [f"v:{number}" for number in range(COUNT)]

LIMITS = {
    f"buffer {buffer}, {parallel} at once": EngineLimits(
        stream_buffer=buffer, nodes_in_parallel=parallel
    )
    for buffer in (1, 2, 8)
    for parallel in (1, 256)
}


def read(node_id: str, order: str, **leave: int) -> Json:
    """Return a node that reads its inputs in this order."""
    return place(node_id, "Read", config=reading(order, **leave))


def relay(node_id: str, order: str = "a", **leave: int) -> Json:
    """Return a node that reads its inputs in this order and passes everything on."""
    return place(node_id, "Relay", config=reading(order, **leave))


def write(node_id: str, n: int = COUNT) -> Json:
    """Return a writer of chunks that carry its name."""
    return place(node_id, "Write", n=n)


async def run(payload: Json, limits: EngineLimits) -> Observed:
    """Run to the end, and check what holds for every run."""
    seen = await observe(payload, *ORDERED_NODES, limits=limits)
    check_order(payload, seen)
    return seen


# what runs, and what each reader has read at the end
GRAPHS: dict[str, tuple[Json, dict[str, dict[str, list[str]]]]] = {
    "two outputs of one writer": (
        flow(write("w"), read("r", "ab"), "w.left > r.a", "w.right > r.b"),
        {"r": {"a": W, "b": W}},
    ),
    "one output twice, in the other order": (
        flow(write("w"), read("r", "ba"), "w.left > r.a", "w.left > r.b"),
        {"r": {"b": W, "a": W}},
    ),
    "the batch output of a sibling": (
        flow(
            write("w"),
            read("r", "a"),
            read("q", "a"),
            "w.left > r.a",
            "w.left > q.a",
            "q.read > r.after",
        ),
        {"r": {"a": W}, "q": {"a": W}},
    ),
    "the batch output of the writer itself": (
        flow(write("w"), read("r", "a"), "w.left > r.a", "w.count > r.after"),
        {"r": {"a": W}},
    ),
    "a sibling's batch output through other nodes": (
        flow(
            write("w"),
            read("r", "a"),
            read("q", "a"),
            place("e", "Echo"),
            place("e2", "Echo"),
            "w.left > r.a",
            "w.right > q.a",
            "q.read > e.in",
            "e.out > e2.in",
            "e2.out > r.after",
        ),
        {"r": {"a": W}, "q": {"a": W}},
    ),
    "a chain of relays": (
        flow(
            write("w"),
            relay("x"),
            relay("y"),
            relay("z"),
            read("r", "a"),
            "w.left > x.a",
            "x.left > y.a",
            "y.left > z.a",
            "z.left > r.a",
        ),
        {"r": {"a": W}},
    ),
    "a chain of relays, and its source behind it": (
        flow(
            write("w"),
            relay("x"),
            relay("y"),
            read("r", "abc"),
            "w.left > x.a",
            "x.left > y.a",
            "y.left > r.a",
            "x.right > r.b",
            "w.right > r.c",
        ),
        {"r": {"a": W, "b": W, "c": W}},
    ),
    "a chain of relays, and its source before it": (
        flow(
            write("w"),
            relay("x"),
            relay("y"),
            read("r", "cba"),
            "w.left > x.a",
            "x.left > y.a",
            "y.left > r.a",
            "x.right > r.b",
            "w.right > r.c",
        ),
        {"r": {"c": W, "b": W, "a": W}},
    ),
    "a diamond of relays": (
        flow(
            write("w"),
            relay("x"),
            relay("y"),
            read("r", "ab"),
            "w.left > x.a",
            "w.left > y.a",
            "x.left > r.a",
            "y.left > r.b",
        ),
        {"r": {"a": W, "b": W}},
    ),
    "a lopsided diamond of relays, the long way first": (
        flow(
            write("w"),
            relay("x"),
            relay("x2"),
            relay("y"),
            read("r", "ab"),
            read("q", "ba"),
            "w.left > x.a",
            "x.left > x2.a",
            "w.left > y.a",
            "x2.left > r.a",
            "y.left > r.b",
            "x2.left > q.a",
            "y.left > q.b",
        ),
        {"r": {"a": W, "b": W}, "q": {"b": W, "a": W}},
    ),
    "a relay that reads twice": (
        flow(
            write("w"),
            relay("x", "ab"),
            read("r", "ab"),
            "w.left > x.a",
            "w.right > x.b",
            "x.left > r.a",
            "w.left > r.b",
        ),
        {"r": {"a": W + W, "b": W}},
    ),
    "a late reader beside an early one": (
        flow(
            write("w"),
            place("slow", "Slow", ms=60),
            read("r", "a"),
            read("q", "a"),
            "w.left > r.a",
            "w.left > q.a",
            "slow.out > r.after",
        ),
        {"r": {"a": W}, "q": {"a": W}},
    ),
    "two writers, two readers, crosswise": (
        flow(
            write("w"),
            write("v"),
            read("r", "ab"),
            read("q", "ba"),
            "w.left > r.a",
            "w.left > q.a",
            "v.left > r.b",
            "v.left > q.b",
        ),
        {"r": {"a": W, "b": V}, "q": {"b": V, "a": W}},
    ),
    "two writers, two relays crosswise, one reader": (
        flow(
            write("w"),
            write("v"),
            relay("x", "ab"),
            relay("y", "ba"),
            read("r", "ab"),
            "w.left > x.a",
            "v.left > x.b",
            "w.left > y.a",
            "v.left > y.b",
            "y.left > r.a",
            "x.left > r.b",
        ),
        {"r": {"a": V + W, "b": W + V}},
    ),
    "a second writer that waits for a reader of the first": (
        flow(
            write("w"),
            write("v"),
            read("q", "a"),
            read("r", "ab"),
            "w.left > q.a",
            "q.read > v.after",
            "v.left > r.a",
            "w.left > r.b",
        ),
        {"q": {"a": W}, "r": {"a": V, "b": W}},
    ),
    "a reader that leaves one of two": (
        flow(write("w"), read("r", "ab", a=3), "w.left > r.a", "w.right > r.b"),
        {"r": {"a": W[:3], "b": W}},
    ),
    "a reader that never looks at one of two": (
        flow(write("w"), read("r", "b"), "w.left > r.a", "w.right > r.b"),
        {"r": {"b": W}},
    ),
    "a relay that leaves, with a reader of both behind it": (
        flow(
            write("w"),
            relay("x", "a", a=5),
            read("r", "ab"),
            "w.left > x.a",
            "x.left > r.a",
            "w.left > r.b",
        ),
        {"r": {"a": W[:5], "b": W}},
    ),
    "a bypassed relay beside the stream": (
        flow(
            write("w"),
            place("x", "ByStream", bypassed=True),
            read("r", "ba"),
            "w.left > x.in",
            "x.out > r.a",
            "w.left > r.b",
        ),
        {"r": {"b": W, "a": W}},
    ),
    "one input that takes many streams": (
        flow(
            write("w"),
            write("v"),
            relay("x"),
            place("r", "ReadAll"),
            "w.left > x.a",
            "w.left > r.all__3",
            "x.left > r.all__0",
            "v.left > r.all__2",
            "w.right > r.all__1",
        ),
        {"r": {"0": W, "1": W, "2": V, "3": W}},
    ),
    "no reader at all": (flow(write("w"), relay("x"), "w.left > x.a"), {}),
}


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("graph", GRAPHS)
async def test_every_reader_gets_every_chunk(graph: str, limits: EngineLimits) -> None:
    payload, expected = GRAPHS[graph]
    seen = await run(payload, limits)
    assert seen.status == "complete"
    found = {node: dict(seen.node_outputs[node]) for node in expected}
    assert found == {node: {"read": reads} for node, reads in expected.items()}


SMALL = EngineLimits(stream_buffer=2, stream_overflow=8)


async def test_overflow_names_the_slot() -> None:
    payload = GRAPHS["two outputs of one writer"][0]
    seen = await run(payload, SMALL)
    assert seen.status == "error"
    assert seen.states == {"w": "error", "r": "error"}
    details = seen.events.of("NODE_ERROR")[0]["errorDetails"]
    assert details["code"] == "stream_overflow"
    assert "w.right" in details["message"]
    assert "limits.stream_overflow" in details["message"]
    assert seen.error is not None
    assert seen.error.error_code == "stream_overflow"


@pytest.mark.parametrize("parallel", [1, 256])
async def test_below_the_overflow_nothing_fails(parallel: int) -> None:
    """Two bufferfuls wait for the second input while the first is read."""
    payload = flow(write("w", n=8), read("r", "ab"), "w.left > r.a", "w.right > r.b")
    limits = EngineLimits(stream_buffer=2, stream_overflow=8, nodes_in_parallel=parallel)
    seen = await run(payload, limits)
    assert seen.node_outputs["r"] == {"read": {"a": W[:8], "b": W[:8]}}


async def test_writer_waits_at_the_overflow_for_a_reader_that_comes_by_itself() -> None:
    ahead: list[int] = []
    payload = flow(
        write("w"),
        place("slow", "Slow", ms=60),
        read("r", "a"),
        "w.left > r.a",
        "slow.out > r.after",
    )

    def count(kind: str, about: str) -> None:
        if kind == "NODE_YIELD":
            ahead.append(1)
        if (kind, about) == ("NODE_COMPLETE", "slow"):
            ahead.append(0)

    seen = await observe(
        payload,
        *ORDERED_NODES,
        limits=SMALL,
        on_event=lambda progress, kind, about: count(kind, about),
    )
    assert seen.node_outputs["r"] == {"read": {"a": W}}
    assert ahead.index(0) <= 8, "no more than the overflow is kept for the late reader"


async def test_interrupt_frees_writers_and_readers_that_wait() -> None:
    for graph, (payload, _) in GRAPHS.items():
        seen = await observe(
            payload,
            *ORDERED_NODES,
            limits=EngineLimits(stream_buffer=1),
            on_event=lambda progress, kind, about: (
                progress.interrupt() if kind == "NODE_YIELD" and about == "w" else None
            ),
        )
        assert seen.status == "interrupted", graph
        assert set(seen.states.values()) <= {"complete", "skipped", "interrupted"}, graph


async def test_breaking_writer_frees_readers_that_wait_for_another() -> None:
    """The reader is at the second stream; the break of the first reaches it later, not never."""
    seen = await run(
        flow(
            place("s", "StreamWords", text="a b c d e f", throw_at=5),
            write("w"),
            read("r", "ab"),
            read("q", "ba"),
            "w.left > r.a",
            "s.stream > r.b",
            "w.left > q.a",
            "s.stream > q.b",
        ),
        EngineLimits(stream_buffer=1),
    )
    assert seen.status == "error"
    assert seen.states == {"s": "error", "w": "complete", "r": "error", "q": "error"}

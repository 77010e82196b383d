"""Random graphs of streams: every run ends, and no reader misses a chunk."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from comfytavern.engine import EngineLimits

from .building import flow, place
from .ordered_readers import ORDERED_NODES
from .random_graphs import PROPERTY, check_ends, check_interrupt, interrupting
from .random_streams import LIMITS, Streams, streams
from .running import observe

ENDED = ("finish_reason_chunk", "Stream ended", True)


@settings(PROPERTY, max_examples=100)
@given(graph=streams(), limits=LIMITS)
async def test_every_reader_gets_every_chunk_in_order(graph: Streams, limits: EngineLimits) -> None:
    seen = await observe(graph.payload, *ORDERED_NODES, limits=limits)
    check_ends(graph.payload, seen)
    assert seen.status == "complete"
    for node, chunks in graph.written.items():
        assert [content for _, content, _ in seen.chunks(node)] == chunks
    assert {node: seen.node_outputs[node]["read"] for node in graph.read} == graph.read
    for key, handle in graph.shown.items():
        chunks = graph.carried[handle]
        assert seen.yields(key) == [*(("text_chunk", c, False) for c in chunks), ENDED]


@PROPERTY
@given(graph=streams(), limits=LIMITS)
async def test_inside_a_group_it_is_the_same(graph: Streams, limits: EngineLimits) -> None:
    group = place("g", "core:NodeGroup", config={"referencedWorkflowId": "w"})
    seen = await observe(flow(group), *ORDERED_NODES, workflows={"w": graph.payload}, limits=limits)
    assert seen.status == "complete"
    assert {node: seen.node_outputs[f"g/{node}"]["read"] for node in graph.read} == graph.read


@PROPERTY
@given(graph=streams(), limits=LIMITS, after=st.integers(0, 200))
async def test_interrupted_streams_end(graph: Streams, limits: EngineLimits, after: int) -> None:
    seen = await observe(graph.payload, *ORDERED_NODES, limits=limits, on_event=interrupting(after))
    check_ends(graph.payload, seen)
    check_interrupt(seen)
    for node, chunks in graph.written.items():
        found = [content for _, content, _ in seen.chunks(node)]
        assert found == chunks[: len(found)]


@PROPERTY
@given(graph=streams(), overflow=st.integers(1, 12), parallel=st.sampled_from([1, 2, 256]))
async def test_small_overflow_ends_the_run_all_the_same(
    graph: Streams, overflow: int, parallel: int
) -> None:
    limits = EngineLimits(parallel, stream_buffer=1, stream_overflow=overflow)
    seen = await observe(graph.payload, *ORDERED_NODES, limits=limits)
    check_ends(graph.payload, seen)
    if seen.error is not None:
        assert seen.error.error_code == "stream_overflow"


@PROPERTY
@given(graph=streams(), limits=LIMITS, data=st.data())
async def test_broken_stream_costs_only_what_lies_behind_it(
    graph: Streams, limits: EngineLimits, data: st.DataObject
) -> None:
    writers = [node for node in graph.payload["nodes"] if node["fullType"] == "test:Write"]
    node = data.draw(st.sampled_from(writers))
    broken, count = node["id"], node["inputs"]["n"]
    node["inputs"]["throw_at"] = data.draw(st.integers(0, max(0, count - 1)))
    seen = await observe(graph.payload, *ORDERED_NODES, limits=limits)
    check_ends(graph.payload, seen)
    assert seen.status == ("error" if count else "complete")
    assert seen.states[broken] == ("error" if count else "complete")
    for unharmed in seen.states:
        if unharmed == broken or broken in graph.sources.get(unharmed, ()):
            continue
        assert seen.states[unharmed] in ("complete", "skipped")
        assert unharmed not in seen.skipped()
        if unharmed in graph.read:
            assert seen.node_outputs[unharmed]["read"] == graph.read[unharmed]

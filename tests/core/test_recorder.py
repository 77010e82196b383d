"""The recorder: what happens in a run as envelopes, in order, batch by batch."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import anyio
import pytest
from anyio import fail_after, wait_all_tasks_blocked

from comfytavern import (
    Chunk,
    ComfyTavernError,
    NodeContext,
    NodeDefinition,
    Output,
    OutputDefinition,
    Outputs,
    Status,
    Stream,
    node,
)
from comfytavern.engine import EngineLimits, Run
from comfytavern.errors import NodeFailedError
from comfytavern.recorder import EventRecorder
from comfytavern.runner import Envelope
from comfytavern.sinks import EventSink, merge_sinks
from comfytavern.testing import GraphResult, pack_host, run_graph

Json = Any  # Any: JSON
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00")


class RateLimited(ComfyTavernError):
    """An error that knows more than its text."""

    code = "rate_limited"

    def __init__(self, details: object) -> None:
        self.details = details
        super().__init__("too many requests")


@node
async def echo(value: object = None) -> Annotated[object, Output("out")]:
    return value


@node
async def fail(message: str = "boom") -> Annotated[str, Output("out")]:
    raise ValueError(message)


@node
async def limited() -> None:
    raise RateLimited({"model": "m", "retry": math.inf, "data": b"x"})


@node(outputs={"count": OutputDefinition()})
async def words(text: str, then: str = "") -> AsyncIterator[Annotated[str, Output("words")]]:
    for word in text.split():
        yield word
    if then == "raise":
        raise ValueError("broke")
    if then == "error":
        yield Chunk.error("refused")  # type: ignore[misc]  # instead of text
    if then == "more":
        yield Chunk.usage({"tokens": math.nan})  # type: ignore[misc]  # instead of text
        yield Chunk.tool_call([{"id": 1}])  # type: ignore[misc]  # instead of text
        yield Chunk.finish_reason("stop")  # type: ignore[misc]  # instead of text
    yield Outputs(count=len(text.split()))  # type: ignore[misc]  # the last thing it yields


@node
async def read(words: Stream) -> Annotated[str, Output("text")]:
    return await words.text()


@node
async def progress(context: NodeContext, value: float = 0.5) -> None:
    context.progress(value)
    context.progress(3, 4, "almost")


NODES = (echo, fail, limited, words, read, progress)


def place(node_id: str, kind: str, bypassed: bool = False, **inputs: object) -> Json:
    full_type = f"test:{kind}"
    return {"id": node_id, "fullType": full_type, "inputs": inputs, "bypassed": bypassed}


def edges(*pairs: str) -> list[Json]:
    found = []
    for pair in pairs:
        (source, out), (target, slot) = (end.split(".") for end in pair.split(" -> "))
        ends = {"sourceNodeId": source, "sourceHandle": out}
        found.append(ends | {"targetNodeId": target, "targetHandle": slot})
    return found


async def run(*nodes: Json, edges: list[Json] | None = None, **more: Json) -> GraphResult:
    with fail_after(5):
        return await run_graph({"nodes": nodes, "edges": edges or [], **more}, *NODES)


def told(result: GraphResult) -> list[tuple[str, Json]]:
    """Return the events as (type, payload), without what differs from run to run."""
    for event in result.events:
        assert STAMP.fullmatch(event["ts"])
        assert event["payload"].pop("promptId") == "test-run"
        if "durationMs" in event["payload"]:
            assert event["payload"].pop("durationMs") >= 0
        assert set(event) == {"type", "payload", "ts", "seq"}
    assert [event["seq"] for event in result.events] == list(range(1, len(result.events) + 1))
    json.dumps(result.events, allow_nan=False, ensure_ascii=False).encode()
    return [(event["type"], event["payload"]) for event in result.events]


def status(text: str, **more: Json) -> tuple[str, Json]:
    return "EXECUTION_STATUS_UPDATE", {"status": text, **more}


def executing(node_id: str) -> tuple[str, Json]:
    return "NODE_EXECUTING", {"nodeId": node_id}


def complete(node_id: str, **output: Json) -> tuple[str, Json]:
    return "NODE_COMPLETE", {"nodeId": node_id, "output": output}


def chunk(node_id: str, content: Json, kind: str = "text_chunk", last: bool = False) -> Json:
    said = {"type": kind, "content": content}
    return "NODE_YIELD", {"sourceNodeId": node_id, "yieldedContent": said, "isLastChunk": last}


async def test_an_empty_workflow() -> None:
    assert told(await run()) == [status("running"), status("complete")]


async def test_a_chain() -> None:
    chain = edges("a.out -> b.value")
    result = await run(place("a", "Echo", value=1), place("b", "Echo"), edges=chain)
    assert told(result) == [
        status("running"),
        executing("a"),
        complete("a", out=1),
        executing("b"),
        complete("b", out=1),
        status("complete"),
    ]


async def test_values_are_encoded() -> None:
    result = await run(place("a", "Echo", value={"big": 2**60, "inf": math.inf}))
    assert result.node_outputs["a"]["out"] == {"big": 2**60, "inf": math.inf}
    assert told(result)[2] == complete("a", out={"big": str(2**60), "inf": None})


async def test_progress() -> None:
    assert told(await run(place("p", "Progress")))[1:-1] == [
        executing("p"),
        ("NODE_PROGRESS", {"nodeId": "p", "value": 0.5, "max": 1.0}),
        ("NODE_PROGRESS", {"nodeId": "p", "value": 3, "max": 4, "text": "almost"}),
        complete("p"),
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, 10**400, b"half", "\ud800"], ids=ascii)
async def test_progress_of_no_number_is_encoded_too(value: object) -> None:
    @node
    async def odd(context: NodeContext) -> None:
        context.progress(value)  # type: ignore[arg-type]  # as a careless pack may
        context.progress(0, value)  # type: ignore[arg-type]  # as a careless pack may

    told(await run_graph({"nodes": [place("o", "Odd")]}, odd))


async def test_a_failure_and_what_follows() -> None:
    result = await run(place("f", "Fail"), place("b", "Echo"), edges=edges("f.out -> b.value"))
    events = told(result)
    details = events[2][1]["errorDetails"]
    assert details.pop("traceback").endswith("ValueError: boom\n")
    assert events == [
        status("running"),
        executing("f"),
        (
            "NODE_ERROR",
            {
                "nodeId": "f",
                "errorDetails": {
                    "message": "boom",
                    "code": "node_failed",
                    "nodeType": "test:Fail",
                    "pack": "test",
                },
            },
        ),
        ("NODE_SKIPPED", {"nodeId": "b", "reason": "node 'f' failed", "causedBy": "f"}),
        status(
            "error",
            errorInfo={
                "message": "node 'f' (test:Fail) failed: boom",
                "code": "node_failed",
                "nodeId": "f",
            },
        ),
    ]


async def test_a_failure_tells_what_its_error_knows() -> None:
    events = told(await run(place("l", "Limited")))
    details = events[2][1]["errorDetails"]
    assert details.pop("traceback")
    blob = details.pop("data")["$blob"]
    assert (blob["size"], blob["mime"]) == (1, "application/octet-stream")
    assert details == {
        "message": "too many requests",
        "code": "rate_limited",
        "nodeType": "test:Limited",
        "pack": "test",
        "model": "m",
        "retry": None,
    }


@pytest.mark.parametrize(
    "details", [{("a", 1): 2}, {"\ud800": 1}, {b"x": 1}, {"message": "", "pack": 5}], ids=ascii
)
async def test_odd_details_of_an_error_are_encoded_too(details: object) -> None:
    @node
    async def odd() -> None:
        raise RateLimited(details)

    events = told(await run_graph({"nodes": [place("o", "Odd")]}, odd))
    told_of = events[2][1]["errorDetails"]
    assert (told_of["message"], told_of["pack"]) == ("too many requests", "test")


async def test_odd_names_of_outputs_are_encoded_too() -> None:
    async def execute(inputs: Mapping[str, object], context: object) -> object:
        return {("a", 1): 1, 5: 2, "\ud800": 3}

    odd = NodeDefinition(type="Odd", dynamic_slots=True, execute=execute)
    events = told(await run_graph({"nodes": [place("o", "Odd")]}, odd))
    assert events[2] == complete("o", **{"('a', 1)": 1, "5": 2, "?": 3})
    events = told(await run_graph({"nodes": [place("o", "Odd", bypassed=True)]}, odd))
    assert events[1] == ("NODE_BYPASSED", {"nodeId": "o", "pseudoOutputs": {}})


@pytest.mark.parametrize("kind", [5, b"bytes", None, "\ud800"], ids=ascii)
async def test_odd_types_of_chunks_are_encoded_too(kind: Any) -> None:
    @node
    async def odd() -> AsyncIterator[Chunk]:
        yield Chunk(kind, "content")

    told(await run_graph({"nodes": [place("o", "Odd")]}, odd))


async def test_a_bypassed_node() -> None:
    assert told(await run(place("a", "Echo", bypassed=True, value=math.nan)))[1] == (
        "NODE_BYPASSED",
        {"nodeId": "a", "pseudoOutputs": {"out": None}},
    )


async def test_chunks_stand_between_the_start_and_the_end_of_their_node() -> None:
    result = await run(
        place("w", "Words", text="one two"),
        place("r", "Read"),
        edges=edges("w.words -> r.words"),
    )
    events = told(result)
    assert [event for event in events if "w" in event[1].values()] == [
        executing("w"),
        chunk("w", "one"),
        chunk("w", "two"),
        complete("w", count=2),
    ]
    assert complete("r", text="onetwo") in events
    assert events[-1] == status("complete")


async def test_contents_of_chunks_are_encoded() -> None:
    long = "x" * 5000
    events = told(await run(place("w", "Words", text=f"ü {long}", then="more")))
    assert events[2:-2] == [
        chunk("w", "ü"),
        chunk("w", long),
        chunk("w", {"tokens": None}, "usage_chunk"),
        chunk("w", [{"id": 1}], "tool_call_chunk"),
        chunk("w", "stop", "finish_reason_chunk", last=True),
    ]


@pytest.mark.parametrize(
    ("then", "text", "reason", "code", "partial"),
    [
        ("raise", "one", "broke", "node_failed", True),
        ("error", "one", "refused", "error_chunk", True),
        ("raise", "", "broke", "node_failed", False),
        ("error", "", "refused", "error_chunk", False),
    ],
)
async def test_a_broken_stream(then: str, text: str, reason: str, code: str, partial: bool) -> None:
    result = await run(place("w", "Words", text=text, then=then))
    events = told(result)
    before, (kind, payload) = events[2:-2], events[-2]
    expected = [chunk("w", "one")] if text else []
    assert before == [*expected, chunk("w", reason, "error_chunk", last=True)]
    assert (kind, payload["nodeId"]) == ("NODE_ERROR", "w")
    details = payload["errorDetails"]
    assert (details["message"], details["code"]) == (reason, code)
    assert details.get("partial") is (True if partial else None)


async def test_interface_outputs() -> None:
    mappings = {
        "said": {"sourceNodeId": "a", "sourceSlotKey": "out"},
        "told": {"sourceNodeId": "w", "sourceSlotKey": "words"},
    }
    slots = {"told": {"displayName": "Told", "isStream": True}}
    result = await run(
        place("a", "Echo", value=1),
        place("w", "Words", text="one"),
        outputInterfaceMappings=mappings,
        interfaceOutputs=slots,
    )
    events = told(result)
    outputs = "__WORKFLOW_INTERFACE_OUTPUTS__"
    placeholder = {"type": "stream_placeholder", "message": "Stream started for told (Told)"}
    assert [p["output"] for _, p in events if p.get("nodeId") == outputs] == [
        {"told": placeholder},
        {"said": 1, "told": placeholder},
    ]
    yields = [payload for kind, payload in events if kind == "WORKFLOW_INTERFACE_YIELD"]
    first = {
        "interfaceOutputKey": "told",
        "interfaceOutputDisplayName": "Told",
        "yieldedContent": {"type": "text_chunk", "content": "one"},
        "isLastChunk": False,
    }
    ended = {"type": "finish_reason_chunk", "content": "Stream ended"}
    assert yields == [first, {**first, "yieldedContent": ended, "isLastChunk": True}]
    assert "durationMs" not in events[-2][1]


async def test_an_interface_output_without_a_display_name() -> None:
    mappings = {"told": {"sourceNodeId": "w", "sourceSlotKey": "words"}}
    result = await run(place("w", "Words", text="one"), outputInterfaceMappings=mappings)
    keys = {"promptId", "interfaceOutputKey", "yieldedContent", "isLastChunk"}
    assert set(result.events.of("WORKFLOW_INTERFACE_YIELD")[0]) == keys


async def test_the_stamps_are_the_time_in_utc() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    result = await run(place("a", "Echo"))
    after = datetime.now(UTC)
    stamps = [datetime.fromisoformat(event["ts"]) for event in result.events]
    assert stamps == sorted(stamps)
    assert before <= stamps[0] <= stamps[-1] <= after


# --- batches ------------------------------------------------------------------------------


class Gate:
    """A streaming node that goes on one step when it is told to."""

    def __init__(self) -> None:
        self.send, self.receive = anyio.create_memory_object_stream[Chunk | None](10)

    @property
    def definition(self) -> NodeDefinition:
        slot = OutputDefinition(is_stream=True)
        return NodeDefinition(type="Gate", outputs={"s": slot}, execute=self.execute)

    async def execute(
        self, inputs: Mapping[str, object], context: NodeContext
    ) -> AsyncIterator[Chunk]:
        async for item in self.receive:
            if item is None:
                return
            yield item


@asynccontextmanager
async def gated(ids: str = "g") -> AsyncIterator[tuple[Run, EventRecorder, list[Gate]]]:
    gates = [Gate() for _ in ids]
    definitions = [
        gate.definition.model_copy(update={"type": f"Gate{gate_id}"})
        for gate, gate_id in zip(gates, ids, strict=True)
    ]
    nodes = [place(gate_id, f"Gate{gate_id}") for gate_id in ids]
    limits = EngineLimits(interrupt_grace=0.05)
    with fail_after(5):
        async with pack_host(*definitions, *NODES, limits=limits) as host:
            plan = await host.compile({"nodes": nodes})
            recorder = EventRecorder("r1")
            started = host.start(plan, run_id="r1", sink=recorder.sink)
            yield started, recorder, gates
            started.interrupt()
            await started.wait()
        for gate in gates:
            gate.send.close()
            gate.receive.close()


def kinds(batch: list[Envelope]) -> list[str]:
    def name(payload: Json) -> str:
        return str(payload.get("nodeId") or payload.get("sourceNodeId") or payload.get("status"))

    return [f"{event['type']} {name(event['payload'])}" for event in batch]


async def test_a_batch_comes_as_soon_as_there_is_something() -> None:
    batches: list[list[Envelope]] = []

    async def collect(recorder: EventRecorder) -> None:
        while batch := await recorder.next_batch():
            batches.append(batch)

    async with gated() as (started, recorder, (gate,)), anyio.create_task_group() as tasks:
        tasks.start_soon(collect, recorder)
        await wait_all_tasks_blocked()
        assert [kinds(batch) for batch in batches] == [
            ["EXECUTION_STATUS_UPDATE running", "NODE_EXECUTING g"]
        ]
        await gate.send.send(Chunk.text("a"))
        await wait_all_tasks_blocked()
        assert kinds(batches[-1]) == ["NODE_YIELD g"]
        await gate.send.send(Chunk.text("b"))
        await gate.send.send(None)
        await started.wait()
        await wait_all_tasks_blocked()
        assert [kind for batch in batches[2:] for kind in kinds(batch)] == [
            "NODE_YIELD g",
            "NODE_COMPLETE g",
            "EXECUTION_STATUS_UPDATE complete",
        ]
        assert await recorder.next_batch() == []
    assert {event["payload"]["promptId"] for batch in batches for event in batch} == {"r1"}


async def test_a_batch_comes_when_a_node_starts() -> None:
    batches: list[list[str]] = []

    async def collect(recorder: EventRecorder) -> None:
        while batch := await recorder.next_batch():
            batches.append(kinds(batch))

    gate = Gate()
    reads = {"nodes": [place("g", "Gate"), place("r", "Read")], "edges": edges("g.s -> r.words")}
    with fail_after(5):
        async with pack_host(gate.definition, *NODES) as host, anyio.create_task_group() as tasks:
            recorder = EventRecorder("r1")
            plan = await host.compile(reads)
            tasks.start_soon(collect, recorder)
            started = host.start(plan, run_id="r1", sink=recorder.sink)
            await wait_all_tasks_blocked()
            assert "NODE_EXECUTING r" in batches[-1]
            await gate.send.send(None)
            await started.wait()
        gate.send.close()
        gate.receive.close()
    assert batches[-1][-1] == "EXECUTION_STATUS_UPDATE complete"


async def test_taking_does_not_wait() -> None:
    recorder = EventRecorder("r")
    assert recorder.take() == []
    async with gated() as (_, recorder, (gate,)):
        await wait_all_tasks_blocked()
        assert len(recorder.take()) == 2
        assert recorder.take() == []
        await gate.send.send(Chunk.text("a"))
        await wait_all_tasks_blocked()
        assert kinds(recorder.take()) == ["NODE_YIELD g"]
        assert recorder.take() == []


async def test_what_streams_now_comes_last_node_by_node() -> None:
    async with gated(ids="gh") as (_, recorder, (first, second)):
        for letter in "abc":
            await second.send.send(Chunk.text(letter))
            await first.send.send(Chunk.text(letter))
        await second.send.send(None)
        await wait_all_tasks_blocked()
        found = kinds(recorder.take())
        assert found[:3] == [
            "EXECUTION_STATUS_UPDATE running",
            "NODE_EXECUTING g",
            "NODE_EXECUTING h",
        ]
        assert found[3:] == ["NODE_YIELD h"] * 3 + ["NODE_COMPLETE h"] + ["NODE_YIELD g"] * 3


@pytest.mark.parametrize("partial", [True, False])
async def test_an_interrupted_stream(partial: bool) -> None:
    async with gated() as (started, recorder, (gate,)):
        if partial:
            await gate.send.send(Chunk.text("a"))
        await wait_all_tasks_blocked()
        started.interrupt()
        result = await started.wait()
        events = recorder.take()
    assert result.status is Status.INTERRUPTED
    assert kinds(events)[2:] == [
        *(["NODE_YIELD g"] if partial else []),
        "NODE_INTERRUPTED g",
        "EXECUTION_STATUS_UPDATE interrupted",
    ]
    extra = {"partial": True} if partial else {}
    assert events[-2]["payload"] == {"promptId": "r1", "nodeId": "g", **extra}
    assert events[-1]["payload"] == {"promptId": "r1", "status": "interrupted"}


async def test_blobs_are_handed_to_the_sink() -> None:
    kept: list[tuple[int, str]] = []

    def keep(digest: str, data: bytes, mime: str) -> None:
        kept.append((len(data), mime))

    @node
    async def data() -> bytes:
        return b"12345"

    async with pack_host(data) as host:
        recorder = EventRecorder("r", blobs=keep)
        await host.run({"nodes": [place("d", "Data")]}, sink=recorder.sink)
        assert kept == []  # nothing is encoded before somebody reads
        recorder.take()
    assert kept == [(5, "application/octet-stream")]


# --- sinks --------------------------------------------------------------------------------


async def test_merged_sinks_are_told_in_order() -> None:
    heard: list[str] = []

    def sink(name: str) -> EventSink:
        return EventSink(
            node_started=lambda node: heard.append(f"{name} started {node.id}"),
            stream=lambda node: lambda chunk: heard.append(f"{name} chunk {chunk.content}"),
        )

    async with pack_host(*NODES) as host:
        merged = merge_sinks([sink("1"), EventSink(), sink("2")])
        await host.run({"nodes": [place("w", "Words", text="a b")]}, sink=merged)
    assert heard == [
        "1 started w",
        "2 started w",
        "1 chunk a",
        "2 chunk a",
        "1 chunk b",
        "2 chunk b",
    ]


def test_merging_few_sinks_costs_nothing() -> None:
    def finished(state: Status, error: NodeFailedError | None, seconds: float) -> None: ...

    merged = merge_sinks([EventSink(), EventSink(run_finished=finished)])
    assert merged == EventSink(run_finished=finished)
    assert merge_sinks([]) == EventSink()

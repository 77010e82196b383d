"""The engine under stress: interrupts in every state, nodes that misbehave, limits, memory."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest
from anyio import fail_after, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from comfytavern.authoring import Output, node
from comfytavern.chunks import Chunk, Outputs, Stream
from comfytavern.context import NodeContext
from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.engine import EngineLimits
from comfytavern.errors import NodeFailedError, RunInterruptedError, UnknownRunError
from comfytavern.events import Status
from comfytavern.host import PackHost
from comfytavern.recorder import EventRecorder
from comfytavern.testing import EventLog, pack_host, run_graph, run_node

Inputs = Mapping[str, Any]  # Any: values of slots
FAST = EngineLimits(interrupt_grace=0.05)


def place(**types: str) -> list[dict[str, Any]]:  # Any: JSON
    """Return nodes of the pack ``test`` by id."""
    return [{"id": node_id, "fullType": f"test:{kind}"} for node_id, kind in types.items()]


def edge(source: str, target: str) -> dict[str, str]:
    """Return an edge between ``a.slot`` and ``b.slot``."""
    (source_id, out), (target_id, slot) = source.split("."), target.split(".")
    ends = {"sourceNodeId": source_id, "sourceHandle": out}
    return ends | {"targetNodeId": target_id, "targetHandle": slot}


class Waiter:
    """A node that says when it runs and waits until it is let go."""

    def __init__(self) -> None:
        self.running = anyio.Event()
        self.go = anyio.Event()
        self.closed = False

    def definition(self, name: str = "Waiter") -> NodeDefinition:
        """Return the node type."""
        slots = {"in": InputDefinition()}
        return NodeDefinition(
            type=name, inputs=slots, outputs={"out": OutputDefinition()}, execute=self.execute
        )

    async def execute(self, inputs: Inputs, context: NodeContext) -> dict[str, object]:
        self.running.set()
        try:
            await self.go.wait()
        finally:
            self.closed = True
        return {"out": 1}


@node
async def echo(value: object = None) -> Annotated[object, Output("out")]:
    """Return the input."""
    return value


@asynccontextmanager
async def running(
    workflow: dict[str, Any], *definitions: object, limits: EngineLimits = FAST
) -> AsyncIterator[tuple[PackHost, Any, EventRecorder]]:  # Any: the run
    """Start a workflow and give the host, the run and what it tells."""
    async with pack_host(*definitions, limits=limits) as host:
        recorder = EventRecorder("run")
        plan = await host.compile(workflow)
        yield host, host.start(plan, run_id="run", sink=recorder.sink), recorder


async def test_interrupt_before_the_start_runs_nothing() -> None:
    waiter = Waiter()
    async with running({"nodes": place(a="Waiter")}, waiter.definition()) as (_, run, recorder):
        run.interrupt()
        with fail_after(1):
            result = await run.wait()
    assert result.status is Status.INTERRUPTED
    assert result.states == {"a": Status.INTERRUPTED}
    assert [event["type"] for event in recorder.take()] == [
        "NODE_INTERRUPTED",
        "EXECUTION_STATUS_UPDATE",
    ]
    assert not waiter.running.is_set()


async def test_interrupt_cancels_an_async_node_and_what_follows() -> None:
    waiter = Waiter()
    workflow = {"nodes": place(a="Waiter", b="Echo"), "edges": [edge("a.out", "b.value")]}
    async with running(workflow, waiter.definition(), echo) as (_, run, recorder):
        with fail_after(1):
            await waiter.running.wait()
            run.interrupt()
            run.interrupt()
            result = await run.wait()
    assert waiter.closed
    assert result.states == {"a": Status.INTERRUPTED, "b": Status.INTERRUPTED}
    log = EventLog(recorder.take())
    assert [payload["nodeId"] for payload in log.of("NODE_INTERRUPTED")] == ["a", "b"]
    assert log[-1]["payload"]["status"] == "interrupted"


async def test_interrupt_in_mid_stream_keeps_what_was_streamed() -> None:
    began = anyio.Event()

    @node(type="Talk")
    async def talk() -> AsyncIterator[Annotated[str, Output("words")]]:
        yield "one"
        began.set()
        await anyio.sleep_forever()
        yield "never"

    async with running({"nodes": place(a="Talk")}, talk) as (_, run, recorder):
        with fail_after(1):
            await began.wait()
            run.interrupt()
            await run.wait()
    log = EventLog(recorder.take())
    assert [p["yieldedContent"]["content"] for p in log.of("NODE_YIELD")] == ["one"]
    assert log.of("NODE_INTERRUPTED") == [{"nodeId": "a", "partial": True, "promptId": "run"}]
    assert not log.of("NODE_COMPLETE")


async def test_a_node_that_swallows_cancellation_does_not_hold_its_run() -> None:
    began, go = anyio.Event(), anyio.Event()

    @node(type="Stubborn")
    async def stubborn() -> Annotated[int, Output("out")]:
        began.set()
        with anyio.CancelScope(shield=True):
            await go.wait()
        return 1

    async with running({"nodes": place(a="Stubborn")}, stubborn) as (host, run, _):
        with fail_after(2):
            await began.wait()
            run.interrupt()
            result = await run.wait()
            assert result.status is Status.INTERRUPTED
            assert [n.id for n in host.engine.abandoned["run"]] == ["a"]
            assert not run.released.is_set()
            go.set()
            await run.released.wait()
            assert host.engine.abandoned == {}


async def test_a_thread_is_told_and_awaited() -> None:
    began, went_on = threading.Event(), threading.Event()

    @node(type="Work")
    def work(context: NodeContext) -> None:
        began.set()
        went_on.wait(5)
        context.check_interrupted()

    async with running({"nodes": place(a="Work")}, work, limits=EngineLimits()) as (_, run, rec):
        with fail_after(2):
            await anyio.to_thread.run_sync(began.wait)
            run.interrupt()
            went_on.set()
            result = await run.wait()
    assert result.states == {"a": Status.INTERRUPTED}
    assert run.released.is_set()
    assert not EventLog(rec.take()).of("NODE_ERROR")


async def test_a_cancelled_caller_interrupts_its_run() -> None:
    waiter = Waiter()
    async with pack_host(waiter.definition(), limits=FAST) as host:
        with fail_after(1), anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def cancel_later() -> None:
                    await waiter.running.wait()
                    scope.cancel()

                group.start_soon(cancel_later)
                await host.run({"nodes": place(a="Waiter")})
    assert waiter.closed


async def test_leaving_the_host_interrupts_what_runs() -> None:
    waiter = Waiter()
    with fail_after(1):
        async with running({"nodes": place(a="Waiter")}, waiter.definition()) as (_, run, _r):
            await waiter.running.wait()
        assert run.result.status is Status.INTERRUPTED


@pytest.mark.parametrize(
    ("raises", "message"),
    [
        (SystemExit(3), "it called sys.exit(3)"),
        (ValueError("bad"), "bad"),
        (KeyError(), "KeyError"),
        (RunInterruptedError("other"), "run 'other' was interrupted"),
        (ExceptionGroup("group", [ValueError("inner")]), "inner"),
    ],
)
async def test_what_a_node_raises_is_its_own_failure(raises: BaseException, message: str) -> None:
    @node(type="Fails")
    async def fails() -> None:
        raise raises

    with fail_after(1):
        result = await run_graph({"nodes": place(a="Fails", b="Echo")}, fails, echo)
    assert result.states == {"a": Status.ERROR, "b": Status.COMPLETE}
    assert result.error is not None
    assert result.error.reason == message


async def test_a_traceback_names_modules_and_no_place_of_the_machine() -> None:
    def inner() -> None:
        raise KeyError("why")

    @node(type="Fails")
    async def fails() -> None:
        try:
            inner()
        except KeyError as exc:
            raise ValueError("boom") from exc

    result = await run_graph({"nodes": place(a="Fails")}, fails)
    (payload,) = result.events.of("NODE_ERROR")
    shown = payload["errorDetails"]["traceback"]
    file = __name__.replace(".", "/")
    assert shown.count(f'File "{file}.py", line ') == 3
    assert shown.endswith("ValueError: boom\n")
    assert "KeyError: 'why'\n\nThe above exception was the direct cause" in shown
    assert str(Path(__file__).parent) not in shown
    assert "_node_run" not in shown


async def test_a_node_that_cancels_itself_has_failed() -> None:
    @node(type="Cancels")
    async def cancels() -> None:
        raise anyio.get_cancelled_exc_class()()

    if anyio.get_cancelled_exc_class().__module__.startswith("trio"):
        pytest.skip("trio lets nobody make a Cancelled")
    with fail_after(1):
        result = await run_graph({"nodes": place(a="Cancels")}, cancels)
    assert result.error is not None
    assert result.error.reason == "it was cancelled from inside"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (42, "it returned a int; a node returns a mapping of outputs"),
        ({"ouut": 1}, "it returned an undeclared output 'ouut'; did you mean 'out'?"),
        ({"words": 1}, "output 'words' is a stream, but it returned a int"),
    ],
)
async def test_results_are_checked(returned: object, message: str) -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> object:
        return returned

    outputs = {"out": OutputDefinition(), "words": OutputDefinition(is_stream=True)}
    wrong = NodeDefinition(type="Wrong", outputs=outputs, execute=execute)
    result = await run_graph({"nodes": place(a="Wrong")}, wrong)
    assert result.error is not None
    assert result.error.reason == message


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([Outputs(), "late"], "it yielded something after its Outputs"),
        ([Outputs(), Outputs()], "it yielded something after its Outputs"),
        ([5], "it yielded a int; a streaming node yields Chunk, text, and last Outputs"),
        ([Chunk.error("bad chunk")], "bad chunk"),
    ],
)
async def test_what_a_stream_yields_is_checked(items: list[object], message: str) -> None:
    async def execute(inputs: Inputs, context: NodeContext) -> AsyncIterator[object]:
        for item in items:
            yield item

    out = {"words": OutputDefinition(is_stream=True)}
    wrong = NodeDefinition(type="Wrong", outputs=out, execute=execute)
    result = await run_graph({"nodes": place(a="Wrong")}, wrong)
    assert result.error is not None
    assert result.error.reason == message
    last = result.events.of("NODE_YIELD")[-1]
    assert last["isLastChunk"] is True
    assert last["yieldedContent"] == {"type": "error_chunk", "content": message}


async def test_a_packs_own_kind_of_chunk_is_a_chunk() -> None:
    class Word(Chunk):
        pass

    @node(type="Talk")
    async def talk() -> AsyncIterator[Annotated[str | Chunk, Output("words")]]:
        yield Word("text_chunk", "one")

    result = await run_node(talk)
    assert list(result.chunks) == [Chunk.text("one")]


@pytest.mark.parametrize("limit", [1, 2, 256])
async def test_a_limit_never_starves_a_streams_reader(limit: int) -> None:
    @node(type="Talk")
    async def talk() -> AsyncIterator[Annotated[str, Output("words")]]:
        for number in range(50):
            yield str(number)

    @node(type="Listen")
    async def listen(words: Stream, first: object) -> Annotated[str, Output("text")]:
        return await words.text()

    workflow = {
        "nodes": place(t="Talk", e="Echo", l="Listen"),
        "edges": [edge("t.words", "l.words"), edge("e.out", "l.first")],
    }
    limits = EngineLimits(nodes_in_parallel=limit, stream_buffer=2, stream_overflow=8)
    with fail_after(2):
        result = await run_graph(workflow, talk, listen, echo, limits=limits)
    assert result.status is Status.COMPLETE
    assert result.node_outputs["l"]["text"] == "".join(map(str, range(50)))


async def test_the_limit_holds_for_nodes_that_wait() -> None:
    waiters = [Waiter() for _ in range(4)]
    definitions = [waiter.definition(f"W{i}") for i, waiter in enumerate(waiters)]
    workflow = {"nodes": place(a="W0", b="W1", c="W2", d="W3")}
    limits = EngineLimits(nodes_in_parallel=2)
    async with running(workflow, *definitions, limits=limits) as (_, run, _r):
        with fail_after(2):
            await wait_all_tasks_blocked()
            assert [w.running.is_set() for w in waiters] == [True, True, False, False]
            waiters[0].go.set()
            await wait_all_tasks_blocked()
            assert [w.running.is_set() for w in waiters] == [True, True, True, False]
            for waiter in waiters:
                waiter.go.set()
            assert (await run.wait()).status is Status.COMPLETE


async def test_independent_nodes_run_at_the_same_time() -> None:
    waiters = [Waiter() for _ in range(20)]
    definitions = [waiter.definition(f"W{i}") for i, waiter in enumerate(waiters)]
    workflow = {"nodes": place(**{f"n{i}": f"W{i}" for i in range(20)})}
    async with running(workflow, *definitions) as (_, run, _r):
        with fail_after(2):
            for waiter in waiters:
                await waiter.running.wait()
            for waiter in waiters:
                waiter.go.set()
            assert (await run.wait()).status is Status.COMPLETE


async def test_a_value_is_released_when_its_last_reader_has_it() -> None:
    class Big:
        pass

    made: list[weakref.ref[Big]] = []
    alive: list[bool] = []

    @node(type="Make")
    async def make() -> Annotated[object, Output("out")]:
        big = Big()
        made.append(weakref.ref(big))
        return big

    @node(type="Drop")
    async def drop(value: object) -> Annotated[int, Output("out")]:
        return 1

    @node(type="Look")
    async def look(value: object) -> Annotated[int, Output("out")]:
        gc.collect()
        alive.append(made[0]() is not None)
        return 1

    workflow = {
        "nodes": place(m="Make", d="Drop", l="Look"),
        "edges": [edge("m.out", "d.value"), edge("d.out", "l.value")],
    }
    async with pack_host(make, drop, look) as host:
        result = await host.run(workflow)
    assert result.status is Status.COMPLETE
    assert alive == [False]


async def test_work_that_never_waits_lets_the_loop_breathe() -> None:
    turns = 0
    over = anyio.Event()

    async def bystander() -> None:
        nonlocal turns
        while not over.is_set():
            turns += 1
            await checkpoint()

    workflow = {"nodes": place(**{f"n{i}": "Echo" for i in range(3000)})}
    async with pack_host(echo) as host:
        plan = await host.compile(workflow)
        with fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(bystander)
                runs = [host.start(plan) for _ in range(4)]
                for run in runs:
                    assert (await run.wait()).status is Status.COMPLETE
                over.set()
    assert turns > 4


async def test_progress_comes_from_the_loop_and_from_threads() -> None:
    @node(type="Both")
    async def both(context: NodeContext) -> None:
        context.progress(1, 2)
        await anyio.to_thread.run_sync(lambda: context.progress(2, 2, "done"))

    result = await run_graph({"nodes": place(a="Both")}, both)
    assert result.events.of("NODE_PROGRESS") == [
        {"nodeId": "a", "value": 1, "max": 2, "promptId": "test-run"},
        {"nodeId": "a", "value": 2, "max": 2, "text": "done", "promptId": "test-run"},
    ]


async def test_buttons_reach_a_running_node() -> None:
    waiter = Waiter()

    @node(type="Button")
    async def button(context: NodeContext) -> None:
        def press(message: Mapping[str, object]) -> object:
            waiter.go.set()
            return message["x"]

        context.on_action("go", press)
        context.on_action("bad", lambda message: message["nothing"])
        waiter.running.set()
        await waiter.go.wait()

    async with running({"nodes": place(a="Button")}, button) as (host, run, _r):
        with fail_after(1):
            await waiter.running.wait()
            assert await run.services.press("a", "go", {"x": 5}) == 5
            with pytest.raises(LookupError, match="node 'a' listens to no button 'stop'"):
                await run.services.press("a", "stop", {})
            reason = "failed: its button 'bad' raised KeyError: 'nothing'"
            with pytest.raises(NodeFailedError, match=reason):
                await run.services.press("a", "bad", {})
            assert host.engine.get("run") is run
            await run.wait()
            await run.released.wait()
        with pytest.raises(UnknownRunError, match="no run has the id 'run'"):
            host.engine.get("run")


@pytest.fixture
def late_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the name of a module that can be imported and has not been."""
    source = "async def execute(inputs, context):\n    return {'out': context.node_id}\n"
    (tmp_path / "late_module_of_a_pack.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    yield "late_module_of_a_pack"
    sys.modules.pop("late_module_of_a_pack", None)


async def test_an_execute_text_is_imported_when_the_node_first_runs(
    late_module: str,
) -> None:
    out = {"out": OutputDefinition()}
    late = NodeDefinition(type="Late", outputs=out, execute=f"{late_module}:execute")
    assert late_module not in sys.modules
    assert (await run_node(late)).outputs == {"out": "node"}
    missing = late.model_copy(update={"execute": f"{late_module}:nothing"})
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        await run_node(missing)

"""Event hooks of packs: batched, in order, bounded, and never in the way of a run."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import anyio
import pytest
from anyio import wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from comfytavern._listener_lanes import Ear, Lane, Reports
from comfytavern.authoring import node
from comfytavern.chunks import Chunk
from comfytavern.errors import NodeFailedError
from comfytavern.events import (
    InterfaceChunk,
    NodeBypassed,
    NodeChunk,
    NodeCompleted,
    NodeFailed,
    NodeInterrupted,
    NodeProgress,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    RunStarted,
    Status,
)
from comfytavern.hookspecs import EVENT_HOOKS, hookimpl
from comfytavern.listeners import ListenerHub, ListenerReport, ReportKind
from comfytavern.plan import PlanNode
from comfytavern.sinks import EventSink
from comfytavern.testing import pack_host


@dataclass(frozen=True)
class Listening:
    """Stands for the listener that the packs module makes."""

    function: Callable[..., Any]  # Any: coroutine functions return awaitables
    distribution: str = "some-pack"
    version: str = "1.2"
    argument_names: tuple[str, ...] = ("event",)


@dataclass(frozen=True)
class Placed:
    """What the hub reads of a node of a plan."""

    id: str
    full_type: str = "some-pack:Shout"


NODE = cast(PlanNode, Placed("n1"))


class Clock:
    """A clock that only moves when a listener says that it took time."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def on(**functions: Callable[..., Any]) -> dict[str, list[Listening]]:  # Any: see ``Listening``
    return {hook: [Listening(function)] for hook, function in functions.items()}


def call(tell: Callable[..., None] | None, *arguments: object) -> None:
    assert tell is not None
    tell(*arguments)


def start(sink: EventSink) -> None:
    call(sink.run_started, 3)


def finish(sink: EventSink) -> None:
    call(sink.run_finished, Status.COMPLETE, None, 0.5)


def begin(sink: EventSink) -> None:
    call(sink.node_started, NODE)


def streaming(sink: EventSink, node: PlanNode = NODE) -> Callable[[str], None]:
    assert sink.stream is not None
    tell = sink.stream(node)
    return lambda text: tell(Chunk.text(text))


def texts(batches: Sequence[Sequence[NodeChunk | InterfaceChunk]]) -> list[list[object]]:
    return [[event.chunk.content for event in batch] for batch in batches]


def only(hub: ListenerHub, kind: ReportKind) -> ListenerReport:
    (report,) = [report for report in hub.reports if report.kind is kind]
    return report


# --- what is heard ----------------------------------------------------------------------------


async def test_an_event_nobody_listens_to_has_no_sink() -> None:
    assert ListenerHub({}).sink("r") == EventSink()
    async with ListenerHub({**on(node_started=print), "node_failed": []}) as hub:
        sink = hub.sink("r")
    assert sink.node_started is not None
    sink.node_started = None
    assert sink == EventSink()


async def test_every_event_arrives_as_its_class() -> None:
    heard: list[object] = []
    async with ListenerHub({hook: [Listening(heard.append)] for hook in EVENT_HOOKS}) as hub:
        sink = hub.sink("r")
        error = NodeFailedError(
            "n1", "t:T", "boom", pack="t", code="odd", details={"traceback": "line 1"}
        )
        outputs: Mapping[str, object] = {"out": 1}
        start(sink)
        begin(sink)
        call(sink.node_progress, NODE, 1.0, 4.0, "a quarter")
        call(sink.node_completed, NODE, outputs, 0.25)
        streaming(sink)("a")
        call(sink.stream_broken, NODE, Chunk.error("boom"))
        call(sink.interface_chunk, "reply", "Reply", Chunk.text("a"), True)
        call(sink.node_failed, NODE, error, True)
        call(sink.node_skipped, NODE, "node 'n1' failed", "n1")
        call(sink.node_bypassed, NODE, outputs)
        call(sink.node_interrupted, NODE, False)
        call(sink.run_finished, Status.ERROR, error, 2.0)
    name = ("r", "n1", "some-pack:Shout")
    assert heard == [
        RunStarted("r", 3),
        NodeStarted(*name),
        NodeProgress(*name, 1.0, 4.0, "a quarter"),
        NodeCompleted(*name, outputs, 250.0),
        (
            NodeChunk("r", "n1", Chunk.text("a"), False),
            NodeChunk("r", "n1", Chunk.error("boom"), True),
        ),
        (InterfaceChunk("r", "reply", "Reply", Chunk.text("a"), True),),
        NodeFailed("r", "n1", "t:T", "t", "odd", "boom", "line 1", True),
        NodeSkipped(*name, "node 'n1' failed", "n1"),
        NodeBypassed(*name, outputs),
        NodeInterrupted(*name, False),
        RunFinished("r", Status.ERROR, "node 'n1' (t:T) failed: boom", 2000.0),
    ]
    assert hub.reports == []


async def test_a_listener_may_take_no_argument() -> None:
    heard: list[str] = []

    async def slowly() -> None:
        heard.append("async")

    listeners = [
        Listening(lambda: heard.append("plain"), argument_names=()),
        Listening(slowly, argument_names=()),
    ]
    async with ListenerHub({"node_started": listeners}) as hub:
        begin(hub.sink("r"))
    assert heard == ["plain", "async"]


def test_a_sink_outside_async_with_is_refused() -> None:
    hub = ListenerHub(on(node_started=print))
    with pytest.raises(RuntimeError, match="use 'async with hub:'"):
        hub.sink("r")


# --- chunks -----------------------------------------------------------------------------------


async def test_chunks_come_in_one_batch_per_turn() -> None:
    batches: list[Sequence[NodeChunk]] = []
    async with ListenerHub(on(node_chunks=batches.append)) as hub:
        sink = hub.sink("r")
        one, two = streaming(sink), streaming(sink, cast(PlanNode, Placed("n2")))
        one("a")
        two("b")
        one("c")
        assert batches == []
        await wait_all_tasks_blocked()
        one("d")
        await wait_all_tasks_blocked()
    assert texts(batches) == [["a", "b", "c"], ["d"]]
    assert [event.node_id for event in batches[0]] == ["n1", "n2", "n1"]


async def test_runs_have_their_own_batches() -> None:
    batches: list[Sequence[NodeChunk]] = []
    async with ListenerHub(on(node_chunks=batches.append)) as hub:
        one, two = streaming(hub.sink("r1")), streaming(hub.sink("r2"))
        one("a")
        two("b")
        one("c")
        await wait_all_tasks_blocked()
    assert [(batch[0].run_id, len(batch)) for batch in batches] == [("r1", 2), ("r2", 1)]


async def test_chunks_come_before_what_must_follow_them() -> None:
    heard: list[object] = []

    def hear(events: Sequence[NodeChunk]) -> None:
        heard.append([event.chunk.content for event in events])

    def note(event: object) -> None:
        heard.append(type(event).__name__)

    async with ListenerHub(on(node_chunks=hear, node_completed=note, run_finished=note)) as hub:
        sink = hub.sink("r")
        tell = streaming(sink)
        tell("a")
        call(sink.node_completed, NODE, {}, 0.1)
        tell("b")
        finish(sink)
        tell("after the end")
        call(sink.stream_broken, NODE, Chunk.error("after the end"))
        await wait_all_tasks_blocked()
    assert heard == [["a"], "NodeCompleted", ["b"], "RunFinished"]


async def test_the_end_of_a_run_tells_its_chunks_even_if_nobody_hears_the_end() -> None:
    batches: list[Sequence[InterfaceChunk]] = []
    async with ListenerHub(on(interface_chunks=batches.append)) as hub:
        sink = hub.sink("r")
        call(sink.interface_chunk, "reply", None, Chunk.text("a"), True)
        finish(sink)
        assert texts(batches) == [["a"]]
        call(sink.interface_chunk, "reply", None, Chunk.text("after the end"), True)
        await wait_all_tasks_blocked()
    assert texts(batches) == [["a"]]


async def test_leaving_tells_chunks_that_are_left() -> None:
    batches: list[Sequence[NodeChunk]] = []
    async with ListenerHub(on(node_chunks=batches.append)) as hub:
        streaming(hub.sink("r"))("a")
    assert texts(batches) == [["a"]]


async def test_telling_many_runs_lets_the_loop_breathe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfytavern.listeners.perf_counter", lambda: float("inf"))
    batches: list[Sequence[NodeChunk]] = []
    async with ListenerHub(on(node_chunks=batches.append)) as hub:
        for number in range(3):
            streaming(hub.sink(f"r{number}"))("a")
        await wait_all_tasks_blocked()
        assert len(batches) == 3


# --- listeners that fail ----------------------------------------------------------------------


async def test_one_that_raises_is_reported_against_its_pack(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[object] = []

    def broken(event: object) -> None:
        raise ValueError("no\nsuch luck")

    listeners = [Listening(broken), Listening(heard.append, distribution="other-pack")]
    async with ListenerHub({"node_started": listeners}, clock=Clock()) as hub:
        begin(hub.sink("r"))
    assert len(heard) == 1
    (report,) = hub.reports
    assert (report.distribution, report.version, report.hook) == (
        "some-pack",
        "1.2",
        "node_started",
    )
    assert (report.kind, report.count) == (ReportKind.RAISED, 1)
    assert report.message == "raised ValueError: no"
    assert 'raise ValueError("no\\nsuch luck")' in report.traceback
    assert "call_now" not in report.traceback
    (record,) = caplog.records
    assert record.name == "comfytavern.packs.some-pack"
    assert record.getMessage().startswith(
        "pack 'some-pack' 1.2, hook node_started: raised ValueError: no (1 so far)\nTraceback"
    )


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_five_failures_in_a_row_cut_a_listener_off(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[object] = []

    def broken(event: object) -> None:
        calls.append(event)
        if len(calls) != 3:
            raise RuntimeError("boom")

    async def broken_too(event: object) -> None:
        broken(event)

    listeners = on(node_started=broken_too if is_async else broken)
    async with ListenerHub(listeners, clock=Clock()) as hub:
        sink = hub.sink("r")
        for _ in range(20):
            begin(sink)
            await wait_all_tasks_blocked()
        assert len(calls) == 2 + 1 + 5
        assert hub.sink("later").node_started is None
    assert only(hub, ReportKind.RAISED).count == 7
    assert only(hub, ReportKind.CUT_OFF).message == (
        "raised 5 times in a row and is not called again until a restart"
    )
    assert len(caplog.records) == 3 + 1  # the 1st, 2nd and 4th failure, and the end of it


@pytest.mark.parametrize("is_async", [False, True], ids=["plain", "async"])
async def test_what_waits_for_one_that_is_cut_off_is_not_told(is_async: bool) -> None:
    calls: list[object] = []

    def broken(event: object) -> None:
        calls.append(event)
        raise SystemExit(3)

    async def broken_too(event: object) -> None:
        broken(event)

    clock = Clock()

    def slow(event: object) -> None:
        clock.now += 1

    functions = [slow, broken_too if is_async else broken]
    listeners = {"node_started": [Listening(f) for f in functions]}
    async with ListenerHub(listeners, clock=clock) as hub:
        sink = hub.sink("r")
        for _ in range(10):
            begin(sink)
    assert len(calls) == 5
    assert only(hub, ReportKind.RAISED).message == "raised SystemExit: 3"


async def test_a_keyboard_interrupt_is_nobodys_failure() -> None:
    def interrupt(event: object) -> None:
        raise KeyboardInterrupt

    async with ListenerHub(on(node_started=interrupt)) as hub:
        sink = hub.sink("r")
        with pytest.raises(KeyboardInterrupt):
            begin(sink)
    assert hub.reports == []


async def _ticks() -> Any:  # Any: an async generator that nobody iterates
    yield 1


async def test_one_that_returns_something_to_await_is_told_so() -> None:
    async def later() -> None:
        raise AssertionError("nobody awaits it")

    listeners = [
        Listening(lambda event: later()),
        Listening(lambda event: _ticks(), distribution="other-pack"),
        Listening(lambda event: "ignored", distribution="third-pack"),
    ]
    async with ListenerHub({"node_started": listeners}) as hub:
        begin(hub.sink("r"))
    remedy = "; make it an async def function"
    assert [(r.distribution, r.message) for r in hub.reports] == [
        ("some-pack", f"raised TypeError: it returned a coroutine{remedy}"),
        ("other-pack", f"raised TypeError: it returned a async_generator{remedy}"),
    ]


# --- async listeners --------------------------------------------------------------------------


async def test_the_run_never_waits_for_an_async_listener() -> None:
    gate, heard = anyio.Event(), []

    async def hear(event: object) -> None:
        await gate.wait()
        heard.append(event)

    async with ListenerHub(on(run_started=hear, node_chunks=hear, run_finished=hear)) as hub:
        sink = hub.sink("r")
        start(sink)
        streaming(sink)("a")
        finish(sink)
        await wait_all_tasks_blocked()
        assert heard == []
        gate.set()
        await wait_all_tasks_blocked()
        assert heard == [
            RunStarted("r", 3),
            (NodeChunk("r", "n1", Chunk.text("a"), False),),
            RunFinished("r", Status.COMPLETE, None, 500.0),
        ]
        start(hub.sink("next"))
        await wait_all_tasks_blocked()
        assert heard[3:] == [RunStarted("next", 3)]


async def test_packs_do_not_wait_for_each_other() -> None:
    heard: list[object] = []

    async def hang(event: object) -> None:
        await anyio.Event().wait()

    async def hear(event: object) -> None:
        heard.append(event)

    listeners = {"node_started": [Listening(hang), Listening(hear, distribution="other-pack")]}
    async with ListenerHub(listeners, drain=0) as hub:
        begin(hub.sink("r"))
        await wait_all_tasks_blocked()
        assert len(heard) == 1


async def test_the_oldest_are_dropped_where_too_many_wait() -> None:
    gate, heard = anyio.Event(), []

    async def hear(event: NodeStarted) -> None:
        heard.append(event.node_id)
        await gate.wait()

    async with ListenerHub(on(node_started=hear), queue=3) as hub:
        sink = hub.sink("r")
        assert sink.node_started is not None
        for number in range(2):
            sink.node_started(cast(PlanNode, Placed(f"n{number}")))
            await wait_all_tasks_blocked()
        for number in range(2, 10):
            sink.node_started(cast(PlanNode, Placed(f"n{number}")))
        report = only(hub, ReportKind.DROPPED)
        assert report.count == 6
        assert report.message == "is behind by 3 events or batches; the oldest are dropped"
        gate.set()
        await wait_all_tasks_blocked()
    assert heard == ["n0", "n7", "n8", "n9"]


async def test_1024_may_wait_by_default() -> None:
    async def hear(event: object) -> None:
        await anyio.Event().wait()

    async with ListenerHub(on(node_started=hear), drain=0) as hub:
        sink = hub.sink("r")
        for _ in range(1024):
            begin(sink)
        assert hub.reports == []
        begin(sink)
        assert only(hub, ReportKind.DROPPED).count == 1


async def test_leaving_tells_what_waits() -> None:
    heard: list[object] = []

    async def hear(event: object) -> None:
        await checkpoint()
        heard.append(event)

    with anyio.fail_after(1):
        async with ListenerHub(on(node_started=hear)) as hub:
            sink = hub.sink("r")
            for _ in range(5):
                begin(sink)
            assert heard == []
    assert len(heard) == 5
    begin(sink)
    assert only(hub, ReportKind.DROPPED).message == "the host has stopped telling events"


async def test_leaving_gives_up_at_the_deadline() -> None:
    stopped: list[bool] = []

    async def hang(event: object) -> None:
        try:
            await anyio.Event().wait()
        finally:
            stopped.append(True)

    with anyio.fail_after(1):
        async with ListenerHub(on(node_started=hang), drain=0) as hub:
            sink = hub.sink("r")
            for _ in range(3):
                begin(sink)
            await wait_all_tasks_blocked()
    assert stopped == [True]
    report = only(hub, ReportKind.DROPPED)
    assert (report.count, report.message) == (2, "the host stopped before it had heard everything")


async def test_leaving_because_of_a_cancellation_still_tells_what_waits() -> None:
    heard: list[object] = []

    async def hear(event: object) -> None:
        await checkpoint()
        heard.append(event)

    async with ListenerHub(on(node_started=print)):
        pass  # a hub that serves nobody has nothing to tell
    with anyio.CancelScope() as scope:
        async with ListenerHub(on(node_started=hear, node_chunks=hear)) as hub:
            sink = hub.sink("r")
            begin(sink)
            await wait_all_tasks_blocked()
            begin(sink)
            streaming(sink)("a")
            scope.cancel()
            await checkpoint()
    assert scope.cancelled_caught
    assert len(heard) == 3


async def test_an_error_of_the_host_passes_as_it_is() -> None:
    with pytest.raises(ValueError, match=r"^mine$"):
        async with ListenerHub({}):
            raise ValueError("mine")


async def test_a_listener_that_cancels_itself_has_failed() -> None:
    heard: list[object] = []

    async def odd(event: object) -> None:
        heard.append(event)
        raise BaseExceptionGroup("odd", [GeneratorExit()])

    async with ListenerHub(on(node_started=odd)) as hub:
        sink = hub.sink("r")
        begin(sink)
        begin(sink)
        await wait_all_tasks_blocked()
    assert len(heard) == 2
    assert only(hub, ReportKind.RAISED).count == 2


async def test_a_keyboard_interrupt_leaves_an_async_listener() -> None:
    async def interrupt(event: object) -> None:
        raise KeyboardInterrupt

    reports = Reports()
    lane = Lane(reports, queue=1, clock=Clock(), start=lambda lane: None)
    ear = Ear("node_started", Listening(interrupt), lane)
    with pytest.raises(KeyboardInterrupt):
        await ear.call_async(None)
    assert reports.listed() == []


async def test_async_listeners_that_never_wait_let_the_loop_breathe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("comfytavern._listener_lanes.perf_counter", lambda: float("inf"))
    heard: list[object] = []

    async def hear(event: object) -> None:
        heard.append(event)

    async with ListenerHub(on(node_started=hear)) as hub:
        sink = hub.sink("r")
        for _ in range(3):
            begin(sink)
        for _ in range(2):
            await checkpoint()
        assert len(heard) < 3
    assert len(heard) == 3


# --- listeners that hold up the loop ----------------------------------------------------------


class Slow:
    """A pack whose first call takes six milliseconds; notes in which thread it is called."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.took = 0.006
        self.heard: list[tuple[str, bool]] = []

    def hear(self, event: object) -> None:
        on_loop = threading.current_thread() is self.loop_thread
        self.heard.append((type(event).__name__, on_loop))
        self.clock.now += self.took
        self.took = 0.0

    async def hear_async(self, event: object) -> None:
        self.hear(event)

    def hub(self, **listeners: Callable[..., Any]) -> ListenerHub:  # Any: see ``Listening``
        self.loop_thread = threading.current_thread()
        return ListenerHub(on(**listeners), clock=self.clock)


async def test_a_slow_listener_moves_to_a_thread_with_its_pack() -> None:
    slow = Slow()
    async with slow.hub(
        node_started=slow.hear, node_completed=slow.hear_async, run_finished=slow.hear
    ) as hub:
        sink = hub.sink("r")
        begin(sink)
        slow.took = 1.0  # nobody measures it in the thread
        begin(sink)
        call(sink.node_completed, NODE, {}, 0.1)
        begin(sink)
        finish(sink)
        assert slow.heard == [("NodeStarted", True)]
    assert slow.heard == [
        ("NodeStarted", True),
        ("NodeStarted", False),
        ("NodeCompleted", True),
        ("NodeStarted", False),
        ("RunFinished", False),
    ]
    (report,) = hub.reports
    assert (report.kind, report.count, report.hook) == (ReportKind.SLOW, 1, "node_started")
    assert report.message == "held up the event loop for 6 ms; its pack moves to a thread"


async def test_five_milliseconds_are_not_slow() -> None:
    slow = Slow()
    slow.took = 0.005
    async with slow.hub(node_started=slow.hear) as hub:
        begin(hub.sink("r"))
        begin(hub.sink("r"))
    assert slow.heard == [("NodeStarted", True)] * 2
    assert hub.reports == []


async def test_the_thread_of_a_pack_is_served_in_order_and_bounded() -> None:
    slow, gate = Slow(), threading.Event()
    heard: list[str] = []

    def hear(event: NodeStarted) -> None:
        slow.hear(event)
        if threading.current_thread() is not slow.loop_thread:
            gate.wait(5)
        heard.append(event.node_id)

    slow.loop_thread = threading.current_thread()
    async with ListenerHub(on(node_started=hear), clock=slow.clock, queue=100) as hub:
        sink = hub.sink("r")
        assert sink.node_started is not None
        sink.node_started(NODE)
        sink.node_started(cast(PlanNode, Placed("first")))
        await wait_until_called(slow, 2)
        for number in range(110):
            sink.node_started(cast(PlanNode, Placed(str(number))))
        assert only(hub, ReportKind.DROPPED).count == 10
        gate.set()
    assert heard == ["n1", "first", *map(str, range(10, 110))]


async def wait_until_called(slow: Slow, times: int) -> None:
    with anyio.fail_after(1):
        while len(slow.heard) < times:
            await checkpoint()


async def test_a_thread_that_hangs_does_not_hold_up_the_stop() -> None:
    slow, gate = Slow(), threading.Event()
    calls: list[object] = []

    def hear(event: object) -> None:
        slow.hear(event)
        calls.append(event)
        if threading.current_thread() is not slow.loop_thread:
            gate.wait(5)

    slow.loop_thread = threading.current_thread()
    with anyio.fail_after(1):
        async with ListenerHub(on(node_started=hear), clock=slow.clock, drain=0) as hub:
            sink = hub.sink("r")
            for _ in range(4):
                begin(sink)
            await wait_until_called(slow, 2)
    assert len(calls) == 2
    gate.set()
    with anyio.fail_after(1):  # the thread gives up the rest that it had taken
        while not any(report.kind is ReportKind.DROPPED for report in hub.reports):
            await checkpoint()
        while only(hub, ReportKind.DROPPED).count < 2:
            await checkpoint()
    assert len(calls) == 2


# --- packs that come and go -------------------------------------------------------------------


async def test_listeners_may_be_replaced_for_later_runs() -> None:
    old: list[object] = []
    new: list[object] = []

    def broken(event: object) -> None:
        raise ValueError("no")

    stays = Listening(broken, distribution="broken-pack")
    async with ListenerHub({"node_started": [Listening(old.append), stays]}) as hub:
        before = hub.sink("r1")
        for _ in range(5):
            begin(before)
        hub.use({"node_started": [stays, Listening(new.append, distribution="new-pack")]})
        begin(before)
        begin(hub.sink("r2"))
    assert (len(old), len(new)) == (6, 1)
    assert only(hub, ReportKind.RAISED).count == 5  # what is cut off stays so


# --- with the engine --------------------------------------------------------------------------


class Listener:
    """A pack that hears everything about a run, some of it in coroutine functions."""

    distribution = "listening-pack"

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.chunks: list[object] = []

    @hookimpl
    def run_started(self, event: RunStarted) -> None:
        self.heard.append("run_started")

    @hookimpl
    def node_completed(self, event: NodeCompleted) -> None:
        self.heard.append(f"completed {event.node_id} after {len(self.chunks)}")

    @hookimpl
    def node_chunks(self, events: Sequence[NodeChunk]) -> None:
        self.chunks += [event.chunk.content for event in events]

    @hookimpl
    def run_finished(self) -> None:
        self.heard.append("run_finished")


class AsyncListener:
    """A pack whose listeners are coroutine functions, and one that always fails."""

    distribution = "async-pack"

    def __init__(self) -> None:
        self.heard: list[str] = []

    @hookimpl
    async def node_chunks(self, events: Sequence[NodeChunk]) -> None:
        await checkpoint()
        self.heard += [str(event.chunk.content) for event in events]

    @hookimpl
    async def run_finished(self, event: RunFinished) -> None:
        self.heard.append(event.status)

    @hookimpl
    def node_started(self, event: NodeStarted) -> None:
        raise ValueError("never mind")


@node(category="Test")
async def count(n: int) -> AsyncIterator[str]:
    """Stream numbers."""
    for number in range(n):
        yield str(number)


async def test_packs_hear_of_a_real_run() -> None:
    listener, other = Listener(), AsyncListener()
    workflow = {"nodes": [{"id": "n1", "fullType": "test:Count", "inputs": {"n": 1000}}]}
    with anyio.fail_after(5):
        async with pack_host(count, listener, other) as host:
            result = await host.run(workflow)
            assert result.status is Status.COMPLETE
            assert listener.heard == ["run_started", "completed n1 after 1000", "run_finished"]
    numbers = [str(number) for number in range(1000)]
    assert listener.chunks == numbers
    assert other.heard == [*numbers, "complete"]

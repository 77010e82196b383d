"""What a host makes of the one before it, which may have ended at any moment."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from comfytavern.events import Status
from comfytavern.testing import EventLog
from comfytavern_hostapp.runs import run_detail
from comfytavern_hostapp.service import Service
from comfytavern_hostapp.store import EventBatch, RunStore, StoreFullError

from ..scenarios.building import flow, interface, place
from .service_bench import (
    Bench,
    Diary,
    Json,
    check_log,
    crashed_copy,
    events_of,
    stored_events,
    stored_frames,
    submit,
)

ONE = {"concurrent_runs": 1, "interrupt_grace": "10ms"}
HOST_STOPPED = {"code": "host_stopped", "message": "the host stopped while the run was running"}
# A node that streams, one that waits, one that follows it, one that has ended.
MIXED = flow(
    place("says", "Say"),
    place("waits", "Wait"),
    place("follows", "Repeat"),
    place("ended", "Count"),
    "waits.told > follows.text",
    outputs={"speech": "says.speech", "total": "ended.total"},
)


@pytest.fixture
def after(tmp_path: Path) -> Iterator[Bench]:
    """Give a bench for what a crash leaves behind; ``crash`` fills its data directory."""
    bench = Bench(tmp_path / "after")
    yield bench
    bench.stage.close()


async def crash(bench: Bench, after: Bench) -> None:
    """Leave behind what the end of the process would leave at this moment."""
    await to_thread.run_sync(crashed_copy, bench.data_dir, after.data_dir)


NOTE = flow(place("n", "bench:Note"))


def final(events: EventLog) -> Json:
    """Return what the terminal event says."""
    return {key: value for key, value in events[-1]["payload"].items() if key != "promptId"}


async def say_and_wait(bench: Bench, service: Service) -> str:
    """Run the mixed workflow until some of it is streamed, some waits and some has ended."""
    run_id = await submit(service, MIXED)
    await bench.stage.begun("says")
    await bench.stage.begun("waits")
    bench.stage.say("says", "so ", "far")
    await anyio.wait_all_tasks_blocked()
    return run_id


# --- what was running -----------------------------------------------------------------------


async def test_what_was_running_is_interrupted_and_keeps_what_it_has_said(
    bench: Bench, after: Bench
) -> None:
    async with bench.service(limits=ONE) as service:
        run_id = await say_and_wait(bench, service)
        before = await stored_frames(service.store, run_id)
        await crash(bench, after)
    async with after.service() as service:
        frames = await stored_frames(service.store, run_id)
        assert frames[: len(before)] == before
        events = check_log(frames, ended=True)
        told = [(event["type"], event["payload"]) for event in events[len(before) :]]
        assert told == [
            ("NODE_INTERRUPTED", {"promptId": run_id, "nodeId": "says", "partial": True}),
            ("NODE_INTERRUPTED", {"promptId": run_id, "nodeId": "waits"}),
            ("NODE_INTERRUPTED", {"promptId": run_id, "nodeId": "follows"}),
            (
                "EXECUTION_STATUS_UPDATE",
                {"promptId": run_id, "status": "interrupted", "errorInfo": HOST_STOPPED},
            ),
        ]
        said = [payload["yieldedContent"]["content"] for payload in events.of("NODE_YIELD")]
        assert [text for text in said if not text.isdigit()] == ["so ", "far"]
        assert await events_of(service, run_id) == events
        run = await service.store.find(run_id)
        detail = run_detail(run, service.scheduler).model_dump(mode="json", by_alias=True)
    assert (run.status, run.last_seq) == (Status.INTERRUPTED, len(events))
    assert {node: known["status"] for node, known in detail["nodes"].items()} == {
        "says": "interrupted",
        "waits": "interrupted",
        "follows": "interrupted",
        "ended": "complete",
    }
    assert detail["outputs"]["speech"] == "so far"
    assert detail["error"]["code"] == "host_stopped"
    assert not after.stage.has_begun("says")


INNER = flow(
    place("in", "core:GroupInput"),
    place("deep", "core:NodeGroup", config={"referencedWorkflowId": "deeper"}),
    place("last", "Repeat"),
    place("out", "core:GroupOutput"),
    "in.text > last.text",
    "last.text > out.text",
    interfaceInputs=interface(text="STRING"),
    interfaceOutputs=interface(text="STRING"),
)
DEEPER = flow(place("w", "Wait"), place("x", "Repeat"), "w.told > x.text")


@pytest.mark.parametrize(
    "document",
    [
        MIXED,
        flow(
            place("says", "Say"),
            place("waits", "Wait"),
            place("g", "core:NodeGroup", config={"referencedWorkflowId": "inner"}),
            place("h", "core:NodeGroup", config={"referencedWorkflowId": "inner"}, text="now"),
            place("off", "core:NodeGroup", bypassed=True, text="now")
            | {"configValues": {"referencedWorkflowId": "inner"}},
            "waits.told > g.text",
        ),
    ],
    ids=["plain", "groups"],
)
async def test_a_crash_ends_the_same_nodes_as_an_interrupt(
    bench: Bench, after: Bench, document: Json
) -> None:
    async with bench.service(limits=ONE) as service:
        for name, stored in {"inner": INNER, "deeper": DEEPER}.items():
            await to_thread.run_sync(service.workflows.save, name, stored)
        run_id = await submit(service, document)
        await bench.stage.begun("says")
        await bench.stage.begun("waits")
        bench.stage.say("says", "so far")
        await anyio.wait_all_tasks_blocked()
        await crash(bench, after)
        await service.scheduler.interrupt(run_id)
        live = await events_of(service, run_id)
    async with after.service() as service:
        recovered = await stored_events(service.store, run_id)

    def ends(events: EventLog) -> list[tuple[str, bool]]:
        found = events.of("NODE_INTERRUPTED")
        return sorted((payload["nodeId"], "partial" in payload) for payload in found)

    assert ends(recovered) == ends(live)


async def test_nothing_more_happens_to_it_at_later_starts(bench: Bench, after: Bench) -> None:
    async with bench.service(limits=ONE) as service:
        run_id = await say_and_wait(bench, service)
        await crash(bench, after)
    async with after.service() as service:
        events = await stored_events(service.store, run_id)
    async with after.service() as service:
        assert await stored_events(service.store, run_id) == events


async def test_the_log_for_the_operator_is_closed_as_well(bench: Bench, after: Bench) -> None:
    async with bench.service(limits=ONE) as service:
        run_id = await say_and_wait(bench, service)
        await crash(bench, after)
    async with after.service():
        pass
    text = await anyio.Path(after.data_dir / "logs" / "runs" / f"run-{run_id}.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["event"] for line in lines].count("run_end") == 1
    assert (lines[0]["event"], lines[-1]["event"]) == ("run_start", "run_end")
    assert (lines[-1]["status"], lines[-1]["errorInfo"]["code"]) == ("interrupted", "host_stopped")


async def test_a_start_that_fails_halfway_is_made_up_for(
    bench: Bench, after: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.service(limits={**ONE, "concurrent_runs": 2}) as service:
        ids = [await submit(service, flow(place(name, "Wait"))) for name in "ab"]
        await bench.stage.begun("a")
        await bench.stage.begun("b")
        await crash(bench, after)
    calls = itertools.count(1)
    append = RunStore.append

    async def refuse_later(
        store: RunStore,
        number: int,
        batch: EventBatch,
        *,
        status: Status | None = None,
        report: bytes | None = None,
    ) -> None:
        if next(calls) > 1:
            raise StoreFullError(store.database.path)
        await append(store, number, batch, status=status, report=report)

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "append", refuse_later)
        with pytest.raises(StoreFullError):
            async with after.service():
                raise AssertionError("it has started")
    async with after.service() as service:
        for run_id in ids:
            assert final(await stored_events(service.store, run_id)) == {
                "status": "interrupted",
                "errorInfo": HOST_STOPPED,
            }


# --- what was waiting -----------------------------------------------------------------------


@pytest.mark.parametrize("end", ["stop", "crash"])
async def test_what_waited_goes_on_in_order_and_nothing_runs_twice(
    bench: Bench, after: Bench, end: str
) -> None:
    diary = Diary(bench, after)
    async with bench.service(limits=ONE) as service:
        done = [await submit(service, NOTE) for _ in range(2)]
        for run_id in done:
            await events_of(service, run_id)
        running = await submit(service, flow(place("n", "bench:Note"), place("w", "Wait")))
        await bench.stage.begun("w")
        waiting = [await submit(service, NOTE, priority=priority) for priority in (0, 5, 0, -5, 5)]
        gone = await submit(service, NOTE)
        await service.scheduler.interrupt(gone)
        assert diary.runs == [*done, running]
        if end == "crash":
            await crash(bench, after)
    order = [waiting[index] for index in (1, 4, 0, 2, 3)]
    async with (after if end == "crash" else bench).service(limits=ONE) as service:
        for run_id in order:
            assert final(await events_of(service, run_id)) == {"status": "complete"}
        assert diary.runs == [*done, running, *order]
        assert final(await stored_events(service.store, running))["status"] == "interrupted"
        new = await submit(service, NOTE)
        await events_of(service, new)
        assert (await service.store.find(new)).number == 10  # numbers go on
    assert diary.runs[-1] == new


async def test_a_waiting_run_whose_nodes_are_gone_fails_and_holds_nobody_up(bench: Bench) -> None:
    diary = Diary(bench)
    async with bench.service(paused=True) as service:
        lost = await submit(service, NOTE)
        good = await submit(service, flow(place("c", "Count")))
    bench.nodes.clear()
    async with bench.service(limits=ONE) as service:
        ended = final(await events_of(service, lost))
        assert ended["status"] == "error"
        assert [found["code"] for found in ended["errorInfo"]["details"]] == ["unknown_node_type"]
        assert final(await events_of(service, good)) == {"status": "complete"}
    assert diary.runs == []

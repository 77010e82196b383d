"""Runs while the store refuses: what was said is kept until it can be stored, nothing is lost."""

from __future__ import annotations

import logging

import anyio
import pytest

from comfytavern.events import Status
from comfytavern_hostapp.service import Service
from comfytavern_hostapp.store import StoreError, StoreFullError

from ..scenarios.building import flow, place
from .service_bench import Bench, events_of, locked_out, stored_events, submit

ONE = {"concurrent_runs": 1, "interrupt_grace": "10ms"}
COUNT = flow(place("c", "Count"))
WAIT = flow(place("a", "Wait"))
SAY = flow(place("a", "Say"), place("b", "Wait"))
REFUSED = "the file of runs 'runs.sqlite3' cannot be used: database is locked"


@pytest.fixture(autouse=True)
def _tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("execution", "scheduler"):
        monkeypatch.setattr(f"comfytavern_hostapp.runs.{module}.RETRY", 0.01)


class RefusingBegin:
    """Stands in for ``begin`` of a store, and refuses until told otherwise."""

    def __init__(self, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refuses = True
        self.calls = 0
        self.reached = anyio.Event()
        self.go: anyio.Event | None = None
        self._store = service.store
        self._begin = service.store.begin
        monkeypatch.setattr(service.store, "begin", self)

    async def __call__(self, number: int, started: float) -> bytes:
        self.calls += 1
        self.reached.set()
        if self.go is not None:
            await self.go.wait()
        if self.refuses:
            raise StoreFullError(self._store.database.path)
        return await self._begin(number, started)


async def interrupted(service: Service, run_id: str) -> None:
    """Wait until a running run was told to stop."""
    while not (execution := service.scheduler.execution(run_id)) or not execution.is_interrupted:
        await anyio.wait_all_tasks_blocked()


# --- while a run goes on --------------------------------------------------------------------


async def test_what_cannot_be_stored_is_kept_and_the_run_is_interrupted(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.service(limits=ONE) as service:
        run_id, after = await submit(service, SAY), await submit(service, COUNT)
        await bench.stage.begun("a")
        await bench.stage.begun("b")
        bench.stage.say("a", "heard")
        await anyio.wait_all_tasks_blocked()
        stored = len(await stored_events(service.store, run_id))
        async with locked_out(service.store):
            bench.stage.say("a", " and kept")
            await interrupted(service, run_id)
            assert service.problems == [REFUSED]
            with pytest.raises(StoreError):
                await submit(service, WAIT)
            assert len(await stored_events(service.store, run_id)) == stored
            execution = service.scheduler.execution(run_id)
            assert execution is not None
            assert execution.feed.last_seq == stored  # nobody was told what is not stored
        events = await events_of(service, run_id)
        assert await stored_events(service.store, run_id) == events
        assert (await events_of(service, after))[-1]["payload"]["status"] == "complete"
        assert service.problems == []
        assert (await service.store.size())[0] == 2
    said = [payload["yieldedContent"]["content"] for payload in events.of("NODE_YIELD")]
    assert said == ["heard", " and kept"]
    assert events[-1]["payload"]["status"] == "interrupted"
    assert f"run {run_id} is interrupted: {REFUSED}" in caplog.messages


async def test_the_end_of_a_run_waits_until_it_can_be_stored(bench: Bench) -> None:
    async with bench.service(limits=ONE) as service:
        run_id = await submit(service, WAIT)
        await bench.stage.begun("a")
        async with locked_out(service.store):
            bench.stage.end("a")
            await interrupted(service, run_id)
            await anyio.wait_all_tasks_blocked()
            assert (await service.store.find(run_id)).status == Status.RUNNING
        events = await events_of(service, run_id)
        # The node had ended well before anybody was told to stop.
        assert events[-1]["payload"]["status"] == "complete"
        assert events.of("NODE_COMPLETE")[0]["nodeId"] == "a"


async def test_the_host_stops_although_nothing_can_be_stored(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.service(limits=ONE) as service:
        run_id, waiting = await submit(service, WAIT), await submit(service, WAIT)
        await bench.stage.begun("a")
        await service.store.database.write(
            lambda writer: writer.execute("PRAGMA query_only = 1").fetchall()
        )
    assert (
        f"the end of run {run_id} is not stored: the file of runs 'runs.sqlite3' cannot be used:"
        " attempt to write a readonly database"
    ) in caplog.messages
    async with bench.service(paused=True) as service:
        events = await stored_events(service.store, run_id)
        assert events[-1]["payload"]["errorInfo"]["code"] == "host_stopped"
        assert (await service.store.find(waiting)).status == Status.QUEUED


# --- before a run begins --------------------------------------------------------------------


async def test_a_run_that_cannot_be_noted_as_running_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.service(limits=ONE) as service:
        begin = RefusingBegin(service, monkeypatch)
        first, second = await submit(service, WAIT), await submit(service, WAIT)
        while begin.calls < 4:
            await anyio.wait_all_tasks_blocked()
        assert not bench.stage.has_begun("a")
        assert {(await service.store.find(run_id)).status for run_id in (first, second)} == {
            Status.QUEUED
        }
        begin.refuses = False
        for run_id in (first, second):
            bench.stage.end("a")
            assert (await events_of(service, run_id))[-1]["payload"]["status"] == "complete"
        started = [(await service.store.find(run_id)).started for run_id in (first, second)]
        assert started == sorted(started, key=lambda moment: moment or 0)
    assert (
        f"run {first} cannot be started, it is tried again: the file of runs 'runs.sqlite3' cannot"
        " grow, the disk is full; make room, the host goes on by then"
    ) in caplog.messages


async def test_interrupted_while_it_cannot_be_noted_as_running(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.service(limits=ONE) as service:
        begin = RefusingBegin(service, monkeypatch)
        begin.go = anyio.Event()
        run_id, after = await submit(service, WAIT), await submit(service, COUNT)
        await begin.reached.wait()
        async with locked_out(service.store):
            assert await service.scheduler.interrupt(run_id) is None
            begin.go.set()
            await anyio.wait_all_tasks_blocked()  # its end is tried to be stored, over and over
            assert (await service.store.find(run_id)).status == Status.QUEUED
        assert (await events_of(service, run_id))[-1]["payload"]["status"] == "interrupted"
        begin.refuses = False
        assert (await events_of(service, after))[-1]["payload"]["status"] == "complete"
        assert await stored_events(service.store, run_id)
    assert not bench.stage.has_begun("a")


@pytest.mark.parametrize("when", ["between two attempts", "during one"])
async def test_the_host_stops_while_no_run_can_be_begun(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    async def refuse_when_all_wait(go: anyio.Event) -> None:
        await anyio.wait_all_tasks_blocked()
        go.set()

    async with anyio.create_task_group() as tasks, bench.service(limits=ONE) as service:
        begin = RefusingBegin(service, monkeypatch)
        if when == "during one":
            begin.go = anyio.Event()
        ids = [await submit(service, WAIT) for _ in range(2)]
        await begin.reached.wait()
        if begin.go is not None:
            tasks.start_soon(refuse_when_all_wait, begin.go)  # by then it is stopping
    async with bench.service(paused=True) as service:
        assert [waiting.run.run_id for waiting in service.scheduler.queue] == ids


# --- commands -------------------------------------------------------------------------------


async def test_a_command_that_cannot_be_stored_changes_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with bench.service(paused=True) as service:
        scheduler = service.scheduler
        first, second = [await submit(service, WAIT) for _ in range(2)]
        async with locked_out(service.store):
            for command in (
                scheduler.interrupt(second),
                scheduler.set_priority(second, 9),
                scheduler.pause(paused=False),
                submit(service, WAIT),
            ):
                with pytest.raises(StoreError) as caught:
                    await command
                assert str(caught.value) == REFUSED
            assert [waiting.run.run_id for waiting in scheduler.queue] == [first, second]
            assert scheduler.is_paused
        assert await scheduler.interrupt(second) == Status.INTERRUPTED
        await scheduler.pause(paused=False)
        bench.stage.end("a")
        assert (await events_of(service, first))[-1]["payload"]["status"] == "complete"
        assert len(await stored_events(service.store, second)) == 3

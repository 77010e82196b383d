"""What the host makes of a runner: whatever it does, each log ends once, and the host goes on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from comfytavern.events import Status
from comfytavern.runlog import RunLogs
from comfytavern.runner import Envelope, Runner, RunSpec
from comfytavern_hostapp.runs import Feeds, RunLogWriter, Scheduler, Submission
from comfytavern_hostapp.service import Service
from comfytavern_hostapp.store import BlobIntake

from ..scenarios.building import flow, place
from .scripted_runner import Script, ScriptedRunner, event, status
from .service_bench import Bench, Json, events_of, open_store, stored_events, submit

Batches = AsyncGenerator[list[Envelope], None]
ANY = flow(place("a", "Wait"))


@asynccontextmanager
async def scripted(
    bench: Bench, script: Script, runner: ScriptedRunner | None = None
) -> AsyncIterator[Service]:
    """Open a host with one slot, whose runs follow a script."""
    chosen = runner or ScriptedRunner(script)
    bench.runners["scripted"] = lambda host: chosen
    limits = {"concurrent_runs": 1, "interrupt_grace": "10ms"}
    async with bench.service(runner="scripted", limits=limits) as service:
        yield service


async def outcome(bench: Bench, script: Script) -> tuple[list[str], Json]:
    """Run a script, and a good run after it; return what the first has left.

    :return: the types of its events after the first two, and its terminal event's payload
    """

    async def once_then_well(spec: RunSpec) -> Batches:
        if spec.inputs:
            yield [status(spec, "complete")]
            return
        async for batch in script(spec):
            yield batch

    async with scripted(bench, once_then_well) as service:
        run_id = await submit(service, ANY)
        events = await events_of(service, run_id)
        good = flow(place("a", "Wait"), interfaceInputs={"x": {"dataFlowType": "STRING"}})
        after = await submit(service, good, inputs={"x": "again"})
        assert (await events_of(service, after))[-1]["payload"]["status"] == "complete"
        assert await stored_events(service.store, run_id) == events
        run = await service.store.find(run_id)
    payload = dict(events[-1]["payload"])
    assert payload.pop("promptId") == run_id
    assert run.status == payload["status"]
    return [event["type"] for event in events[2:]], payload


def fault(reason: str) -> Json:
    """Return the payload of a run that a fault of its runner has ended."""
    message = f"the run ended by a fault: {reason}"
    return {"status": "error", "errorInfo": {"code": "runner_failed", "message": message}}


STATUS = "EXECUTION_STATUS_UPDATE"


async def test_a_runner_that_raises_at_once(bench: Bench) -> None:
    async def script(spec: RunSpec) -> Batches:
        if spec.run_id:
            raise OSError("no such engine")
        yield []

    assert await outcome(bench, script) == ([STATUS], fault("OSError: no such engine"))


async def test_a_runner_that_raises_later_keeps_what_it_has_said(bench: Bench) -> None:
    async def script(spec: RunSpec) -> Batches:
        yield [event(spec, "NODE_EXECUTING", nodeId="a")]
        raise ValueError("lost the thread")

    kinds = ["NODE_EXECUTING", STATUS]
    assert await outcome(bench, script) == (kinds, fault("ValueError: lost the thread"))


async def test_a_runner_that_says_nothing(bench: Bench) -> None:
    async def script(spec: RunSpec) -> Batches:
        yield []
        return

    reason = "the runner ended without a final status"
    assert await outcome(bench, script) == ([STATUS], fault(reason))


async def test_a_runner_that_never_says_how_it_ended(bench: Bench) -> None:
    async def script(spec: RunSpec) -> Batches:
        yield [status(spec, "running")]
        yield [event(spec, "NODE_EXECUTING", nodeId="a")]

    reason = "the runner ended without a final status"
    kinds = [STATUS, "NODE_EXECUTING", STATUS]
    assert await outcome(bench, script) == (kinds, fault(reason))


async def test_nothing_comes_after_the_terminal_event(bench: Bench) -> None:
    async def script(spec: RunSpec) -> Batches:
        yield [status(spec, "running"), status(spec, "complete"), status(spec, "running")]
        yield [event(spec, "NODE_EXECUTING", nodeId="a")]
        yield [status(spec, "error")]

    assert await outcome(bench, script) == ([STATUS, STATUS], {"status": "complete"})


async def test_a_runner_that_raises_after_the_end_has_ended_well(bench: Bench) -> None:
    async def script(spec: RunSpec) -> Batches:
        yield [status(spec, "complete")]
        raise ValueError("one more thing")

    assert await outcome(bench, script) == ([STATUS], {"status": "complete"})


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"type": "NODE_YIELD"}, "KeyError: 'payload'"),
        (
            {"type": STATUS, "payload": {"status": "tired"}},
            "ValueError: 'tired' is not a valid Status",
        ),
        (
            {"type": "NODE_PROGRESS", "payload": {"nodeId": "a", "value": object()}},
            "TypeError: Type is not JSON serializable: object",
        ),
    ],
)
async def test_events_that_are_none_are_a_fault(bench: Bench, broken: Json, reason: str) -> None:
    async def script(spec: RunSpec) -> Batches:
        yield [broken]
        yield [status(spec, "complete")]

    assert await outcome(bench, script) == ([STATUS], fault(reason))


async def test_what_comes_after_a_cancel_is_kept(bench: Bench) -> None:
    async def script(spec: RunSpec) -> Batches:
        yield [event(spec, "NODE_EXECUTING", nodeId="a")]
        await runner.told.wait()
        yield [event(spec, "NODE_COMPLETE", nodeId="a", output={})]
        yield [status(spec, "interrupted")]

    runner = ScriptedRunner(script)
    async with scripted(bench, script, runner) as service:
        run_id = await submit(service, ANY)
        while not (execution := service.scheduler.execution(run_id)) or not execution.state.nodes:
            await anyio.wait_all_tasks_blocked()
        await service.scheduler.interrupt(run_id)
        events = await events_of(service, run_id)
    assert [event["type"] for event in events[2:]] == ["NODE_EXECUTING", "NODE_COMPLETE", STATUS]
    assert runner.cancelled == [run_id]


async def test_a_slot_is_held_until_the_runner_has_really_ended(bench: Bench) -> None:
    go = anyio.Event()

    async def script(spec: RunSpec) -> Batches:
        yield [status(spec, "complete")]
        await go.wait()

    async with scripted(bench, script) as service:
        first, second = await submit(service, ANY), await submit(service, ANY)
        await events_of(service, first)
        await anyio.wait_all_tasks_blocked()
        assert service.scheduler.queue.position(second) == 1
        go.set()
        await events_of(service, second)


async def test_a_runner_that_cannot_cancel_does_not_keep_the_host(bench: Bench) -> None:
    async def script(spec: RunSpec) -> Batches:
        yield [event(spec, "NODE_EXECUTING", nodeId="a")]
        await runner.told.wait()
        yield [status(spec, "interrupted")]

    runner = ScriptedRunner(script)
    runner.cancel_error = ConnectionError("the cluster is gone")
    async with scripted(bench, script, runner) as service:
        run_id = await submit(service, ANY)
        while not service.scheduler.running:
            await anyio.wait_all_tasks_blocked()
    async with bench.service(paused=True) as service:
        assert (await service.store.find(run_id)).status == Status.INTERRUPTED
        await stored_events(service.store, run_id)


# --- the scheduler by itself ----------------------------------------------------------------


@asynccontextmanager
async def scheduling(
    data_dir: Path, runner: Runner, changes: list[str]
) -> AsyncIterator[Scheduler]:
    """Run a scheduler with one slot and no bound on what waits.

    :param changes: gets a word for each change: how many run, how many wait, and a mark if paused
    """
    logs = RunLogWriter(RunLogs(data_dir / "logs"))

    def note() -> None:
        mark = " paused" if scheduler.is_paused else ""
        changes.append(f"{len(scheduler.running)}+{len(scheduler.queue)}{mark}")

    async with open_store(data_dir) as store, anyio.create_task_group() as tasks:
        scheduler = Scheduler(
            store,
            Feeds(store, str),
            runner,
            slots=1,
            capacity=None,
            grace=0.01,
            logs=logs,
            blobs=BlobIntake(),
            on_change=note,
            on_finished=lambda: changes.append("finished"),
        )
        tasks.start_soon(logs.run)
        await scheduler.start(tasks)
        yield scheduler
        await scheduler.stop()
        await logs.close()


async def test_every_change_is_told(tmp_path: Path) -> None:
    ready, go = anyio.Event(), anyio.Event()

    async def script(spec: RunSpec) -> Batches:
        ready.set()
        await go.wait()
        yield [status(spec, "complete")]

    changes: list[str] = []

    def told() -> list[str]:
        found = changes.copy()
        changes.clear()
        return found

    async with scheduling(tmp_path, ScriptedRunner(script), changes) as scheduler:
        submission = Submission(RunSpec("", {"nodes": []}))
        await scheduler.submit(submission)
        await ready.wait()
        assert set(told()) == {"1+0"}
        second = (await scheduler.submit(submission)).run.run_id
        third = (await scheduler.submit(submission)).run.run_id
        assert told() == ["1+1", "1+2"]
        await scheduler.set_priority(third, 5)
        assert told() == ["1+2"]
        await scheduler.pause(paused=True)
        assert told() == ["1+2 paused"]
        await scheduler.interrupt(second)
        assert told() == ["finished", "1+1 paused"]
        go.set()
        while scheduler.free_slots == 0:
            await anyio.wait_all_tasks_blocked()
        assert told() == ["finished", "0+1 paused", "0+1 paused"]
        await scheduler.pause(paused=False)
        while scheduler.free_slots == 0 or scheduler.queue:
            await anyio.wait_all_tasks_blocked()
        assert told()[-2:] == ["0+0", "0+0"]


async def test_any_number_may_wait_without_a_capacity(tmp_path: Path) -> None:
    async def script(spec: RunSpec) -> Batches:
        yield [status(spec, "complete")]

    async with scheduling(tmp_path, ScriptedRunner(script), []) as scheduler:
        await scheduler.pause(paused=True)
        async with anyio.create_task_group() as tasks:
            for _ in range(1200):
                tasks.start_soon(scheduler.submit, Submission(RunSpec("", {"nodes": []})))
        assert len(scheduler.queue) == 1200


async def test_a_flood_is_stored_in_portions(bench: Bench) -> None:
    async def flood(spec: RunSpec) -> Batches:
        many = [event(spec, "NODE_EXECUTING", nodeId=str(number)) for number in range(9_000)]
        yield [*many, status(spec, "complete")]

    async with scripted(bench, flood) as service:
        run_id = await submit(service, ANY)
        events = await events_of(service, run_id)
        run = await service.store.find(run_id)
        sizes = await service.store.database.read(
            lambda c: [row[0] for row in c.execute("SELECT last - first + 1 FROM events")]
        )
    assert [event["seq"] for event in events] == list(range(1, 9_004))
    assert (run.status, run.last_seq) == ("complete", 9_003)
    assert sizes == [2, 4000, 4000, 1001]

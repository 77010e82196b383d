"""The scheduler: how many runs at once, which is next, and when no more are taken."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from comfytavern.errors import QueueFullError, UnknownRunError
from comfytavern_hostapp.runs import IdempotencyError
from comfytavern_hostapp.service import Service
from comfytavern_hostapp.store import RunFilter

from ..scenarios.building import flow, place
from .service_bench import Bench, Diary, Json, events_of, stored_events, submit

ONE = {"concurrent_runs": 1}


def waits(node_id: str) -> Json:
    """Return a workflow of one node that waits until the test ends it."""
    return flow(place(node_id, "Wait"))


@pytest.fixture
def diary(bench: Bench) -> Diary:
    return Diary(bench)


async def note(service: Service, priority: int = 0) -> str:
    """Hand in a run that only writes itself into the diary."""
    return await submit(service, flow(place("n", "bench:Note")), priority=priority)


async def all_ended(service: Service, run_ids: Sequence[str]) -> None:
    """Wait until all these runs have ended."""
    for run_id in run_ids:
        await events_of(service, run_id)


# --- slots and order ------------------------------------------------------------------------


async def test_as_many_runs_at_once_as_there_are_slots(bench: Bench) -> None:
    stage = bench.stage
    async with bench.service(limits={"concurrent_runs": 2}) as service:
        ids = [await submit(service, waits(name)) for name in "abcd"]
        await stage.begun("a")
        await stage.begun("b")
        scheduler = service.scheduler
        assert [execution.run_id for execution in scheduler.running] == ids[:2]
        assert [scheduler.queue.position(run_id) for run_id in ids] == [None, None, 1, 2]
        assert scheduler.free_slots == 0
        stage.end("b")
        await stage.begun("c")
        assert not stage.has_begun("d")
        for name in "acd":
            stage.end(name)
        await all_ended(service, ids)
        await anyio.wait_all_tasks_blocked()
        assert (scheduler.free_slots, scheduler.running, len(scheduler.queue)) == (2, [], 0)


async def test_runs_start_in_the_order_of_submission(bench: Bench, diary: Diary) -> None:
    async with bench.service(limits=ONE) as service:
        await submit(service, waits("holds"))
        await bench.stage.begun("holds")
        ids = [await note(service) for _ in range(10)]
        bench.stage.end("holds")
        await all_ended(service, ids)
        started = [(await service.store.find(run_id)).started for run_id in ids]
    assert diary.runs == ids
    assert started == sorted(started, key=float)  # type: ignore[arg-type]  # all have begun


async def test_higher_priorities_come_first(bench: Bench, diary: Diary) -> None:
    async with bench.service(paused=True) as service:
        low, a, b, high, c = [await note(service, priority) for priority in (-1, 0, 5, 9, 5)]
        positions = [service.scheduler.queue.position(run_id) for run_id in (low, a, b, high, c)]
        # What each was told when it was queued, among those that waited then.
        told = [(await stored_events(service.store, run_id))[1] for run_id in (low, a, b, high, c)]
        assert positions == [5, 4, 2, 1, 3]
        assert [event["payload"]["queuePosition"] for event in told] == [1, 1, 1, 1, 3]
    async with bench.service(limits=ONE) as service:
        await service.scheduler.pause(paused=False)
        await all_ended(service, [low, a, b, high, c])
    assert diary.runs == [high, b, c, a, low]


async def test_a_waiting_run_can_be_given_another_priority(bench: Bench, diary: Diary) -> None:
    async with bench.service(paused=True) as service:
        a, b, c = [await note(service) for _ in range(3)]
        assert await service.scheduler.set_priority(c, 1) == 1
        assert await service.scheduler.set_priority(a, -1) == 3
        assert await service.scheduler.set_priority(b, 1) == 1  # as high, and handed in before c
        assert [waiting.run.run_id for waiting in service.scheduler.queue] == [b, c, a]
    async with bench.service(limits=ONE, paused=True) as service:  # a restart keeps them
        assert [waiting.priority for waiting in service.scheduler.queue] == [1, 1, -1]
        await service.scheduler.pause(paused=False)
        await all_ended(service, [a, b, c])
        assert await service.scheduler.set_priority(a, 5) is None
        with pytest.raises(UnknownRunError):
            await service.scheduler.set_priority("nobody", 5)
    assert diary.runs == [b, c, a]


# --- pause ----------------------------------------------------------------------------------


async def test_a_paused_queue_starts_nothing_and_what_runs_goes_on(
    bench: Bench, diary: Diary
) -> None:
    async with bench.service() as service:
        running = await submit(service, waits("a"))
        await bench.stage.begun("a")
        await service.scheduler.pause(paused=True)
        waiting = await note(service)
        bench.stage.end("a")
        await events_of(service, running)
        await anyio.wait_all_tasks_blocked()
        assert service.scheduler.queue.position(waiting) == 1
        await service.scheduler.pause(paused=False)
        await events_of(service, waiting)
    assert diary.runs == [waiting]


async def test_a_pause_survives_a_restart_and_so_does_its_end(bench: Bench, diary: Diary) -> None:
    async with bench.service() as service:
        await service.scheduler.pause(paused=True)
        ids = [await note(service) for _ in range(3)]
    async with bench.service() as service:
        assert service.scheduler.is_paused
        assert [waiting.run.run_id for waiting in service.scheduler.queue] == ids
        await service.scheduler.pause(paused=False)
        await all_ended(service, ids)
    async with bench.service() as service:
        assert not service.scheduler.is_paused
        await events_of(service, await note(service))
    assert diary.runs[:3] == ids


async def test_a_host_that_is_started_paused_is_so_only_that_time(
    bench: Bench, diary: Diary
) -> None:
    async with bench.service(paused=True) as service:
        run_id = await note(service)
        assert service.scheduler.is_paused
    assert diary.runs == []
    async with bench.service() as service:
        await events_of(service, run_id)
    assert diary.runs == [run_id]


# --- when no more are taken -----------------------------------------------------------------


async def test_too_many_waiting_runs_are_refused(bench: Bench) -> None:
    async with bench.service(limits={**ONE, "queued_runs": 2}) as service:
        await submit(service, waits("a"))
        await bench.stage.begun("a")
        waiting = [await submit(service, waits(name)) for name in "bc"]
        with pytest.raises(QueueFullError) as caught:
            await submit(service, waits("d"))
        assert str(caught.value) == "2 runs are waiting already; try again in 1 s"
        assert caught.value.retry_after == 1.0
        await service.scheduler.interrupt(waiting[0])
        await submit(service, waits("d"))  # there is room again
        assert (await service.store.size())[0] == 4


async def test_requests_at_the_same_time_do_not_get_past_the_limit(bench: Bench) -> None:
    told: list[str] = []

    async def ask(service: Service) -> None:
        try:
            told.append(await submit(service, waits("later")))
        except QueueFullError:
            told.append("refused")

    async with bench.service(limits={**ONE, "queued_runs": 3}) as service:
        await submit(service, waits("a"))
        await bench.stage.begun("a")
        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(ask, service)
        assert told.count("refused") == 9
        assert len(service.scheduler.queue) == 3


async def test_none_may_wait_but_whoever_finds_a_slot_is_taken(bench: Bench) -> None:
    async with bench.service(limits={"concurrent_runs": 2, "queued_runs": 0}) as service:
        await submit(service, waits("a"))
        await submit(service, waits("b"))
        with pytest.raises(QueueFullError):
            await submit(service, waits("c"))
        await service.scheduler.pause(paused=True)
        bench.stage.end("a")
        while not service.scheduler.free_slots:
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(QueueFullError):  # it would wait
            await submit(service, waits("c"))


# --- handing in -----------------------------------------------------------------------------


async def test_the_log_begins_with_what_the_host_says(bench: Bench) -> None:
    async with bench.service(paused=True) as service:
        run_id = await submit(service, waits("a"))
        accepted, queued = await stored_events(service.store, run_id)
    assert accepted["type"] == "PROMPT_ACCEPTED_RESPONSE"
    assert accepted["payload"] == {"promptId": run_id}
    assert queued["type"] == "EXECUTION_STATUS_UPDATE"
    assert queued["payload"] == {"promptId": run_id, "status": "queued", "queuePosition": 1}


async def test_a_key_used_again_gives_the_same_run(bench: Bench, diary: Diary) -> None:
    document = flow(place("n", "bench:Note"))
    async with bench.service() as service:
        first = await submit(service, document, idempotency_key="k")
        await events_of(service, first)
        assert await submit(service, document, idempotency_key="k") == first
    async with bench.service() as service:
        assert await submit(service, document, idempotency_key="k") == first
        with pytest.raises(IdempotencyError) as caught:
            await submit(service, waits("a"), idempotency_key="k")
        with pytest.raises(IdempotencyError):
            await submit(service, document, idempotency_key="k", priority=1)
        assert str(caught.value) == (
            "the Idempotency-Key 'k' was used for another request; use a new key"
        )
        other = await submit(service, document, idempotency_key="K")
        await events_of(service, other)
    assert diary.runs == [first, other]


async def test_a_key_is_good_for_one_run_also_at_the_same_time(bench: Bench, diary: Diary) -> None:
    found: list[str] = []

    async def ask(service: Service) -> None:
        document = flow(place("n", "bench:Note"))
        found.append(await submit(service, document, idempotency_key="k"))

    async with bench.service() as service:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(ask, service)
        await events_of(service, found[0])
    assert (len(set(found)), diary.runs) == (1, found[:1])


async def test_a_run_is_executed_although_whoever_handed_it_in_is_gone(
    bench: Bench, diary: Diary
) -> None:
    async with bench.service() as service:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(note, service)
            await checkpoint()  # by now it is on its way to the store
            tasks.cancel_scope.cancel()
        [run] = (await service.store.page(RunFilter())).runs
        assert (await events_of(service, run.run_id))[-1]["payload"]["status"] == "complete"
    assert diary.runs == [run.run_id]

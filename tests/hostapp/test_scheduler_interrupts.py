"""Runs that are stopped: waiting, on their way, running, and those that do not want to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from comfytavern.errors import UnknownRunError
from comfytavern.events import Status
from comfytavern.runner import AbandonedNode
from comfytavern.testing import EventLog
from comfytavern_hostapp.runs import SlotsAbandonedError
from comfytavern_hostapp.service import Service

from ..scenarios.building import flow, place
from .service_bench import Bench, Held, events_of, stored_events, submit

ONE = {"concurrent_runs": 1, "interrupt_grace": "10ms"}
WAIT = flow(place("a", "Wait"))
STUBBORN = flow(place("s", "Stubborn"))


def final(events: EventLog) -> dict[str, object]:
    """Return what the terminal event says."""
    payload = dict(events[-1]["payload"])
    payload.pop("promptId")
    return payload


async def statuses(service: Service, *run_ids: str) -> list[str]:
    """Return the stored statuses of runs."""
    return [(await service.store.find(run_id)).status for run_id in run_ids]


async def slot_is_free(service: Service) -> None:
    """Wait until a slot is free."""
    while not service.scheduler.free_slots:
        await anyio.wait_all_tasks_blocked()


# --- waiting runs ---------------------------------------------------------------------------


async def test_a_waiting_run_is_interrupted_at_once(bench: Bench) -> None:
    async with bench.service(paused=True) as service:
        first, second, third = [await submit(service, WAIT) for _ in range(3)]
        assert await service.scheduler.interrupt(second) == Status.INTERRUPTED
        events = await stored_events(service.store, second)
        assert [event["type"] for event in events] == [
            "PROMPT_ACCEPTED_RESPONSE",
            "EXECUTION_STATUS_UPDATE",
            "EXECUTION_STATUS_UPDATE",
        ]
        assert final(events) == {"status": "interrupted"}
        assert [service.scheduler.queue.position(run_id) for run_id in (first, third)] == [1, 2]
        assert await service.scheduler.interrupt(second) == Status.INTERRUPTED
        assert await events_of(service, second) == events
    async with bench.service(limits=ONE) as service:
        await bench.stage.begun("a")
        assert await statuses(service, first, second, third) == ["running", "interrupted", "queued"]


async def test_what_has_ended_stays_as_it_ended(bench: Bench) -> None:
    async with bench.service() as service:
        run_id = await submit(service, flow(place("c", "Count")))
        events = await events_of(service, run_id)
        assert await service.scheduler.interrupt(run_id) == Status.COMPLETE
        assert await stored_events(service.store, run_id) == events
        with pytest.raises(UnknownRunError):
            await service.scheduler.interrupt("nobody")


async def test_a_waiting_run_is_interrupted_although_whoever_asked_is_gone(bench: Bench) -> None:
    async with bench.service(paused=True) as service:
        run_id = await submit(service, WAIT)
        held = Held(service.store)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(held.hold)
            await held.reached.wait()
            async with anyio.create_task_group() as callers:
                callers.start_soon(service.scheduler.interrupt, run_id)
                await anyio.wait_all_tasks_blocked()
                callers.cancel_scope.cancel()
                held.go.set()
        assert run_id not in service.scheduler.queue
        assert final(await stored_events(service.store, run_id)) == {"status": "interrupted"}
        await service.scheduler.pause(paused=False)
        await anyio.wait_all_tasks_blocked()
        assert service.scheduler.running == []


# --- on their way ---------------------------------------------------------------------------


async def test_interrupted_between_its_turn_and_its_beginning(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go = anyio.Event(), anyio.Event()
    async with bench.service() as service:
        begin = service.store.begin

        async def begin_later(number: int, started: float) -> bytes:
            reached.set()
            await go.wait()
            return await begin(number, started)

        monkeypatch.setattr(service.store, "begin", begin_later)
        run_id = await submit(service, WAIT)
        await reached.wait()
        assert await service.scheduler.interrupt(run_id) is None
        go.set()
        assert final(await events_of(service, run_id)) == {"status": "interrupted"}
        await slot_is_free(service)
    assert not bench.stage.has_begun("a")


async def test_interrupted_while_it_is_compiled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go = anyio.Event(), anyio.Event()
    async with bench.service(paused=True) as service:
        compile_at_once = service.host.compile

        async def compile_later(*given: Any, **more: Any) -> object:  # Any: passed on
            reached.set()
            await go.wait()
            return await compile_at_once(*given, **more)

        run_id = await submit(service, WAIT)
        monkeypatch.setattr(service.host, "compile", compile_later)
        await service.scheduler.pause(paused=False)
        await reached.wait()
        assert await service.scheduler.interrupt(run_id) is None
        go.set()
        assert final(await events_of(service, run_id)) == {"status": "interrupted"}
        await slot_is_free(service)
    assert not bench.stage.has_begun("a")


# --- running --------------------------------------------------------------------------------


async def test_a_running_run_keeps_what_it_has_streamed(bench: Bench) -> None:
    document = flow(place("a", "Say"), place("b", "Wait"), place("c", "Repeat"), "b.told > c.text")
    async with bench.service(limits=ONE) as service:
        run_id = await submit(service, document)
        await bench.stage.begun("a")
        await bench.stage.begun("b")
        bench.stage.say("a", "so ", "far")
        await anyio.wait_all_tasks_blocked()
        assert await service.scheduler.interrupt(run_id) is None
        assert await service.scheduler.interrupt(run_id) is None  # impatience changes nothing
        events = await events_of(service, run_id)
        assert await stored_events(service.store, run_id) == events
        await slot_is_free(service)
    said = [payload["yieldedContent"]["content"] for payload in events.of("NODE_YIELD")]
    assert said == ["so ", "far"]
    ended = {payload.pop("nodeId"): payload for payload in events.of("NODE_INTERRUPTED")}
    assert {node: payload.get("partial") for node, payload in ended.items()} == {
        "a": True,
        "b": None,
        "c": None,
    }
    assert final(events) == {"status": "interrupted"}


async def test_only_the_run_that_was_meant_is_interrupted(bench: Bench) -> None:
    async with bench.service() as service:
        one = await submit(service, flow(place("one", "Wait")))
        two = await submit(service, flow(place("two", "Wait")))
        await bench.stage.begun("one")
        await bench.stage.begun("two")
        await service.scheduler.interrupt(one)
        await events_of(service, one)
        bench.stage.end("two")
        assert final(await events_of(service, two)) == {"status": "complete"}


async def test_a_slot_is_free_when_its_work_has_really_stopped(bench: Bench) -> None:
    async with bench.service(limits=ONE) as service:
        scheduler = service.scheduler
        stuck, waiting = await submit(service, STUBBORN), await submit(service, WAIT)
        await bench.stage.begun("s")
        await scheduler.interrupt(stuck)
        assert final(await events_of(service, stuck)) == {"status": "interrupted"}
        assert scheduler.abandoned == {stuck: [AbandonedNode("s", "test:Stubborn", "test", "1.0")]}
        assert (scheduler.free_slots, scheduler.running) == (0, [])
        assert scheduler.queue.position(waiting) == 1
        with pytest.raises(SlotsAbandonedError) as caught:
            await submit(service, WAIT)
        assert str(caught.value) == (
            "every run slot is held by nodes that do not stop, of pack test 1.0;"
            " restart the host, or disable that pack"
        )
        assert caught.value.retry_after == 60.0
        assert len(scheduler.queue) == 1
        bench.stage.released.set()
        await bench.stage.begun("a")
        assert scheduler.abandoned == {}
        assert [execution.run_id for execution in scheduler.running] == [waiting]


async def test_one_slot_that_is_held_leaves_the_others(bench: Bench) -> None:
    async with bench.service(limits={**ONE, "concurrent_runs": 2}) as service:
        stuck = await submit(service, STUBBORN)
        await bench.stage.begun("s")
        await service.scheduler.interrupt(stuck)
        await events_of(service, stuck)
        for _ in range(3):
            run_id = await submit(service, flow(place("c", "Count")))
            assert final(await events_of(service, run_id)) == {"status": "complete"}
        bench.stage.released.set()


# --- the end of the host --------------------------------------------------------------------


async def test_the_end_of_the_host_interrupts_what_runs_and_keeps_what_waits(
    bench: Bench,
) -> None:
    async with bench.service(limits=ONE) as service:
        running, waiting = await submit(service, WAIT), await submit(service, WAIT)
        await bench.stage.begun("a")
    async with bench.service(paused=True) as service:
        assert await statuses(service, running, waiting) == ["interrupted", "queued"]
        events = await stored_events(service.store, running)
        assert final(events) == {"status": "interrupted"}
        assert [payload["nodeId"] for payload in events.of("NODE_INTERRUPTED")] == ["a"]
        assert [event["type"] for event in await stored_events(service.store, waiting)] == [
            "PROMPT_ACCEPTED_RESPONSE",
            "EXECUTION_STATUS_UPDATE",
        ]


async def test_the_end_is_stored_before_it_waits_for_what_does_not_stop(bench: Bench) -> None:
    found: list[AbandonedNode] = []

    def let_go(nodes: Sequence[AbandonedNode]) -> None:
        found.extend(nodes)
        bench.stage.released.set()

    async with bench.service(limits=ONE, on_stuck=let_go) as service:
        stuck, waiting = await submit(service, STUBBORN), await submit(service, WAIT)
        await bench.stage.begun("s")
    assert found == [AbandonedNode("s", "test:Stubborn", "test", "1.0")]
    async with bench.service(paused=True) as service:
        assert await statuses(service, stuck, waiting) == ["interrupted", "queued"]
        assert final(await stored_events(service.store, stuck)) == {"status": "interrupted"}

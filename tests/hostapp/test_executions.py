"""``/api/executions`` and ``/api/queue``: what runs, what waits, in which order, and how many."""

from __future__ import annotations

from pathlib import Path

import httpx2

from ..scenarios.building import flow, place
from .live_server import Json, Live, serving

ONE_SLOT = {"concurrent_runs": 1}


async def waiting_runs(live: Live, *priorities: int) -> list[str]:
    """Hand in runs that wait behind a first one, which runs."""
    await live.submit(flow(place("first", "Wait")))
    await live.stage.begun("first")
    workflow = flow(place("a", "Repeat", text="x"), name="later")
    return [await live.submit(workflow, priority=priority) for priority in priorities]


async def pending(live: Live) -> list[str]:
    """Return the ids of the runs that wait, in order."""
    listed = (await live.http.get("/api/executions")).json()["pendingExecutions"]
    assert [entry["queuePosition"] for entry in listed] == list(range(1, len(listed) + 1))
    return [entry["promptId"] for entry in listed]


async def test_what_runs_and_what_waits_is_listed_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=ONE_SLOT) as live:
        low, high, low_too = await waiting_runs(live, 0, 5, 0)
        listed = (await live.http.get("/api/executions")).json()
        assert (listed["paused"], listed["slots"]) == (False, 1)
        [running] = listed["runningExecutions"]
        assert running["status"] == "running"
        assert running["startedAt"] >= running["createdAt"]
        entries = listed["pendingExecutions"]
        order = [(entry["promptId"], entry["priority"]) for entry in entries]
        assert order == [(high, 5), (low, 0), (low_too, 0)]
        entry = entries[0]
        del entry["createdAt"]
        assert entry == {
            "promptId": high,
            "status": "queued",
            "workflowName": "later",
            "priority": 5,
            "queuePosition": 1,
            "lastSeq": 2,
        }
        told = [(await live.detail(run))["queuePosition"] for run in (low, high, low_too)]
        assert told == [2, 1, 3]


async def test_a_waiting_run_gets_another_place(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=ONE_SLOT) as live:
        a, b, c = await waiting_runs(live, 0, 0, 0)
        answer = await live.http.patch(f"/api/executions/{c}", json={"priority": 1})
        assert answer.status_code == 200
        told = answer.json()
        assert (told["promptId"], told["priority"], told["queuePosition"]) == (c, 1, 1)
        assert await pending(live) == [c, a, b]
        await live.http.patch(f"/api/executions/{a}", json={"priority": -1})
        assert await pending(live) == [c, b, a]
        live.stage.end("first")
        ended = [(await live.ended(run))["startedAt"] for run in (c, b, a)]
        assert ended == sorted(ended)


async def test_the_place_of_a_run_that_does_not_wait_stays(live: Live) -> None:
    run_id = await live.submit(flow(place("a", "Repeat", text="x")))
    await live.ended(run_id)
    answer = await live.http.patch(f"/api/executions/{run_id}", json={"priority": 9})
    assert answer.status_code == 200
    assert answer.json()["priority"] == 0
    assert "queuePosition" not in answer.json()


async def test_a_paused_queue_starts_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as live:
        running = await live.submit(flow(place("a", "Wait")))
        await live.stage.begun("a")
        answer = await live.http.post("/api/queue/pause")
        assert answer.json() == {"paused": True, "running": 1, "pending": 0}
        later = await live.submit(flow(place("b", "Wait")))
        live.stage.end("a")
        assert (await live.ended(running))["status"] == "complete"
        assert (await live.detail(later))["status"] == "queued"
        assert not live.stage.has_begun("b")
    async with serving(tmp_path) as live:
        assert (await live.http.get("/api/executions")).json()["paused"] is True
        assert await pending(live) == [later]
        live.stage.end("b")
        answer = await live.http.post("/api/queue/resume")
        assert answer.json() == {"paused": False, "running": 1, "pending": 0}
        assert (await live.ended(later))["status"] == "complete"


async def test_a_full_queue_refuses_and_says_when_to_come_back(tmp_path: Path) -> None:
    async with serving(tmp_path, limits={**ONE_SLOT, "queued_runs": 2}) as live:
        await waiting_runs(live, 0, 0)
        check_full(await post_with_key(live))
        # What was refused is not stored, and its key is not used up.
        assert (await live.http.get("/api/history")).json()["total"] == 3
        live.stage.end("first")
        for run_id in await pending(live):
            await live.ended(run_id)
        assert (await post_with_key(live)).status_code == 202


async def post_with_key(live: Live) -> httpx2.Response:
    """Hand a run in under a key."""
    workflow, headers = flow(place("a", "Repeat", text="x")), {"Idempotency-Key": "k"}
    return await live.http.post("/api/prompt", json=workflow, headers=headers)


def check_full(answer: httpx2.Response) -> None:
    """Check what is said where no more runs are taken."""
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    error: Json = answer.json()["error"]
    assert error == {
        "code": "queue_full",
        "message": "2 runs are waiting already; try again in 1 s",
        "details": [],
    }

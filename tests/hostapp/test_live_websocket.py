"""``/ws``: runs handed in, interrupted and followed over one connection."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from websockets.exceptions import ConnectionClosed

from comfytavern_hostapp.store import RunStore, StoreError

from ..scenarios.building import flow, interface, place
from .live_server import LONGEST, Json, Live, LiveSocket, is_final, serving

SHORT = flow(place("a", "Repeat", text="x"))
TALK = flow(
    place("a", "Say"),
    place("b", "Wait"),
    interfaceOutputs=interface(speech="WILDCARD~"),
    outputs={"speech": "a.speech"},
)


def seqs(events: list[Json]) -> list[int]:
    """Return the numbers of events."""
    return [event["seq"] for event in events]


async def barrier(client: LiveSocket) -> None:
    """Wait until the server has handled everything that was asked before."""
    await client.ask("NOTHING", requestId="barrier")
    await client.until(lambda message: message["payload"].get("requestId") == "barrier")


async def handed_in(client: LiveSocket, workflow: Json, **more: object) -> str:
    """Hand in a run, and return its id."""
    await client.ask("PROMPT_REQUEST", **workflow, **more)
    return str((await client.of("PROMPT_ACCEPTED_RESPONSE"))["payload"]["promptId"])


async def test_a_run_is_handed_in_and_followed_to_its_end(live: Live) -> None:
    async with live.socket() as client:
        live.stage.say("a", "Hel", "lo")
        live.stage.end("a")
        run_id = await handed_in(client, TALK)
        await live.stage.begun("b")
        live.stage.end("b")
        log = await client.log(run_id)
    assert seqs(log) == list(range(1, len(log) + 1))
    assert all(event["ts"] for event in log)
    kinds = [
        (event["type"], event["payload"].get("status") or event["payload"].get("nodeId"))
        for event in log
    ]
    assert kinds[:3] == [
        ("PROMPT_ACCEPTED_RESPONSE", None),
        ("EXECUTION_STATUS_UPDATE", "queued"),
        ("EXECUTION_STATUS_UPDATE", "running"),
    ]
    assert kinds[-1] == ("EXECUTION_STATUS_UPDATE", "complete")
    assert kinds.index(("NODE_EXECUTING", "b")) < kinds.index(("NODE_PROGRESS", "b"))
    assert kinds.index(("NODE_PROGRESS", "b")) < kinds.index(("NODE_COMPLETE", "b"))
    for kind in ("NODE_YIELD", "WORKFLOW_INTERFACE_YIELD"):
        chunks = [event["payload"]["yieldedContent"] for event in log if event["type"] == kind]
        texts = [chunk["content"] for chunk in chunks if chunk["type"] == "text_chunk"]
        assert texts == ["Hel", "lo"]
    assert log == await live.log(run_id)


@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_request_takes_what_the_route_takes(live: Live, wrapped: bool) -> None:
    body: Json = {"workflow": SHORT, "priority": 3} if wrapped else {**SHORT, "priority": 3}
    async with live.socket() as client:
        run_id = await handed_in(client, body, requestId=1)
        await client.log(run_id)
    shown = (await live.http.get(f"/api/history/{run_id}")).json()
    assert shown["priority"] == 3
    assert shown["workflow"] == SHORT


async def test_a_request_that_is_repeated_finds_its_run(live: Live) -> None:
    async with live.socket() as client:
        run_id = await handed_in(client, SHORT, idempotencyKey="k")
        log = await client.log(run_id)
    async with live.socket() as client:
        assert await handed_in(client, SHORT, idempotencyKey="k") == run_id
        assert await client.log(run_id) == log


async def test_a_run_is_interrupted(live: Live) -> None:
    async with live.socket() as client:
        run_id = await handed_in(client, TALK)
        await live.stage.begun("b")
        await client.ask("INTERRUPT_REQUEST", promptId=run_id)
        log = await client.log(run_id)
    assert log[-1]["payload"]["status"] == "interrupted"
    stopped = [e["payload"]["nodeId"] for e in log if e["type"] == "NODE_INTERRUPTED"]
    assert sorted(stopped) == ["a", "b"]


# --- following ----------------------------------------------------------------------------


async def test_the_log_of_a_run_that_has_ended_goes_on_at_every_point(live: Live) -> None:
    run_id = await live.submit(flow(place("a", "Count", n=5)))
    full = await live.log(run_id)
    async with live.socket() as client:
        for cut in range(len(full) + 2):
            client.received.clear()
            await client.ask("SUBSCRIBE", promptId=run_id, since=cut)
            if cut < len(full):
                await client.log(run_id)
            await barrier(client)
            assert full[:cut] + client.events(run_id) == full


async def test_the_log_of_a_run_that_goes_on_goes_on_at_every_point(live: Live) -> None:
    async with live.socket() as first:
        run_id = await handed_in(first, TALK)
        live.stage.say("a", *"Hello")
        await first.until(lambda m: m["payload"].get("yieldedContent", {}).get("content") == "o")
        seen = len(first.events(run_id))
        finished: dict[int, list[Json]] = {}

        async def follow(cut: int) -> None:
            async with live.socket() as client:
                await client.ask("SUBSCRIBE", promptId=run_id, since=cut)
                await barrier(client)
                subscribed.release()
                finished[cut] = await client.log(run_id)

        subscribed = anyio.Semaphore(0)
        with anyio.fail_after(LONGEST):
            async with anyio.create_task_group() as tasks:
                for cut in range(seen + 1):
                    tasks.start_soon(follow, cut)
                for _ in range(seen + 1):
                    await subscribed.acquire()
                live.stage.say("a", *" again")
                live.stage.end("a")
                live.stage.end("b")
        full = await first.log(run_id)
    assert seqs(full) == list(range(1, len(full) + 1))
    assert seen > 7
    for cut, rest in finished.items():
        assert full[:cut] + rest == full


async def test_a_client_that_follows_all_sees_the_runs_of_others(live: Live) -> None:
    before = await live.submit(TALK)
    await live.stage.begun("b")
    async with live.socket() as client:
        await client.ask("SUBSCRIBE", promptId="*")
        await barrier(client)
        after = await live.submit(SHORT)
        assert seqs(await client.log(after)) == [1, 2, 3, 4, 5, 6]
        await live.http.post(f"/api/interrupt/{before}")
        rest = await client.log(before)
    full = await live.log(before)
    assert rest == full[-len(rest) :]
    assert len(rest) < len(full)


async def test_a_client_follows_no_longer_what_it_does_not_want(live: Live) -> None:
    async with live.socket() as client:
        run_id = await handed_in(client, TALK)
        await live.stage.begun("b")
        await client.until(lambda message: message["type"] == "NODE_PROGRESS")
        await client.ask("UNSUBSCRIBE", promptId=run_id)
        await barrier(client)
        seen = len(client.events(run_id))
        await live.http.post(f"/api/interrupt/{run_id}")
        await live.ended(run_id)
        await barrier(client)
        assert len(client.events(run_id)) == seen
        await client.ask("SUBSCRIBE", promptId=run_id, since=seen)
        assert await client.log(run_id) == await live.log(run_id)


async def test_a_client_that_followed_all_keeps_what_goes_on(live: Live) -> None:
    async with live.socket() as client:
        await client.ask("SUBSCRIBE", promptId="*")
        await barrier(client)
        goes_on = await live.submit(flow(place("w", "Wait")))
        await live.stage.begun("w")
        await client.ask("UNSUBSCRIBE", promptId="*")
        await barrier(client)
        other = await live.submit(SHORT)
        await live.ended(other)
        live.stage.end("w")
        assert is_final((await client.log(goes_on))[-1])
        await barrier(client)
        assert client.events(other) == []


async def test_a_client_whose_events_cannot_be_read_is_sent_away_to_come_back(
    live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = await live.submit(SHORT)
    full = await live.log(run_id)

    async def events(self: RunStore, number: int, after: int) -> None:
        raise StoreError(Path("runs.sqlite3"), "cannot be used: disk i/o error")

    async with live.socket() as client:
        with monkeypatch.context() as broken:
            broken.setattr(RunStore, "events", events)
            await client.ask("SUBSCRIBE", promptId=run_id)
            with pytest.raises(ConnectionClosed):
                await client.log(run_id)
        assert client.connection.close_code == 4008
    assert "a client is sent away: the file of runs 'runs.sqlite3' cannot be used" in caplog.text
    async with live.socket() as client:
        await client.ask("SUBSCRIBE", promptId=run_id)
        assert await client.log(run_id) == full


# --- the queue ----------------------------------------------------------------------------


async def test_the_queue_is_told_on_connecting_and_after_changes(tmp_path: Path) -> None:
    async with serving(tmp_path, limits={"concurrent_runs": 1}) as live:
        running = await live.submit(flow(place("a", "Wait"), name="first"))
        await live.stage.begun("a")
        async with live.socket() as client:
            [notice] = client.received
            assert "seq" not in notice
            [entry] = notice["payload"]["runningExecutions"]
            assert (entry["promptId"], entry["workflowName"]) == (running, "first")
            assert notice["payload"]["pendingExecutions"] == []
            waiting = [await live.submit(SHORT) for _ in range(105)]
            notice = await client.until(lambda m: m["payload"].get("pendingCount") == 105)
            listed = [entry["promptId"] for entry in notice["payload"]["pendingExecutions"]]
            assert listed == waiting[:100]
            await live.http.post("/api/queue/pause")
            await client.until(lambda m: m["payload"].get("paused") is True)
            live.stage.end("a")
            await client.until(lambda m: m["payload"].get("runningExecutions") == [])
            await live.http.post("/api/queue/resume")
            notice = await client.until(lambda m: m["payload"].get("pendingCount") == 0)
            if notice["payload"]["runningExecutions"]:
                notice = await client.until(lambda m: m["payload"]["runningExecutions"] == [])
            assert notice["payload"]["paused"] is False

"""``/api/prompt/{id}/events``: the log of a run as server-sent events."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from comfytavern_hostapp.store import RunStore, StoreError

from ..scenarios.building import flow, place
from .live_server import LONGEST, Json, Live, is_final, serving

COUNT = flow(place("a", "Count", n=5))
TALK = flow(place("a", "Say"))


async def lines_of(live: Live, run_id: str, last: str = "") -> list[str]:
    """Follow a run to its end, and return the lines as they come."""
    path = f"/api/prompt/{run_id}/events"
    headers = {b"Last-Event-ID": last.encode("latin-1")}
    async with live.http.stream("GET", path, headers=headers) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        return [line async for line in answer.aiter_lines()]


async def test_every_event_comes_with_its_seq_and_the_stream_ends(live: Live) -> None:
    run_id = await live.submit(COUNT)
    with anyio.fail_after(LONGEST):
        found = [(name, event) async for name, event in live.follow(run_id)]
    assert [name for name, _ in found] == [str(event["seq"]) for _, event in found]
    assert [event["seq"] for _, event in found] == list(range(1, len(found) + 1))
    assert [is_final(event) for _, event in found] == [False] * (len(found) - 1) + [True]
    lines = await lines_of(live, run_id)
    assert [line.partition(":")[0] for line in lines] == ["id", "data", ""] * len(found)


async def test_events_come_as_they_happen(live: Live) -> None:
    run_id = await live.submit(TALK)
    seen: list[Json] = []
    with anyio.fail_after(LONGEST):
        async for _, event in live.follow(run_id):
            seen.append(event)
            if event["type"] == "NODE_EXECUTING":
                live.stage.say("a", "Hel")
            elif event["payload"].get("yieldedContent", {}).get("content") == "Hel":
                live.stage.say("a", "lo")
                live.stage.end("a")
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))


async def test_a_browser_goes_on_after_the_last_event_it_has_seen(live: Live) -> None:
    run_id = await live.submit(COUNT)
    full = await live.log(run_id)
    for cut in range(len(full)):
        rest = [event async for _, event in live.follow(run_id, last=str(cut))]
        assert full[:cut] + rest == full
        assert await live.log(run_id, since=cut) == rest


async def test_a_run_that_goes_on_is_followed_from_every_point(live: Live) -> None:
    run_id = await live.submit(TALK)
    live.stage.say("a", *"Hello")
    seen = 0
    async for _, event in live.follow(run_id):
        seen = event["seq"]
        if event["payload"].get("yieldedContent", {}).get("content") == "o":
            break
    rest: dict[int, list[Json]] = {}

    async def follow(cut: int) -> None:
        rest[cut] = await live.log(run_id, since=cut)

    async with anyio.create_task_group() as tasks:
        for cut in range(seen + 1):
            tasks.start_soon(follow, cut)
        live.stage.say("a", *" again")
        live.stage.end("a")
    full = await live.log(run_id)
    for cut, events in rest.items():
        assert full[:cut] + events == full


async def test_the_query_is_stronger_than_the_header(live: Live) -> None:
    run_id = await live.submit(COUNT)
    full = await live.log(run_id)
    found = [event async for _, event in live.follow(run_id, since=2, last="5")]
    assert found == full[2:]


@pytest.mark.parametrize("last", ["", "x", "-1", "1.5", "9" * 16, "\u00b2"])
async def test_a_last_event_that_is_no_number_begins_anew(live: Live, last: str) -> None:
    run_id = await live.submit(COUNT)
    full = await live.log(run_id)
    lines = await lines_of(live, run_id, last)
    assert len(lines) == 3 * len(full)


async def test_a_browser_that_has_seen_everything_is_told_not_to_come_back(live: Live) -> None:
    run_id = await live.submit(COUNT)
    last = len(await live.log(run_id))
    path = f"/api/prompt/{run_id}/events"
    seen = {"Last-Event-ID": str(last)}
    for answer in (
        await live.http.get(path, headers=seen),
        await live.http.get(path, params={"since": str(last)}),
        await live.http.get(path, params={"since": str(last + 5)}),
    ):
        assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("since", ["-1", "x", "1.5", "", str(2**53 + 1)])
async def test_a_beginning_that_is_no_number_is_refused(live: Live, since: str) -> None:
    run_id = await live.submit(COUNT)
    answer = await live.http.get(f"/api/prompt/{run_id}/events", params={"since": since})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["details"][0]["path"]) == ("bad_request", "since")


async def test_a_comment_shows_that_a_quiet_connection_is_alive(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfytavern_hostapp.routes.sse.HEARTBEAT", 0.02)
    run_id = await live.submit(TALK)
    await live.stage.begun("a")
    async with live.http.stream("GET", f"/api/prompt/{run_id}/events") as answer:
        beats = 0
        async for line in answer.aiter_lines():
            beats += line == ": alive"
            if beats == 3:
                live.stage.end("a")
    assert beats >= 3


async def test_notices_do_not_stand_for_that_comment(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfytavern_hostapp.routes.sse.HEARTBEAT", 0.05)
    monkeypatch.setattr("comfytavern_hostapp.runs.clients.PACE", 0.001)
    run_id = await live.submit(TALK)
    await live.stage.begun("a")
    async with (
        live.http.stream("GET", f"/api/prompt/{run_id}/events") as answer,
        anyio.create_task_group() as tasks,
    ):

        async def change_the_queue() -> None:
            while True:
                await live.http.post("/api/queue/pause")

        tasks.start_soon(change_the_queue)
        with anyio.fail_after(LONGEST):
            async for line in answer.aiter_lines():
                if line == ": alive":
                    break
        tasks.cancel_scope.cancel()


async def test_the_stream_of_a_run_that_is_deleted_ends(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await live.submit(COUNT)
    await live.ended(run_id)
    read, deleted = RunStore.events, anyio.Event()

    async def events(self: RunStore, number: int, after: int) -> tuple[int, list[bytes]]:
        if after:
            await deleted.wait()
        return await read(self, number, after, 1)

    monkeypatch.setattr(RunStore, "events", events)
    async with live.http.stream("GET", f"/api/prompt/{run_id}/events") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "id: 1"
        assert (await live.http.delete(f"/api/history/{run_id}")).json() == {"removed": 1}
        deleted.set()
        with anyio.fail_after(LONGEST):
            rest = [line async for line in lines]
    assert [line for line in rest if line.startswith("id")] == ["id: 2"]


async def test_a_stream_whose_events_cannot_be_read_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path) as live:
        run_id = await live.submit(COUNT)
        await live.ended(run_id)

        async def events(self: RunStore, number: int, after: int) -> None:
            raise StoreError(tmp_path / "runs.sqlite3", "cannot be used: disk i/o error")

        monkeypatch.setattr(RunStore, "events", events)
        answer = await live.http.get(f"/api/prompt/{run_id}/events")
        assert (answer.status_code, answer.content) == (200, b"")
    assert "a client is sent away: the file of runs 'runs.sqlite3' cannot be used" in caplog.text


async def test_a_client_that_leaves_is_forgotten(live: Live) -> None:
    run_id = await live.submit(TALK)
    await live.stage.begun("a")
    async with live.http.stream("GET", f"/api/prompt/{run_id}/events") as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        stats = (await live.http.get("/api/system_stats")).json()
        assert stats["clients"] == 1
    with anyio.fail_after(LONGEST):
        while (await live.http.get("/api/system_stats")).json()["clients"]:
            pass

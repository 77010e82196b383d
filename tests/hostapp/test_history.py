"""``/api/history`` and ``/api/blobs``: stored runs found, paged and deleted, and their bytes."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import anyio
import pytest

from ..scenarios.building import flow, interface, place
from .live_server import Json, Live, serving
from .stage_nodes import PNG

SCRIPT = b"<script>alert(1)</script>"


def short(name: str, **more: object) -> Json:
    """Return a workflow that ends at once."""
    return flow(place("a", "Repeat", text="x"), name=name, **more)


async def page(live: Live, **query: object) -> Json:
    """Return a page of the history."""
    answer = await live.http.get("/api/history", params=query)  # type: ignore[arg-type]  # plain values
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def ids(live: Live, **query: object) -> list[str]:
    """Return the ids on a page of the history."""
    return [run["promptId"] for run in (await page(live, **query))["runs"]]


async def four_runs(live: Live) -> list[str]:
    """Bring about a run of every end, and one that still runs; the oldest first."""
    done = await live.submit(short("Good morning", id="greetings/morning"))
    await live.ended(done)
    failed = await live.submit(flow(place("f", "Fail"), name="100%_sure"))
    await live.ended(failed)
    stopped = await live.submit(flow(place("s", "Wait"), id="greetings/night"))
    await live.stage.begun("s")
    await live.http.post(f"/api/interrupt/{stopped}")
    await live.ended(stopped)
    running = await live.submit(flow(place("r", "Wait"), name="Good night"))
    await live.stage.begun("r")
    return [done, failed, stopped, running]


async def test_runs_are_found_by_what_is_known_of_them(live: Live) -> None:
    done, failed, stopped, running = await four_runs(live)
    assert await ids(live) == [running, stopped, failed, done]
    for query, expected in (
        ({"status": "complete"}, [done]),
        ({"status": ["error", "interrupted"]}, [stopped, failed]),
        ({"status": "running"}, [running]),
        ({"status": "queued"}, []),
        ({"workflowId": "greetings/morning"}, [done]),
        ({"workflowId": "greetings"}, []),
        ({"text": "GOOD"}, [running, done]),
        ({"text": "greetings/"}, [stopped, done]),
        ({"text": "%"}, [failed]),
        ({"text": "_"}, [failed]),
        ({"text": failed[:20]}, [failed]),
        ({"text": "good", "status": "complete"}, [done]),
    ):
        assert await ids(live, **query) == expected, query
        assert (await page(live, **query))["total"] == len(expected)


async def test_runs_are_found_by_when_they_were_handed_in(live: Live) -> None:
    runs = []
    for number in range(3):
        runs.append(await live.submit(short(f"run {number}")))
        await live.ended(runs[-1])
    [*_, middle, _] = (await page(live))["runs"]
    when = datetime.fromisoformat(middle["createdAt"]).timestamp()
    # A time is shown in milliseconds, so the run itself lies within the one that is shown.
    assert await ids(live, since=when + 0.001) == [runs[2]]
    assert await ids(live, until=when) == [runs[0]]
    assert await ids(live, since=when, until=when + 0.001) == [runs[1]]


async def test_a_run_is_listed_with_how_it_ended(live: Live) -> None:
    run_id = await live.submit(short("Good morning", id="greetings/morning"), priority=3)
    await live.ended(run_id)
    [entry] = (await page(live))["runs"]
    assert entry["createdAt"] <= entry["startedAt"] <= entry["finishedAt"]
    assert entry["durationMs"] >= 0
    assert {key: entry[key] for key in entry if not key.endswith(("At", "Ms"))} == {
        "promptId": run_id,
        "status": "complete",
        "workflowId": "greetings/morning",
        "workflowName": "Good morning",
        "priority": 3,
        "lastSeq": 6,
    }


async def test_pages_have_no_gap_and_no_repeat_while_runs_are_added(live: Live) -> None:
    await live.http.post("/api/queue/pause")
    runs = [await live.submit(short(f"run {number}")) for number in range(23)]
    seen, query = list[str](), {"limit": 5}
    while True:
        found = await page(live, **query)
        seen += [run["promptId"] for run in found["runs"]]
        await live.submit(short("later"))
        if "nextBefore" not in found:
            break
        assert len(found["runs"]) == 5
        query["before"] = found["nextBefore"]
    assert seen == runs[::-1]


async def test_the_last_page_names_no_next_one(live: Live) -> None:
    await live.http.post("/api/queue/pause")
    for number in range(4):
        await live.submit(short(f"run {number}"))
    first = await page(live, limit=2)
    assert first["total"] == 4
    last = await page(live, limit=2, before=first["nextBefore"])
    assert (len(last["runs"]), last["total"], "nextBefore" in last) == (2, 4, False)
    assert await page(live, limit=2, before=1) == {"runs": [], "total": 4}


async def test_one_run_is_shown_with_what_it_was_handed_in_with(live: Live) -> None:
    workflow = flow(
        place("given", "Given"),
        place("twice", "Repeat"),
        "given.name > twice.text",
        interfaceInputs=interface(name="STRING"),
        interfaceOutputs=interface(said="STRING"),
        outputs={"said": "twice.text"},
        view={"zoom": None},
    )
    run_id = await live.submit(workflow, inputs={"name": "Ännie"})
    told = await live.ended(run_id)
    shown = (await live.http.get(f"/api/history/{run_id}")).json()
    assert shown == {**told, "workflow": workflow, "inputs": {"name": "Ännie"}}
    assert shown["outputs"] == {"said": "ÄnnieÄnnie"}


# --- deleting -----------------------------------------------------------------------------


async def test_one_run_is_deleted_with_its_events(live: Live) -> None:
    one, other = [await live.submit(short(name)) for name in ("one", "other")]
    await live.ended(one)
    await live.ended(other)
    answer = await live.http.delete(f"/api/history/{one}")
    assert answer.json() == {"removed": 1}
    assert await ids(live) == [other]
    for path in (f"/api/history/{one}", f"/api/prompt/{one}", f"/api/prompt/{one}/events"):
        assert (await live.http.get(path)).status_code == 404
    assert (await live.http.delete(f"/api/history/{one}")).status_code == 404


async def test_a_run_that_goes_on_stays(live: Live) -> None:
    run_id = await live.submit(flow(place("a", "Wait")))
    await live.stage.begun("a")
    assert (await live.http.delete(f"/api/history/{run_id}")).json() == {"removed": 0}
    assert (await live.http.delete("/api/history?all=true")).json() == {"removed": 0}
    live.stage.end("a")
    assert (await live.ended(run_id))["status"] == "complete"


async def test_runs_are_deleted_by_condition(live: Live) -> None:
    done, failed, stopped, running = await four_runs(live)
    for query, left in (
        ({"text": "good"}, [running, stopped, failed]),
        ({"status": "complete"}, [running, stopped, failed]),
        ({"workflowId": "greetings/night", "status": "error"}, [running, stopped, failed]),
        ({"status": ["error", "interrupted"]}, [running]),
    ):
        before = await ids(live)
        answer = await live.http.delete("/api/history", params=query)
        assert answer.json() == {"removed": len(before) - len(left)}
        assert await ids(live) == left
    assert done not in await ids(live)


async def test_many_runs_are_deleted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfytavern_hostapp.routes.history.STEP", 3)
    async with serving(tmp_path) as live:
        for number in range(10):
            await live.ended(await live.submit(short(f"run {number}")))
        assert (await live.http.delete("/api/history?all=true")).json() == {"removed": 10}
        assert await page(live) == {"runs": [], "total": 0}


async def test_deleting_everything_has_to_be_said(live: Live) -> None:
    answer = await live.http.delete("/api/history")
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == (
        "the query does not fit: expected a condition, or all=true to delete every finished run"
    )


# --- blobs --------------------------------------------------------------------------------


async def drawn(live: Live) -> tuple[str, Json]:
    """Run a node that returns bytes; return the run and what its event says of them."""
    run_id = await live.submit(flow(place("a", "Draw")))
    await live.ended(run_id)
    outputs = (await live.detail(run_id, nodeOutputs="true"))["nodeOutputs"]["a"]
    return run_id, {name: outputs[name]["$blob"] for name in ("picture", "data")}


async def test_bytes_are_served_as_what_they_are_and_kept_inert(live: Live) -> None:
    _, blobs = await drawn(live)
    for name, data, shown, media_type in (
        ("picture", PNG, "inline", "image/png"),
        ("data", SCRIPT, "attachment", "application/octet-stream"),
    ):
        sha256 = hashlib.sha256(data).hexdigest()
        assert blobs[name] == {"sha256": sha256, "size": len(data), "mime": media_type}
        answer = await live.http.get(f"/api/blobs/{sha256}")
        assert (answer.status_code, answer.content) == (200, data)
        headers = answer.headers
        assert headers["content-type"] == media_type
        assert headers["content-disposition"] == f'{shown}; filename="{sha256}"'
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert headers["cache-control"] == "private, max-age=31536000, immutable"


async def test_part_of_the_bytes_is_served(live: Live) -> None:
    _, blobs = await drawn(live)
    path = f"/api/blobs/{blobs['data']['sha256']}"
    part = await live.http.get(path, headers={"Range": "bytes=1-6"})
    assert (part.status_code, part.content) == (206, b"script")
    beyond = await live.http.get(path, headers={"Range": "bytes=100-"})
    assert beyond.status_code == 416
    assert beyond.json()["error"] == {
        "code": "range_outside",
        "message": "the range lies outside the file, which has 25 bytes",
        "details": [],
    }
    whole = await live.http.get(path)
    known = await live.http.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


async def test_a_very_long_text_is_kept_whole(live: Live) -> None:
    run_id = await live.submit(flow(place("a", "Repeat", text="ä/", times=600_000)))
    await live.ended(run_id)
    outputs = (await live.detail(run_id, nodeOutputs="true"))["nodeOutputs"]
    described = outputs["a"]["text"]["$blob"]
    assert described["preview"] == "ä/" * 500
    answer = await live.http.get(f"/api/blobs/{described['sha256']}")
    assert answer.text == "ä/" * 600_000
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("inline")


@pytest.mark.parametrize("sha256", ["0" * 64, "A" * 64, "x", "..%2Fruns.sqlite3"])
async def test_bytes_that_no_run_has(live: Live, sha256: str) -> None:
    answer = await live.http.get(f"/api/blobs/{sha256}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


async def test_bytes_go_with_the_last_run_that_has_them(live: Live) -> None:
    one, blobs = await drawn(live)
    other, _ = await drawn(live)
    path = f"/api/blobs/{blobs['data']['sha256']}"
    await live.http.delete(f"/api/history/{one}")
    assert (await live.http.get(path)).status_code == 200
    await live.http.delete(f"/api/history/{other}")
    assert (await live.http.get(path)).status_code == 404


async def test_bytes_that_somebody_removed(live: Live, tmp_path: Path) -> None:
    _, blobs = await drawn(live)
    sha256 = blobs["data"]["sha256"]
    await anyio.Path(tmp_path / "data" / "blobs" / sha256[:2] / sha256).unlink()
    answer = await live.http.get(f"/api/blobs/{sha256}")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"the blob {sha256!r} is no longer there"

"""``/api/prompt/{id}`` and ``/api/interrupt/{id}``: how a run stands, while it runs and after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfytavern.chunks import Chunk

from ..scenarios.building import flow, interface, place
from .live_server import Json, Live, serving

TALK = flow(
    place("a", "Say"),
    place("b", "Wait"),
    place("c", "Repeat"),
    "a.text > c.text",
    interfaceOutputs=interface(speech="WILDCARD~", whole="STRING"),
    outputs={"speech": "a.speech", "whole": "a.text"},
)
EMPTY: Json = {"outputs": {}, "cutOutputs": []}


def without_times(value: Any) -> Any:  # Any: JSON
    """Leave out what is different each time."""
    if not isinstance(value, dict):
        return value
    timed = {"createdAt", "startedAt", "finishedAt", "durationMs", "lastSeq"}
    return {key: without_times(item) for key, item in value.items() if key not in timed}


def node(status: str, **more: object) -> Json:
    """Return the state of a node as it is told."""
    return {"status": status, "bypassed": False, "partial": False, **more}


async def until_yields(live: Live, run_id: str, text: str) -> None:
    """Follow a run until its stream output has brought a text."""
    brought = ""
    async for _, event in live.follow(run_id):
        if event["type"] == "WORKFLOW_INTERFACE_YIELD":
            brought += str(event["payload"]["yieldedContent"]["content"])
            if brought == text:
                return
    raise AssertionError(f"the run has ended with {brought!r}")


async def test_a_run_is_told_while_it_runs(live: Live) -> None:
    live.stage.say("a", "Hel", "lo")
    run_id = await live.submit(TALK)
    await live.stage.begun("b")
    await until_yields(live, run_id, "Hello")
    told = await live.detail(run_id)
    assert told["startedAt"] >= told["createdAt"]
    assert "finishedAt" not in told
    assert without_times(told) == {
        "promptId": run_id,
        "status": "running",
        "priority": 0,
        "nodes": {
            "a": node("running"),
            "b": node("running", progress={"value": 1, "max": 2, "text": "half"}),
        },
        "outputs": {"speech": "Hello"},
        "cutOutputs": [],
    }
    live.stage.say("a", "!", Chunk.finish_reason("stop"))
    live.stage.end("a")
    live.stage.end("b")
    told = await live.ended(run_id)
    assert told["finishedAt"] >= told["startedAt"]
    assert told["durationMs"] >= 0
    assert without_times(told) == {
        "promptId": run_id,
        "status": "complete",
        "priority": 0,
        "nodes": {"a": node("complete"), "b": node("complete"), "c": node("complete")},
        "outputs": {"speech": "Hello!", "whole": "Hello!stop"},
        "cutOutputs": [],
    }


async def test_outputs_of_nodes_are_told_when_asked_for(live: Live) -> None:
    run_id = await live.submit(flow(place("a", "Repeat", text="x"), place("b", "Draw")))
    assert "nodeOutputs" not in await live.ended(run_id)
    outputs = (await live.detail(run_id, nodeOutputs="true"))["nodeOutputs"]
    assert outputs["a"] == {"text": "xx"}
    assert outputs["b"]["note"] == "drawn"
    assert outputs["b"]["picture"]["$blob"]["mime"] == "image/png"


async def test_what_was_streamed_before_a_failure_is_kept(live: Live) -> None:
    live.stage.say("a", "Hel", "lo")
    live.stage.fail("a", "lost the thread")
    live.stage.end("b")
    run_id = await live.submit(TALK)
    told = await live.ended(run_id)
    assert told["status"] == "error"
    assert told["outputs"] == {"speech": "Hello", "whole": None}
    message = "node 'a' (test:Say) failed: lost the thread"
    assert told["error"] == {"code": "node_failed", "message": message, "nodeId": "a"}
    nodes = told["nodes"]
    assert (nodes["a"]["status"], nodes["a"]["partial"]) == ("error", True)
    assert nodes["a"]["error"]["message"] == "lost the thread"
    assert nodes["a"]["error"]["pack"] == "test"
    assert nodes["b"]["status"] == "complete"
    skipped = node("skipped", reason="node 'a' failed", causedBy="a")
    assert without_times(nodes["c"]) == skipped


async def test_a_bypassed_node_is_told_as_such(live: Live) -> None:
    run_id = await live.submit(flow(place("a", "Repeat", bypassed=True, text="x")))
    told = await live.ended(run_id)
    assert told["nodes"] == {"a": node("skipped", bypassed=True)}


async def test_a_stream_output_that_is_very_long_is_cut(live: Live) -> None:
    workflow = flow(
        place("a", "Count", n=30, width=40_000),
        interfaceOutputs=interface(numbers="WILDCARD~"),
        outputs={"numbers": "a.numbers"},
    )
    told = await live.ended(await live.submit(workflow))
    assert told["cutOutputs"] == ["numbers"]
    assert len(told["outputs"]["numbers"]) == 1 << 20


# --- interrupts ---------------------------------------------------------------------------


async def test_a_running_run_is_interrupted(live: Live) -> None:
    live.stage.say("a", "Hel")
    run_id = await live.submit(TALK)
    await until_yields(live, run_id, "Hel")
    await live.stage.begun("b")
    answer = await live.http.post(f"/api/interrupt/{run_id}")
    assert answer.status_code == 202
    assert answer.json() == {"promptId": run_id, "status": "interrupting"}
    told = await live.ended(run_id)
    assert told["status"] == "interrupted"
    assert told["outputs"] == {"speech": "Hel"}
    assert {name: state["status"] for name, state in told["nodes"].items()} == {
        "a": "interrupted",
        "b": "interrupted",
        "c": "interrupted",
    }
    assert told["nodes"]["a"]["partial"]
    again = await live.http.post(f"/api/interrupt/{run_id}")
    assert again.status_code == 200
    assert again.json() == {"promptId": run_id, "status": "interrupted"}


async def test_a_waiting_run_is_interrupted_at_once(live: Live) -> None:
    await live.http.post("/api/queue/pause")
    run_id = await live.submit(TALK)
    answer = await live.http.post(f"/api/interrupt/{run_id}")
    assert answer.status_code == 200
    assert answer.json() == {"promptId": run_id, "status": "interrupted"}
    told = await live.ended(run_id)
    assert "startedAt" not in told
    assert without_times(told) == {
        "promptId": run_id,
        "status": "interrupted",
        "priority": 0,
        "nodes": {},
        **EMPTY,
    }


async def test_a_run_that_has_ended_stays_as_it_is(live: Live) -> None:
    run_id = await live.submit(flow(place("a", "Repeat", text="x")))
    await live.ended(run_id)
    answer = await live.http.post(f"/api/interrupt/{run_id}")
    assert answer.status_code == 200
    assert answer.json() == {"promptId": run_id, "status": "complete"}


async def test_an_interrupt_is_of_that_run_only(live: Live) -> None:
    one, other = [await live.submit(flow(place(name, "Wait"))) for name in ("one", "other")]
    await live.stage.begun("one")
    await live.stage.begun("other")
    await live.http.post(f"/api/interrupt/{one}")
    assert (await live.ended(one))["status"] == "interrupted"
    assert (await live.detail(other))["status"] == "running"
    live.stage.end("other")
    assert (await live.ended(other))["status"] == "complete"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/prompt/{}"),
        ("GET", "/api/prompt/{}/events"),
        ("POST", "/api/interrupt/{}"),
        ("GET", "/api/history/{}"),
        ("DELETE", "/api/history/{}"),
        ("PATCH", "/api/executions/{}"),
    ],
)
async def test_a_run_that_is_not_there(live: Live, method: str, path: str) -> None:
    body = {"json": {"priority": 1}} if method == "PATCH" else {}
    answer = await live.http.request(method, path.format("nobody"), **body)  # type: ignore[arg-type]  # the one argument
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "code": "unknown_run",
        "message": "no run has the id 'nobody'",
        "details": [],
    }


async def test_work_that_does_not_stop_holds_its_slot_and_is_named(tmp_path: Path) -> None:
    async with serving(tmp_path, limits={"concurrent_runs": 1}) as live:
        run_id = await live.submit(flow(place("a", "Stubborn")))
        await live.stage.begun("a")
        await live.http.post(f"/api/interrupt/{run_id}")
        assert (await live.ended(run_id))["status"] == "interrupted"
        stats = (await live.http.get("/api/system_stats")).json()
        assert stats["abandoned"] == [
            {
                "promptId": run_id,
                "nodeId": "a",
                "nodeType": "test:Stubborn",
                "pack": "test",
                "version": "0.0.0",
            }
        ]
        answer = await live.http.post("/api/prompt", json=flow(place("b", "Repeat", text="x")))
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "60"
        assert answer.json()["error"] == {
            "code": "slots_abandoned",
            "message": "every run slot is held by nodes that do not stop, of pack test 0.0.0;"
            " restart the host, or disable that pack",
            "details": [],
        }

"""``POST /api/prompt``: every form of a workflow, every finding at once, idempotency keys."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import httpx2
import pytest

from ..scenarios.building import flow, interface, place, saved
from .live_server import Json, Live, serving

GREETING = flow(
    place("given", "Given"),
    place("twice", "Repeat"),
    "given.name > twice.text",
    interfaceInputs=interface(name="STRING!"),
    interfaceOutputs=interface(said="STRING"),
    outputs={"said": "twice.text"},
    name="Greeting",
    id="greeting",
)
MAPPINGS = {"outputInterfaceMappings": GREETING["outputInterfaceMappings"]}
ANN = {"inputs": {"name": "Ann "}}
SHORT = flow(place("a", "Repeat", text="x"))


async def stored_runs(live: Live) -> int:
    """Return how many runs there are."""
    answer = await live.http.get("/api/history")
    return int(answer.json()["total"])


@pytest.mark.parametrize(
    ("body", "workflow_id", "name"),
    [
        ({**GREETING, **ANN}, "greeting", "Greeting"),
        ({"workflow": GREETING, **ANN}, "greeting", "Greeting"),
        ({**saved(GREETING), **MAPPINGS, **ANN}, "greeting", "saved"),
        ({"workflow": {**saved(GREETING), **MAPPINGS}, **ANN}, "greeting", "saved"),
        ({"workflowId": "stored/hello", **ANN}, "stored/hello", "Greeting"),
    ],
    ids=["payload", "workflow", "canvas", "workflow-canvas", "stored"],
)
async def test_a_workflow_is_taken_in_every_form(
    tmp_path: Path, body: Json, workflow_id: str, name: str
) -> None:
    folder = anyio.Path(tmp_path / "workflows" / "stored")
    await folder.mkdir(parents=True)
    await (folder / "hello.json").write_text(json.dumps(GREETING), "utf-8")
    async with serving(tmp_path) as live:
        answer = await live.http.post("/api/prompt", json=body)
        assert answer.status_code == 202
        accepted = answer.json()
        told = await live.ended(accepted.pop("promptId"))
    assert accepted == {"status": "queued", "warnings": []}
    assert told["status"] == "complete"
    assert told["outputs"] == {"said": "Ann Ann "}
    assert (told["workflowId"], told["workflowName"]) == (workflow_id, name)


async def test_a_stored_workflow_runs_as_it_was_when_it_was_handed_in(tmp_path: Path) -> None:
    file = anyio.Path(tmp_path / "workflows" / "hello.json")
    await file.parent.mkdir()
    await file.write_text(json.dumps(GREETING), "utf-8")
    async with serving(tmp_path) as live:
        await live.http.post("/api/queue/pause")
        body = {"workflowId": "hello", **ANN}
        run_id = (await live.http.post("/api/prompt", json=body)).json()["promptId"]
        await file.write_text(json.dumps(flow(place("a", "Fail"))), "utf-8")
        await live.http.post("/api/queue/resume")
        assert (await live.ended(run_id))["outputs"] == {"said": "Ann Ann "}


async def test_warnings_come_with_the_run(live: Live) -> None:
    body = flow(place("a", "Repeat", text="x", txet="y"))
    accepted = (await live.http.post("/api/prompt", json=body)).json()
    assert accepted["warnings"] == [
        {
            "code": "unknown_input",
            "message": "node 'a' has no input 'txet'; its value is not used; did you mean 'text'?",
            "node": "a",
            "slot": "txet",
        }
    ]


async def test_every_finding_is_told_at_once_and_nothing_runs(live: Live) -> None:
    wrong = flow(
        place("a", "Repeat", text="x"),
        place("a", "Fail"),
        place("b", "Reapet", text="x"),
        place("c", "Repeat", text=[1]),
        place("d", "Say"),
        place("e", "Repeat"),
        place("f", "Repeat"),
        "d.speech > e.text",
    )
    answer = await live.http.post("/api/prompt", json=wrong)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "workflow_invalid"
    assert error["message"] == "the workflow has 5 problems"
    assert [(found["code"], found.get("node")) for found in error["details"]] == [
        ("duplicate_id", "a"),
        ("unknown_node_type", "b"),
        ("bad_value", "c"),
        ("slot_mismatch", "e"),
        ("missing_input", "f"),
    ]
    assert await stored_runs(live) == 0


async def test_inputs_that_do_not_fit_are_told_at_once(live: Live) -> None:
    for inputs, codes in (
        ({}, ["missing_input"]),
        ({"name": 7, "nmae": "x"}, ["unknown_input", "bad_input"]),
    ):
        body = {"workflow": GREETING, "inputs": inputs}
        answer = await live.http.post("/api/prompt", json=body)
        assert answer.status_code == 422
        assert [found["code"] for found in answer.json()["error"]["details"]] == codes
    assert await stored_runs(live) == 0


@pytest.mark.parametrize(
    ("body", "message", "paths"),
    [
        (
            {},
            "the body does not fit: expected one of 'workflow', 'workflowId' and 'nodes'",
            [None],
        ),
        (
            {"workflow": SHORT, "priority": 1001},
            "the body does not fit: 'priority': input should be less than or equal to 1000",
            ["priority"],
        ),
        ({"workflow": [], "inputs": [], "priority": "x"}, "the body does not fit", None),
    ],
)
async def test_a_body_of_another_shape_is_refused(
    live: Live, body: Json, message: str, paths: list[str | None] | None
) -> None:
    answer = await live.http.post("/api/prompt", json=body)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == ("bad_request", message)
    found = [detail.get("path") for detail in error["details"]]
    assert found == (paths or ["workflow", "inputs", "priority"])


async def test_a_stored_workflow_that_is_not_there(live: Live) -> None:
    answer = await live.http.post("/api/prompt", json={"workflowId": "hullo"})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_workflow"
    answer = await live.http.post("/api/prompt", json={"workflowId": "../hullo"})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "bad_workflow_name"


# --- idempotency keys ---------------------------------------------------------------------


async def post_with_key(live: Live, key: str, body: Json = SHORT) -> httpx2.Response:
    """Hand a run in under a key."""
    return await live.http.post("/api/prompt", json=body, headers={"Idempotency-Key": key})


async def test_a_key_stands_for_one_run_also_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as live:
        first = await post_with_key(live, "k1")
        again = await post_with_key(live, "k1")
        other = await post_with_key(live, "k2")
        assert [answer.status_code for answer in (first, again, other)] == [202, 200, 202]
        run_id = first.json()["promptId"]
        assert again.json()["promptId"] == run_id != other.json()["promptId"]
        await live.ended(run_id)
    async with serving(tmp_path) as live:
        later = await post_with_key(live, "k1")
        assert later.status_code == 200
        assert later.json() == {"promptId": run_id, "status": "complete", "warnings": []}
        assert await stored_runs(live) == 2


@pytest.mark.parametrize(
    "other",
    [{**SHORT, "inputs": {}, "priority": 1}, flow(place("a", "Repeat", text="y"))],
    ids=["priority", "workflow"],
)
async def test_a_key_is_not_taken_for_something_else(live: Live, other: Json) -> None:
    await post_with_key(live, "k1")
    answer = await post_with_key(live, "k1", other)
    assert answer.status_code == 422
    assert answer.json()["error"] == {
        "code": "idempotency_conflict",
        "message": "the Idempotency-Key 'k1' was used for another request; use a new key",
        "details": [],
    }
    assert await stored_runs(live) == 1


async def test_a_key_that_comes_many_times_at_once_stands_for_one_run(live: Live) -> None:
    answers: list[httpx2.Response] = []

    async def post() -> None:
        answers.append(await post_with_key(live, "k1"))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(post)
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [202]
    assert len({answer.json()["promptId"] for answer in answers}) == 1
    assert await stored_runs(live) == 1


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "the Idempotency-Key does not fit: string should have at least 1 character"),
        (
            "k" * 256,
            "the Idempotency-Key does not fit: string should have at most 255 characters",
        ),
    ],
    ids=["empty", "long"],
)
async def test_a_key_of_no_use_is_refused(live: Live, key: str, message: str) -> None:
    answer = await post_with_key(live, key)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["message"]) == ("bad_request", message)
    assert await stored_runs(live) == 0


async def test_a_key_may_be_used_again_when_its_run_is_deleted(live: Live) -> None:
    run_id = (await post_with_key(live, "k1")).json()["promptId"]
    await live.ended(run_id)
    await live.http.delete(f"/api/history/{run_id}")
    again = await post_with_key(live, "k1")
    assert again.status_code == 202
    assert again.json()["promptId"] != run_id

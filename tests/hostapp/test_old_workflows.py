"""Workflows older than their packs, on a server: what is stored, what is refused, what runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfytavern.runner import RunSpec
from comfytavern_hostapp.runs.specs import decode_spec, encode_spec

from ..scenarios.building import flow, place, saved
from .live_server import Json, Live, serving
from .whole_app import WholeApp, whole_app

GONE = {"distribution": "gone-pack", "version": "1.4", "kept": [1]}
REFUSED = (
    "node 'x' has unknown type 'gone-pack:Thing'; pack 'gone-pack' is not installed:"
    ' pip install "gone-pack>=1.4"'
)
BRANCHES = flow(
    place("x", "gone-pack:Thing", odd={"deep": [None, 1.5]}) | {"pack": GONE, "future": True},
    place("lost", "Repeat"),
    place("free", "Repeat", text="ab"),
    "x.result > lost.text",
    outputs={"lost": "lost.text", "free": "free.text"},
)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[WholeApp]:
    """Start the application on a data directory of its own."""
    async with whole_app(tmp_path / "data") as running:
        yield running


async def stored(app: WholeApp, workflow_id: str) -> Json:
    """Return a stored document."""
    answer = await app.ask(f"GET /api/workflows/{workflow_id}")
    assert answer.status == 200
    document: Json = json.loads(answer.body)
    return document


@pytest.mark.parametrize("written", [BRANCHES, saved(BRANCHES)], ids=["payload", "canvas"])
async def test_a_saved_node_names_its_pack(app: WholeApp, written: Json) -> None:
    answer = await app.send("PUT /api/workflows/w", written)
    assert answer.status == 201
    kept = await stored(app, "w")
    first, *others = written["nodes"]
    assert kept["nodes"][0] == first, "the pack is missing: nothing is known better"
    for before, after in zip(others, kept["nodes"][1:], strict=True):
        own = after.pop("pack")
        assert own.keys() == {"distribution", "version"}
        assert own["distribution"] == "test"
        assert after == before
    assert kept | {"nodes": []} == written | {"nodes": []}


async def test_what_is_stored_is_what_is_returned_and_saved_again_is_the_same(
    app: WholeApp,
) -> None:
    """Whoever saves what it had, or what it read, makes no version."""
    first = await app.send("PUT /api/workflows/w", BRANCHES)
    read = await app.ask("GET /api/workflows/w")
    assert read.headers["etag"] == first.headers["etag"]
    for body in (BRANCHES, json.loads(read.body)):
        again = await app.send("PUT /api/workflows/w", body, f"if-match: {read.headers['etag']}")
        assert (again.status, again.headers["etag"]) == (200, first.headers["etag"])
    versions = await app.ask("GET /api/workflow-versions/w")
    assert json.loads(versions.body) == {"versions": []}


@pytest.mark.parametrize("theirs", ["2.0", None, {"name": "x"}, {"distribution": 5}])
async def test_a_pack_of_somebody_else_stays(app: WholeApp, theirs: object) -> None:
    await app.send("PUT /api/workflows/w", flow(place("r", "Repeat") | {"pack": theirs}))
    assert (await stored(app, "w"))["nodes"][0]["pack"] == theirs


async def test_the_record_is_renewed_in_its_place(app: WholeApp) -> None:
    older = {"distribution": "test", "more": 1, "version": "0.0.1"}
    node = {"pack": older, **place("r", "Repeat")}
    await app.send("PUT /api/workflows/w", flow(node))
    [kept] = (await stored(app, "w"))["nodes"]
    assert list(kept) == list(node)
    assert list(kept["pack"]) == ["distribution", "more", "version"]
    assert kept["pack"]["version"] != "0.0.1"


@pytest.mark.parametrize(
    "body", [[], 5, {"nodes": 5}, {"nodes": [5]}, {"nodes": [{"id": "a", "type": 5}]}]
)
async def test_what_is_no_workflow_is_refused_as_before(app: WholeApp, body: object) -> None:
    answer = await app.send("PUT /api/workflows/w", body)
    assert (answer.status, json.loads(answer.body)["error"]["code"]) == (422, "workflow_invalid")


async def test_a_missing_pack_is_refused_with_its_pip_line(live: Live) -> None:
    answer = await live.http.post("/api/prompt", json={"workflow": BRANCHES})
    assert answer.status_code == 422
    [finding] = answer.json()["error"]["details"]
    assert finding == {"code": "unknown_node_type", "message": REFUSED, "node": "x"}


@pytest.mark.parametrize("whole", [False, True], ids=["body", "workflow"])
async def test_what_does_not_need_it_runs_if_asked_for(live: Live, whole: bool) -> None:
    body = {"workflow": BRANCHES} if whole else BRANCHES
    answer = await live.http.post("/api/prompt", json={**body, "allowMissing": True})
    assert answer.status_code == 202
    accepted = answer.json()
    assert [(w["code"], w["message"]) for w in accepted["warnings"]] == [
        ("unknown_node_type", REFUSED)
    ]
    told = await live.ended(accepted["promptId"])
    assert told["status"] == "error"
    assert told["error"]["code"] == "missing_pack"
    statuses = {node: state["status"] for node, state in told["nodes"].items()}
    assert statuses == {"x": "error", "lost": "skipped", "free": "complete"}
    assert told["outputs"]["free"] == "abab"


async def test_the_same_key_with_and_without_it_is_not_the_same_request(live: Live) -> None:
    key = {"Idempotency-Key": "k"}
    workflow = flow(place("free", "Repeat", text="ab"))
    for more, status in (({}, 202), ({}, 200), ({"allowMissing": True}, 422)):
        answer = await live.http.post(
            "/api/prompt", json={"workflow": workflow, **more}, headers=key
        )
        assert answer.status_code == status


async def test_a_run_that_waits_for_the_next_host_remembers_what_it_was_allowed(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as live:
        await live.http.post("/api/queue/pause")
        run_id = await live.submit(BRANCHES, allowMissing=True)
    async with serving(tmp_path) as live:
        await live.http.post("/api/queue/resume")
        told = await live.ended(run_id)
    assert (told["status"], told["outputs"]["free"]) == ("error", "abab")


def test_a_spec_that_was_stored_before_allows_nothing() -> None:
    spec = RunSpec("r", {"nodes": []}, allow_missing=True)
    text = encode_spec(spec)
    assert decode_spec("r", text) == spec
    older = {key: value for key, value in json.loads(text).items() if key != "allowMissing"}
    assert decode_spec("r", json.dumps(older).encode()).allow_missing is False

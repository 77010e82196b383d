"""``/api/workflows`` and what belongs to it: read, saved, versions, names, and who may change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from ..scenarios.building import flow, place
from .security_requests import Answer
from .ways_out import WAYS_OUT
from .whole_app import WholeApp, whole_app

Json = dict[str, Any]  # Any: JSON


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[WholeApp]:
    """Start the application on a data directory that has workflows, though none to see."""
    await anyio.Path(tmp_path / "data" / "workflows").mkdir(parents=True)
    async with whole_app(tmp_path / "data") as running:
        yield running


def named(name: str, **more: object) -> Json:
    """Return a small workflow."""
    return {"name": name, "nodes": [], "edges": [], **more}


def error(answer: Answer, status: int) -> Json:
    """Return the error of an answer."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json")
    found: Json = json.loads(answer.body)
    assert list(found) == ["error"]
    assert list(found["error"]) == ["code", "message", "details"]
    return found["error"]  # type: ignore[no-any-return]  # JSON


async def ids(app: WholeApp) -> list[str]:
    """Return the ids in the list."""
    answer = await app.ask("GET /api/workflows")
    return [entry["id"] for entry in json.loads(answer.body)["workflows"]]


async def names(app: WholeApp, workflow_id: str) -> list[str]:
    """Return the name in each version, the newest first."""
    listed = json.loads((await app.ask(f"GET /api/workflow-versions/{workflow_id}")).body)
    found = []
    for entry in listed["versions"]:
        request = f"GET /api/workflows/{workflow_id}?version={entry['version']}"
        answer = await app.ask(request)
        assert answer.headers["etag"] == entry["etag"]
        found.append(json.loads(answer.body)["name"])
    return found


async def test_a_document_comes_back_as_it_was_sent(app: WholeApp) -> None:
    text = (
        b'{"zebra": 1, "name": "Caf\\u00e9", "nodes": [], "half": "\\ud800", "more": [1.50, null],'
        b' "large": 123456789012345678901234567890, "edges": []}'
    )
    saved = await app.send("PUT /api/workflows/chat/tavern", text)
    told = json.loads(saved.body)
    assert (saved.status, told["id"]) == (201, "chat/tavern")
    assert told["etag"] == saved.headers["etag"]
    read = await app.ask("GET /api/workflows/chat/tavern")
    assert (read.status, read.headers["content-type"]) == (200, "application/json")
    assert read.headers["etag"] == told["etag"]
    assert read.headers["cache-control"] == "private, no-cache"
    assert json.loads(read.body) == json.loads(text)
    assert list(json.loads(read.body)) == list(json.loads(text))


async def test_the_list_shows_each_workflow_with_its_problem(app: WholeApp) -> None:
    saved = await app.send("PUT /api/workflows/b", named("B", description="of mine"))
    await app.send("PUT /api/workflows/b", named("B2", description="\ud800"))
    broken = app.data_dir / "workflows" / "a.json"
    await anyio.Path(broken).write_text('{"nodes": 1}')
    listed = json.loads((await app.ask("GET /api/workflows")).body)["workflows"]
    assert [set(entry) for entry in listed] == [
        {"id", "name", "modified", "size", "etag", "versions", "problem"},
        {"id", "name", "description", "modified", "size", "etag", "versions"},
    ]
    first, second = listed
    assert first["problem"] == (
        "workflow 'a' is not a workflow: expected an object with a list of 'nodes'"
    )
    assert (second["id"], second["name"], second["description"]) == ("b", "B2", "?")
    assert second["versions"] == 1
    assert second["etag"] not in (saved.headers["etag"], None)
    assert second["modified"].endswith("+00:00")


async def test_what_a_client_has_is_not_sent_again(app: WholeApp) -> None:
    etag = (await app.send("PUT /api/workflows/a", named("one"))).headers["etag"]
    for known in (etag, f'"x", W/{etag}', "*"):
        answer = await app.ask("GET /api/workflows/a", f"if-none-match: {known}")
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
    for other in ('"x"', etag.strip('"'), ""):
        answer = await app.ask("GET /api/workflows/a", f"if-none-match: {other}")
        assert (answer.status, json.loads(answer.body)) == (200, named("one"))


async def test_saving_tells_new_from_known(app: WholeApp) -> None:
    request = "PUT /api/workflows/a"
    statuses = [
        (await app.send(request, named("one"))).status,
        (await app.send(request, named("two"))).status,
        (await app.send(request, named("two"))).status,  # no version of the same
    ]
    assert statuses == [201, 200, 200]
    assert await names(app, "a") == ["one"]
    new = await app.send(request, named("three"), "if-none-match: *")
    assert error(new, 409)["message"] == "a workflow has the id 'a' already; choose another"
    assert (await app.send("PUT /api/workflows/b", named("b"), "if-none-match: *")).status == 201
    beside = await app.send("PUT /api/workflows/A", named("b"))
    assert error(beside, 409)["code"] == "workflow_exists"
    assert await ids(app) == ["a", "b"]


async def test_a_change_of_what_nobody_has_seen_is_refused(app: WholeApp) -> None:
    etag = (await app.send("PUT /api/workflows/a", named("one"))).headers["etag"]
    await app.send("PUT /api/workflows/a", named("two"))
    message = "workflow 'a' has changed meanwhile; read it again first"
    versions = json.loads((await app.ask("GET /api/workflow-versions/a")).body)["versions"]
    seen = f"if-match: {etag}"
    for answer in (
        await app.send("PUT /api/workflows/a", named("three"), seen),
        await app.send("PUT /api/workflows/a", named("three"), f'if-match: "x", {etag}'),
        await app.send("PUT /api/workflows/a", named("three"), f"if-match: W/{etag}"),
        await app.send("PUT /api/workflows/a", named("three"), "if-match: x"),
        await app.ask("DELETE /api/workflows/a", seen),
        await app.send("POST /api/workflow-renames", {"from": "a", "to": "b"}, seen),
        await app.send("POST /api/workflow-versions/a", {"version": versions[0]["version"]}, seen),
    ):
        assert error(answer, 412) == {"code": "workflow_changed", "message": message, "details": []}
    now = (await app.ask("GET /api/workflows/a")).headers["etag"]
    either = await app.send("PUT /api/workflows/a", named("four"), f"if-match: {etag}, {now}")
    assert either.status == 200
    assert (await app.send("PUT /api/workflows/a", named("5"), "if-match: *")).status == 200
    gone = await app.send("PUT /api/workflows/none", named("x"), "if-match: *")
    assert error(gone, 412)["message"] == (
        "workflow 'none' was deleted meanwhile; read it again first"
    )
    assert await names(app, "a") == ["four", "two", "one"]


async def test_of_many_who_saw_the_same_one_wins(app: WholeApp) -> None:
    etag = (await app.send("PUT /api/workflows/a", named("seen"))).headers["etag"]
    statuses: list[int] = []

    async def save(number: int) -> None:
        answer = await app.send("PUT /api/workflows/a", named(f"n{number}"), f"if-match: {etag}")
        statuses.append(answer.status)

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(save, number)
    assert sorted(statuses) == [200] + [412] * 11
    statuses.clear()

    async def create(number: int) -> None:
        lines = ("if-none-match: *",) if number % 2 else ()
        answer = await app.send("PUT /api/workflows/new", named(f"n{number}"), *lines)
        statuses.append(answer.status)

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(create, number)
    assert statuses.count(201) == 1
    assert set(statuses) <= {200, 201, 409}


async def test_a_precondition_without_a_meaning_is_refused(app: WholeApp) -> None:
    for given in ('"x"', '*, "x"', "x" * 500):
        answer = await app.send("PUT /api/workflows/a", named("one"), f"if-none-match: {given}")
        shown = given if len(given) <= 100 else given[:97] + "..."
        assert error(answer, 400)["message"] == (
            f"the header If-None-Match is {shown!r}; expected '*', which stores what is new and"
            " replaces nothing"
        )
    assert await ids(app) == []


async def test_what_is_no_workflow_is_not_stored(app: WholeApp) -> None:
    answer = await app.send("PUT /api/workflows/a", {"nodes": [{"type": "core:X"}, {"id": 7}]})
    found = error(answer, 422)
    assert found["code"] == "workflow_invalid"
    assert len(found["details"]) > 1
    for body in (b"[]", b"null", b"1", b'"x"', b'{"nodes": {}}', b'{"nodes": [], "n": NaN}'):
        assert error(await app.send("PUT /api/workflows/a", body), 422)["details"]
    for body in (b"", b"{", b'{"a": \xff}', b"[" * 100_000, b"1" * 5000):
        assert error(await app.send("PUT /api/workflows/a", body), 400)["code"] == "bad_request"
    half = b'{"nodes": [{"id": "\\ud800", "type": "core:X"}], "\\udfff": 1}'
    assert error(await app.send("PUT /api/workflows/a", half), 422)
    odd = b'{"nodes": [{"id": "a", "type": "core:X", "\\udfff": 1, "inputValues": 3}]}'
    assert error(await app.send("PUT /api/workflows/a", odd), 422)
    assert await ids(app) == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "bad_file"),
        ("\ufeff[]", "not_a_workflow"),
        ('{"nodes": [], "\\ud800": NaN}', "not_json"),
        ('{"nodes": [], "x": 1e999}', "not_json"),
    ],
)
async def test_a_file_that_somebody_broke_is_told_and_can_be_replaced(
    app: WholeApp, text: str, code: str
) -> None:
    await anyio.Path(app.data_dir / "workflows" / "a.json").write_text(text, "utf-8")
    found = error(await app.ask("GET /api/workflows/a"), 422)
    assert code in ("bad_file", found["details"][0]["code"])
    assert (await app.send("PUT /api/workflows/a", named("whole"))).status == 200
    assert json.loads((await app.ask("GET /api/workflows/a")).body) == named("whole")


async def test_versions_are_listed_read_and_brought_back(app: WholeApp) -> None:
    for name in ("one", "two", "three"):
        etag = (await app.send("PUT /api/workflows/a/b", named(name))).headers["etag"]
    assert await names(app, "a/b") == ["two", "one"]
    listed = json.loads((await app.ask("GET /api/workflow-versions/a/b")).body)["versions"]
    assert [set(entry) for entry in listed] == [{"version", "modified", "size", "etag"}] * 2
    oldest = {"version": listed[1]["version"]}
    restored = await app.send("POST /api/workflow-versions/a/b", oldest, f"if-match: {etag}")
    assert (restored.status, restored.headers["etag"]) == (200, listed[1]["etag"])
    assert await names(app, "a/b") == ["three", "two", "one"]
    for version in ("20260101T000000.000000Z", "x", "../a/b"):
        wrong = f"workflow 'a/b' has no version {version!r}"
        answer = await app.send("POST /api/workflow-versions/a/b", {"version": version})
        assert error(answer, 404)["message"] == wrong
        read = await app.ask(f"GET /api/workflows/a/b?version={version}")
        assert error(read, 404)["message"] == wrong


async def test_a_deleted_workflow_can_come_back(app: WholeApp) -> None:
    etag = (await app.send("PUT /api/workflows/a", named("one"))).headers["etag"]
    deleted = await app.ask("DELETE /api/workflows/a", f"if-match: {etag}")
    assert (deleted.status, deleted.body) == (204, b"")
    gone = "workflow 'a' was deleted; 1 of its versions can come back"
    assert error(await app.ask("GET /api/workflows/a"), 404)["message"] == gone
    assert error(await app.ask("DELETE /api/workflows/a"), 404)["message"] == gone
    [entry] = json.loads((await app.ask("GET /api/workflow-versions/a")).body)["versions"]
    answer = await app.send("POST /api/workflow-versions/a", {"version": entry["version"]})
    assert (answer.status, await ids(app)) == (200, ["a"])
    await app.send("PUT /api/workflows/tavern", named("two"))
    unknown = await app.ask("GET /api/workflow-versions/tavren")
    assert error(unknown, 404)["message"] == (
        "no workflow has the id 'tavren'; did you mean 'tavern'?"
    )


async def test_a_workflow_gets_another_id_with_its_versions(app: WholeApp) -> None:
    for name in ("one", "two"):
        await app.send("PUT /api/workflows/a", named(name))
    moved = await app.send("POST /api/workflow-renames", {"from": "a", "to": "deep/b"})
    assert (moved.status, json.loads(moved.body)) == (200, {"id": "deep/b"})
    assert (await ids(app), await names(app, "deep/b")) == (["deep/b"], ["one"])
    await app.send("PUT /api/workflows/a", named("other"))
    taken = await app.send("POST /api/workflow-renames", {"from": "a", "to": "deep/b"})
    assert error(taken, 409)["message"] == "a workflow has the id 'deep/b' already; choose another"
    missing = await app.send("POST /api/workflow-renames", {"from": "none", "to": "c"})
    assert error(missing, 404)["code"] == "unknown_workflow"
    for wrong in ({"from": "a"}, {"from": "a", "to": 1}, {"from": "a", "to": "b", "x": 1}):
        assert error(await app.send("POST /api/workflow-renames", wrong), 422)["details"]


async def test_a_stored_workflow_runs_by_its_id(app: WholeApp) -> None:
    await app.send("PUT /api/workflows/my/echo", flow(place("a", "Repeat", text="x")))
    answer = await app.send("POST /api/prompt", {"workflowId": "my/echo"})
    assert answer.status == 202


async def attempts(app: WholeApp, workflow_id: str) -> list[Answer]:
    """Return how everything that can be done with an id is answered."""
    body = named("bad")
    path = f"/api/workflows/{workflow_id}"
    renames = "POST /api/workflow-renames"
    known = {"version": "20260102T030406.000678Z"}
    return [
        await app.ask(f"GET {path}"),
        await app.ask(f"GET {path}?version={known['version']}"),
        await app.send(f"PUT {path}", body),
        await app.send(f"PUT {path}", body, "if-match: *"),
        await app.send(f"PUT {path}", body, "if-none-match: *"),
        await app.ask(f"DELETE {path}"),
        await app.ask(f"GET /api/workflow-versions/{workflow_id}"),
        await app.send(f"POST /api/workflow-versions/{workflow_id}", known),
        await app.send(renames, {"from": workflow_id, "to": "free"}),
        await app.send(renames, {"from": "known", "to": workflow_id}),
    ]


@pytest.mark.parametrize("pattern", [way for way in WAYS_OUT if "?" not in way])
async def test_ways_out_are_refused_alike_whether_or_not_something_is_there(
    app: WholeApp, tmp_path: Path, pattern: str
) -> None:
    for workflow_id in ("known", "deep/known"):
        await app.send(f"PUT /api/workflows/{workflow_id}", named("known"))
    for folder in (tmp_path, app.data_dir):
        await anyio.Path(folder / "outside.json").write_text(json.dumps(named("outside")))
    before = await anyio.to_thread.run_sync(app.files)
    seen = set()
    for target in ("outside", "none", "known"):
        workflow_id = pattern.replace("{}", target)
        for answer in await attempts(app, workflow_id):
            found = error(answer, answer.status)
            assert found["details"] == [] or found["code"] == "bad_request"
            assert len(found["message"]) < 2200
            seen.add((answer.status, found["code"]))
    # Control characters do not even reach a route, and half a character is no JSON.
    assert seen <= {(422, "bad_workflow_name"), (404, "not_found"), (422, "bad_request")} | {
        (400, "bad_request")
    }
    assert await anyio.to_thread.run_sync(app.files) == before


async def test_links_that_lead_out_are_refused_alike(app: WholeApp, tmp_path: Path) -> None:
    folder, outside = app.data_dir / "workflows", tmp_path / "outside"
    await anyio.Path(outside).mkdir()
    await anyio.Path(outside / "there.json").write_text(json.dumps(named("outside")))
    await app.send("PUT /api/workflows/known", named("known"))
    await anyio.Path(folder / "folder").symlink_to(outside)
    await anyio.Path(folder / "file.json").symlink_to(outside / "there.json")
    await anyio.Path(folder / "gone.json").symlink_to(outside / "none.json")
    before = await anyio.to_thread.run_sync(app.files)
    for workflow_id in ("folder/there", "folder/none", "file", "gone"):
        for answer in await attempts(app, workflow_id):
            found = error(answer, answer.status)
            # Versions never lie there.
            assert found["code"] in ("bad_workflow_name", "unknown_workflow")
            assert str(tmp_path) not in found["message"]
    assert await ids(app) == ["known"]
    assert await anyio.to_thread.run_sync(app.files) == before


async def test_other_methods_and_bodies_are_refused(app: WholeApp) -> None:
    answer = await app.send("POST /api/workflows/a", named("x"))
    assert error(answer, 405)["message"] == (
        "'/api/workflows/a' does not take POST; it takes DELETE, GET, HEAD, PUT"
    )
    form = await app.ask("PUT /api/workflows/a", "content-type: text/plain", body=[b"{}"])
    assert error(form, 415)["code"] == "media_type_refused"
    empty = await app.ask("PUT /api/workflows/a")
    assert error(empty, 400)["code"] == "bad_request"
    nothing = await app.ask("GET /api/workflows/")
    assert error(nothing, 422)["code"] == "bad_workflow_name"
    assert (await app.ask("HEAD /api/workflows")).status == 200

"""``/api/openapi.json``: valid, complete, and true of what the routes answer."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest
import schemathesis
from starlette.routing import Route, WebSocketRoute

from comfytavern_hostapp.routes import ENDPOINTS, make_routes, system
from comfytavern_hostapp.routes.openapi import describe

from ..scenarios.building import flow, place
from .live_server import Json, Live, serving
from .service_bench import Bench

SHORT = flow(place("a", "Repeat", text="x"), name="short", id="short")


@pytest.fixture
def document() -> Json:
    """Give the document of every endpoint."""
    return describe(ENDPOINTS, "1.0", "")


def operations(document: Json) -> dict[tuple[str, str], Json]:
    """Return what the document says of each method at each path."""
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_document_is_openapi(document: Json) -> None:
    assert document["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(document).validate()
    for name, schema in document["components"]["schemas"].items():
        jsonschema_rs.meta.validate(schema)
        assert re.fullmatch("[A-Z][A-Za-z]+", name), "a name for outsiders"


def test_every_reference_leads_somewhere(document: Json) -> None:
    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if "$ref" in value else []
            return own + [found for item in value.values() for found in references(item)]
        found_in = value if isinstance(value, list) else []
        return [found for item in found_in for found in references(item)]

    named = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references(document)) <= named


def test_what_may_be_missing_is_not_required(document: Json) -> None:
    # What is null is left out of answers.
    wrong = [
        f"{name}.{key}"
        for name, schema in document["components"]["schemas"].items()
        for key in schema.get("required", ())
        if {"type": "null"} in schema["properties"][key].get("anyOf", ())
    ]
    assert wrong == []


async def test_what_is_served_and_what_is_described_are_the_same(
    bench: Bench, document: Json
) -> None:
    async with bench.service() as service:
        routes = make_routes(service)
    served = Counter(
        (method, re.sub(r"{(\w+):path}", r"{\1}", route.path))
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD"
    )
    assert [path for path, count in served.items() if count > 1] == []
    beside = {("GET", "/"), ("GET", "/api/openapi.json")}
    assert set(served) - beside == set(operations(document))
    others = [route for route in routes if not isinstance(route, Route)]
    assert [type(route) for route in others] == [WebSocketRoute]


def test_every_operation_says_what_it_is(document: Json) -> None:
    found = operations(document)
    assert max(Counter(operation["operationId"] for operation in found.values()).values()) == 1
    for (_, path), operation in found.items():
        assert operation["summary"][0].isupper()
        assert not operation["summary"].endswith(".")
        assert operation["tags"]
        in_path = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        assert any(status.startswith(("2", "3")) for status in operation["responses"])
        for status, response in operation["responses"].items():
            assert response["description"]
            if int(status) >= 400:
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorBody"}


async def test_it_is_served_under_the_root_path(tmp_path: Path, document: Json) -> None:
    async with serving(tmp_path, server={"root_path": "/tavern"}) as live:
        served = (await live.http.get("/api/openapi.json")).json()
        assert served["servers"] == [{"url": "/tavern"}]
        assert served["info"] == {"title": "ComfyTavern", "version": "0.1.0"}
        assert served["paths"] == document["paths"]


# --- what it says is true -----------------------------------------------------------------


class Checked:
    """Asks a server, and holds what it answers against the document."""

    def __init__(self, live: Live, document: Json) -> None:
        self.asked: set[tuple[str, str]] = set()
        self._live = live
        self._document = document

    async def ask(
        self, method: str, path: str, *given: str, **sent: Any
    ) -> httpx2.Response:  # Any: arguments of a request
        """Ask at a path of the document.

        :param given: what stands in place of its parameters
        """
        at = iter(given)
        url = re.sub(r"{\w+}", lambda _: next(at), path)
        answer = await self._live.http.request(method, url, **sent)
        operation = self._document["paths"][path][method.lower()]
        response = operation["responses"][str(answer.status_code)]
        self.asked.add((method, path))
        content = response.get("content", {})
        if not answer.content:
            assert not content
            return answer
        media_type = answer.headers["content-type"].partition(";")[0]
        assert media_type in content or "*/*" in content
        if media_type == "application/json" and media_type in content:
            schema = {**content[media_type]["schema"], "components": self._document["components"]}
            jsonschema_rs.validator_for(schema).validate(answer.json())
        return answer


@pytest.fixture
def checked(live: Live, document: Json) -> Checked:
    """Give what asks the server."""
    return Checked(live, document)


async def test_answers_are_what_the_document_says(live: Live, checked: Checked) -> None:
    ask, stage = checked.ask, live.stage
    for path in ("/health", "/api/system_stats", "/api/executions", "/api/history"):
        await ask("GET", path)
    keyed = {"json": SHORT, "headers": {"Idempotency-Key": "k"}}
    run_id = (await ask("POST", "/api/prompt", **keyed)).json()["promptId"]
    assert (await ask("POST", "/api/prompt", **keyed)).status_code == 200
    await live.ended(run_id)
    running = flow(place("w", "Wait"), place("f", "Fail"), place("d", "Draw"), "f.text > w.after")
    failed = await live.submit(running)
    await live.ended(failed)
    await ask("POST", "/api/queue/pause")
    waits = await live.submit(flow(place("b", "Wait")), priority=2)
    await ask("GET", "/api/executions")
    await ask("PATCH", "/api/executions/{prompt_id}", waits, json={"priority": 3})
    await ask("POST", "/api/queue/resume")
    await stage.begun("b")
    await ask("GET", "/api/executions")
    for shown in (run_id, failed, waits):
        await ask("GET", "/api/prompt/{prompt_id}", shown, params={"nodeOutputs": "true"})
        await ask("GET", "/api/history/{prompt_id}", shown)
    assert (await ask("POST", "/api/interrupt/{prompt_id}", waits)).status_code == 202
    await live.ended(waits)
    assert (await ask("POST", "/api/interrupt/{prompt_id}", waits)).status_code == 200
    events = "/api/prompt/{prompt_id}/events"
    await ask("GET", events, run_id)
    assert (await ask("GET", events, run_id, params={"since": "99"})).status_code == 204
    outputs = (await live.detail(failed, nodeOutputs="true"))["nodeOutputs"]["d"]
    await ask("GET", "/api/blobs/{sha256}", outputs["data"]["$blob"]["sha256"])
    await ask("GET", "/api/history", params={"status": ["error", "interrupted"], "limit": 1})
    await ask("DELETE", "/api/history/{prompt_id}", run_id)
    await ask("DELETE", "/api/history", params={"all": "true"})
    await ask("POST", "/api/login", json={"token": "x"})
    await ask("POST", "/api/logout")
    own = {"runs", "queue", "history", "host"}
    expected = {(e.method, re.sub(":path", "", e.path)) for e in ENDPOINTS if e.tag in own}
    assert checked.asked == expected


async def test_refusals_are_what_the_document_says(checked: Checked) -> None:
    ask = checked.ask
    refused = [
        await ask("POST", "/api/prompt", json={}),
        await ask("POST", "/api/prompt", json=flow(place("a", "Nope"))),
        await ask("POST", "/api/prompt", content=b"{", headers={"Content-Type": "text/plain"}),
        await ask(
            "POST", "/api/prompt", content=b"{", headers={"Content-Type": "application/json"}
        ),
        await ask("GET", "/api/prompt/{prompt_id}", "x"),
        await ask("GET", "/api/history", params={"limit": "0"}),
        await ask("DELETE", "/api/history"),
        await ask("GET", "/health", headers={"Host": "evil.test"}),
        await ask("POST", "/api/queue/pause", headers={"Origin": "http://evil.test"}),
    ]
    codes = [answer.status_code for answer in refused]
    assert codes == [422, 422, 415, 400, 404, 422, 422, 421, 403]


async def test_a_machine_that_does_not_tell_its_memory(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "Path", lambda name: Path("/nowhere"))
    assert "memoryBytes" not in (await checked.ask("GET", "/api/system_stats")).json()

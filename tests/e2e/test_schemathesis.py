"""The API under requests made from its own description: no fault, and nothing undescribed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests
import schemathesis
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from comfytavern_hostapp.routes import ENDPOINTS
from comfytavern_hostapp.routes.openapi import describe

from ..hostapp.live_server import LONGEST, serving
from ..scenarios.building import flow, place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SCHEMA = schemathesis.openapi.from_dict(describe(ENDPOINTS, "1.0", ""))
OPERATIONS = {
    found.ok().label: found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)
}
# Requests to each operation.
EXAMPLES = 20
PROMISED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]


class Served(NamedTuple):
    """A server that answers, and what it knows."""

    url: str
    session: requests.Session
    runs: list[str]
    blobs: list[str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a host from a thread of its own; it has some runs."""
    workflow = flow(place("a", "Repeat", text="x"), place("f", "Fail"), place("d", "Draw"))
    host = serving(tmp_path_factory.mktemp("host"))
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(host) as live,
        requests.Session() as session,
    ):
        runs = [portal.call(live.submit, workflow) for _ in range(20)]
        ended = [portal.call(live.ended, run_id) for run_id in runs]
        assert {run["status"] for run in ended} == {"error"}
        session.trust_env = False
        shown = session.get(f"{live.url}/api/prompt/{runs[0]}?nodeOutputs=true", timeout=LONGEST)
        drawn = shown.json()["nodeOutputs"]["d"]
        blobs = [drawn[name]["$blob"]["sha256"] for name in ("picture", "data")]
        yield Served(live.url, session, runs, blobs)


@pytest.mark.parametrize("label", OPERATIONS)
def test_requests_from_the_description_are_answered_as_described(
    served: Served, label: str
) -> None:
    operation = OPERATIONS[label]
    known = {"prompt_id": served.runs, "sha256": served.blobs}
    kinds = [operation.as_strategy(generation_mode=GenerationMode.POSITIVE)]
    if operation.query or operation.body or operation.headers:
        kinds.append(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))

    @given(data=st.data(), case=st.one_of(kinds))
    @settings(max_examples=EXAMPLES, database=None, suppress_health_check=list(HealthCheck))
    def ask(data: st.DataObject, case: Case[Any]) -> None:  # Any: of any operation
        for name in case.path_parameters or ():
            if name in known and data.draw(st.booleans()):
                case.path_parameters[name] = data.draw(st.sampled_from(known[name]))
        case.call_and_validate(
            base_url=served.url, session=served.session, checks=PROMISED, timeout=LONGEST
        )

    ask()


def test_every_operation_is_asked() -> None:
    assert len(OPERATIONS) == len(ENDPOINTS)


def test_the_server_has_survived_all_that(served: Served) -> None:
    answer = served.session.get(f"{served.url}/health", timeout=LONGEST)
    assert answer.json()["status"] == "ok"

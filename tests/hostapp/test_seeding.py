"""The first start: what it stores, when it does not, and that the example runs as it is stored."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections import Counter
from pathlib import Path

import anyio
import pytest

from comfytavern_hostapp.library import seeding
from comfytavern_hostapp.library.seeding import seed

from .whole_app import WholeApp, whole_app

BUILT_IN = ("comfytavern-core-nodes", "comfytavern-llm-nodes")
MADE = ["shared://characters/hesper.png", "tavern-chat", "hello"]
CARD = "resources/shared/characters/hesper.png"


def files(folder: Path) -> dict[str, bytes]:
    """Return all there is below a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_an_empty_data_directory_gets_the_examples(tmp_path: Path, repository: Path) -> None:
    data_dir = tmp_path / "not" / "there yet"
    assert seed(data_dir) == MADE
    made = files(data_dir)
    assert set(made) == {CARD, "workflows/tavern-chat.json", "workflows/hello.json"}
    examples = repository / "examples"
    assert made[CARD] == (examples / "characters/hesper.png").read_bytes()
    chat = json.loads(made["workflows/tavern-chat.json"])
    [card] = [node for node in chat["nodes"] if node["id"] == "card"]
    assert card["configValues"] == {"cardResource": "shared://characters/hesper.png"}
    card["configValues"] = {"cardResource": "characters/hesper.png"}
    assert chat == json.loads((examples / "tavern-chat.json").read_text("utf-8"))
    hello = (examples / "hello.json").read_text("utf-8")
    assert json.loads(made["workflows/hello.json"]) == json.loads(hello)


def test_a_data_directory_that_had_workflows_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "workflows").mkdir()
    assert (seed(tmp_path), files(tmp_path)) == ([], {})


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / CARD).parent.mkdir(parents=True)
    (tmp_path / CARD).write_bytes(b"somebody's own")
    assert seed(tmp_path) == MADE[1:]
    assert files(tmp_path)[CARD] == b"somebody's own"
    before = files(tmp_path)
    assert seed(tmp_path) == []
    assert files(tmp_path) == before


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_failure_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/machine/path")

    monkeypatch.setattr(os, call, fail)
    assert (seed(tmp_path), files(tmp_path)) == ([], {})
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "the example workflows are not stored: resource 'shared://characters/hesper.png' was not"
        " written: no space left on device; what was there is unchanged"
    )


def test_an_installation_without_examples_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(seeding, "example_folder", lambda: tmp_path / "nowhere")
    assert (seed(tmp_path), files(tmp_path)) == ([], {})
    assert caplog.messages[0].startswith("the example workflows are not stored: ")


async def stored_ids(app: WholeApp) -> list[str]:
    """Return the ids of the stored workflows."""
    listed = json.loads((await app.ask("GET /api/workflows")).body)
    assert not any("problem" in entry for entry in listed["workflows"])
    return [entry["id"] for entry in listed["workflows"]]


async def test_who_deletes_the_examples_is_rid_of_them(tmp_path: Path) -> None:
    async with whole_app(tmp_path) as app:
        assert await stored_ids(app) == ["hello", "tavern-chat"]
        for workflow_id in ("hello", "tavern-chat"):
            assert (await app.ask(f"DELETE /api/workflows/{workflow_id}")).status == 204
    async with whole_app(tmp_path) as app:
        assert await stored_ids(app) == []


@pytest.mark.parametrize("channels", [[], [{"label": "echo", "adapter": "echo"}]])
async def test_the_stored_example_runs_and_streams(tmp_path: Path, channels: list[object]) -> None:
    settings = {"comfytavern-llm-nodes": {"channels": channels}}
    async with whole_app(tmp_path, packs=BUILT_IN, settings=settings) as app:
        body = {"workflowId": "tavern-chat", "inputs": {"message": "A bed, please"}}
        accepted = await app.send("POST /api/prompt", body)
        assert (accepted.status, json.loads(accepted.body)["warnings"]) == (202, [])
        run_id = json.loads(accepted.body)["promptId"]
        with anyio.fail_after(10):
            followed = await app.ask(f"GET /api/prompt/{run_id}/events")
        run = json.loads((await app.ask(f"GET /api/prompt/{run_id}")).body)
        hello = await app.send("POST /api/prompt", {"workflowId": "hello"})
        assert hello.status == 202
    lines = followed.body.decode().splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    kinds = Counter(event["type"] for event in events)
    assert kinds["WORKFLOW_INTERFACE_YIELD"] > 10
    assert (run["status"], run["workflowId"]) == ("complete", "tavern-chat")
    assert "“A bed, please”, you say?" in run["outputs"]["text"]
    assert run["outputs"]["reply"] == run["outputs"]["text"]

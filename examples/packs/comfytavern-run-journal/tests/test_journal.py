"""The runner, the service and the node in a host, and the file from one start to the next."""

from __future__ import annotations

import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import pytest
from comfytavern_run_journal import JournalPack
from comfytavern_run_journal.journal import Journal
from comfytavern_run_journal.runner import JournalingRunner

from comfytavern import PackHost, node
from comfytavern.packs import PackChoice
from comfytavern.runner import RunSpec
from comfytavern.testing import pack_host

NAME = "comfytavern-run-journal"
INPUTS = {"name": {"dataFlowType": "STRING"}}
pytestmark = pytest.mark.anyio
Json = dict[str, Any]  # Any: JSON


def workflow(full_type: str) -> Json:
    """Return a workflow of one node, with an input."""
    return {"nodes": [{"id": "n", "fullType": full_type}], "edges": [], "interfaceInputs": INPUTS}


RECENT = workflow(f"{NAME}:RecentRuns")


@node
async def wait() -> None:
    await anyio.sleep_forever()


async def run(runner: Any, run_id: str, document: Json = RECENT) -> list[Json]:  # Any: a Runner
    """Run to the end and return the events."""
    spec = RunSpec(run_id, document, {"name": "Ann"}, user_id="ann")
    async with aclosing(runner.run(spec)) as batches:
        return [event async for batch in batches for event in batch]


async def test_a_run_is_in_the_journal_before_it_begins() -> None:
    async with pack_host(JournalPack()) as host:
        runner = host.packs.runners["journaling"](host)
        await runner.start()
        for run_id in ("one", "two"):
            events = await run(runner, run_id)
        await runner.close()
    [done] = [e["payload"] for e in events if e["type"] == "NODE_COMPLETE"]
    listed = done["output"]["runs"]
    assert [(r["runId"], r["userId"]) for r in listed] == [("two", "ann"), ("one", "ann")]
    assert set(listed[0]) == {"runId", "userId", "time"}
    assert events[-1]["payload"]["status"] == "complete"


async def test_cancelling_works_as_ever() -> None:
    async with pack_host(JournalPack(), wait) as host:
        runner = host.packs.runners["journaling"](host)
        events: list[Json] = []

        async def go() -> None:
            events.extend(await run(runner, "r", workflow("test:Wait")))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go)
            await anyio.wait_all_tasks_blocked()
            await runner.cancel("r")
    assert events[-1]["payload"]["status"] == "interrupted"


def host_with(folder: Path, **settings: object) -> PackHost:
    """Make a host that keeps things in a folder."""
    host = PackHost(PackChoice(settings={NAME: settings}), found=(), data_dir=folder)
    host.packs.add(JournalPack(), distribution=NAME)
    assert host.records[0].warnings == ()
    return host


async def test_the_journal_outlives_the_host(tmp_path: Path) -> None:
    hosts = [await anyio.to_thread.run_sync(lambda: host_with(tmp_path, keep=2)) for _ in "12"]
    for host, run_id in zip(hosts, ("one", "two"), strict=True):
        async with host:
            runner = host.packs.runners["journaling"](host)
            await run(runner, run_id)
            await run(runner, f"{run_id}, again")
    [file] = [file async for file in anyio.Path(tmp_path).glob("**/runs.jsonl")]
    assert (await file.stat()).st_mode & 0o077 == 0
    lines = [json.loads(line) for line in (await file.read_text("utf-8")).splitlines()]
    # Old ones go when a host starts.
    assert [line["run_id"] for line in lines] == ["one", "one, again", "two", "two, again"]
    assert lines[0]["workflow"] == RECENT
    assert lines[0]["inputs"] == {"name": "Ann"}
    journal = Journal(Path(file), keep=2)
    await journal.open()
    await journal.close()
    assert len((await file.read_text("utf-8")).splitlines()) == 2
    assert [entry.run_id for entry in await journal.latest(5)] == ["two, again", "two"]


async def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    file = anyio.Path(tmp_path / "runs.jsonl")
    journal = Journal(Path(file))
    await journal.open()
    await journal.add("whole", None, {}, {})
    await journal.close()
    await file.write_text(await file.read_text() + '{"run_id": "half', "utf-8")
    again = Journal(Path(file))
    await again.open()
    await again.close()
    assert [entry.run_id for entry in await again.latest(5)] == ["whole"]


class FullDisk(Journal):
    """A journal that cannot be written."""

    async def add(self, *entry: object) -> None:
        raise OSError("no space left")


async def test_a_run_that_cannot_be_written_down_is_not_executed() -> None:
    async with pack_host(JournalPack()) as host:
        runner = JournalingRunner(host, journal=FullDisk(None))
        with pytest.raises(OSError, match="no space left"):
            await run(runner, "r")

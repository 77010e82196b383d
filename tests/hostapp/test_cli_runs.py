"""``runs list``, ``show`` and ``cancel`` on a running host."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from ..scenarios.building import flow, place
from .live_server import Live, serving
from .runs_commands import FAIL, ONE, REPEAT, SAY, ask, rows
from .service_bench import Bench, submit
from .test_cli_help import HEAVY, PACKS, WEB, loaded_by
from .test_cli_support import CommandLine

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


async def three(live: Live) -> list[str]:
    """Hand in a run that fails, one that runs and one that waits; return their ids."""
    failed = await live.submit(FAIL)
    await live.ended(failed)
    running = await live.submit(SAY)
    live.stage.say("a", "Hel")
    await live.stage.begun("a")
    return [failed, running, await live.submit(REPEAT)]


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Live]:
    """Serve a host that executes one run at a time."""
    async with serving(tmp_path / "data", limits=ONE) as server:
        yield server


# --- list -----------------------------------------------------------------------------------


async def test_what_goes_on_comes_first(command: CommandLine, one: Live) -> None:
    failed, running, waiting = await three(one)
    result = await ask(command, "list")
    assert (result.exit_code, result.stderr) == (0, "")
    listed = rows(result)
    assert [row[:3] for row in listed] == [
        [running, "running", "Small talk"],
        [waiting, "queued (1)", ""],
        [failed, "error", "sad"],
    ]
    assert re.fullmatch(TIME, listed[0][3])
    assert [row[3] for row in listed[1:2]] == [""]
    assert re.fullmatch(r"\d+ ms|\d\.\d s", listed[2][4])


async def test_the_list_as_json(command: CommandLine, one: Live) -> None:
    failed, running, waiting = await three(one)
    listed = json.loads((await ask(command, "list", "--json")).stdout)
    assert [run["promptId"] for run in listed] == [running, waiting, failed]
    assert listed[1]["queuePosition"] == 1
    assert listed[2]["durationMs"] >= 0
    assert listed[0]["workflowName"] == "Small talk"


async def test_runs_are_chosen_and_counted(command: CommandLine, one: Live) -> None:
    failed, running, waiting = await three(one)

    async def ids(*args: str) -> list[str]:
        return [row[0] for row in rows(await ask(command, "list", *args))]

    assert await ids("--status", "error", "--status", "queued") == [waiting, failed]
    assert await ids("--workflow", "talk") == [running]
    assert await ids("--workflow", "none") == []
    result = await ask(command, "list", "--limit", "2")
    assert [row[0] for row in rows(result)] == [running, waiting]
    assert result.stderr == "2 of 3 runs; --all lists them all\n"
    assert await ids("--limit", "1", "--all") == [running, waiting, failed]


async def test_every_page_is_read(command: CommandLine, bench: Bench) -> None:
    async with bench.service(paused=True, limits={"queued_runs": 1000}) as service:
        handed_in = [await submit(service, REPEAT) for _ in range(501)]
    result = await ask(command, "list", "--all")
    assert [row[0] for row in rows(result)] == handed_in
    assert rows(result)[500][1] == "queued (501)"


def test_the_statuses_are_those_of_runs(command: CommandLine) -> None:
    assert "[queued|running|complete|error|interrupted]" in command("runs", "list", "--help").stdout


def test_without_any_run(command: CommandLine) -> None:
    result = command("runs", "list")
    where = command.data_dir
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"no such runs at {where}\n"
    assert command("runs", "list", "--json").stdout == "[]\n"
    assert not where.exists()


# --- ids ------------------------------------------------------------------------------------


async def test_an_id_may_be_cut(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(REPEAT)
    await live.ended(run_id)
    for begin in (run_id, run_id[:8], run_id[:1]):
        assert (await ask(command, "show", begin)).stdout.startswith(f"id: {run_id}\n")


async def test_an_id_that_fits_several_runs(command: CommandLine, bench: Bench) -> None:
    async with bench.service(paused=True) as service:
        ids = [await submit(service, REPEAT) for _ in range(17)]  # two begin alike
    begin = next(x for x in "0123456789abcdef" if sum(i.startswith(x) for i in ids) > 1)
    fitting = [run_id for run_id in reversed(ids) if run_id.startswith(begin)]
    result = await ask(command, "show", begin)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"error: {len(fitting)} runs have an id that begins with {begin!r}: {', '.join(fitting)}\n"
    )


async def test_an_id_that_no_run_has(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(REPEAT)
    await live.ended(run_id)
    other = run_id[:7] + ("1" if run_id[7] == "0" else "0")
    result = await ask(command, "cancel", other)
    hint = f"did you mean {run_id[:8]!r}?"
    assert result.stderr == f"error: no run has an id that begins with {other!r}; {hint}\n"
    assert result.exit_code == 2
    for begin in ("zz", "", "%", "x" * 300):
        result = await ask(command, "show", begin, "--json")
        said = f"no run has an id that begins with {begin!r}; 'comfytavern runs list --all'"
        error = {"code": "unknown_run", "message": f"{said} lists them all", "details": []}
        assert json.loads(result.stdout) == {"error": error}


# --- show -----------------------------------------------------------------------------------


async def test_a_run_in_full(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(FAIL)
    await live.ended(run_id)
    result = await ask(command, "show", run_id)
    assert (result.exit_code, result.stderr) == (0, "")
    told = re.sub(TIME, "<time>", re.sub(r"took: .+", "took: <time>", result.stdout))
    assert told == (
        f"id: {run_id}\nstatus: error\nworkflow: sad\ncreated: <time>\nstarted: <time>\n"
        "finished: <time>\ntook: <time>\n\n"
        "nodes:\n  a: error\n  b: skipped (node 'a' failed)\n\n"
        "error: node 'a' (test:Fail, pack 'test') failed: out of tea\n"
        f"  'comfytavern --debug runs show {run_id[:8]}' shows where in its code\n"
    )


async def test_a_run_that_goes_on(command: CommandLine, one: Live) -> None:
    _, running, waiting = await three(one)
    lines = (await ask(command, "show", running)).stdout.splitlines()
    assert lines[1:3] == ["status: running", "workflow: Small talk (talk)"]
    assert lines[-5:] == ["nodes:", "  a: running", "", "outputs:", "  speech: Hel"]
    assert "status: queued (1)\n" in (await ask(command, "show", waiting)).stdout


async def test_a_traceback_is_for_who_asks(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(FAIL)
    await live.ended(run_id)
    with anyio.fail_after(15):
        shown = await to_thread.run_sync(partial(command, "--debug", "runs", "show", run_id))
    assert "Traceback (most recent call last):\n" in shown.stdout


async def test_a_run_as_json(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(REPEAT)
    await live.ended(run_id)
    document = json.loads((await ask(command, "show", run_id, "--json", "--events")).stdout)
    assert document["outputs"] == {"text": "haha"}
    assert document["workflow"]["nodes"][0]["id"] == "a"
    assert [event["seq"] for event in document["events"]] == [*range(1, document["lastSeq"] + 1)]
    assert "events" not in json.loads((await ask(command, "show", run_id, "--json")).stdout)


async def test_the_events_so_far(command: CommandLine, one: Live) -> None:
    _, running, waiting = await three(one)
    for run_id in (running, waiting):
        result = await ask(command, "show", run_id, "--events")
        events = list(map(json.loads, result.stdout.splitlines()))
        last = (await one.detail(run_id))["lastSeq"]
        assert [event["seq"] for event in events] == [*range(1, last + 1)]


# --- cancel ---------------------------------------------------------------------------------


async def test_what_becomes_of_each_run_is_said(command: CommandLine, one: Live) -> None:
    failed, running, waiting = await three(one)
    result = await ask(command, "cancel", failed, running[:8], waiting)
    assert result.exit_code == 0
    assert set(result.stdout.splitlines()) == {
        f"{failed}: it was error already",
        f"{waiting}: interrupted; it waited",
        f"{running}: interrupted; its work has stopped",
    }
    assert result.stderr == "waiting for the run to stop; Ctrl-C leaves without waiting\n"


async def test_all_that_waits_is_cancelled(command: CommandLine, one: Live) -> None:
    _, running, waiting = await three(one)
    another = await one.submit(REPEAT)
    result = await ask(command, "cancel", "--all-queued", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == [
        {
            "promptId": run_id,
            "was": "queued",
            "status": "interrupted",
            "stopped": True,
            "goesOn": [],
        }
        for run_id in (waiting, another)
    ]
    assert (await one.detail(running))["status"] == "running"
    assert (await ask(command, "cancel", "--all-queued")).stderr == "no run waits\n"


async def test_work_that_does_not_stop_is_named(command: CommandLine, tmp_path: Path) -> None:
    async with serving(tmp_path / "data", limits={"interrupt_grace": "50ms"}) as live:
        run_id = await live.submit(flow(place("s", "Stubborn")))
        await live.stage.begun("s")
        goes_on = "but its work goes on and holds a slot: node 's' of pack 'test'"
        result = await ask(command, "cancel", run_id)
        assert result.exit_code == 1
        assert result.stdout == f"{run_id}: interrupted, {goes_on}\n"
        again = await ask(command, "cancel", run_id)
        assert again.exit_code == 1
        assert again.stdout == f"{run_id}: it was interrupted already, {goes_on}\n"


async def test_who_does_not_wait_hears_so(command: CommandLine, tmp_path: Path) -> None:
    async with serving(tmp_path / "data", limits={"interrupt_grace": "1h"}) as live:
        run_id = await live.submit(flow(place("s", "Stubborn")))
        await live.stage.begun("s")
        result = await ask(command, "cancel", run_id, "--wait", "0.05")
        assert result.exit_code == 1
        assert result.stdout == f"{run_id}: still stopping after 0.05 s\n"
        result = await ask(command, "cancel", run_id, "--wait", "0", "--json")
        told = json.loads(result.stdout)[0]
        assert (told["was"], told["status"], told["stopped"]) == ("running", "interrupting", False)
        live.stage.released.set()


@pytest.mark.parametrize("args", [(), ("abc", "--all-queued")])
def test_what_to_cancel_is_said_once(command: CommandLine, args: tuple[str, ...]) -> None:
    result = command("runs", "cancel", *args)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: expected an ID, or --all-queued\n")


# --- what is loaded -------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["list", "show", "tail", "cancel"])
def test_help_loads_next_to_nothing(command: CommandLine, verb: str) -> None:
    assert loaded_by("runs", verb, "--help").isdisjoint({*HEAVY, *WEB, *PACKS, "websockets"})


def test_the_data_directory_needs_no_web(command: CommandLine) -> None:
    loaded = loaded_by("runs", "list", "--json")
    assert loaded.isdisjoint({*WEB, *PACKS, "httpx", "websockets", "rich"})

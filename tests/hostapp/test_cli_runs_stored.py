"""``runs`` in a data directory that no host uses."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from .runs_commands import ONE, QUEUED, REPEAT, SAY, ask, rows
from .service_bench import Bench, crashed_copy, events_of, submit
from .test_cli_support import CommandLine

Dead = tuple[CommandLine, list[str]]

DEAD = (
    "warning: no host is running, so what is marked as running has stopped; the next start of the"
    " host ends it, or 'comfytavern runs cancel'\n"
)
WAITING = "warning: no host is running; what is queued waits for 'comfytavern serve'\n"
NO_HOST = "no host is running; this is what {} holds\n"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


@pytest.fixture
async def dead(command: CommandLine, bench: Bench) -> tuple[CommandLine, list[str]]:
    """Give a data directory whose host was killed, with its runs."""
    ids = await stopped(bench)
    moved = bench.data_dir.with_name("ended")
    await to_thread.run_sync(bench.data_dir.rename, moved)
    await to_thread.run_sync(bench.data_dir.with_name("copy").rename, bench.data_dir)
    return command, ids


async def stopped(bench: Bench) -> list[str]:
    """Leave a run that has ended, one that was running and two that wait; return their ids."""
    async with bench.service(limits=ONE) as service:
        ended = await submit(service, REPEAT)
        await events_of(service, ended)
        running = await submit(service, SAY)
        bench.stage.say("a", "Hel")
        await bench.stage.begun("a")
        waiting = [await submit(service, REPEAT, priority=n) for n in (0, 5)]
        run = await service.store.find(running)
        while (await service.store.find(running)).last_seq < 6:  # what it said is stored
            await anyio.wait_all_tasks_blocked()
        assert run.status == "running"
        copy = bench.data_dir.with_name("copy")
        await to_thread.run_sync(crashed_copy, bench.data_dir, copy)
    return [ended, running, *waiting]


async def test_what_a_dead_host_has_left_is_listed(dead: Dead) -> None:
    command, (ended, running, waiting, urgent) = dead
    result = await ask(command, "list")
    assert [row[:2] + row[4:] for row in rows(result)][:3] == [
        [running, "running", ""],
        [urgent, "queued (1)", ""],
        [waiting, "queued (2)", ""],
    ]
    assert rows(result)[3][:2] == [ended, "complete"]
    assert result.stderr == DEAD
    assert (await ask(command, "list", "--status", "queued")).stderr == WAITING
    assert (await ask(command, "list", "--status", "complete")).stderr == ""


async def test_what_a_dead_host_has_left_is_shown(dead: Dead) -> None:
    command, (ended, running, *_) = dead
    told = json.loads((await ask(command, "show", ended[:8], "--json", "--events")).stdout)
    assert (told["status"], told["outputs"]) == ("complete", {"text": "haha"})
    assert told["events"][-1]["payload"]["status"] == "complete"
    result = await ask(command, "show", running)
    assert "status: running\n" in result.stdout
    assert "outputs:\n  speech: Hel\n" in result.stdout
    assert "took" not in result.stdout
    assert result.stderr == DEAD
    assert (await ask(command, "show", "zz")).exit_code == 2


async def test_what_a_dead_host_has_left_is_cancelled(dead: Dead, bench: Bench) -> None:
    command, (ended, running, waiting, urgent) = dead
    result = await ask(command, "cancel", ended, running, waiting)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        f"{waiting}: interrupted; it waited\n"
        f"{ended}: it was complete already\n"
        f"{running}: interrupted; it was running when its host stopped\n"
    )
    shown = (await ask(command, "show", running)).stdout
    assert "  a: interrupted (with a part of its stream)\n" in shown
    assert shown.endswith("error: the host stopped while the run was running; hand it in again\n")
    assert (await ask(command, "cancel", "--all-queued")).stdout == (
        f"{urgent}: interrupted; it waited\n"
    )
    # The next host finds them as it would have left them itself.
    async with bench.service() as service:
        states = [(await service.store.find(i)).status for i in (running, waiting, urgent)]
        assert states == ["interrupted"] * 3
        events = await events_of(service, waiting)
        assert events[-1]["payload"] == {"promptId": waiting, "status": "interrupted"}


async def test_reading_changes_nothing(dead: Dead) -> None:
    command, ids = dead
    file = command.data_dir / "runs.sqlite3"
    before = await to_thread.run_sync(file.read_bytes)
    for args in (("list",), ("show", ids[1]), ("tail", ids[1])):
        await ask(command, *args)
    assert await to_thread.run_sync(file.read_bytes) == before


def test_a_file_that_is_no_store_is_left_alone(command: CommandLine) -> None:
    command.data_dir.mkdir()
    file = command.data_dir / "runs.sqlite3"
    file.write_text("shopping list")
    result = command("runs", "list")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: the file of runs 'runs.sqlite3' is damaged (")
    assert file.read_text() == "shopping list"


def test_a_store_without_a_layout_waits_for_its_host(command: CommandLine) -> None:
    command.data_dir.mkdir()
    (command.data_dir / "runs.sqlite3").touch()
    result = command("runs", "list")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: the file of runs 'runs.sqlite3' has layout 0, and this command reads 1; start the"
        " host once, which brings it up to date\n"
    )


# --- tail --------------------------------------------------------------------------------------


async def test_what_is_stored_is_told(command: CommandLine, bench: Bench) -> None:
    async with bench.service() as service:
        run_id = await submit(service, REPEAT)
        await events_of(service, run_id)
    result = await ask(command, "tail", run_id)
    assert (result.exit_code, result.stdout) == (0, "haha\n")
    assert result.stderr.startswith(NO_HOST.format(command.data_dir) + QUEUED)
    events = (await ask(command, "tail", run_id, "--json")).stdout.splitlines()
    assert json.loads(events[-1])["payload"]["status"] == "complete"


async def test_what_has_not_ended_is_said_to_stand(dead: Dead) -> None:
    command, (_, running, waiting, _) = dead
    result = await ask(command, "tail", running)
    assert (result.exit_code, result.stdout) == (1, "Hel\n")
    assert result.stderr == (
        f"{NO_HOST.format(command.data_dir)}{QUEUED}"
        f"run {running} was running when its host stopped; 'comfytavern serve' takes it up\n"
    )
    result = await ask(command, "tail", waiting)
    assert result.exit_code == 1
    assert result.stderr.endswith(f"run {waiting} waits; 'comfytavern serve' takes it up\n")


def test_nothing_goes_on_without_a_host(command: CommandLine) -> None:
    result = command("runs", "tail")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "error: no host is running, so there is nothing to follow; name a run to see what is"
        " stored of it, or start 'comfytavern serve'\n"
    )

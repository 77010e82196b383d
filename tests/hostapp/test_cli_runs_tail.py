"""``runs tail``: one run to its end or all of them, through breaks, and where no host is."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import anyio
import pytest
from anyio import from_thread, to_thread
from click.testing import Result

from ..scenarios.building import flow, interface, place
from .live_server import Live, serving
from .service_bench import Bench, events_of, submit
from .test_cli_interrupt import read_until
from .test_cli_runs import FAIL, REPEAT, SAY, Dead, dead
from .test_cli_support import CommandLine

__all__ = ("dead",)

posix = pytest.mark.skipif(os.name == "nt", reason="signals and terminals of POSIX")

BOTH = flow(
    place("a", "Say"),
    place("b", "Repeat", text="ho"),
    interfaceOutputs=interface(speech="STRING~", said="STRING", text="STRING"),
    outputs={"speech": "a.speech", "said": "a.text", "text": "b.text"},
)
QUEUED = "waits in the queue, position 1\n"
NO_HOST = "no host is running; this is what {} holds\n"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


async def tail(command: CommandLine, *args: str) -> Result:
    """Run ``tail`` beside the loop that serves it."""
    with anyio.fail_after(15):
        return await to_thread.run_sync(partial(command, "runs", "tail", *args))


@asynccontextmanager
async def tailing(
    command: CommandLine, *args: str, **options: Any
) -> AsyncIterator[subprocess.Popen[str]]:  # Any: of CommandLine.start
    """Start ``tail`` in a process of its own; it has ended by the end of the block."""
    start = partial(command.start, "runs", "tail", *args, **options)
    process = await to_thread.run_sync(start)
    try:
        yield process
    finally:
        process.kill()
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(process.communicate)


async def seen(stream: IO[str] | None, wanted: str) -> str:
    """Read what a process says until a text has come."""
    with anyio.fail_after(15):
        return await to_thread.run_sync(read_until, stream, wanted, abandon_on_cancel=True)


async def rest(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the end of a process; return its code and what it has still said."""
    with anyio.fail_after(15):
        out, err = await to_thread.run_sync(process.communicate, abandon_on_cancel=True)
    return process.returncode, out, err


def times_hidden(text: str) -> str:
    """Leave out how long things took."""
    return re.sub(r"\d+ ms|\d+\.\d s", "<time>", text)


# --- one run --------------------------------------------------------------------------------


async def test_text_comes_as_it_is_said(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(SAY)
    live.stage.say("a", "Hel")
    async with tailing(command, run_id[:8]) as process:
        assert await seen(process.stdout, "Hel") == "Hel"
        live.stage.say("a", "lo")
        assert await seen(process.stdout, "lo") == "lo"
        live.stage.end("a")
        code, out, err = await rest(process)
    assert (code, out) == (0, "\n")
    end = "node a: complete (<time>)\ncomplete: 1 node, <time>\n"
    assert times_hidden(err) == QUEUED + end


async def test_the_outputs_follow_and_nothing_is_said_twice(
    command: CommandLine, live: Live
) -> None:
    live.stage.say("a", "Hello")
    live.stage.end("a")
    run_id = await live.submit(BOTH)
    await live.ended(run_id)
    result = await tail(command, run_id)
    assert (result.exit_code, result.stdout) == (0, "Hello\ntext: hoho\n")


async def test_the_only_text_is_all_of_stdout(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(REPEAT)
    await live.ended(run_id)
    result = await tail(command, run_id)
    assert (result.exit_code, result.stdout) == (0, "haha\n")


async def test_a_failure_is_told_as_of_a_run_of_our_own(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(FAIL)
    await live.ended(run_id)
    result = await tail(command, run_id)
    assert (result.exit_code, result.stdout) == (1, "")
    assert times_hidden(result.stderr) == (
        f"{QUEUED}node a: error\nnode b: skipped (node 'a' failed)\n"
        "error: node 'a' (test:Fail, pack 'test') failed: out of tea\nand of cake\n"
        "error: 2 nodes, <time>\n"
    )


async def test_an_interrupted_run_gives_130(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(SAY)
    live.stage.say("a", "Hel")
    async with tailing(command, run_id) as process:
        await seen(process.stdout, "Hel")
        await live.http.post(f"/api/interrupt/{run_id}")
        assert await rest(process) == (130, "\n", f"{QUEUED}node a: interrupted\ninterrupted\n")


async def test_every_event_is_a_line_of_json(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(SAY)
    live.stage.say("a", "line\u2028separator\x85")
    async with tailing(command, run_id, "--json") as process:
        said = await seen(process.stdout, '"NODE_YIELD"')
        live.stage.end("a")
        code, out, err = await rest(process)
    assert (code, err) == (0, "")
    told = [json.loads(line) for line in (said + out).split("\n") if line]
    assert told == await live.log(run_id)
    since = await tail(command, run_id, "--json", "--since", "4")
    assert [json.loads(line) for line in since.stdout.split("\n") if line] == told[4:]
    assert (await tail(command, run_id, "--json", "--since", "999")).stdout == ""


async def test_a_run_that_waits_is_waited_for(command: CommandLine, tmp_path: Path) -> None:
    async with serving(tmp_path / "data", limits={"concurrent_runs": 1}) as live:
        await live.submit(SAY)
        await live.stage.begun("a")
        waiting = await live.submit(REPEAT)
        async with tailing(command, waiting) as process:
            await seen(process.stderr, QUEUED)
            live.stage.end("a")
            code, out, _ = await rest(process)
        assert (code, out) == (0, "haha\n")


@posix
async def test_ctrl_c_leaves_the_run_alone(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(SAY)
    live.stage.say("a", "Hel")
    async with tailing(command, run_id) as process:
        await seen(process.stdout, "Hel")
        process.send_signal(signal.SIGINT)
        assert await rest(process) == (130, "\n", f"{QUEUED}left; run {run_id} goes on\n")
    assert (await live.detail(run_id))["status"] == "running"


# --- breaks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_new_host_is_found_and_nothing_is_missing(
    command: CommandLine, tmp_path: Path, form: str
) -> None:
    as_json = form == "json"
    async with serving(tmp_path / "data") as before:
        run_id = await before.submit(SAY)
        before.stage.say("a", "Hel")
        process = await to_thread.run_sync(
            partial(command.start, "runs", "tail", run_id, *(["--json"] if as_json else []))
        )
        said = await seen(process.stdout, '"NODE_YIELD"' if as_json else "Hel")
        last = (await before.detail(run_id))["lastSeq"]
    async with serving(tmp_path / "data") as after:
        code, out, err = await rest(process)
        log = await after.log(run_id)
    assert after.port != before.port
    broke = f"the connection to {before.url} broke; going on after event {last} when it is back\n"
    assert code == 130
    if as_json:
        assert [json.loads(line) for line in (said + out).splitlines()] == log
        assert err == f"{broke}connected again\n"
    else:
        assert said + out == "Hel\n"
        told = f"{broke}connected again\nnode a: interrupted\ninterrupted\n"
        assert err == QUEUED + told


async def test_a_host_that_does_not_come_back(command: CommandLine, tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as live:
        run_id = await live.submit(SAY)
        live.stage.say("a", "Hel")
        process = await to_thread.run_sync(
            partial(command.start, "runs", "tail", run_id, "--retry", "0.1")
        )
        await seen(process.stdout, "Hel")
        last = (await live.detail(run_id))["lastSeq"]
    code, _, err = await rest(process)
    assert code == 1
    assert err.splitlines()[1:] == [
        f"the connection to {live.url} broke; going on after event {last} when it is back",
        f"error: the server at {live.url!r} cannot be reached: connection refused; start it with"
        " 'comfytavern serve', or name another with --server",
    ]


# --- every run ------------------------------------------------------------------------------


class Lines:
    """What a process says on stdout, line by line, as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.lines: list[str] = []
        self._news = anyio.Event()

    def read(self) -> None:
        """Read to the end. In a thread."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            from_thread.run_sync(self._take, line)

    def _take(self, line: str) -> None:
        self.lines.append(line.rstrip("\n"))
        self._news.set()
        self._news = anyio.Event()

    async def until(self, wanted: Callable[[str], bool]) -> None:
        """Wait for a line."""
        with anyio.fail_after(15):
            while not any(map(wanted, self.lines)):
                await self._news.wait()


async def following(live: Live, lines: Lines) -> None:
    """Hand in runs until the first line of one has come: it follows from now on."""
    with anyio.fail_after(15):
        while not lines.lines:
            await live.ended(await live.submit(REPEAT))


@posix
async def test_every_run_is_followed(command: CommandLine, live: Live) -> None:
    async with tailing(command) as process, anyio.create_task_group() as tasks:
        lines = Lines(process)
        tasks.start_soon(to_thread.run_sync, lines.read)
        await following(live, lines)
        good, bad = await live.submit(REPEAT), await live.submit(FAIL)
        for run_id in (good, bad):
            await live.ended(run_id)
            ends = (f"{run_id[:8]}  complete", f"{run_id[:8]}  error: ")
            await lines.until(lambda line, ends=ends: line.startswith(ends))
        process.send_signal(signal.SIGINT)
        with anyio.fail_after(15):
            assert await to_thread.run_sync(process.wait) == 130
    told = [times_hidden(line) for line in lines.lines]
    assert [line.partition("  ")[2] for line in told if line.startswith(good[:8])] == [
        "waits in the queue, position 1",
        "running",
        "node a: complete (<time>)",
        "complete",
    ]
    assert [line.partition("  ")[2] for line in told if line.startswith(bad[:8])][-3:] == [
        "node a: error",
        "node b: skipped (node 'a' failed)",
        "error: node 'a' (test:Fail) failed: out of tea",
    ]


@posix
async def test_every_run_is_followed_through_a_restart(
    command: CommandLine, tmp_path: Path
) -> None:
    async with tailing_all(command, tmp_path) as (process, lines, running, waiting):
        async with serving(tmp_path / "data") as after:
            logs = {run_id: await after.log(run_id) for run_id in (running, waiting)}
            missed = await after.submit(REPEAT)  # perhaps before it is connected again
            logs[missed] = await after.log(missed)
            await lines.until(lambda line: missed in line and '"complete"' in line)
        told = [json.loads(line) for line in lines.lines]
        for run_id, log in logs.items():
            own = [event for event in told if event["payload"]["promptId"] == run_id]
            assert own == log
        process.send_signal(signal.SIGINT)


@asynccontextmanager
async def tailing_all(
    command: CommandLine, folder: Path
) -> AsyncIterator[tuple[subprocess.Popen[str], Lines, str, str]]:
    """Follow every run of a host that has ended by then: one ran there, and one waited."""
    async with tailing(command, "--json") as process, anyio.create_task_group() as tasks:
        lines = Lines(process)
        limits = {"concurrent_runs": 1, "interrupt_grace": "200ms"}
        # The process looks for the host when it starts, so it is held until there is one.
        async with serving(folder / "data", limits=limits) as before:
            tasks.start_soon(to_thread.run_sync, lines.read)
            await following(before, lines)
            running = await before.submit(SAY)
            await before.stage.begun("a")
            waiting = await before.submit(REPEAT)
            await lines.until(lambda line: waiting in line)
        yield process, lines, running, waiting


# --- without a host -------------------------------------------------------------------------


async def test_what_is_stored_is_told(command: CommandLine, bench: Bench) -> None:
    async with bench.service() as service:
        run_id = await submit(service, REPEAT)
        await events_of(service, run_id)
    result = await tail(command, run_id)
    assert (result.exit_code, result.stdout) == (0, "haha\n")
    assert result.stderr.startswith(NO_HOST.format(command.data_dir) + QUEUED)
    events = (await tail(command, run_id, "--json")).stdout.splitlines()
    assert json.loads(events[-1])["payload"]["status"] == "complete"


async def test_what_has_not_ended_is_said_to_stand(dead: Dead) -> None:
    command, (_, running, waiting, _) = dead
    result = await tail(command, running)
    assert (result.exit_code, result.stdout) == (1, "Hel\n")
    assert result.stderr == (
        f"{NO_HOST.format(command.data_dir)}{QUEUED}"
        f"run {running} was running when its host stopped; 'comfytavern serve' takes it up\n"
    )
    result = await tail(command, waiting)
    assert result.exit_code == 1
    assert result.stderr.endswith(f"run {waiting} waits; 'comfytavern serve' takes it up\n")


def test_nothing_goes_on_without_a_host(command: CommandLine) -> None:
    result = command("runs", "tail")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "error: no host is running, so there is nothing to follow; name a run to see what is"
        " stored of it, or start 'comfytavern serve'\n"
    )


def test_since_goes_with_an_id(command: CommandLine) -> None:
    result = command("runs", "tail", "--since", "3")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --since goes with an ID\n")


# --- what a terminal shows ------------------------------------------------------------------


@posix
class TestTerminal:
    async def see(
        self, command: CommandLine, *args: str, wait_for: str, then: Callable[[], None]
    ) -> tuple[str, int]:
        """Run on a terminal; do something once a text is there; return the screen's input."""
        leader, terminal = os.openpty()
        process = await to_thread.run_sync(
            partial(
                command.start,
                *("runs", *args),
                **dict.fromkeys(("stdin", "stdout", "stderr"), terminal),
                start_new_session=True,
            )
        )
        os.close(terminal)
        screen, is_due = "", True
        try:
            with anyio.fail_after(15):
                while data := await to_thread.run_sync(os.read, leader, 4096):
                    screen += data.decode()
                    if is_due and wait_for in screen:
                        is_due = False
                        then()
        except OSError:  # how Linux tells that the other side is closed
            pass
        os.close(leader)
        return screen, await to_thread.run_sync(process.wait)

    async def test_the_status_line_goes_on_while_nothing_comes(
        self, command: CommandLine, live: Live
    ) -> None:
        run_id = await live.submit(flow(place("w", "Wait"), outputs={"told": "w.told"}))
        await live.stage.begun("w")
        frames = r"\r\x1b\[2K\x1b\[2m(\S) 0/1 nodes · \d+ s · w 50% half\x1b\[0m"

        def is_drawn_thrice(screen: str) -> bool:
            return len(set(re.findall(frames, screen))) >= 3

        class Screen(str):
            def __contains__(self, wanted: object) -> bool:
                return is_drawn_thrice(self)

        screen, code = await self.see(
            command, "tail", run_id, wait_for="half", then=lambda: live.stage.end("w")
        )
        assert code == 0
        assert re.search(frames, screen)
        assert re.search(r"complete: 1 node, \S+ (ms|s)", screen)

    async def test_ids_are_short_and_times_relative(
        self, command: CommandLine, live: Live
    ) -> None:
        run_id = await live.submit(SAY)
        await live.stage.begun("a")
        screen, _ = await self.see(command, "list", wait_for="\0", then=lambda: None)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", screen)
        header, row = plain.split("\r\n")[:2]
        assert header.split() == ["ID", "STATUS", "WORKFLOW", "STARTED", "TOOK"]
        assert row.startswith(f"{run_id[:8]}  running  Small talk  just now  ")

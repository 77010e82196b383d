"""``runs tail`` without an id: every run of a host, also through its restart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio import from_thread, to_thread

from .live_server import Live, is_final, serving
from .runs_commands import FAIL, REPEAT, SAY, tailing, times_hidden
from .test_cli_support import CommandLine

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


class Lines:
    """What a process says on stdout, line by line, as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.lines: list[str] = []
        self._news = anyio.Event()

    async def keep_reading(self) -> None:
        """Read to the end. A task of its own."""
        await to_thread.run_sync(self._read, abandon_on_cancel=True)

    def _read(self) -> None:
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
        tasks.start_soon(lines.keep_reading)
        await following(live, lines)
        good, bad = await live.submit(REPEAT), await live.submit(FAIL)
        for run_id, end in ((good, "complete"), (bad, "error: ")):
            await lines.until(partial(begins, f"{run_id[:8]}  {end}"))
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
    limits = {"concurrent_runs": 1, "interrupt_grace": "200ms"}
    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        async with serving(tmp_path / "data", limits=limits) as before:
            process = await stack.enter_async_context(tailing(command, "--json"))
            lines = Lines(process)
            tasks.start_soon(lines.keep_reading)
            await following(before, lines)
            running = await before.submit(SAY)
            await before.stage.begun("a")
            waiting = await before.submit(REPEAT)
            await lines.until(lambda line: waiting in line)
            await before.stop()
        async with serving(tmp_path / "data") as after:
            missed = await after.submit(REPEAT)  # perhaps before it is connected again
            logs = {run_id: await after.log(run_id) for run_id in (running, waiting, missed)}
            for run_id in logs:
                await lines.until(partial(ends, run_id))
            told = [json.loads(line) for line in lines.lines]
        process.send_signal(signal.SIGINT)
    for run_id, log in logs.items():
        assert [event for event in told if event["payload"]["promptId"] == run_id] == log


def begins(beginning: str, line: str) -> bool:
    """Tell whether a line begins like this."""
    return line.startswith(beginning)


def ends(run_id: str, line: str) -> bool:
    """Tell whether a line holds the terminal event of a run."""
    event = json.loads(line)
    return event["payload"]["promptId"] == run_id and is_final(event)

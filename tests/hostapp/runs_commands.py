"""What the tests of ``comfytavern runs`` share: workflows, and ways to run the verbs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import IO

import anyio
from anyio import to_thread
from click.testing import Result

from ..scenarios.building import flow, interface, place
from .test_cli_interrupt import read_until
from .test_cli_support import CommandLine

__all__ = (
    "FAIL",
    "ONE",
    "QUEUED",
    "REPEAT",
    "SAY",
    "ask",
    "rest",
    "rows",
    "seen",
    "tailing",
    "times_hidden",
)

SAY = flow(
    place("a", "Say"),
    name="Small talk",
    workflowId="talk",
    interfaceOutputs=interface(speech="STRING~"),
    outputs={"speech": "a.speech"},
)
REPEAT = flow(place("a", "Repeat", text="ha"), outputs={"text": "a.text"})
FAIL = flow(
    place("a", "Fail", reason="out of tea\nand of cake"),
    place("b", "Wait"),
    "a.text > b.after",
    workflowId="sad",
)
ONE = {"concurrent_runs": 1, "interrupt_grace": "200ms"}
QUEUED = "waits in the queue, position 1\n"


async def ask(command: CommandLine, *args: str) -> Result:
    """Run a command beside the loop that serves it."""
    with anyio.fail_after(15):
        return await to_thread.run_sync(partial(command, "runs", *args))


def rows(result: Result) -> list[list[str]]:
    """Return the cells of a table."""
    return [line.split("\t") for line in result.stdout.splitlines()]


@asynccontextmanager
async def tailing(command: CommandLine, *args: str) -> AsyncIterator[subprocess.Popen[str]]:
    """Start ``tail`` in a process of its own; it has ended by the end of the block."""
    start = partial(command.start, "runs", "tail", *args)
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

    def read() -> tuple[int, str, str]:
        # Not communicate(), which does not know what was read ahead.
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = process.stdout.read(), process.stderr.read()
        return process.wait(), out, err

    with anyio.fail_after(15):
        return await to_thread.run_sync(read, abandon_on_cancel=True)


def times_hidden(text: str) -> str:
    """Leave out how long things took."""
    return re.sub(r"\d+ ms|\d+\.\d s", "<time>", text)

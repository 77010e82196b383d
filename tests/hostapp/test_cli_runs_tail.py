"""``runs tail`` of one run: as it goes on, through breaks, and on a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from ..scenarios.building import flow, interface, place
from .live_server import Live, serving
from .runs_commands import FAIL, QUEUED, REPEAT, SAY, ask, rest, seen, tailing, times_hidden
from .test_cli_support import CommandLine

posix = pytest.mark.skipif(os.name == "nt", reason="signals and terminals of POSIX")

BOTH = flow(
    place("a", "Say"),
    place("b", "Repeat", text="ho"),
    interfaceOutputs=interface(speech="STRING~", said="STRING", text="STRING"),
    outputs={"speech": "a.speech", "said": "a.text", "text": "b.text"},
)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


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
    result = await ask(command, "tail", run_id)
    assert (result.exit_code, result.stdout) == (0, "Hello\ntext: hoho\n")


async def test_the_only_text_is_all_of_stdout(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(REPEAT)
    await live.ended(run_id)
    result = await ask(command, "tail", run_id)
    assert (result.exit_code, result.stdout) == (0, "haha\n")


async def test_a_failure_is_told_as_of_a_run_of_our_own(command: CommandLine, live: Live) -> None:
    run_id = await live.submit(FAIL)
    await live.ended(run_id)
    result = await ask(command, "tail", run_id)
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
    odd = "line\u2028separator\x85"  # some think that these end a line
    live.stage.say("a", odd)
    async with tailing(command, run_id, "--json") as process:
        said = await seen(process.stdout, '"NODE_YIELD"')
        live.stage.end("a")
        code, out, err = await rest(process)
    assert (code, err) == (0, "")
    told = [json.loads(line) for line in (said + out).split("\n") if line]
    assert [event["seq"] for event in told] == [*range(1, len(told) + 1)]
    assert told[-1]["payload"]["status"] == "complete"
    yields = [e["payload"]["yieldedContent"] for e in told if e["type"] == "NODE_YIELD"]
    assert yields == [{"type": "text_chunk", "content": odd}]
    since = await ask(command, "tail", run_id, "--json", "--since", "4")
    assert [json.loads(line) for line in since.stdout.split("\n") if line] == told[4:]
    assert (await ask(command, "tail", run_id, "--json", "--since", "999")).stdout == ""


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


def test_since_goes_with_an_id(command: CommandLine) -> None:
    result = command("runs", "tail", "--since", "3")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --since goes with an ID\n")


# --- breaks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_new_host_is_found_and_nothing_is_missing(
    command: CommandLine, tmp_path: Path, form: str
) -> None:
    as_json = form == "json"
    async with AsyncExitStack() as stack:
        async with serving(tmp_path / "data") as before:
            run_id = await before.submit(SAY)
            before.stage.say("a", "Hel")
            options = ["--json"] if as_json else []
            process = await stack.enter_async_context(tailing(command, run_id, *options))
            said = await seen(process.stdout, '"NODE_YIELD"' if as_json else "Hel")
            last = (await before.detail(run_id))["lastSeq"]
            await before.stop()
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
        async with tailing(command, run_id, "--retry", "0.1") as process:
            await seen(process.stdout, "Hel")
            last = (await live.detail(run_id))["lastSeq"]
            await live.stop()
            code, _, err = await rest(process)
    assert code == 1
    assert err == (
        f"{QUEUED}the connection to {live.url} broke; going on after event {last} when it is back\n"
        f"error: the server at {live.url!r} cannot be reached: connection refused; start it with"
        " 'comfytavern serve', or name another with --server\n"
    )


# --- what a terminal shows ------------------------------------------------------------------


@posix
class TestTerminal:
    """What a person sees."""

    async def see(
        self,
        command: CommandLine,
        *args: str,
        once: Callable[[str], bool] = bool,
        then: Callable[[], None] = lambda: None,
    ) -> tuple[str, int]:
        """Run on a terminal; return the screen's input.

        :param then: what to do once the screen is like that
        """
        leader, terminal = os.openpty()
        # Any: of Popen
        streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
        start = partial(command.start, "runs", *args, start_new_session=True, **streams)
        process = await to_thread.run_sync(start)
        os.close(terminal)
        screen, is_due = "", True
        try:
            with anyio.fail_after(15):
                while data := await to_thread.run_sync(os.read, leader, 4096):
                    screen += data.decode()
                    if is_due and once(screen):
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
        drawn = re.compile(r"\r\x1b\[2K\x1b\[2m(\S) 0/1 nodes · \d+ s · w 50% half\x1b\[0m")
        screen, code = await self.see(
            command,
            *("tail", run_id),
            once=lambda screen: len(set(drawn.findall(screen))) > 2,
            then=lambda: live.stage.end("w"),
        )
        assert code == 0
        assert re.search(
            r"\x1b\[2Ktold: null\r\n\x1b\[2mcomplete: 1 node, \S+ m?s\x1b\[0m\r\n$", screen
        )

    async def test_ids_are_short_and_times_relative(self, command: CommandLine, live: Live) -> None:
        run_id = await live.submit(SAY)
        await live.stage.begun("a")
        screen, _ = await self.see(command, "list")
        header, row = re.sub(r"\x1b\[[0-9;]*m", "", screen).split("\r\n")[:2]
        assert header.split() == ["ID", "STATUS", "WORKFLOW", "STARTED", "TOOK"]
        assert row.startswith(f"{run_id[:8]}  running  Small talk  just now  ")

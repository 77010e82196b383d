"""Ctrl-C, and what a terminal shows. POSIX only, as signals and pseudo-terminals are."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from .test_cli_support import CommandLine, node, outputs, workflow

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and terminals of POSIX")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch).with_nodes()


@pytest.fixture
def endless(command: CommandLine) -> str:
    return command.write("endless.json", workflow(node("a", "Endless"), **outputs(stream="a.text")))


@pytest.fixture
def hanging(command: CommandLine) -> str:
    return command.write("hanging.json", workflow(node("stuck", "Hang")))


def read_until(stream: IO[str] | None, wanted: str) -> str:
    """Read until a text has come; the test's own time limit is the only clock."""
    assert stream is not None
    seen = ""
    while wanted not in seen:
        letter = stream.read(1)
        assert letter, f"it ended before {wanted!r}: {seen!r}"
        seen += letter
    return seen


def test_the_run_is_interrupted_and_what_came_is_kept(command: CommandLine, endless: str) -> None:
    with command.start("run", endless) as process:
        seen = read_until(process.stdout, "so far")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert seen + out == "so far\n"
    assert err == "node a: interrupted\ninterrupted\n"
    assert process.returncode == 130


def test_terminating_interrupts_as_well(command: CommandLine, endless: str) -> None:
    with command.start("run", "-q", endless) as process:
        read_until(process.stdout, "so far")
        process.send_signal(signal.SIGTERM)
        assert process.communicate() == ("\n", "interrupted\n")
    assert process.returncode == 143


def test_json_tells_how_far_it_came(command: CommandLine) -> None:
    file = command.write(
        "w.json", workflow(node("a", "Endless"), node("b", "Hang"), **outputs(stream="a.text"))
    )
    with command.start(
        "run", file, "--json", environment={"COMFYTAVERN_LIMITS_INTERRUPT_GRACE": "10ms"}
    ) as process:
        read_until(process.stderr, "hanging")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    document = json.loads(out)
    assert document["status"] == "interrupted"
    assert document["outputs"] == {"stream": "so far"}
    assert document["states"] == {"a": "interrupted", "b": "interrupted"}
    assert process.returncode == 130


def test_a_node_that_hangs_does_not_keep_the_process(command: CommandLine, hanging: str) -> None:
    with command.start(
        "run", "-q", hanging, environment={"COMFYTAVERN_LIMITS_INTERRUPT_GRACE": "10ms"}
    ) as process:
        read_until(process.stderr, "hanging\n")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    expected = "node 'stuck' of pack 'test-nodes' 1.0 still runs; leaving without it"
    assert err.splitlines()[-2:] == ["interrupted", expected]
    assert process.returncode == 130
    (log,) = (command.data_dir / "logs" / "runs").iterdir()
    assert json.loads(log.read_text("utf-8").splitlines()[-1])["event"] == "run_end"


def test_the_second_ctrl_c_leaves_at_once(command: CommandLine, hanging: str) -> None:
    grace = {"COMFYTAVERN_LIMITS_INTERRUPT_GRACE": "1h"}
    with command.start("run", hanging, environment=grace) as process:
        read_until(process.stderr, "hanging\n")
        process.send_signal(signal.SIGINT)
        read_until(process.stderr, "stopping; Ctrl-C again leaves at once\n")
        process.send_signal(signal.SIGINT)
        assert process.communicate() == ("", "\ninterrupted\n")
    assert process.returncode == 130


def test_a_reader_that_does_not_read_holds_up_no_ctrl_c(command: CommandLine) -> None:
    file = command.write(
        "w.json", workflow(node("a", "Flood"), node("b", "Endless"), **outputs(stream="a.text"))
    )
    with command.start("run", file) as process:
        read_until(process.stderr, "flooded\n")
        process.send_signal(signal.SIGINT)
        read_until(process.stderr, "stopping; Ctrl-C again leaves at once\n")
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        process.communicate()


class TestTerminal:
    """What a person sees."""

    def see(self, command: CommandLine, *args: str, wait_for: str = "") -> tuple[str, int]:
        """Run on a terminal, press Ctrl-C once something is there; return the screen's input."""
        leader, terminal = os.openpty()
        process = command.start(
            *args, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
        )
        os.close(terminal)
        seen = b""
        pressed = not wait_for
        try:
            while data := os.read(leader, 4096):
                seen += data
                if not pressed and wait_for.encode() in seen:
                    process.send_signal(signal.SIGINT)
                    pressed = True
        except OSError:  # how Linux tells that the other side is closed
            pass
        os.close(leader)
        return seen.decode(), process.wait()

    def test_progress_never_shares_a_line_with_text(self, command: CommandLine) -> None:
        file = command.write(
            "w.json", workflow(node("a", "Words"), node("b", "Say"), **outputs(stream="a.text"))
        )
        screen, code = self.see(command, "run", file)
        assert code == 0
        drawn = r"\r\x1b\[2K[^\r]*(?=\r\x1b\[2K)|\r\x1b\[2K"
        assert "one two three\r\n" in re.sub(drawn, "", screen)
        assert "/2 nodes" in screen
        # What was drawn is cleared before anything else is written.
        assert not re.search(r"/2 nodes[^\r]*\x1b\[0m(?!\r\x1b\[2K)", screen)
        assert "complete: 2 nodes" in screen

    def test_an_interrupt_keeps_the_text(self, command: CommandLine, endless: str) -> None:
        screen, code = self.see(command, "run", endless, wait_for="so far")
        assert code == 130
        assert re.search(r"so far\r\n.*interrupted\r\n$", screen, re.DOTALL)

    def test_control_characters_are_shown_not_sent(self, command: CommandLine) -> None:
        text = "\x1b]0;title\x07 \x9b31m"
        file = command.write("w.json", workflow(node("a", "Say", text=text), **outputs(o="a.text")))
        screen, _ = self.see(command, "run", "-q", file)
        assert screen == "\\x1b]0;title\\x07 \\x9b31m\r\n"
        assert command.run("run", "-q", file).stdout == f"{text}\n"

    def test_tables_are_aligned_on_a_terminal_only(self, command: CommandLine) -> None:
        screen, _ = self.see(command, "nodes", "list", "--pack", "test-nodes")
        assert re.search(r"TYPE +.*CATEGORY", re.sub(r"\x1b\[[0-9;]*m", "", screen))
        piped = command.run("nodes", "list", "--pack", "test-nodes").stdout
        assert piped.splitlines()[0].split("\t") == ["test-nodes:Say", "Utilities", "Say"]


def test_ctrl_c_while_packs_load(command: CommandLine, endless: str) -> None:
    source = "import sys, threading\nprint('loading', file=sys.stderr, flush=True)\n"
    command.packs().write("slow-pack", source + "threading.Event().wait()\n")
    with command.start("run", endless) as process:
        read_until(process.stderr, "loading\n")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (130, "", "interrupted\n")
    # Its author is not to blame: the next start tries it again.
    assert not list((command.data_dir / "loading").glob("slow-pack.*"))


def test_the_module_and_the_script_are_the_same(command: CommandLine) -> None:
    script = Path(sys.executable).with_name("comfytavern")
    if not script.exists():
        pytest.skip("not installed with its script")
    shown = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout == command.run("--version").stdout

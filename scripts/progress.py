"""What the set-up shows while it works, and how it words a failed step. Standard library only."""

from __future__ import annotations

import os
import shutil
import sys
import time

OFFLINE_SIGNS = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ProxyError",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
)


class SetupError(Exception):
    """Say why the environment could not be made, and what to do about it."""


class Progress:
    """Print one line per step to stderr, with its duration; on a terminal also what pip is at."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.live = sys.stderr.isatty()
        self.label = ""

    def begin(self, label: str) -> None:
        self.label = f"  {label} ..."
        self.step_started = time.perf_counter()
        self._write(self.label)

    def detail(self, text: str) -> None:
        if self.live:
            room = shutil.get_terminal_size().columns - len(self.label) - 2
            self._write(f"\r\x1b[K{self.label} {text[: max(room, 0)]}".rstrip(" "))

    def end(self) -> None:
        self.detail("")
        self._write(f" {time.perf_counter() - self.step_started:.1f} s\n")

    def say(self, text: str) -> None:
        self._write(f"{text}\n")

    def fail(self, lines: list[str]) -> None:
        self.detail("")
        self._write(" failed\n" + "".join(f"    {line}\n" for line in lines[-15:]))

    def total(self) -> float:
        return time.perf_counter() - self.started

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def run_logged(progress: Progress, command: list[str]) -> None:
    """Run a command, showing on a terminal what it is at.

    :raises SetupError: it failed; the end of its output has been printed
    """
    import subprocess

    environment = {
        **os.environ,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_USER": "0",
    }
    lines: list[str] = []
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            progress.detail(line.strip())
    if process.returncode != 0:
        progress.fail(lines)
        raise SetupError(remedy("\n".join(lines)))


def remedy(output: str) -> str:
    """Say what to do about a failed step."""
    if any(sign in output for sign in OFFLINE_SIGNS):
        return "pip reached no package index; check the network or the proxy, then start again"
    if "No space left on device" in output:
        return "the disk is full; .venv needs about 500 MB with the developer tools"
    return "the step above failed; if .venv may be damaged, delete it and start again"

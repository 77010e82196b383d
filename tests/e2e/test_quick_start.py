"""The README's quick start, line by line: serve, watch over a WebSocket, submit with curl."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
DEFAULT = "http://127.0.0.1:8321"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")


def shown(repository: Path, begin: str) -> str:
    """Return what the README shows behind a prompt."""
    found = re.search(
        rf"^[$>] ({re.escape(begin)}.*)$", (repository / "README.md").read_text(), re.M
    )
    assert found is not None, begin
    return found[1]


@contextmanager
def started(command: list[str], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a home of its own; end it."""
    environment = {key: value for key, value in os.environ.items() if "COMFYTAVERN" not in key}
    environment |= {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=tmp_path
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def until(process: subprocess.Popen[str], wanted: str, *, errors: bool = False) -> str:
    """Read lines until one matches; the test's time limit is the clock."""
    stream = process.stderr if errors else process.stdout
    assert stream is not None
    said = ""
    for line in stream:
        said += line
        if re.search(wanted, line):
            return line
    raise AssertionError(said)


def test_a_submitted_run_is_watched_over_a_websocket(repository: Path, tmp_path: Path) -> None:
    # As in the README, but on a port that is surely free.
    serve = [
        str(BIN / "comfytavern"),
        *shlex.split(shown(repository, "comfytavern serve"), True)[1:],
    ]
    with started([*serve, "--port", "0"], tmp_path) as server:
        ready = until(server, "ComfyTavern is ready", errors=True)
        found = re.search(r"http://\S+", ready)
        assert found is not None
        url = found[0]
        watch = shlex.split(shown(repository, "websockets ws"))
        assert watch[1] == f"{DEFAULT.replace('http', 'ws')}/ws"
        watching = [str(BIN / watch[0]), f"{url.replace('http', 'ws')}/ws"]
        with started(watching, tmp_path) as client:
            until(client, "Connected to ")
            assert client.stdin is not None
            client.stdin.write(shown(repository, '{"type": "SUBSCRIBE"') + "\n")
            client.stdin.flush()
            until(client, "SYSTEM_QUEUE_UPDATE")
            curl = shown(repository, "curl ").replace(DEFAULT, url)
            done = subprocess.run(
                [*shlex.split(curl), "--silent"], capture_output=True, text=True, check=True
            )
            run_id = json.loads(done.stdout)["promptId"]
            assert "Hesper" in until(client, "Hesper")
            assert run_id in until(client, '"status": ?"complete"')


def test_the_default_address_is_the_one_that_is_shown() -> None:
    from comfytavern_hostapp.config import Server

    assert f"http://{Server().host}:{Server().port}" == DEFAULT

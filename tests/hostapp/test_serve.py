"""``serve`` as a process: what it says, when it refuses to start, and how it ends."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import pytest

from .test_cli_help import HEAVY, WEB, loaded_by
from .test_cli_support import CommandLine, node, workflow

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")

TOKEN = "sesame-0123456789-abcdef"
EMPTY: Mapping[str, str] = MappingProxyType({})
STOPPING = "stopping: waiting for running work; Ctrl-C again leaves at once\n"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}
FAILED = (
    "pack 'broken' 1.0 failed to import: No module named 'missing_module'; install it or"
    " disable the pack"
)
KEEP_IT = "expected env:NAME or file:PATH; keep the secret itself there, not here"
UNSET = "'env:THE_TOKEN' cannot be resolved: the variable is not set"
UNGUARDED = (
    "other machines may reach it and server.token is not set; listen on 127.0.0.1, or make a"
    ' token with python -c "import secrets; print(secrets.token_urlsafe(32))" and name its place'
    " in server.token as env:NAME or file:PATH"
)


class Started:
    """A server that was started, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""

    def until(self, wanted: str) -> str:
        """Read lines until one holds a text, and return it; the test's time limit is the clock."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            if wanted in line:
                return line
        raise AssertionError(f"it ended before {wanted!r}: {self.said}")

    def url(self) -> str:
        """Wait until the server is ready, and return where it is."""
        found = re.search(r"http://[^ \"]+", self.until("ComfyTavern is ready at "))
        assert found is not None
        return found[0]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit code and everything that it said on stderr."""
        self.process.send_signal(number)
        out, rest = self.process.communicate(timeout=15)
        assert out == ""  # a server has no results
        return self.process.returncode, self.said + rest


@contextmanager
def served(
    command: CommandLine, *args: str, port: str | None = "0", **options: Any
) -> Iterator[Started]:
    """Start a server on any port; kill what is left of it. Any: arguments of ``start``.

    :param args: options of ``serve``; general ones stand before ``serve`` itself
    """
    general = args[: args.index("serve")] if "serve" in args else ()
    own = args[len(general) + 1 :] if "serve" in args else args
    chosen = () if port is None else ("--port", port)
    with command.start(*general, "serve", *chosen, *own, **options) as process:
        try:
            yield Started(process)
        finally:
            process.kill()


@contextmanager
def answered(
    url: str, method: str, path: str, body: object = None, headers: Mapping[str, str] = EMPTY
) -> Iterator[http.client.HTTPResponse]:
    """Send a request and give the response, whose body may still be coming."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    text = None if body is None else json.dumps(body)
    try:
        connection.request(method, path, text, {"Content-Type": "application/json", **headers})
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def status_of(url: str, path: str, headers: Mapping[str, str] = EMPTY) -> int:
    """Ask for something and return the status."""
    with answered(url, "GET", path, headers=headers) as response:
        return response.status


def submit(url: str, *nodes: dict[str, Any]) -> str:
    """Submit a workflow and return the id of its run. Any: JSON."""
    with answered(url, "POST", "/api/prompt", workflow(*nodes)) as response:
        return str(json.load(response)["promptId"])


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch)


def test_help_loads_no_web(command: CommandLine) -> None:
    assert loaded_by("serve", "--help").isdisjoint({*HEAVY, *WEB, "watchfiles"})
    assert "--inherit" not in command("serve", "--help").stdout


@posix
class TestOneServer:
    """From the ready line to the end."""

    def test_it_says_where_it_is_and_ends_with_0(self, command: CommandLine) -> None:
        with served(command.with_nodes(), "--paused") as server:
            url = server.url()
            assert status_of(url, "/health") == 200
            code, said = server.end()
        facts = r"3 packs, \d+ node types; the queue is paused; Ctrl-C stops it"
        ready = rf"ComfyTavern is ready at http://127\.0\.0\.1:\d+ \({facts}\)\n"
        assert re.fullmatch(ready + re.escape(STOPPING), said)
        assert code == 0

    def test_logs_as_json_hold_no_token(self, command: CommandLine) -> None:
        command.packs().write("broken", "import missing_module")
        with served(
            command,
            *("--log-level", "debug", "serve", "--token", "env:THE_TOKEN", "--log-format", "json"),
            environment={"THE_TOKEN": TOKEN},
        ) as server:
            url = server.url()
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            assert status_of(url, f"/api/executions?token={TOKEN}", bearer) == 200
            assert status_of(url, f"/api/executions?token={TOKEN}") == 401
            status_of(url, f"/ws?token={TOKEN}", UPGRADE | bearer)
            code, said = server.end(signal.SIGINT)
        records = [json.loads(line) for line in said.splitlines()]
        (ready,) = [record for record in records if "url" in record]
        assert (ready["level"], ready["logger"], ready["url"]) == (
            "info",
            "comfytavern.server",
            url,
        )
        by_level = {record["message"]: record["level"] for record in records}
        assert [text for text, level in by_level.items() if level == "warning"] == [FAILED]
        lines = [text for text in by_level if '"GET /api/executions HTTP/1.1"' in text]
        assert [by_level[line] for line in lines] == ["debug", "debug"]
        assert any('"WebSocket /ws"' in text for text in by_level)
        assert TOKEN not in said
        assert code == 0

    def test_open_streams_hold_up_no_end(self, command: CommandLine) -> None:
        with served(command.with_nodes()) as server:
            url = server.url()
            run_id = submit(url, node("a", "Endless"))
            with answered(url, "GET", f"/api/prompt/{run_id}/events") as stream:
                assert stream.readline() == b"id: 1\n"
                code, said = server.end()
        assert said.splitlines(keepends=True)[1:] == [STOPPING]
        assert code == 0

    def test_a_node_that_hangs_does_not_keep_the_process(self, command: CommandLine) -> None:
        grace = {"COMFYTAVERN_LIMITS_INTERRUPT_GRACE": "10ms"}
        with served(command.with_nodes(), environment=grace) as server:
            submit(server.url(), node("stuck", "Hang"))
            server.until("hanging")
            code, said = server.end()
        assert said.endswith(
            "node 'stuck' of pack 'test-nodes' 1.0 still runs; leaving without it\n"
        )
        assert code == 0

    def test_the_second_ctrl_c_leaves_at_once(self, command: CommandLine) -> None:
        grace = {"COMFYTAVERN_LIMITS_INTERRUPT_GRACE": "1h"}
        with served(command.with_nodes(), environment=grace) as server:
            submit(server.url(), node("stuck", "Hang"))
            server.until("hanging")
            server.process.send_signal(signal.SIGINT)
            assert server.until("stopping") == STOPPING
            code, said = server.end(signal.SIGINT)
        assert said.endswith(f"{STOPPING}interrupted\n")
        assert code == 130

    def test_terminating_it_while_packs_load_blames_no_pack(self, command: CommandLine) -> None:
        source = "import sys, threading\nprint('loading', file=sys.stderr, flush=True)\n"
        command.packs().write("slow-pack", source + "threading.Event().wait()\n")
        with served(command) as server:
            server.until("loading")
            assert server.end() == (143, "loading\ninterrupted\n")
        assert not list((command.data_dir / "loading").glob("slow-pack.*"))


class TestRefusals:
    """Why it does not start."""

    def test_an_address_in_use(self, command: CommandLine) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            result = command("serve", "--port", str(port))
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            f"error: cannot listen on 127.0.0.1:{port}: another program uses the port;"
            " end it, or choose another with '--port'\n"
        )

    @pytest.mark.parametrize("reload", [False, True])
    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "tavern.lan"])
    def test_others_may_not_reach_it_without_a_token(
        self, command: CommandLine, host: str, reload: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = socket.getaddrinfo

        def look_up(name: str, *args: Any, **named: Any) -> object:  # Any: handed on
            return real("192.0.2.9" if name == "tavern.lan" else name, *args, **named)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)  # asks no name server
        result = command("serve", "--port=0", "--host", host, *(["--reload"] if reload else []))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"error: cannot listen on server.host {host!r}: {UNGUARDED}\n"

    def test_what_a_name_turns_out_to_be_counts(
        self, command: CommandLine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wide = socket.create_server(("0.0.0.0", 0))
        monkeypatch.setattr("comfytavern_hostapp.listening.listen", lambda host, port: wide)
        result = command("serve", "--port=0")
        assert result.exit_code == 2
        assert result.stderr == f"error: cannot listen on server.host '0.0.0.0': {UNGUARDED}\n"
        wide.close()

    @pytest.mark.parametrize(
        ("flag", "message"),
        [
            ("--port=x", "key 'server.port' is 'x'; expected a whole number from 0 to 65535"),
            (f"--token={TOKEN}", f"key 'server.token' is no reference to a secret; {KEEP_IT}"),
            ("--token=env:THE_TOKEN", f"key 'server.token': secret reference {UNSET}"),
        ],
    )
    def test_flags_are_keys_of_the_configuration(
        self, command: CommandLine, flag: str, message: str
    ) -> None:
        result = command("serve", flag)
        assert (result.exit_code, result.stderr) == (2, f"error: flag: {message}\n")
        record = json.loads(command("serve", "--log-format=json", flag).stderr)
        assert (record["level"], record["message"]) == ("error", f"flag: {message}")

    def test_a_data_directory_in_use(self, command: CommandLine) -> None:
        with served(command) as server:
            server.url()
            result = command("serve", "--port=0")
        assert (result.exit_code, result.stdout) == (1, "")
        start = f"error: the data directory '{command.data_dir}' is in use by another host"
        assert result.stderr.startswith(start)
        assert result.stderr.count("\n") == 1

    @posix
    def test_a_damaged_file_of_runs(self, command: CommandLine) -> None:
        command.data_dir.mkdir()
        file = command.data_dir / "runs.sqlite3"
        file.write_bytes(b"no database" * 100)
        result = command("serve", "--port=0")
        assert result.exit_code == 1
        assert "with --set-aside-damaged to keep it under another name" in result.stderr
        with served(command, "--set-aside-damaged") as server:
            server.url()
            code, said = server.end()
        assert said.startswith("warning: the file of runs is now runs.")
        with served(command, "--set-aside-damaged") as server:
            server.url()
            code, said = server.end()
        assert "the file of runs" not in said  # a sound one stays
        assert len(list(command.data_dir.glob("runs.*.sqlite3"))) == 1
        assert code == 0

"""The real server under load: many connections, many listeners, some of which never read."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import websockets
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from websockets.asyncio.client import ClientConnection

NODES = 20
RUNS = 1_000
LONG_RUNS = 6_000
CONNECTIONS = 50
LISTENERS = 100
STALLED = 33
OF_ALL = 4  # listeners that follow every run; the others follow a share each
Json = dict[str, Any]  # Any: JSON

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio alone, as the client library does."""
    return "asyncio"


@pytest.fixture(params=[2000])
def url(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Start the real server, which keeps so many runs, and give where it is."""
    config = tmp_path / "comfytavern.yaml"
    config.write_text(
        f"data_dir: {tmp_path / 'data'}\n"
        "packs: {enabled: [comfytavern-core-nodes]}\n"
        "limits: {queued_runs: 100000}\n"
        f"history: {{keep_runs: {request.param}}}\n"
    )
    command = [sys.executable, "-m", "comfytavern_hostapp", "--config", str(config), "serve"]
    environment = {key: value for key, value in os.environ.items() if "COMFYTAVERN" not in key}
    with subprocess.Popen(
        [*command, "--port", "0"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"ready at (http://\S+)", line):
                    yield found[1]
                    break
            else:
                raise AssertionError("the server did not start")
        finally:
            process.terminate()
            _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "error" not in said, said


def chain() -> Json:
    """Return a workflow of twenty nodes, each of which reads the one before."""
    kind = "comfytavern-core-nodes:TextMerge"
    nodes: list[Json] = [
        {"id": f"n{i}", "fullType": kind, "inputs": {"text_inputs": ["a"]}} for i in range(NODES)
    ]
    edges = [
        {
            "sourceNodeId": f"n{i}",
            "sourceHandle": "merged_text",
            "targetNodeId": f"n{i + 1}",
            "targetHandle": "text_inputs",
        }
        for i in range(NODES - 1)
    ]
    return {"nodes": nodes, "edges": edges}


class Listener:
    """A client that reads, and holds what it has seen against what must be true."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.seqs: dict[str, int] = {}
        self.complete: set[str] = set()
        self.wanted: set[str] | None = None  # None: every run
        self.done = anyio.Event()
        self.total = RUNS

    async def subscribe(self, run_id: str) -> None:
        """Follow a run from its beginning, or ``*`` for all that come."""
        if run_id != "*":
            self.wanted = (self.wanted or set()) | {run_id}
        message = {"type": "SUBSCRIBE", "payload": {"promptId": run_id}}
        await self.socket.send(json.dumps(message))

    async def read(self) -> None:
        """Read until every run that is wanted has ended."""
        async for text in self.socket:
            event = json.loads(text)
            if "seq" not in event:
                assert event["type"] == "SYSTEM_QUEUE_UPDATE", event
                continue
            run_id, seq = event["payload"]["promptId"], event["seq"]
            assert seq == self.seqs.get(run_id, 0) + 1, event
            assert run_id not in self.complete, event
            self.seqs[run_id] = seq
            status = event["payload"].get("status")
            if event["type"] == "EXECUTION_STATUS_UPDATE" and status == "complete":
                self.complete.add(run_id)
                if len(self.complete) == (self.total if self.wanted is None else len(self.wanted)):
                    self.done.set()


@asynccontextmanager
async def listening(url: str) -> AsyncIterator[ClientConnection]:
    """Open a WebSocket."""
    uri = f"{url.replace('http', 'ws')}/ws"
    async with websockets.connect(uri, compression=None, max_queue=None) as connection:
        yield connection


def stall(url: str) -> socket.socket:
    """Open a WebSocket, follow every run, and never read."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((host, int(port)))
    head = (
        f"GET /ws HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    text = json.dumps({"type": "SUBSCRIBE", "payload": {"promptId": "*"}}).encode()
    # A client masks what it sends; a mask of zeros leaves it as it is.
    connection.sendall(head.encode() + bytes([0x81, 0x80 | len(text)]) + bytes(4) + text)
    return connection


async def submit(url: str, count: int, tell: ObjectSendStream[str] | None = None) -> list[str]:
    """Submit runs over many connections; return their ids."""
    workflow, accepted = json.dumps(chain()).encode(), list[str]()
    headers = {"Content-Type": "application/json"}
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)

    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60) as client:

        async def send(share: int) -> None:
            for _ in range(share):
                answer = await client.post("/api/prompt", content=workflow, headers=headers)
                assert answer.status_code == 202, answer.text
                run_id = answer.json()["promptId"]
                accepted.append(run_id)
                if tell is not None:
                    await tell.send(run_id)

        async with anyio.create_task_group() as tasks:
            for _ in range(CONNECTIONS):
                tasks.start_soon(send, count // CONNECTIONS)
    return accepted


async def share_out(arrivals: ObjectReceiveStream[str], listeners: list[Listener]) -> None:
    """Let each run be followed by one of the listeners, in turn."""
    number = 0
    async with arrivals:
        async for run_id in arrivals:
            await listeners[number % len(listeners)].subscribe(run_id)
            number += 1


async def test_nothing_is_lost_though_a_third_of_the_listeners_never_read(url: str) -> None:
    stalled = [await anyio.to_thread.run_sync(stall, url) for _ in range(STALLED)]
    send, arrivals = anyio.create_memory_object_stream[str](RUNS)
    async with AsyncExitStack() as stack:
        sockets = [
            await stack.enter_async_context(listening(url)) for _ in range(LISTENERS - STALLED)
        ]
        listeners = [Listener(socket) for socket in sockets]
        for listener in listeners[:OF_ALL]:
            await listener.subscribe("*")
        async with anyio.create_task_group() as tasks:
            for listener in listeners:
                tasks.start_soon(listener.read)
            tasks.start_soon(share_out, arrivals, listeners[OF_ALL:])
            async with send:
                run_ids = await submit(url, RUNS, send)
            for listener in listeners:
                await listener.done.wait()
            tasks.cancel_scope.cancel()
    assert len(set(run_ids)) == RUNS
    for listener in listeners[:OF_ALL]:
        assert listener.complete == set(run_ids)
    assert set().union(*(listener.complete for listener in listeners[OF_ALL:])) == set(run_ids)
    # Two of the submission, running, two per node, the end: the same number for every run.
    assert set(listeners[0].seqs.values()) == {2 + 1 + 2 * NODES + 1}
    for connection in stalled:
        connection.close()


# So few that what is kept of them is at hand before the measuring begins.
@pytest.mark.parametrize("url", [200], indirect=True)
async def test_memory_stays_flat(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        measured: list[int] = []
        for _ in range(LONG_RUNS // RUNS):
            await submit(url, RUNS)
            await until_idle(client)
            measured.append((await client.get("/api/system_stats")).json()["memoryBytes"])
    # The first thousand fill what is kept at hand: caches, threads, the arenas of the interpreter.
    grown = measured[-1] - measured[0]
    assert grown < (LONG_RUNS - RUNS) * 1024, [size // 1024 for size in measured]


async def until_idle(client: httpx.AsyncClient) -> None:
    """Wait until no run waits or runs, by following the last one of the queue."""
    while True:
        executions = (await client.get("/api/executions")).json()
        going_on = executions["runningExecutions"] + executions["pendingExecutions"]
        if not going_on:
            return
        last = going_on[-1]["promptId"]
        async with client.stream("GET", f"/api/prompt/{last}/events") as events:
            async for _ in events.aiter_lines():
                pass

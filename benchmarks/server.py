"""Measure the server against a bare route and against itself without a store, as ratios.

    python benchmarks/server.py [--rounds N]

Servers are processes of their own; the client is this one. Wall time, medians of rounds in
turn. Exits with 1 when a figure is above its bound.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import websockets
from measure import Table

REQUESTS = 2_000
CONNECTIONS = 50
CHUNKS = 50_000
TICKS = 500
Json = dict[str, Any]  # Any: JSON


def twenty_nodes() -> Json:
    """Return a chain of twenty nodes."""
    nodes = [{"id": f"n{i}", "fullType": "benchmark:Step"} for i in range(20)]
    nodes[0]["inputs"] = {"in": "x"}  # type: ignore[assignment]  # JSON
    edges = [
        {
            "sourceNodeId": f"n{i}",
            "sourceHandle": "out",
            "targetNodeId": f"n{i + 1}",
            "targetHandle": "in",
        }
        for i in range(19)
    ]
    return {"nodes": nodes, "edges": edges}


def streaming(kind: str, count: int) -> Json:
    """Return a workflow of one node that streams."""
    node = {"id": "s", "fullType": f"benchmark:{kind}", "inputs": {"count": count}}
    return {"nodes": [node], "edges": []}


@asynccontextmanager
async def served(kind: str) -> AsyncIterator[int]:
    """Start a server and give its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    script = Path(__file__).with_name("served.py")
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable, script, kind, str(port), folder
        )
        try:
            for _ in range(200):
                await asyncio.sleep(0.05)
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    continue
                writer.close()
                break
            yield port
        finally:
            process.terminate()
            await process.wait()


class Client:
    """One connection that is kept: as little of a client as can be, so as to measure servers."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self) -> None:
        """Connect."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def post(self, path: str, body: bytes) -> bytes:
        """Send a body and return the answer's."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.writer.write(head.encode() + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        content = await self.reader.readexactly(length)
        assert answer[9:11] == b"20", answer + content
        return content


async def submit(port: int, connections: int, requests: int) -> tuple[float, float]:
    """Return seconds per request over all connections, and the median of one answer."""
    body = json.dumps(twenty_nodes()).encode()
    clients = [Client(port) for _ in range(connections)]
    for client in clients:
        await client.open()
    taken: list[float] = []

    async def send(client: Client) -> None:
        for _ in range(requests // connections):
            began = perf_counter()
            await client.post("/api/prompt", body)
            taken.append(perf_counter() - began)

    began = perf_counter()
    await asyncio.gather(*map(send, clients))
    seconds = (perf_counter() - began) / len(taken)
    for client in clients:
        client.writer.close()
    return seconds, median(taken)


async def pause(port: int, paused: bool) -> None:
    """Stop the queue, so that submitting is measured and not executing."""
    client = Client(port)
    await client.open()
    await client.post(f"/api/queue/{'pause' if paused else 'resume'}", b"")
    client.writer.close()


async def submissions(table: Table, rounds: int) -> None:
    """Compare submitting with a bare route that reads the same JSON."""
    async with served("ours") as ours, served("bare") as bare:
        await pause(ours, True)
        for connections, name in ((1, "one by one"), (CONNECTIONS, f"{CONNECTIONS} connections")):
            figures: dict[int, list[float]] = {ours: [], bare: []}
            for _ in range(rounds + 1):
                for port in (ours, bare):
                    count = REQUESTS if connections > 1 else REQUESTS // 4
                    each, single = await submit(port, connections, count)
                    figures[port].append(single if connections == 1 else each)
            a, b = median(figures[ours][1:]), median(figures[bare][1:])
            note = f"{a * 1e6:.0f} us against {b * 1e6:.0f} us"
            table.row(f"submit to accepted, {name}", a / b, 2.0, note)


async def follow(port: int, workflow: Json) -> tuple[float, list[float]]:
    """Run a workflow over a WebSocket; return seconds, and how late each chunk came."""
    late: list[float] = []
    uri = f"ws://127.0.0.1:{port}/ws"
    async with websockets.connect(uri, compression=None, max_queue=None) as ws:
        began = perf_counter()
        await ws.send(json.dumps({"type": "PROMPT_REQUEST", "payload": workflow}))
        expected = 1
        while True:
            text = await ws.recv()
            now = perf_counter()
            event = json.loads(text)
            if "seq" not in event:
                continue
            assert event["seq"] == expected, (event, expected)
            expected += 1
            if event["type"] == "NODE_YIELD":
                content = event["payload"]["yieldedContent"]["content"]
                if content[0].isdigit():
                    late.append(now - float(content))
            elif event["payload"].get("status") == "complete":
                return perf_counter() - began, late


async def in_process(count: int) -> float:
    """Return the median seconds from a chunk to its event, inside this process."""
    from served import BenchmarkPack

    from comfytavern.host import PackHost
    from comfytavern.recorder import EventRecorder

    host = PackHost(found=())
    host.packs.add(BenchmarkPack(), distribution="benchmark")
    late: list[float] = []
    async with host:
        recorder = EventRecorder("run")
        host.start(host.compile_now(streaming("Clock", count)), sink=recorder.sink)
        while batch := await recorder.next_batch():
            now = perf_counter()
            late += [
                now - float(event["payload"]["yieldedContent"]["content"])
                for event in batch
                if event["type"] == "NODE_YIELD"
            ]
    return median(late)


async def chunks(table: Table, rounds: int) -> None:
    """Measure how late a chunk is, and what storing chunks costs."""
    inside = await in_process(TICKS)
    async with served("ours") as ours, served("memory") as memory:
        _, late = await follow(ours, streaming("Clock", TICKS))
        extra = (median(late) - inside) * 1000
        slow = sorted(late)[int(len(late) * 0.99)] * 1000
        note = f"in process {inside * 1e6:.0f} us; p99 {slow:.2f} ms"
        table.row("chunk to WebSocket client, ms over in-process", extra, 1.0, note)
        figures: dict[int, list[float]] = {ours: [], memory: []}
        for _ in range(rounds + 1):
            for port in (ours, memory):
                seconds, _ = await follow(port, streaming("Flood", CHUNKS))
                figures[port].append(CHUNKS / seconds)
        stored, kept = median(figures[ours][1:]), median(figures[memory][1:])
        note = f"{stored:,.0f} chunks/s stored, {kept:,.0f} in memory"
        table.row("share of throughput that storing costs", 1 - stored / kept, 0.3, note)


async def main(rounds: int) -> int:
    """Print the table."""
    table = Table()
    await submissions(table, rounds)
    await chunks(table, rounds)
    return int(table.failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    sys.exit(asyncio.run(main(parser.parse_args().rounds)))

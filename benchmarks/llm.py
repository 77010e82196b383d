"""What a chunk of a streamed reply costs beyond a bare httpx-sse loop over the same server.

The server runs in a thread of this process, so that both sides read the same clock: each
chunk carries the moment at which it was sent.

- paced: chunks some milliseconds apart, as a model makes them; how much later each arrives
- dense: chunks as fast as they come; how much longer the whole reply takes, per chunk
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import httpx
import uvicorn
from httpx_sse import aconnect_sse
from measure import Table, interleaved

import comfytavern_llm_nodes
from comfytavern.chunks import Chunk
from comfytavern.sinks import EventSink
from comfytavern.testing import pack_host
from comfytavern_llm_nodes.adapters import LlmRequest
from comfytavern_llm_nodes.router import ChannelRouter

PACK = "comfytavern-llm-nodes"
BOUND = 0.3  # milliseconds per chunk
PACED, PAUSE = 300, 0.003
DENSE, ROUNDS = 3000, 7
MESSAGES = [{"role": "user", "content": "Hi"}]


async def serve(scope: Any, receive: Any, send: Any) -> None:  # Any: ASGI
    """Stream as many chunks as ``max_tokens`` says, paced or not."""
    body = json.loads((await receive())["body"])
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(body["max_tokens"]):
        if body["temperature"]:
            await asyncio.sleep(body["temperature"])
        delta = {"content": f"{perf_counter()} "}
        event = {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        data = f"data: {json.dumps(event)}\n\n".encode()
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


@contextmanager
def server() -> Iterator[str]:
    """Serve in a thread; give the base URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(serve, log_level="critical", lifespan="off")
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield "http://{}:{}/v1".format(*listener.getsockname())
        finally:
            running.should_exit = True
            thread.join()


async def bare(client: httpx.AsyncClient, url: str, count: int, pause: float) -> list[float]:
    """Read a reply as one would by hand; return how late each chunk was."""
    late: list[float] = []
    body = {"messages": MESSAGES, "stream": True, "max_tokens": count, "temperature": pause}
    async with aconnect_sse(client, "POST", f"{url}/chat/completions", json=body) as source:
        async for event in source.aiter_sse():
            if event.data == "[DONE]":
                break
            text = json.loads(event.data)["choices"][0]["delta"]["content"]
            late.append(perf_counter() - float(text))
    return late


async def channel(router: ChannelRouter, count: int, pause: float) -> list[float]:
    """Read a reply through a channel."""
    late: list[float] = []
    request = LlmRequest(MESSAGES, None, {"max_tokens": count, "temperature": pause})
    async with aclosing(router.call(request).chunks()) as chunks:
        async for chunk in chunks:
            if chunk.type == "text_chunk":
                late.append(perf_counter() - float(str(chunk.content)))  # noqa: PERF401 - as it comes
    return late


async def node(host: Any, count: int, pause: float) -> list[float]:  # Any: a PackHost
    """Run GenericLlmRequest; return how late each chunk was an event of the run."""
    late: list[float] = []

    def hear(chunk: Chunk) -> None:
        if chunk.type == "text_chunk":
            late.append(perf_counter() - float(str(chunk.content)))

    inputs = {"messages": MESSAGES, "max_tokens": count, "temperature": pause}
    placed = {"id": "chat", "fullType": f"{PACK}:GenericLlmRequest", "inputs": inputs}
    plan = await host.compile({"nodes": [placed], "edges": []})
    result = await host.start(plan, sink=EventSink(stream=lambda node: hear)).wait()
    assert result.error is None, result.error
    return late


async def main() -> int:
    """Measure and print; return the exit code."""
    table = Table()
    with server() as url:
        settings = {PACK: {"channels": [{"label": "here", "base_url": url}]}}
        async with (
            httpx.AsyncClient(trust_env=False, timeout=60) as client,
            pack_host(comfytavern_llm_nodes, settings=settings) as host,
        ):
            router = host.packs.services["llm"]
            assert isinstance(router, ChannelRouter)
            readers = {
                "channel": partial(channel, router),
                "node in a run": partial(node, host),
            }
            by_hand = partial(bare, client, url)
            for name, reader in readers.items():
                await paced(table, name, reader, by_hand)
                await dense(table, name, reader, by_hand)
    return int(table.failed)


async def paced(table: Table, name: str, ours: Any, by_hand: Any) -> None:  # Any: a reader
    """Compare how late chunks are."""
    lateness: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        for reader, late in zip((ours, by_hand), lateness, strict=True):
            late.extend(await reader(PACED, PAUSE))
    mine, theirs = lateness
    added = (median(mine) - median(theirs)) * 1000
    p95, p95_bare = (quantiles(late, n=20)[-1] * 1000 for late in lateness)
    note = f"ms; median {median(mine) * 1000:.3f} against {median(theirs) * 1000:.3f}"
    table.row(f"{name}: added latency per chunk, paced", added, BOUND, note)
    note = f"ms; {p95:.3f} against {p95_bare:.3f}"
    table.row(f"{name}: the same at the 95th percentile", p95 - p95_bare, 2 * BOUND, note)


async def dense(table: Table, name: str, ours: Any, by_hand: Any) -> None:  # Any: a reader
    """Compare how long many chunks take."""
    runs = (partial(ours, DENSE, 0), partial(by_hand, DENSE, 0))
    mine, theirs = await interleaved(*runs, ROUNDS, wall=True)
    per_chunk = (mine - theirs) / DENSE * 1000
    note = f"ms; {mine / DENSE * 1e3:.3f} against {theirs / DENSE * 1e3:.3f}"
    table.row(f"{name}: added time per chunk, dense", per_chunk, BOUND, note)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

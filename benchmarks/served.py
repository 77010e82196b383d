"""Servers as processes of their own: ours, ours with a store in memory, and a bare route.

python benchmarks/served.py ours|memory|bare PORT FOLDER
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from comfytavern.chunks import Chunk, Outputs
from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.events import Status
from comfytavern.hookspecs import hookimpl
from comfytavern.types import DataFlowType
from comfytavern_hostapp.app import create_app
from comfytavern_hostapp.config import Config, Limits
from comfytavern_hostapp.hosting import ConfiguredHost, pack_choice
from comfytavern_hostapp.store import EventBatch, RunStore

Inputs = Mapping[str, Any]  # Any: whatever the benchmark sends along


async def step(inputs: Inputs, context: object) -> dict[str, object]:
    """Return the input."""
    return {"out": inputs.get("in")}


async def flood(inputs: Inputs, context: object) -> AsyncIterator[Any]:  # Any: chunks
    """Stream as fast as it goes."""
    for _ in range(inputs["count"]):
        yield Chunk("text_chunk", "a word ")
    yield Outputs()


async def clock(inputs: Inputs, context: object) -> AsyncIterator[Any]:  # Any: chunks
    """Stream the time, slowly enough that every chunk travels alone."""
    for _ in range(inputs["count"]):
        await anyio.sleep(0.004)
        yield Chunk("text_chunk", repr(perf_counter()))
    yield Outputs()


class BenchmarkPack:
    """The nodes that are measured."""

    @hookimpl
    def register_nodes(self) -> list[NodeDefinition]:
        """Return them."""
        text = InputDefinition(data_flow_type=DataFlowType.STRING)
        stream = {"out": OutputDefinition(data_flow_type=DataFlowType.STRING, is_stream=True)}
        count = {"count": InputDefinition(data_flow_type=DataFlowType.INTEGER)}
        return [
            NodeDefinition(
                type="Step",
                inputs={"in": text},
                outputs={"out": OutputDefinition(data_flow_type=DataFlowType.STRING)},
                execute=step,
            ),
            NodeDefinition(type="Flood", inputs=count, outputs=stream, execute=flood),
            NodeDefinition(type="Clock", inputs=count, outputs=stream, execute=clock),
        ]


class MemoryStore(RunStore):
    """A store that keeps events in a list and writes nothing of them."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._events: dict[int, list[bytes]] = {}

    async def append(
        self,
        number: int,
        batch: EventBatch,
        *,
        status: Status | None = None,
        report: bytes | None = None,
    ) -> None:
        """Keep the events; the end of a run is written as ever."""
        known = self._events.setdefault(number, [])
        known += batch.frames
        if status is not None:
            last = EventBatch(batch.last, batch.frames[-1:])
            await super().append(number, last, status=status, report=report)

    async def events(self, number: int, after: int, size: int = 1 << 20) -> tuple[int, list[bytes]]:
        """Return what is kept; the first two events are those of the submission."""
        known = self._events.get(number)
        if known is None:
            return await super().events(number, after, size)
        return after + 1, known[max(0, after - 2) :]


def make_app(kind: str, port: int, folder: Path) -> ASGIApp:
    """Return one of the three."""
    if kind == "bare":

        async def accept(request: Request) -> JSONResponse:
            body = await request.json()
            return JSONResponse({"promptId": "1", "nodes": len(body["nodes"])})

        return Starlette(routes=[Route("/api/prompt", accept, methods=["POST"])])
    config = Config(data_dir=folder, limits=Limits(queued_runs=10**6))
    host = ConfiguredHost(config, pack_choice(config))
    host.packs.add(BenchmarkPack(), distribution="benchmark")
    store = MemoryStore(folder) if kind == "memory" else None
    return create_app(host, port=port, store=store)


def main(kind: str, port: int, folder: str) -> None:
    """Serve until the process is ended."""
    app = make_app(kind, port, Path(folder or tempfile.mkdtemp()))
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off" if kind == "bare" else "on",
        http="h11",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])

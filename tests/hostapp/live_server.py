"""A whole host behind a real server on loopback, and clients that speak to it."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import uvicorn
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect

from comfytavern_hostapp.app import create_app
from comfytavern_hostapp.config import Config
from comfytavern_hostapp.hosting import ConfiguredHost, pack_choice

from .stage_nodes import Stage, stage_pack

__all__ = ("LONGEST", "Json", "Live", "LiveSocket", "configured", "is_final", "serving")

Json = dict[str, Any]  # Any: JSON
LONGEST = 10.0  # seconds until a client that waits counts as hung
FINAL = {"complete", "error", "interrupted"}


class LiveSocket:
    """A WebSocket client. ``received`` holds every message so far, in order."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.received: list[Json] = []

    async def ask(self, kind: str, **payload: object) -> None:
        """Send a message."""
        await self.connection.send(json.dumps({"type": kind, "payload": payload}))

    async def next(self) -> Json:
        """Return the next message, whatever it is."""
        with anyio.fail_after(LONGEST):
            message: Json = json.loads(await self.connection.recv())
        self.received.append(message)
        return message

    async def until(self, wanted: Callable[[Json], bool]) -> Json:
        """Receive until a message fits, and return it."""
        while not wanted(message := await self.next()):
            pass
        return message

    async def of(self, kind: str) -> Json:
        """Return the next message of a type."""
        return await self.until(lambda message: message["type"] == kind)

    async def log(self, run_id: str) -> list[Json]:
        """Receive until the terminal event of a run; return all its events so far."""
        if not any(map(is_final, self.events(run_id))):
            await self.until(lambda m: m["payload"].get("promptId") == run_id and is_final(m))
        return self.events(run_id)

    def events(self, run_id: str) -> list[Json]:
        """Return the events of a run so far."""
        return [
            message
            for message in self.received
            if "seq" in message and message["payload"]["promptId"] == run_id
        ]


class Live:
    """A server that answers. ``http`` is a client of it, ``stage`` directs its nodes."""

    def __init__(self, port: int, stage: Stage, server: _Server) -> None:
        self.port = port
        self.stage = stage
        self.url = f"http://127.0.0.1:{port}"
        self.http = httpx2.AsyncClient(base_url=self.url, timeout=LONGEST, trust_env=False)
        self.server = server

    async def submit(self, workflow: Mapping[str, object], **more: object) -> str:
        """Hand in a run, and return its id."""
        answer = await self.http.post("/api/prompt", json={"workflow": workflow, **more})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["promptId"])

    async def detail(self, run_id: str, **query: str) -> Json:
        """Return how a run stands."""
        answer = await self.http.get(f"/api/prompt/{run_id}", params=query)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def ended(self, run_id: str) -> Json:
        """Wait for the end of a run, and return how it stands then."""
        await self.log(run_id)
        return await self.detail(run_id)

    async def log(self, run_id: str, since: int = 0) -> list[Json]:
        """Follow a run to its end, and return its events."""
        with anyio.fail_after(LONGEST):
            return [event async for _, event in self.follow(run_id, since=since)]

    async def follow(
        self, run_id: str, *, since: int | None = None, last: str | None = None
    ) -> AsyncIterator[tuple[str, Json]]:
        """Give the events that the server sends, each with its id.

        :param last: what a browser that reconnects sends as Last-Event-ID
        """
        query = {} if since is None else {"since": str(since)}
        headers = {} if last is None else {"Last-Event-ID": last}
        path = f"/api/prompt/{run_id}/events"
        async with self.http.stream("GET", path, params=query, headers=headers) as answer:
            assert answer.status_code == 200, answer.status_code
            name = ""
            async for line in answer.aiter_lines():
                field, _, value = line.partition(": ")
                if field == "id":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

    @asynccontextmanager
    async def socket(self, **options: Any) -> AsyncIterator[LiveSocket]:  # Any: of connect
        """Open a WebSocket; the notice of the queue that comes first is received already."""
        uri = f"ws://127.0.0.1:{self.port}/ws"
        chosen = {"proxy": None, "compression": None, "ping_interval": None, "max_size": None}
        async with connect(uri, **{**chosen, **options}) as connection:
            client = LiveSocket(connection)
            assert (await client.next())["type"] == "SYSTEM_QUEUE_UPDATE"
            yield client

    async def stop(self) -> None:
        """Stop the server, with whatever connections there are."""
        self.server.leave.set()
        await self.server.left.wait()


def configured(data_dir: Path, **blocks: Mapping[str, object]) -> Config:
    """Return the configuration of a host that lets go of its nodes quickly."""
    limits = {"interrupt_grace": "200ms", **blocks.pop("limits", {})}
    packs: Mapping[str, object] = {"enabled": []}
    return Config.model_validate({"data_dir": data_dir, "limits": limits, "packs": packs, **blocks})


@asynccontextmanager
async def serving(
    data_dir: Path,
    *,
    token: str | None = None,
    stage: Stage | None = None,
    reread: Callable[[], Config] | None = None,
    send_buffer: int | None = None,
    **blocks: Mapping[str, object],
) -> AsyncIterator[Live]:
    """Serve a host with the nodes of the stage.

    An error that uvicorn logs fails the test, unless the server is stopped while it answers.

    :param reread: reads the configuration anew
    :param send_buffer: bytes that the system keeps of what a client does not read
    :param blocks: those of the configuration
    """
    stage = stage or Stage()
    with socket.socket() as listener, _errors() as errors:
        if send_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]

        def make() -> Live:
            config = configured(data_dir, **blocks)
            host = ConfiguredHost(config, pack_choice(config))
            host.load()  # none of those that are installed
            host.packs.add(stage_pack(stage), distribution="test")
            server = _Server(create_app(host, port=port, token=token, reread=reread), config)
            return Live(port, stage, server)

        # A server is made before there is a loop, and may read files then.
        live = await anyio.to_thread.run_sync(make)
        server = live.server
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listener])
            with anyio.fail_after(LONGEST):
                await server.ready.wait()
            try:
                async with live.http:
                    yield live
            finally:
                # In order also after a failed test, whose own error is then the only one.
                stage.released.set()
                with anyio.CancelScope(shield=True), anyio.fail_after(LONGEST):
                    await live.stop()
                stage.close()
    assert server.was_cut_off or not errors, errors


class _Server(uvicorn.Server):
    """Serves until ``leave`` is set, with the settings of ``comfytavern serve``."""

    def __init__(self, app: ASGIApp, config: Config) -> None:
        settings = uvicorn.Config(
            app,
            interface="asgi3",
            lifespan="on",
            ws="websockets-sansio",
            ws_max_size=config.limits.body,
            ws_per_message_deflate=False,
            log_config=None,
            proxy_headers=False,
            root_path=config.server.root_path,
            timeout_graceful_shutdown=1,
        )
        super().__init__(settings)
        self.ready = anyio.Event()
        self.leave = anyio.Event()
        self.left = anyio.Event()
        self.was_cut_off = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.leave.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.was_cut_off = bool(self.server_state.tasks)
        await super().shutdown(sockets)
        self.left.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Errors(logging.Handler):
    """Collects what uvicorn logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # uvicorn says so of each handshake that is refused with a body.
        if "without completing handshake" not in record.getMessage():
            self.messages.append(self.format(record))


@contextmanager
def _errors() -> Iterator[list[str]]:
    handler, logger = _Errors(), logging.getLogger("uvicorn.error")
    logger.addHandler(handler)
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)


def is_final(event: Json) -> bool:
    """Tell whether this is the terminal event of a run."""
    ends = event["type"] == "EXECUTION_STATUS_UPDATE"
    return ends and event["payload"]["status"] in FINAL

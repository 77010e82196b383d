"""The end of a host under open connections: clients are told, and nothing holds it up."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from pathlib import Path

import anyio
import httpx2
import pytest
from starlette.types import Message
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosed

from comfytavern_hostapp.routes.websocket import serve_websocket

from ..scenarios.building import flow, place
from .live_server import Live, LiveSocket, serving
from .service_bench import Bench
from .slow_clients import ROOM, slow_socket, slow_stream

TALK = flow(place("a", "Say"))
STOPPED = 3.0  # seconds


async def until_closed(client: LiveSocket) -> int | None:
    """Receive until the connection is closed, and return the code."""
    with anyio.fail_after(STOPPED), suppress(ConnectionClosed):
        while True:
            await client.next()
    return client.connection.close_code


async def test_clients_are_told_that_the_host_stops(live: Live) -> None:
    run_id = await live.submit(TALK)
    await live.stage.begun("a")
    codes: list[int | None] = []
    async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        clients = [await stack.enter_async_context(live.socket()) for _ in range(3)]
        await clients[0].ask("SUBSCRIBE", promptId=run_id)
        await clients[0].of("NODE_EXECUTING")

        async def hear(client: LiveSocket) -> None:
            codes.append(await until_closed(client))

        for client in clients:
            tasks.start_soon(hear, client)
        with anyio.fail_after(STOPPED):
            await live.stop()
    assert len(codes) == 3
    assert set(codes) <= {1001, 1012}


async def test_streams_end_when_the_host_stops(live: Live) -> None:
    run_id = await live.submit(TALK)
    seen: list[int] = []
    begun = anyio.Event()

    async def follow() -> None:
        # Cut off or ended, either way it is over.
        with suppress(httpx2.RemoteProtocolError):
            async for _, event in live.follow(run_id):
                seen.append(event["seq"])
                if event["type"] == "NODE_EXECUTING":
                    begun.set()

    with anyio.fail_after(STOPPED):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await begun.wait()
            await live.stop()
    assert seen == [1, 2, 3, 4]


@pytest.mark.parametrize("reads", [True, False], ids=["reading", "stalled"])
async def test_open_connections_do_not_hold_up_the_end(tmp_path: Path, reads: bool) -> None:
    workflow = flow(place("a", "Count", n=300, width=5_000))
    async with serving(tmp_path, send_buffer=ROOM) as live, AsyncExitStack() as stack:
        run_id = await live.submit(workflow)
        goes_on = await live.submit(TALK)
        await live.ended(run_id)
        if reads:
            for _ in range(10):
                client = await stack.enter_async_context(live.socket())
                await client.ask("SUBSCRIBE", promptId=goes_on)
                await client.of("NODE_EXECUTING")
        else:
            for _ in range(5):
                slow = await stack.enter_async_context(slow_socket(live.port))
                await slow.ask("SUBSCRIBE", promptId=run_id)
                await stack.enter_async_context(slow_stream(live.port, run_id))
        with anyio.fail_after(STOPPED):
            await live.stop()


async def test_what_ran_is_interrupted_and_stored_before_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path) as live:
        run_id = await live.submit(TALK)
        live.stage.say("a", "Hel")
        async for _, event in live.follow(run_id):
            if event["type"] == "NODE_YIELD":
                break
    async with serving(tmp_path) as live:
        log = await live.log(run_id)
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
    assert log[-1]["payload"]["status"] == "interrupted"
    assert log[-2]["payload"] == {"promptId": run_id, "nodeId": "a", "partial": True}


async def test_a_host_that_stops_sends_clients_away_by_itself(bench: Bench) -> None:
    async with bench.service() as service, anyio.create_task_group() as tasks:
        told = anyio.Event()
        early, late = list[Message](), list[Message]()

        async def serve(sent: list[Message]) -> None:
            asked: list[Message] = [{"type": "websocket.connect"}]

            async def receive() -> Message:
                if not asked:
                    await anyio.sleep_forever()
                return asked.pop()

            async def send(message: Message) -> None:
                sent.append(message)
                told.set()

            await serve_websocket(WebSocket({"type": "websocket"}, receive, send), service)

        tasks.start_soon(serve, early)
        await told.wait()
        service.clients.stop()
        with anyio.fail_after(STOPPED):
            await serve(late)
    for sent in (early, late):
        assert sent[0]["type"] == "websocket.accept"
        assert sent[-1] == {"type": "websocket.close", "code": 1001, "reason": ""}

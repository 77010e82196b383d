"""Clients that read slowly or not at all: they miss nothing, hold nothing up, and cost little."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from ..scenarios.building import flow, place
from .live_server import LONGEST, Live, serving
from .slow_clients import ROOM, SlowSocket, slow_socket, slow_stream

# Some 3 MB of events, of which the system keeps a few per cent for a client.
MANY, WIDTH = 600, 5_000
LONG = flow(place("a", "Count", n=MANY, width=WIDTH))
WEBSOCKET = "comfytavern_hostapp.routes.websocket"


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    """Serve a host whose connections hold little."""
    async with serving(tmp_path / "data", send_buffer=ROOM) as server:
        yield server


async def follow_all(client: SlowSocket) -> None:
    """Follow every run; the server has heard it."""
    await client.ask("SUBSCRIBE", promptId="*")
    await client.ask("NOTHING")
    await client.until("ERROR")


async def until_nobody_is_connected(live: Live) -> None:
    """Wait until the server has sent every client away."""
    with anyio.fail_after(LONGEST):
        while (await live.http.get("/api/system_stats")).json()["clients"]:
            pass


async def test_a_client_that_does_not_read_holds_up_nothing_and_resumes_without_a_gap(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{WEBSOCKET}.STALL", 0.2)
    async with slow_socket(live.port) as client:
        await follow_all(client)
        run_id = await live.submit(LONG)
        full = await live.log(run_id)
        assert full[-1]["payload"]["status"] == "complete"
        await until_nobody_is_connected(live)
        while await client.read():
            pass
        assert client.code == 4008
        seen = client.events()
    assert 0 < len(seen) < MANY / 2
    async with live.socket() as again:
        await again.ask("SUBSCRIBE", promptId=run_id, since=seen[-1]["seq"])
        rest = await again.log(run_id)
    assert seen + rest == full


async def test_a_client_that_reads_slowly_gets_everything(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Less than it takes to read what is sent in one go.
    monkeypatch.setattr(f"{WEBSOCKET}.STALL", 0.5)
    run_id = await live.submit(LONG)
    full = await live.log(run_id)
    async with slow_socket(live.port, room=8 * ROOM) as client:
        await client.ask("SUBSCRIBE", promptId=run_id)
        while len(client.events()) < len(full):
            await anyio.sleep(0.01)  # noqa: TID251  # how slowly it reads is the subject
            assert await client.read()
    assert client.events() == full


async def test_a_client_that_leaves_without_having_read_is_forgotten(live: Live) -> None:
    async with slow_socket(live.port) as client:
        await follow_all(client)
        await live.ended(await live.submit(LONG))
        assert (await live.http.get("/api/system_stats")).json()["clients"] == 1
    await until_nobody_is_connected(live)


async def test_clients_that_do_not_read_cost_little(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is kept for all of them together is not the subject.
    monkeypatch.setattr("comfytavern_hostapp.runs.feed.TAIL", 2000)
    count = 8
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await follow_all(await stack.enter_async_context(slow_socket(live.port)))
        tracemalloc.start()
        try:
            run_id = await live.submit(LONG)
            # What is on its way to the run log goes; what waited for clients would stay.
            with anyio.fail_after(LONGEST):
                while await size_after(live, run_id) > count * MANY * WIDTH / 2:
                    pass
        finally:
            tracemalloc.stop()
        assert (await live.http.get("/api/system_stats")).json()["clients"] == count


async def size_after(live: Live, run_id: str) -> int:
    """Return how much memory has been taken since tracing began, once the run has ended."""
    while (await live.detail(run_id))["status"] != "complete":
        pass
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


# --- server-sent events -------------------------------------------------------------------


async def test_a_stream_that_is_not_read_holds_up_nothing_and_misses_nothing(live: Live) -> None:
    await live.http.post("/api/queue/pause")
    run_id = await live.submit(LONG)
    async with slow_stream(live.port, run_id) as client:
        assert await client.read()
        await live.http.post("/api/queue/resume")
        full = await live.log(run_id)
        assert full[-1]["payload"]["status"] == "complete"
        assert (await live.http.get("/api/system_stats")).json()["clients"] == 1
        while await client.read():
            pass
        assert client.events() == full
    await until_nobody_is_connected(live)


async def test_a_stream_that_was_lost_goes_on_after_what_was_read(live: Live) -> None:
    run_id = await live.submit(LONG)
    full = await live.log(run_id)
    async with slow_stream(live.port, run_id) as client:
        while len(client.events()) < 50:
            assert await client.read()
        seen = client.events()
    rest = [event async for _, event in live.follow(run_id, last=str(seen[-1]["seq"]))]
    assert seen + rest == full
    await until_nobody_is_connected(live)

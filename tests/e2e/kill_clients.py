"""Clients of a server that is killed again and again, and all that they have been told."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import anyio
import httpx2
import orjson
from anyio import to_thread
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

__all__ = ("FINAL", "Told", "clients", "make_http", "pause")

Json = dict[str, Any]  # Any: JSON
FINAL = {"complete", "error", "interrupted"}
# Runs that have not ended, as far as clients know, from which on no more are handed in.
ENOUGH = 30


class Told:
    """What the server has said to any of its clients; every word of it must stay true."""

    def __init__(self) -> None:
        # run id -> the name of its workflow, which no other request had
        self.accepted: dict[str, str] = {}
        # run id -> seq -> the event as it came
        self.events: dict[str, dict[int, bytes]] = defaultdict(dict)
        self.ended: set[str] = set()
        self.by_key: dict[str, str] = {}
        # requests with a key that were sent and not answered
        self.unanswered: dict[str, Json] = {}
        self.requests: dict[str, Json] = {}
        self._names = 0

    @property
    def going_on(self) -> list[str]:
        """The runs whose end nobody has seen."""
        return [run_id for run_id in self.accepted if run_id not in self.ended]

    def new_request(self, chunks: int) -> Json:
        """Return a request to run a workflow that streams so many chunks."""
        self._names += 1
        nodes = [
            {"id": "s", "fullType": "kill-pack:Stream", "inputs": {"n": chunks}},
            {"id": "t", "fullType": "kill-pack:Total"},
        ]
        ends = {"sourceNodeId": "s", "sourceHandle": "total"}
        edge = {"id": "e", **ends, "targetNodeId": "t", "targetHandle": "n"}
        return {"workflow": {"name": f"request {self._names}", "nodes": nodes, "edges": [edge]}}

    def accept(self, run_id: str, request: Json, key: str | None) -> None:
        """Note the answer to a request."""
        self.accepted[run_id] = request["workflow"]["name"]
        if key is not None:
            self.unanswered.pop(key, None)
            assert self.by_key.setdefault(key, run_id) == run_id

    def hear(self, text: bytes) -> tuple[str, int] | None:
        """Note an event; return which, or None for a notice."""
        event = orjson.loads(text)
        if "seq" not in event:
            return None
        run_id, seq = str(event["payload"]["promptId"]), int(event["seq"])
        assert self.events[run_id].setdefault(seq, text) == text, "an event has changed"
        if event["type"] == "EXECUTION_STATUS_UPDATE" and event["payload"]["status"] in FINAL:
            self.ended.add(run_id)
        return run_id, seq

    def last_of(self, run_id: str) -> int:
        """Return up to where a client has all events of a run."""
        known, last = self.events[run_id], 0
        while last + 1 in known:
            last += 1
        return last


async def pause(seconds: float) -> None:
    """Let time pass: when the server is killed is all that these tests are about."""
    with anyio.move_on_after(seconds):
        await anyio.sleep_forever()


async def make_http(url: str) -> httpx2.AsyncClient:
    """Return an HTTP client; in a thread, as it loads the rest of itself now."""

    def make() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=url, timeout=10, trust_env=False, verify=False)

    return await to_thread.run_sync(make)


async def clients(url: str, told: Told, random: Random) -> None:
    """Be every client at once, until cancelled; those that lose the server leave."""
    async with await make_http(url) as http, anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(_until_it_is_gone, lambda: _hand_in(http, told, random))
            tasks.start_soon(_until_it_is_gone, lambda: _follow_one(http, told, random))
        tasks.start_soon(_until_it_is_gone, lambda: _follow_all(url, told))


async def _until_it_is_gone(client: Callable[[], Awaitable[None]]) -> None:
    try:
        await client()
    except (httpx2.TransportError, WebSocketException, OSError):
        return


async def _hand_in(http: httpx2.AsyncClient, told: Told, random: Random) -> None:
    """Hand runs in; with a key, ask again until there is an answer, and now and then after."""
    while True:
        await pause(random.uniform(0, 0.02))
        key, request = None, None
        if told.unanswered and random.random() < 0.5:
            key, request = random.choice(list(told.unanswered.items()))
        elif told.by_key and random.random() < 0.2:
            key = random.choice(list(told.by_key))
            request = told.requests[key]
        elif len(told.going_on) < ENOUGH:
            request = told.new_request(random.randrange(1, 30))
            if random.random() < 0.5:
                key = f"key of {request['workflow']['name']}"
                told.requests[key] = told.unanswered[key] = request
        if request is None:
            continue
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = await http.post("/api/prompt", json=request, headers=headers)
        assert answer.status_code in (200, 202), answer.text
        told.accept(answer.json()["promptId"], request, key)


async def _follow_one(http: httpx2.AsyncClient, told: Told, random: Random) -> None:
    """Follow one run after the other as a browser does, each from where it was lost."""
    while True:
        going_on = told.going_on
        if not going_on:
            await pause(0.01)
            continue
        run_id = random.choice(going_on)
        last = told.last_of(run_id)
        path, headers = f"/api/prompt/{run_id}/events", {"Last-Event-ID": str(last)}
        async with http.stream("GET", path, headers=headers) as answer:
            assert answer.status_code in (200, 204), (run_id, answer.status_code)
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    last += 1
                    assert told.hear(line.removeprefix("data: ").encode()) == (run_id, last)


async def _follow_all(url: str, told: Told) -> None:
    """Follow every run over a WebSocket, those known already from where they were lost."""
    address = f"{url.replace('http', 'ws', 1)}/ws"
    async with connect(address, proxy=None, compression=None, max_size=None) as socket:
        wanted = [("*", 0), *((run_id, told.last_of(run_id)) for run_id in told.going_on)]
        for run_id, since in wanted:
            payload = {"promptId": run_id, "since": since}
            await socket.send(json.dumps({"type": "SUBSCRIBE", "payload": payload}))
        async for message in socket:
            assert isinstance(message, str)
            told.hear(message.encode())
            assert '"type":"ERROR"' not in message, message

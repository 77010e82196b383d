"""Every event of every run on a server, over its WebSocket, however often that breaks.

Which runs there are is told by the server itself, so nothing has to ask again and again. After
a break each known run goes on after its last event, and runs that began meanwhile are
told from their beginning.
"""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any

import httpx
import orjson
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from comfytavern.events import EventType
from comfytavern.runner import Envelope

from ..runs.events import final_status
from ..store import RunFilter
from .server_errors import (
    NotComfyTavernError,
    ServerError,
    ServerUnreachableError,
    TokenRefusedError,
    unreachable,
)
from .server_runs import TIMEOUT, ServerRuns, tls_context

__all__ = ("AllRuns",)

# Seconds between two looks whether somebody wants us to end.
STEP = 1.0
# A run that began so many seconds before the last news may not have been told yet.
MARGIN = 5.0
_PAGE = 500
_UNAUTHORISED = (401, 403)
_AWAY = (502, 503, 504)


class AllRuns:
    """What happens from now on in every run of a server. Iterate over it once.

    :raises ServerError: while iterating, when there is no server for too long
    """

    def __init__(self, server: ServerRuns) -> None:
        self._server = server
        # The last event of each run that goes on.
        self._seen: dict[str, int] = {}
        # Runs that were asked for from a point on, until the first such event has come.
        self._awaited: set[str] = set()
        self._ended: deque[str] = deque(maxlen=10_000)
        # When the server has last said anything, by its own clock.
        self._heard = 0.0
        self._was_connected = False

    def __iter__(self) -> Iterator[Envelope]:
        self._server.page(RunFilter(limit=1))  # says best what is wrong, if anything is
        while True:
            try:
                with self._connect() as connection:
                    self._subscribe(connection)
                    self._was_connected = True
                    self._server.outage.mended()
                    while True:
                        event = self._read(_received(connection))
                        if event is not None:
                            yield event
            except (WebSocketException, OSError) as exc:
                failure: ServerError = unreachable(self._server.url, exc)
            except ServerUnreachableError as exc:
                failure = exc
            if not self._was_connected:
                raise failure
            self._server.outage.wait(failure, "going on where it was")
            self._server.move()

    def _connect(self) -> ClientConnection:
        url = httpx.URL(self._server.url)
        is_safe = url.scheme == "https"
        address = (url.host, url.port or (443 if is_safe else 80))
        try:
            # A socket of our own: with one, no redirect is followed.
            raw = socket.create_connection(address, timeout=TIMEOUT)
            return connect(
                f"{'wss' if is_safe else 'ws'}{self._server.url.removeprefix(url.scheme)}/ws",
                sock=raw,
                ssl=tls_context() if is_safe else None,
                additional_headers=self._server.token.headers,
                proxy=None,
                compression=None,
                open_timeout=TIMEOUT,
                close_timeout=1.0,
                max_size=None,
            )
        except InvalidStatus as exc:
            raise self._refused(exc.response.status_code) from exc
        except (WebSocketException, OSError) as exc:
            raise unreachable(self._server.url, exc) from exc

    def _refused(self, status: int) -> ServerError:
        url = self._server.url
        if status in _UNAUTHORISED:
            return TokenRefusedError(url, self._server.token.remedy)
        if status in _AWAY:
            return ServerUnreachableError(url, f"it answers {status}")
        return NotComfyTavernError(url, f"its /ws answers {status}")

    def _subscribe(self, connection: ClientConnection) -> None:
        """Ask for every run, and for what was missed since the connection broke."""
        _send(connection, "*")
        if not self._was_connected:
            return
        recent = RunFilter(since=max(0.0, self._heard - MARGIN), limit=_PAGE)
        for run in reversed(self._server.page(recent).runs):
            if run.prompt_id not in self._ended:
                self._seen.setdefault(run.prompt_id, 0)
        self._awaited = set(self._seen)
        for run_id, seq in self._seen.items():
            _send(connection, run_id, seq)

    def _read(self, message: str | bytes) -> Envelope | None:
        """Return an event that was not given yet; None for anything else."""
        try:
            event: Envelope = orjson.loads(message)
            is_first = not self._heard
            self._heard = max(self._heard, datetime.fromisoformat(event["ts"]).timestamp())
            if "seq" in event:
                is_new = self._is_new(event)
                return event if is_new else None
            if is_first and event["type"] == EventType.SYSTEM_QUEUE_UPDATE:
                self._note_going_on(event["payload"])
        except (ValueError, KeyError, TypeError):
            raise NotComfyTavernError(self._server.url, "a message of another shape") from None
        return None

    def _note_going_on(self, payload: dict[str, Any]) -> None:  # Any: JSON
        """Remember the runs that went on when we came, and how far they were."""
        for run in (*payload["runningExecutions"], *payload["pendingExecutions"]):
            self._seen.setdefault(run["promptId"], int(run["lastSeq"]))

    def _is_new(self, event: Envelope) -> bool:
        run_id, seq = str(event["payload"]["promptId"]), int(event["seq"])
        last = self._seen.get(run_id, 0)
        if seq <= last or run_id in self._ended:
            return False
        if run_id in self._awaited:
            if seq != last + 1:
                return False  # it comes again, in its place
            self._awaited.discard(run_id)
        self._seen[run_id] = seq
        if final_status(event) is not None:
            del self._seen[run_id]
            self._ended.append(run_id)
        self._server.outage.progress()
        return True


def _received(connection: ClientConnection) -> str | bytes:
    while True:
        with suppress(TimeoutError):
            return connection.recv(timeout=STEP)


def _send(connection: ClientConnection, run_id: str, since: int | None = None) -> None:
    payload: dict[str, Any] = {"promptId": run_id}  # Any: JSON
    if since is not None:
        payload["since"] = since
    connection.send(json.dumps({"type": "SUBSCRIBE", "payload": payload}))

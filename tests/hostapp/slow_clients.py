"""Clients that read only when they are told to, and for which the system keeps hardly anything."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio import to_thread
from anyio.abc import SocketStream
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from .live_server import LONGEST, Json

__all__ = ("ROOM", "SlowSocket", "SlowStream", "slow_socket", "slow_stream")

# Bytes that either side of a connection keeps of what is not read.
ROOM = 16_384


class SlowSocket:
    """A WebSocket client. ``received`` holds what it has read, ``code`` why it was closed."""

    def __init__(self, stream: SocketStream, protocol: ClientProtocol) -> None:
        self.received: list[Json] = []
        self.code: int | None = None
        self._stream = stream
        self._protocol = protocol

    async def ask(self, kind: str, **payload: object) -> None:
        """Send a message."""
        self._protocol.send_text(json.dumps({"type": kind, "payload": payload}).encode())
        await self.flush()

    async def flush(self) -> None:
        """Send what the protocol has to say."""
        for data in self._protocol.data_to_send():
            await self._stream.send(data)

    async def read(self, size: int = ROOM) -> bool:
        """Read once; tell whether there may be more."""
        try:
            with anyio.fail_after(LONGEST):
                data = await self._stream.receive(size)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return False
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self.received.append(json.loads(bytes(event.data)))
        if self._protocol.close_rcvd is not None:
            self.code = self._protocol.close_rcvd.code
            return False
        return True

    async def until(self, kind: str) -> None:
        """Read until a message of a type has come."""
        while not any(message["type"] == kind for message in self.received):
            assert await self.read()

    def events(self) -> list[Json]:
        """Return the events that were read."""
        return [message for message in self.received if "seq" in message]


class SlowStream:
    """A client of server-sent events."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._text = b""

    async def read(self) -> bool:
        """Read once; tell whether there may be more."""
        try:
            with anyio.fail_after(LONGEST):
                self._text += await self._stream.receive(ROOM)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return False
        return not self._text.endswith(b"\r\n0\r\n\r\n")

    def events(self) -> list[Json]:
        """Return the events that were read whole."""
        _, _, body = self._text.partition(b"\r\n\r\n")
        text = b""
        while b"\r\n" in body:
            size, _, body = body.partition(b"\r\n")
            text, body = text + body[: int(size, 16)], body[int(size, 16) + 2 :]
        *whole, _ = text.split(b"\n\n")
        return [json.loads(event.partition(b"data: ")[2]) for event in whole]


@asynccontextmanager
async def slow_socket(port: int, room: int = ROOM) -> AsyncIterator[SlowSocket]:
    """Open a WebSocket.

    :param room: bytes that the system keeps of what is not read
    """
    protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/ws"))
    async with await _connected(port, room) as stream:
        client = SlowSocket(stream, protocol)
        protocol.send_request(protocol.connect())
        await client.flush()
        await client.until("SYSTEM_QUEUE_UPDATE")
        yield client


@asynccontextmanager
async def slow_stream(port: int, run_id: str) -> AsyncIterator[SlowStream]:
    """Follow a run."""
    head = f"GET /api/prompt/{run_id}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"
    async with await _connected(port, ROOM) as stream:
        await stream.send(head.encode())
        yield SlowStream(stream)


async def _connected(port: int, room: int) -> SocketStream:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    await to_thread.run_sync(connection.connect, ("127.0.0.1", port))
    connection.setblocking(False)
    return await SocketStream.from_socket(connection)

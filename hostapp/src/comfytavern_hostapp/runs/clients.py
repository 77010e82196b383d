"""Every client that is connected: notices for all, and those who follow all runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import anyio
import orjson

from comfytavern.events import EventType

from .feed import Feeds, RunFeed, timestamp
from .following import Subscriber

__all__ = ("Clients", "notice")

# Seconds between two notices of the queue; what changes meanwhile is in the next one.
PACE = 0.1


class Clients:
    """The connected clients. All on the event loop.

    :param queue_payload: gives the payload of SYSTEM_QUEUE_UPDATE as it is now
    """

    def __init__(self, feeds: Feeds, queue_payload: Callable[[], Mapping[str, Any]]) -> None:
        self._feeds = feeds
        self._queue_payload = queue_payload
        self._clients: dict[Subscriber, None] = {}
        self._of_all: dict[Subscriber, None] = {}
        self._changed = anyio.Event()
        self._stopping = anyio.Event()
        feeds.on_new[self._on_new] = None

    def __len__(self) -> int:
        return len(self._clients)

    def add(self, client: Subscriber) -> None:
        """Take a client in; it is told of the queue at once."""
        if self._stopping.is_set():
            client.stop()
        self._clients[client] = None
        client.notify(self._queue_notice(), EventType.SYSTEM_QUEUE_UPDATE)

    def remove(self, client: Subscriber) -> None:
        """Forget a client."""
        self._clients.pop(client, None)
        self._of_all.pop(client, None)
        client.stop()

    def follow_all(self, client: Subscriber) -> None:
        """Let a client follow every run from now on, those that go on from where they are.

        What it follows already goes on as it does.
        """
        if client not in self._of_all:
            self._of_all[client] = None
            for feed in self._feeds.going_on:
                if not client.follows(feed.run_id):
                    client.follow(feed, feed.last_seq)

    def unfollow_all(self, client: Subscriber) -> None:
        """Let a client follow only what it asks for by itself; what it follows goes on."""
        self._of_all.pop(client, None)

    def tell(self, kind: EventType, payload: Mapping[str, Any]) -> None:
        """Send a notice to every client."""
        text = notice(kind, payload)
        for client in self._clients:
            client.notify(text)

    def queue_changed(self) -> None:
        """Hear that the queue, or what runs, has changed."""
        self._changed.set()

    async def run(self) -> None:
        """Tell clients of the queue as it changes. A task of its own."""
        while not self._stopping.is_set():
            await self._changed.wait()
            self._changed = anyio.Event()
            if self._clients:
                text = self._queue_notice()
                for client in self._clients:
                    client.notify(text, EventType.SYSTEM_QUEUE_UPDATE)
            with anyio.move_on_after(PACE):
                await self._stopping.wait()

    def stop(self) -> None:
        """Let ``run`` end, and every client go."""
        self._stopping.set()
        self._changed.set()
        for client in list(self._clients):
            client.stop()

    def _queue_notice(self) -> bytes:
        return notice(EventType.SYSTEM_QUEUE_UPDATE, self._queue_payload())

    def _on_new(self, feed: RunFeed) -> None:
        for client in self._of_all:
            client.follow(feed)


def notice(kind: EventType, payload: Mapping[str, Any]) -> bytes:  # Any: JSON
    """Return a message that belongs to no run's log."""
    return orjson.dumps({"type": kind.value, "payload": payload, "ts": timestamp()})

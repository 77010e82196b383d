"""The event log of each run, as many clients follow it: stored first, then shown.

``RunFeed.append`` is the one place where events get their ``seq``. It returns, and followers
see anything, only after the events are committed, so nothing that a client has seen is lost.
A follower is a position in that log and nothing else: what it has not taken yet waits in the
store, not in memory, however slow the client is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from comfytavern.events import Status
from comfytavern.runner import Envelope

from ..store import Blob, EventBatch, RunStore, StoredRun
from .redaction import Redact, redacted, redacted_event

__all__ = ("Feeds", "Follower", "RunFeed", "numbered", "timestamp")

# What was sent last is kept at hand, for followers that are about to take it; in bytes, and never
# less than the last batch.
TAIL = 1 << 20
# The most events that one take returns.
TAKE = 256


class RunFeed:
    """One run's log. ``is_final`` once the terminal event is in it.

    :param redact: takes secrets out of a text
    """

    def __init__(
        self,
        store: RunStore,
        run: StoredRun,
        redact: Redact,
        *,
        is_final: bool = False,
    ) -> None:
        self.run_id = run.run_id
        self.number = run.number
        self.last_seq = run.last_seq
        self.is_final = is_final
        self.followers: dict[Follower, None] = {}
        self._store = store
        self._redact = redact
        self._tail: deque[EventBatch] = deque()
        self._kept = 0

    async def append(
        self,
        envelopes: Sequence[Envelope],
        *,
        blobs: Sequence[Blob] = (),
        status: Status | None = None,
        report: bytes | None = None,
    ) -> None:
        """Give events their ``seq``, store them, then tell the followers.

        To be called by one task at a time; may be called again with the same events when
        they could not be stored.

        :param status: the final status, if the last of them is the terminal event
        :raises StoreError: nothing of it was stored, and nobody was told
        """
        batch = EventBatch(self.last_seq + 1, self._frames(envelopes), blobs)
        await self._store.append(self.number, batch, status=status, report=report)
        self.last_seq = batch.last
        self.is_final = status is not None
        self._tail.append(batch)
        self._kept += batch.size
        while self._kept > TAIL and len(self._tail) > 1:
            self._kept -= self._tail.popleft().size
        for follower in list(self.followers):
            follower.wake(follower)

    def _frames(self, envelopes: Sequence[Envelope]) -> list[bytes]:
        joined = b"\n".join(numbered(envelopes, self.last_seq + 1))
        text = joined.decode()
        if self._redact(text) != text:
            clean = [redacted_event(envelope, self._redact) for envelope in envelopes]
            joined = b"\n".join(map(orjson.dumps, clean))
        # Split also if nothing was taken out: what orjson returns keeps some kilobytes of room
        # behind each text, which all events at hand would hold.
        return joined.split(b"\n")

    def without_secrets(self, told: dict[str, Any]) -> dict[str, Any]:  # Any: JSON
        """Return what is said of the run as a whole, where secrets may have come together."""
        text = orjson.dumps(told, default=repr).decode()
        if self._redact(text) == text:
            return told
        return {key: redacted(value, self._redact) for key, value in told.items()}

    def follow(self, after: int, wake: Callable[[Follower], None]) -> Follower:
        """Begin to follow after an event.

        :param wake: called, on the event loop, when there is something to take
        """
        follower = Follower(self, min(max(0, after), self.last_seq), wake)
        self.followers[follower] = None
        return follower

    async def read(self, after: int) -> list[bytes]:
        """Return events that come after ``after``, without waiting; none if there are none.

        :raises StoreError: they cannot be read
        """
        if after >= self.last_seq:
            return []
        for batch in self._tail:
            if batch.first <= after + 1 <= batch.last:
                begins = after + 1 - batch.first
                return list(batch.frames[begins : begins + TAKE])
        _, frames = await self._store.events(self.number, after)
        return frames


class Follower:
    """A position in the log of a run, as far as one client has taken it."""

    __slots__ = ("feed", "position", "wake")

    def __init__(self, feed: RunFeed, after: int, wake: Callable[[Follower], None]) -> None:
        self.feed = feed
        self.position = after
        self.wake = wake

    @property
    def lag(self) -> int:
        """How many events wait to be taken."""
        return self.feed.last_seq - self.position

    @property
    def has_ended(self) -> bool:
        """Whether the terminal event was taken."""
        return self.feed.is_final and self.lag <= 0

    async def take(self) -> list[bytes]:
        """Return the next events, without waiting; none if there are none.

        :raises StoreError: they cannot be read
        """
        frames = await self.feed.read(self.position)
        self.position += len(frames)
        return frames

    def leave(self) -> None:
        """Follow no longer."""
        self.feed.followers.pop(self, None)


class Feeds:
    """The logs of all runs: those that go on at hand, the others from the store."""

    def __init__(self, store: RunStore, redact: Redact) -> None:
        self._store = store
        self._redact = redact
        self._open: dict[str, RunFeed] = {}
        # called with the feed of each run that is handed in
        self.on_new: dict[Callable[[RunFeed], None], None] = {}

    @property
    def going_on(self) -> list[RunFeed]:
        """The logs of the runs that wait or run."""
        return list(self._open.values())

    def add(self, run: StoredRun) -> RunFeed:
        """Return the feed of a run that has just been stored, or goes on."""
        feed = self._open[run.run_id] = RunFeed(self._store, run, self._redact)
        for tell in list(self.on_new):
            tell(feed)
        return feed

    def close(self, feed: RunFeed) -> None:
        """Forget the feed of a run that has ended; who follows it takes the rest."""
        self._open.pop(feed.run_id, None)

    async def open(self, run_id: str) -> RunFeed:
        """Return the feed of a run, whether it goes on or has ended.

        :raises UnknownRunError: there is no such run
        """
        feed = self._open.get(run_id)
        if feed is not None:
            return feed
        run = await self._store.find(run_id)
        # It may have been handed in meanwhile; then it is at hand now.
        return self._open.get(run_id) or RunFeed(self._store, run, self._redact, is_final=True)


def numbered(envelopes: Sequence[Envelope], first: int) -> list[bytes]:
    """Return events as they are sent, numbered from ``first``."""
    frames, now = [], ""
    for seq, envelope in enumerate(envelopes, first):
        envelope["seq"] = seq
        if "ts" not in envelope:
            now = envelope["ts"] = now or timestamp()
        frames.append(orjson.dumps(envelope))
    return frames


def timestamp(seconds: float | None = None) -> str:
    """Return a time, by default the present, as it is written on the wire."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds")

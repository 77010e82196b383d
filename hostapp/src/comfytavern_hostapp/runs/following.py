"""One client: the runs it follows, the notices for it, and when it is too slow.

Nothing is queued for a client but its positions in the logs and the latest notice of each
kind, so a client that does not read costs nothing and holds nothing up, however far it falls
behind. Whoever sends to it decides when it is sent away; by the ``seq`` it has seen it goes on
without a gap.
"""

from __future__ import annotations

from typing import NamedTuple

import anyio

from .feed import Follower, RunFeed

__all__ = ("Frames", "Subscriber")

# Notices that may wait for a client; each answers something that it has sent.
MOST_NOTICES = 1_000


class Frames(NamedTuple):
    """Some events of one run in order, or a notice (``first`` is 0 then), as JSON texts."""

    first: int
    texts: list[bytes]
    ends: bool = False


class Subscriber:
    """What one client is to be sent. For one task that sends; all on the event loop.

    ``stopped`` is set when it is to be sent no more: ``fell_behind`` tells whether because it
    is too slow, otherwise the host stops.
    """

    def __init__(self) -> None:
        self.stopped = anyio.Event()
        self.fell_behind = False
        self._followers: dict[str, Follower] = {}
        self._ready: dict[Follower, None] = {}  # in order
        self._notices: dict[object, bytes] = {}
        self._arrival: anyio.Event | None = None

    def follow(self, feed: RunFeed, after: int = 0) -> None:
        """Follow a run; following it already, go on from ``after`` instead."""
        self.unfollow(feed.run_id)
        follower = feed.follow(after, self._on_news)
        self._followers[feed.run_id] = follower
        self._on_news(follower)

    def follows(self, run_id: str) -> bool:
        """Tell whether there may be more to send of a run."""
        return run_id in self._followers

    def unfollow(self, run_id: str) -> None:
        """Follow a run no longer."""
        follower = self._followers.pop(run_id, None)
        if follower is not None:
            follower.leave()
            self._ready.pop(follower, None)

    def notify(self, text: bytes, kind: object = None) -> None:
        """Send a notice; it takes the place of an earlier one of its kind, if not yet sent."""
        self._notices[object() if kind is None else kind] = text
        if len(self._notices) > MOST_NOTICES:
            self.stop(fell_behind=True)
        self._wake()

    async def next(self) -> Frames | None:
        """Return what to send next, as soon as there is anything; None once it is stopped.

        Safe to cancel: what was not returned is returned by the next call.

        :raises StoreError: events cannot be read
        """
        while not self.stopped.is_set():
            if self._notices:
                texts = list(self._notices.values())
                self._notices.clear()
                return Frames(0, texts)
            if self._ready:
                found = await self._take(next(iter(self._ready)))
                if found is not None:
                    return found
                continue
            self._arrival = anyio.Event()
            await self._arrival.wait()
        return None

    async def _take(self, follower: Follower) -> Frames | None:
        first = follower.position + 1
        texts = await follower.take()
        # It may have been left, or replaced, while the store was read.
        if self._followers.get(follower.feed.run_id) is not follower:
            return None
        self._ready.pop(follower, None)
        is_gone = not texts and follower.lag > 0  # the run was deleted meanwhile
        ends = follower.has_ended or is_gone
        if ends:
            self.unfollow(follower.feed.run_id)
        elif follower.lag > 0:
            self._ready[follower] = None  # behind the others: none waits for one
        return Frames(first, texts, ends) if texts or ends else None

    def stop(self, *, fell_behind: bool = False) -> None:
        """Send nothing more, and follow nothing."""
        self.fell_behind = self.fell_behind or fell_behind
        for run_id in list(self._followers):
            self.unfollow(run_id)
        self.stopped.set()
        self._wake()

    def _on_news(self, follower: Follower) -> None:
        self._ready[follower] = None
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

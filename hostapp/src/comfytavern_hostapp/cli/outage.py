"""A connection that broke: telling so, waiting, trying again, giving up."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic

from .server_errors import ServerError

__all__ = ("SHORTEST_PAUSE", "Outage")

# Seconds between two attempts, once the first has failed.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 2.0


class Outage:
    """What is done about a connection that broke: tell, wait, try again, give up.

    :param tell: hears when the connection breaks, and when it is there again
    :param patience: seconds without a connection until giving up
    """

    def __init__(self, tell: Callable[[str], None], patience: float) -> None:
        self._tell = tell
        self._patience = patience
        self._until: float | None = None
        self._pause = 0.0

    def wait(self, error: ServerError, position: str) -> None:
        """Wait before the next attempt.

        :param position: from where it will go on
        :raises ServerError: ``error``, when there was no connection for too long
        """
        now = monotonic()
        if self._until is None:
            self._until = now + self._patience
            if self._patience > 0:
                self._tell(f"the connection to {error.url} broke; {position} when it is back")
        if now >= self._until:
            raise error
        Event().wait(min(self._pause, self._until - now))
        self._pause = min(max(SHORTEST_PAUSE, 2 * self._pause), LONGEST_PAUSE)

    def mended(self) -> None:
        """Hear that there is a connection."""
        if self._until is not None:
            self._until = None
            self._tell("connected again")

    def progress(self) -> None:
        """Hear that the connection is of use: the next one is tried at once when it breaks."""
        self._pause = 0.0

"""Where ``comfytavern runs`` finds runs: a server, or the data directory alone.

The server that the operator names comes first, then the one that has the data directory now.
The token of the configuration goes to a server that the operator named, and to one on this
machine or at the configured host; to no other place that a file may name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from comfytavern.runner import Envelope

from ..config import Config
from ..config.addresses import BaseUrl
from ..store import RunFilter, find_host
from ..wire import AbandonedWork, HistoryPage, StoredRunDetail
from .failures import BadInputError
from .server_token import server_token
from .session import Session

__all__ = ("RunsSource", "Token", "open_source")


class RunsSource(Protocol):
    """Stored runs, and what goes on with them. Everything blocks, nothing for ever."""

    @property
    def is_live(self) -> bool:
        """Whether a host is there that executes runs."""
        ...

    @property
    def place(self) -> str:
        """Where this is, for messages."""
        ...

    def page(self, wanted: RunFilter) -> HistoryPage:
        """Return runs, newest first."""
        ...

    def show(self, run_id: str) -> StoredRunDetail:
        """Return one run with everything but its events.

        :raises UnknownRunError: there is none of this id
        """
        ...

    def follow(self, run_id: str, after: int = 0) -> Generator[Envelope, None, None]:
        """Give the events after one: to the end of the run if a host is there, else the stored.

        :raises UnknownRunError: there is none of this id
        """
        ...

    def interrupt(self, run_ids: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Interrupt runs; give each with what has become of it, ``interrupting`` while it runs.

        :raises UnknownRunError: there is none of this id
        """
        ...

    def has_ended(self, run_id: str, after: int, seconds: float) -> bool:
        """Wait until a run has ended, so long at the most; return whether it has.

        :param after: the ``seq`` from which to listen
        """
        ...

    def abandoned(self, run_id: str) -> Sequence[AbandonedWork]:
        """Return what goes on although the run has ended."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


class Token:
    """What a server is shown, and what to do if it is not enough."""

    def __init__(self, value: str | None, remedy: str) -> None:
        self.value = value
        self.remedy = remedy

    @property
    def headers(self) -> dict[str, str]:
        """The headers that show it."""
        return {} if self.value is None else {"Authorization": f"Bearer {self.value}"}


def open_source(session: Session, server: str | None, *, patience: float = 0.0) -> RunsSource:
    """Return the named server, or whatever has the runs of the data directory.

    :param server: its URL, if the operator named one
    :param patience: seconds to try again when the connection to a server breaks
    :raises BadInputError: the URL is none
    :raises ConfigError: the configuration, or the reference to the token, cannot be used
    :raises StoreError: there is no host, and the stored runs cannot be read
    """
    config, tell = session.config, session.console.say
    if server:
        from .outage import Outage  # HTTP: not for the data directory
        from .server_runs import ServerRuns

        return ServerRuns(_url(server), _token(config), Outage(tell, patience))
    holder = find_host(config.data_dir)
    if holder is None:
        from .stored_runs import StoredRuns  # the store: not for a server

        return StoredRuns(config.data_dir)
    from .outage import Outage
    from .server_runs import ServerRuns

    token = _token(config) if _is_ours(holder.url, config) else _withheld()
    return ServerRuns(holder.url, token, Outage(tell, patience), _Mover(config.data_dir))


class _Mover:
    """Tells where the host of a data directory is now: started anew, it may be elsewhere."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, url: str) -> str:
        holder = find_host(self._folder)
        # Elsewhere by its port alone: what may be sent to one host goes to no other.
        if holder is not None and _host(holder.url) == _host(url):
            return holder.url
        return url


def _url(given: str) -> str:
    try:
        return TypeAdapter(BaseUrl).validate_python(given).rstrip("/")
    except ValidationError:
        # Not shown: it may hold a password.
        message = "--server is no URL of a server; expected one such as http://127.0.0.1:8321"
        raise BadInputError("bad_server", message) from None


def _token(config: Config) -> Token:
    reference, value = config.server.token, server_token(config)
    if value is None:
        remedy = "set server.token to env:COMFYTAVERN_TOKEN or file:PATH in the configuration"
        return Token(None, f"needs a token; {remedy}")
    remedy = "set server.token to a reference to its own"
    return Token(value, f"does not take the token of {str(reference)!r}; {remedy}")


def _withheld() -> Token:
    return Token(None, "needs a token, and is not on this machine; name it with --server")


def _is_ours(url: str, config: Config) -> bool:
    """Tell whether a host that a file names is on this machine, or the configured one."""
    host = _host(url)
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    return is_loopback or host == config.server.host


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""

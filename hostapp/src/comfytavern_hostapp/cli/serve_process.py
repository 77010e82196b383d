"""``comfytavern serve`` in one process: the host, the application, and what is said of both."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Sequence
from typing import NoReturn

from comfytavern.packs import PackState
from comfytavern.runner import AbandonedNode
from comfytavern.secrets import SHOWN_SECRET

from ..app import create_app
from ..hosting import ConfiguredHost
from ..listening import url
from ..server import serve
from .failures import FAULT, INTERRUPTED, OK, TERMINATED
from .session import Session

__all__ = ("serve_on",)

SHORTEST_CONCEALED = 4  # a shorter token cannot be told from ordinary text


def serve_on(
    session: Session,
    listener: socket.socket,
    token: str | None,
    *,
    paused: bool,
    set_aside: bool,
    lifeline: int | None,
) -> int:
    """Load the packs, serve until somebody ends it, and return the exit code.

    :param set_aside: whether a damaged file of runs is put aside; a sound one stays
    :param lifeline: the end of a pipe; when the other end is closed, the server ends
    :raises ComfyTavernError: the packs, the data directory or the file of runs cannot be used
    """
    host = session.open_host()
    if token is not None and len(token) >= SHORTEST_CONCEALED:
        redact = host.secrets.redact
        session.console.redact = lambda text: redact(text.replace(token, SHOWN_SECRET))
    port: int = listener.getsockname()[1]
    attendant = _Attendant(session, host, port, paused=paused, supervised=lifeline is not None)

    with session.console.kept():
        return serve(
            lambda: create_app(
                host,
                token=token,
                port=port,
                paused=paused,
                set_aside=set_aside,
                reread=session.read_config,
                on_stuck=attendant.leave_behind,
            ),
            listener,
            session.config,
            attendant,
            lifeline=lifeline,
        )


class _Attendant:
    """Tells the user how the server is. Implements ``Attendant``."""

    def __init__(
        self,
        session: Session,
        host: ConfiguredHost,
        port: int,
        *,
        paused: bool,
        supervised: bool,
    ) -> None:
        self._session = session
        self._host = host
        self._url = url(session.config.server.host, port)
        self._paused = paused
        self._supervised = supervised  # whoever starts us also hears Ctrl-C
        self._asked = False

    def ready(self) -> None:
        loaded = sum(record.state is PackState.LOADED for record in self._host.records)
        facts = f"{_count(loaded, 'pack')}, {_count(len(self._host.registry), 'node type')}"
        if self._paused:
            facts += "; the queue is paused"
        text = f"ComfyTavern is ready at {self._url} ({facts}; Ctrl-C stops it)"
        self._session.say(text, url=self._url)

    def stopping(self) -> None:
        self._asked = True
        hint = "" if self._supervised else "; Ctrl-C again leaves at once"
        self._session.say(f"stopping: waiting for running work{hint}")

    def leave(self, number: int) -> NoReturn:
        # Past the console: its lock may be held by a thread that waits for whoever reads.
        if self._session.config.logs.format == "text":
            os.write(2, b"interrupted\n")
        os._exit(INTERRUPTED if number == signal.SIGINT else TERMINATED)

    def leave_behind(self, nodes: Sequence[AbandonedNode]) -> NoReturn:
        """Leave without nodes whose threads the end of the process would wait for."""
        for node in nodes:
            where = f"node {node.node_id!r} of pack {node.pack!r} {node.version}"
            self._session.say(f"{where} still runs; leaving without it")
        self._go()

    def give_up(self) -> NoReturn:
        self._session.say("something still runs; leaving without it")
        self._go()

    def _go(self) -> NoReturn:
        self._session.console.flush()
        os._exit(OK if self._asked else FAULT)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"

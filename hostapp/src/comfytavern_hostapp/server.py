"""The server as a process: from a listening socket to its end, and Ctrl-C in between.

The first SIGINT or SIGTERM ends it gracefully: no new connections, a moment for requests that
are being answered, then the application's own shutdown, which interrupts runs. The second
leaves at once. uvicorn only speaks HTTP here. Signals, the application's lifespan and what is
told about either are ours, so that an application that cannot start fails with its own
exception.
"""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, NoReturn, Protocol

import anyio
import uvicorn
from anyio.abc import TaskStatus
from starlette.types import ASGIApp, Message

from .config import Config

__all__ = ("Attendant", "serve")

# Seconds. Streams that go on for ever and sockets that nobody closes end with the first.
LAST_REQUESTS = 1
LAST_WORK = 3.0  # after the grace period of nodes

_HTTP = "uvicorn.error"  # where uvicorn logs everything but requests
_ACCESS = "uvicorn.access"
# What it takes for an error of the application: a handshake that was refused with a reason.
_REFUSED_HANDSHAKE = "ASGI callable returned without completing handshake."
_CHATTY = ("httpx", "httpcore")  # a line per request that a node sends


class Attendant(Protocol):
    """Tells whoever started the server how it is. Called on the event loop."""

    def ready(self) -> None:
        """Requests are answered from now on."""
        ...

    def stopping(self) -> None:
        """Somebody asked for the end."""
        ...

    def leave(self, number: int) -> NoReturn:
        """Leave the process: a second signal came."""
        ...

    def give_up(self) -> NoReturn:
        """Leave the process: something refuses to end."""
        ...


def serve(
    make_app: Callable[[], ASGIApp],
    listener: socket.socket,
    config: Config,
    attendant: Attendant,
    *,
    lifeline: int | None = None,
) -> int:
    """Serve an application until a signal ends it, and return the exit code.

    That is 0, the normal end of a server; a signal that comes before it is ready gives
    128 and the signal's number. What the application's lifespan raises is raised here.

    :param make_app: makes the application; its lifespan is entered and left in one task
    :param lifeline: the end of a pipe; when the other end is closed, the server ends
    """
    app = make_app()

    async def run() -> int:
        return await _ServerProcess(app, listener, config, attendant, lifeline).run()

    with _uvicorn_logs():
        try:
            return anyio.run(run, backend_options={"use_uvloop": find_spec("uvloop") is not None})
        except BaseExceptionGroup as group:
            raise _innermost(group) from None


def _innermost(error: BaseException) -> BaseException:
    """Return what task groups have wrapped."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


class _ServerProcess:
    def __init__(
        self,
        app: ASGIApp,
        listener: socket.socket,
        config: Config,
        attendant: Attendant,
        lifeline: int | None,
    ) -> None:
        self._app = app
        self._listener = listener
        self._config = config
        self._attendant = attendant
        self._lifeline = lifeline
        self._state: dict[str, Any] = {}  # Any: what the lifespan gives to requests
        self._startup = anyio.CancelScope()
        self._server: _Server | None = None
        self._signal = 0

    async def run(self) -> int:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._listen_for_signals)
            if self._lifeline is not None:
                tasks.start_soon(self._hold, self._lifeline)
            await self._serve()
            tasks.cancel_scope.cancel()
        return 128 + self._signal if self._startup.cancelled_caught else 0

    async def _serve(self) -> None:
        stop, ended = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            with self._startup:
                await tasks.start(self._live, stop, ended)
            if self._startup.cancelled_caught:
                return
            self._server = _Server(self._http_settings(), self._state, self._attendant.ready)
            if self._signal:  # it came in the last moment of the start
                self._server.should_exit = True
            # Shielded: when the lifespan breaks, connections are closed before that is raised.
            with anyio.CancelScope(shield=True):
                await self._server.serve([self._listener])
            stop.set()
            await self._wait_for_work(ended)

    async def _live(
        self,
        stop: anyio.Event,
        ended: anyio.Event,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run the application's lifespan from its start to its end, in this one task."""
        asked = iter(("lifespan.startup", "lifespan.shutdown"))

        async def receive() -> Message:
            kind = next(asked)
            if kind == "lifespan.shutdown":
                await stop.wait()
            return {"type": kind}

        async def send(message: Message) -> None:
            # A failure is told by the exception that follows.
            if message["type"] == "lifespan.startup.complete":
                task_status.started()

        scope: MutableMapping[str, Any] = {  # Any: as ASGI types it
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        try:
            await self._app(scope, receive, send)
        finally:
            ended.set()
            if self._server is not None:
                self._server.should_exit = True

    def _http_settings(self) -> uvicorn.Config:
        debug = logging.getLogger().getEffectiveLevel() <= logging.DEBUG
        return uvicorn.Config(
            self._app,
            interface="asgi3",
            lifespan="off",  # it is ours
            # The faster parser hides an absolute target ("GET http://…"), which must be refused.
            http="h11",
            ws="websockets-sansio",
            ws_max_size=self._config.limits.body,
            ws_per_message_deflate=False,
            log_config=None,
            # Not lower: websockets would log every header, those with tokens too.
            log_level="info" if debug else "warning",
            access_log=debug,
            proxy_headers=False,
            server_header=False,
            root_path=self._config.server.root_path,
            timeout_graceful_shutdown=LAST_REQUESTS,
        )

    async def _wait_for_work(self, ended: anyio.Event) -> None:
        """Wait for the lifespan to end; a thread cannot be stopped, and would be waited for."""
        with anyio.move_on_after(self._config.limits.interrupt_grace + LAST_WORK):
            await ended.wait()
            return
        self._attendant.give_up()

    async def _listen_for_signals(
        self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        try:
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for number in signals:
                    self._end(number)
        except NotImplementedError:
            # Windows: uvicorn looks ten times a second whether it should end.
            signal.signal(signal.SIGINT, lambda number, _: self._end(number))
            task_status.started()

    async def _hold(self, lifeline: int) -> None:
        await anyio.wait_readable(lifeline)
        if not self._signal:
            self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._signal:
            self._attendant.leave(number)
        self._signal = number
        if self._server is None:
            self._startup.cancel()
        else:
            self._server.should_exit = True
        self._attendant.stopping()


class _Server(uvicorn.Server):
    """Says when it is ready, leaves signals to us, and takes the state of our lifespan."""

    def __init__(
        self, config: uvicorn.Config, state: dict[str, Any], on_ready: Callable[[], None]
    ) -> None:  # Any: what the lifespan gives to requests
        super().__init__(config)
        self._state = state
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state.update(self._state)
        await super().startup(sockets)
        if not self.should_exit:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # That requests are cut off now is no news.
        logging.getLogger(_HTTP).setLevel(logging.CRITICAL)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _uvicorn_logs() -> Iterator[None]:
    """Let what uvicorn logs go through the root's handler, without what may be secret."""
    loggers = [logging.getLogger(name) for name in (_HTTP, _ACCESS, *_CHATTY)]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    detail = _Detail()
    for name in (_HTTP, _ACCESS):
        logging.getLogger(name).addFilter(detail)
    if logging.getLogger().getEffectiveLevel() > logging.DEBUG:
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level, propagate in before:
            logger.setLevel(level)
            logger.propagate = propagate
            logger.removeFilter(detail)


class _Detail(logging.Filter):
    """Makes detail of what uvicorn thinks worth knowing, and takes query strings away."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg == _REFUSED_HANDSHAKE:
            return False
        if record.levelno == logging.INFO:
            record.levelno, record.levelname = logging.DEBUG, "DEBUG"
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args
            )
        return True

"""``comfytavern serve``: its options, and what is checked before anything is loaded."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from .failures import TERMINATED, BadInputError
from .logs import set_level
from .session import Session, pass_session

if TYPE_CHECKING:
    from ..config import Config

__all__ = ("serve",)

RELOAD_PATIENCE = 10.0  # seconds that a server may take to end, besides the grace of its nodes


@dataclass(frozen=True)
class _Options:
    """The options of this verb that are no keys of the configuration.

    ``inherited`` is what a supervisor lends to this process: the descriptor of the socket,
    and that of a pipe whose other end it holds for as long as it lives.
    """

    paused: bool
    set_aside: bool
    inherited: tuple[int, int] | None


def _descriptors(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    if value is None:
        return None
    first, _, second = value.partition(",")
    if not (first.isdecimal() and second.isdecimal()):
        raise click.BadParameter("expected two descriptors", context, parameter)
    return int(first), int(second)


@click.command()
@click.option("--host", metavar="HOST", help="In place of server.host in the file.")
@click.option("--port", metavar="PORT", help="In place of server.port; 0 for any that is free.")
@click.option("--token", metavar="REF", help="In place of server.token: env:NAME or file:PATH.")
@click.option("--paused", is_flag=True, help="Start no run until the queue is resumed.")
@click.option("--reload", is_flag=True, help="Start anew when an editable pack changes.")
@click.option("--log-format", type=click.Choice(["text", "json"]), help="How to log.")
@click.option(
    "--set-aside-damaged",
    is_flag=True,
    help="If the file of runs is damaged, keep it under another name and begin without.",
)
@click.option("--inherit", hidden=True, callback=_descriptors)
@pass_session
def serve(
    session: Session,
    host: str | None,
    port: str | None,
    token: str | None,
    paused: bool,
    reload: bool,
    log_format: str | None,
    set_aside_damaged: bool,
    inherit: tuple[int, int] | None,
) -> int:
    """Serve the HTTP API until Ctrl-C.

    Says on stderr where it listens once it is ready, and logs there. Ctrl-C or SIGTERM ends
    it: running workflows are interrupted, queued ones wait for the next start. Pressed twice,
    it leaves at once.

    The exit code is 0 after Ctrl-C or SIGTERM, for that is how a server ends; it is 130 or 143
    if the server was not ready yet, or was made to leave at once.
    """
    session.is_server = True
    if log_format is not None:
        set_level("info", log_format)  # now, for what is wrong with the configuration
    flags = {"server.host": host, "server.port": port, "server.token": token}
    session.flags = {**flags, "logs.format": log_format}
    options = _Options(paused, set_aside_damaged, inherit)
    from .server_token import server_token  # pydantic and YAML: not for help

    secret = server_token(session.config)
    _check_bind(session.config, secret)
    if reload:
        return _supervise(session, options, secret)
    with _terminated_like_interrupted() as signals:
        try:
            return _serve(session, options, secret)
        except KeyboardInterrupt:
            if not signals:
                raise
            session.say("interrupted")
            return TERMINATED


def _check_bind(config: Config, token: str | None, address: str | None = None) -> None:
    """Refuse to listen where others could reach us unasked.

    :param address: what the name of the host has turned out to be
    :raises BadInputError: it is refused
    """
    from ..security import BindRefusedError, check_bind  # the web: not for help

    server = config.server
    if address is not None:
        server = server.model_copy(update={"host": address})
    try:
        check_bind(server, token)
    except BindRefusedError as exc:
        raise BadInputError(exc.code, str(exc)) from exc


def _listener(config: Config, options: _Options, token: str | None) -> socket.socket:
    """Take the address before anything is loaded: who cannot have it hears so at once.

    :raises ListenError: it cannot be had
    :raises BadInputError: others could reach it, or it is not what the configuration says by now
    """
    from ..listening import inherit, is_at, listen, place  # the core's errors: not for help

    host, port = config.server.host, config.server.port
    if options.inherited is None:
        listener = listen(host, port)
    else:
        listener = inherit(options.inherited[0])
        os.set_inheritable(options.inherited[1], False)
        if not is_at(listener, host, port):
            raise BadInputError(
                "restart_needed",
                f"the configuration says {place(host, port)} by now, and a reload cannot change"
                " where the server listens; end 'serve --reload' and start it again",
            )
    # A name may have led elsewhere when it was looked up before.
    _check_bind(config, token, listener.getsockname()[0])
    return listener


def _serve(session: Session, options: _Options, token: str | None) -> int:
    with _listener(session.config, options, token) as listener:
        # The web and the engine: not for help, nor for an address that cannot be had.
        from .serve_process import serve_on

        return serve_on(
            session,
            listener,
            token,
            paused=options.paused,
            set_aside=options.set_aside,
            lifeline=None if options.inherited is None else options.inherited[1],
        )


@contextmanager
def _terminated_like_interrupted() -> Iterator[list[int]]:
    """Let SIGTERM do what Ctrl-C does while no event loop listens to either.

    It would end the process in the middle of a pack's import, and the next start would think
    that the pack did. Yields what has come.
    """
    came: list[int] = []

    def interrupt(number: int, frame: object) -> NoReturn:
        came.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)


def _supervise(session: Session, options: _Options, token: str | None) -> int:
    """Hold the socket, and start a server again and again.

    :raises BadInputError: this system cannot lend a socket to another process
    """
    if os.name != "posix":
        message = "--reload needs a POSIX system; start 'serve' without it"
        raise BadInputError("unsupported", message)
    from comfytavern.discovery import find_packs  # these: not for help

    from ..config import FILE_NAME
    from ..pack_sources import editable_sources
    from ..reloader import Reloader

    config = session.config
    sources = editable_sources(find_packs())
    if not sources.places:
        session.warn("no pack is installed as editable; only the configuration file is watched")
    with _listener(config, options, token) as listener:
        reloader = Reloader(
            list(_arguments(session, options)),
            listener,
            sources,
            config.path or Path(FILE_NAME),
            ignored=[config.data_dir],
            patience=config.limits.interrupt_grace + RELOAD_PATIENCE,
            say=session.say,
        )
        return reloader()


def _arguments(session: Session, options: _Options) -> Iterator[str]:
    """Yield what this command was started with, without ``--reload``."""
    yield from _spelt(
        {
            "--config": session.config_path,
            "--data-dir": session.data_dir,
            "--log-level": session.log_level,
            "--safe": session.safe,
            "--strict": session.strict,
            "--debug": session.debug,
        }
    )
    yield "serve"
    for key, value in session.flags.items():
        name = "log-format" if key == "logs.format" else key.removeprefix("server.")
        yield from _spelt({f"--{name}": value})
    yield from _spelt({"--paused": options.paused, "--set-aside-damaged": options.set_aside})


def _spelt(options: Mapping[str, object]) -> Iterator[str]:
    for name, value in options.items():
        if value is True:
            yield name
        elif value:
            yield f"{name}={value}"

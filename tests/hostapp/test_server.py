"""The server around a small application: its lifespan, and the listening socket."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NoReturn

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from comfytavern.errors import HostError
from comfytavern_hostapp.config import Config
from comfytavern_hostapp.listening import ListenError, is_at, listen, place, url
from comfytavern_hostapp.server import serve


class Recorder:
    """An attendant that notes what it hears; ``on_ready`` is what it does when it can."""

    def __init__(self, on_ready: Callable[[], object] = lambda: None) -> None:
        self.heard: list[str] = []
        self.on_ready = on_ready

    def ready(self) -> None:
        self.heard.append("ready")
        self.on_ready()

    def stopping(self) -> None:
        self.heard.append("stopping")

    def leave(self, number: int) -> NoReturn:
        raise AssertionError("nobody asked twice")

    def give_up(self) -> NoReturn:
        raise AssertionError("everything ends")


Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def run(lifespan: Lifespan, attendant: Recorder) -> int:
    listener = listen("127.0.0.1", 0)
    with listener:
        return serve(lambda: Starlette(lifespan=lifespan), listener, Config(), attendant)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_it_serves_between_start_and_end() -> None:
    noted: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        noted.append("opened")
        yield
        noted.append("closed")

    attendant = Recorder(interrupt)
    assert run(lifespan, attendant) == 0
    assert (noted, attendant.heard) == (["opened", "closed"], ["ready", "stopping"])


def test_what_keeps_it_from_starting_is_raised() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if not app.routes:
            raise HostError("the cellar is locked")
        yield

    attendant = Recorder()
    with pytest.raises(HostError, match=r"^the cellar is locked$"):
        run(lifespan, attendant)
    assert attendant.heard == []


def test_what_breaks_while_it_serves_ends_it() -> None:
    broken: list[anyio.Event] = []

    async def fail(event: anyio.Event) -> None:
        await event.wait()
        raise HostError("the cellar is flooded")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        broken.append(anyio.Event())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail, broken[0])
            yield

    with pytest.raises(HostError, match=r"^the cellar is flooded$"):
        run(lifespan, Recorder(lambda: broken[0].set()))


def test_a_signal_cuts_a_start_short() -> None:
    noted: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            interrupt()
            await anyio.sleep_forever()
            yield
        finally:
            noted.append("closed")

    attendant = Recorder()
    assert run(lifespan, attendant) == 130
    assert (noted, attendant.heard) == (["closed"], ["stopping"])


def test_what_does_not_end_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await anyio.sleep_forever()

    monkeypatch.setattr("comfytavern_hostapp.server.LAST_WORK", -5.0)  # no grace either
    with pytest.raises(AssertionError, match=r"^everything ends$"):
        run(lifespan, Recorder(interrupt))


def test_requests_see_what_the_lifespan_made() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, object]]:
        async def ask() -> None:
            async with await anyio.connect_tcp("127.0.0.1", port) as client:
                await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answers.extend([part async for part in client])
            interrupt()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            yield {"drink": "mead"}

    async def drink(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.drink + request.scope["root_path"])

    answers: list[bytes] = []
    config = Config.model_validate({"server": {"root_path": "/tavern"}})
    app = Starlette(lifespan=lifespan, routes=[Route("/", drink)])
    with listen("127.0.0.1", 0) as listener:
        # Before it is ready: who comes early waits and is not refused.
        port = listener.getsockname()[1]
        assert serve(lambda: app, listener, config, Recorder()) == 0
    answer = b"".join(answers)
    assert answer.endswith(b"mead/tavern")
    assert b"\r\nserver:" not in answer.lower()


class TestListening:
    """The address."""

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
    def test_it_takes_the_address(self, host: str) -> None:
        if ":" in host and not socket.has_dualstack_ipv6():
            pytest.skip("no IPv6 here")
        with listen(host, 0) as listener:
            port = listener.getsockname()[1]
            assert is_at(listener, host, port)
            assert is_at(listener, host, 0)
            assert not is_at(listener, host, port - 1)
            assert not is_at(listener, "0.0.0.0", port)
            socket.create_connection((host, port)).close()
            with pytest.raises(ListenError, match="another program uses the port"):
                listen(host, port)

    @pytest.mark.parametrize(
        ("host", "message"),
        [
            ("tavern.test", "the name has no address; choose another with '--host'"),
            (f"{'x' * 64}.test", "the name has no address; choose another with '--host'"),
            ("192.0.2.7", "this machine does not have the address; choose another with '--host'"),
        ],
    )
    def test_why_not(self, host: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        real = socket.getaddrinfo

        def look_up(name: str, *args: Any, **named: Any) -> object:  # Any: handed on
            if name == "tavern.test":
                raise socket.gaierror(socket.EAI_NONAME, "no such name")
            return real(name, *args, **named)

        monkeypatch.setattr(socket, "getaddrinfo", look_up)  # asks no name server
        with pytest.raises(ListenError) as caught:
            listen(host, 8321)
        assert str(caught.value) == f"cannot listen on {host}:8321: {message}"
        assert (caught.value.host, caught.value.port) == (host, 8321)

    def test_how_it_is_written(self) -> None:
        assert place("::1", 80) == "[::1]:80"
        assert url("0.0.0.0", 8321) == "http://127.0.0.1:8321"
        assert url("::", 8321) == "http://[::1]:8321"
        assert url("tavern.lan", 8321) == "http://tavern.lan:8321"

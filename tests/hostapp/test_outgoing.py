"""What nodes may reach over HTTP: public addresses, and what the operator lists."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpcore
import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from comfytavern.errors import ComfyTavernError
from comfytavern_hostapp.outgoing import OutgoingRefusedError, Resolver, make_client

PUBLIC = "93.184.216.34"
load_once = functools.cache(httpx.create_ssl_context)


class ReadyServer(uvicorn.Server):  # says when it listens, and leaves signals alone
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = anyio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def answer(request: Request) -> Response:
    """Redirect as the query says, or tell the headers of the request."""
    query = request.query_params
    if "to" in query:
        return RedirectResponse(query["to"], status_code=int(query.get("code", "302")))
    if left := int(query.get("left", "0")):
        return RedirectResponse(f"/?left={left - 1}")
    response = JSONResponse(dict(request.headers))
    response.set_cookie("session", "kept")
    return response


@pytest.fixture(autouse=True)
def certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx, "create_ssl_context", load_once)


@pytest.fixture
async def port() -> AsyncIterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        app = Starlette(routes=[Route("/", answer, methods=["GET", "POST"])])
        server = ReadyServer(uvicorn.Config(app, log_level="error", lifespan="off"))
        async with anyio.create_task_group() as tg:
            tg.start_soon(server.serve, [sock])
            await server.ready.wait()
            yield sock.getsockname()[1]
            server.should_exit = True


class Network(httpcore.AsyncNetworkBackend):
    """Notes where connections go; whatever is asked there is answered with nothing."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.connected: list[tuple[str, int]] = []
        self.names: list[str | None] = []  # that TLS asked for
        self.timeouts: list[float | None] = []

    # Any: the rest of the signature belongs to httpcore.
    async def connect_tcp(self, host: str, port: int, *rest: Any, **named: Any) -> Stream:
        self.connected.append((host, port))
        self.timeouts.append(rest[0])
        if host in self.broken:
            raise httpcore.ConnectError("nobody listens")
        return Stream(self.names)


class Stream(httpcore.AsyncMockStream):
    def __init__(self, names: list[str | None]) -> None:
        super().__init__([b"HTTP/1.1 204 No Content\r\n\r\n"])
        self.names = names

    async def start_tls(self, *rest: Any, **named: Any) -> Stream:  # Any: as above
        self.names.append(named["server_hostname"])
        return self


class Resolving:
    """Answers look-ups with these addresses, one list after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def outcome(url: str, *allow: str, resolve: Resolver | None = None) -> list[tuple[str, int]]:
    """Return where a request went; an empty list if it was refused."""
    network = Network()
    async with make_client(allow, resolve=resolve, network=network) as client:
        try:
            await client.get(url)
        except OutgoingRefusedError:
            assert network.connected == []
    return network.connected


NOT_PUBLIC = """
    127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1
    169.254.169.254 169.254.0.1 100.64.0.1 100.127.255.255 192.0.0.1 192.0.2.1 192.88.99.1
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1
    255.255.255.255 :: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:8.8.8.8
    64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 100::1 fe80::1 fec0::1 fc00::1 fd00:ec2::254
    ff02::1 2001::1 2001:db8::1 2002:7f00:1::1 3fff::1 4000::1
""".split()
ON_THE_INTERNET = """
    8.8.8.8 93.184.216.34 1.1.1.1 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 169.253.1.1
    192.0.1.1 198.17.0.1 198.20.0.1 223.255.255.255 2606:4700::1111 2001:4860:4860::8888
    2a00:1450::1
""".split()


@pytest.mark.parametrize("address", [*NOT_PUBLIC, *ON_THE_INTERNET])
async def test_only_public_addresses_are_reached(address: str) -> None:
    literal = f"[{address}]" if ":" in address else address
    reached = [(address, 81)] if address in ON_THE_INTERNET else []
    assert await outcome(f"http://{literal}:81/") == reached
    assert await outcome("http://named.example:81/", resolve=Resolving([address])) == reached
    both = await outcome("http://both.example:81/", resolve=Resolving([PUBLIC, address]))
    assert both == (reached and [(PUBLIC, 81)])


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001", "localhost"])
async def test_other_ways_to_write_an_address_are_checked(host: str) -> None:
    assert await outcome(f"http://{host}/") == []


LISTED = """
    127.0.0.1>127.0.0.1:11434>127.0.0.1 127.0.0.0/8>127.9.9.9>127.9.9.9 127.0.0.1>127.1>127.0.0.1
    127.0.0.1>[::ffff:127.0.0.1]>::ffff:127.0.0.1 ::1>[::1]:81>::1 fd00::/8>[fd12::1]>fd12::1
    64:ff9b::/96>[64:ff9b::808:808]>64:ff9b::808:808 llm.lan>LLM.lan.>10.0.0.5
    LLM.lan>llm.lan:81>10.0.0.5 10.0.0.0/24>llm.lan>10.0.0.5
""".split()


@pytest.mark.parametrize("listed", LISTED)
async def test_what_the_operator_lists_is_reached(listed: str) -> None:
    allow, host, address = listed.split(">")
    resolve = Resolving(["10.0.0.5"]) if "lan" in host else None
    [(connected, _)] = await outcome(f"http://{host}/", allow, resolve=resolve)
    assert ipaddress.ip_address(connected) == ipaddress.ip_address(address)


@pytest.mark.parametrize("allow", ["10.0.1.0/24", "10.0.0.6", "lan", "evil.llm.lan", "xllm.lan"])
async def test_what_is_near_to_a_listed_place_is_not(allow: str) -> None:
    assert await outcome("http://llm.lan/", allow, resolve=Resolving(["10.0.0.5"])) == []


def test_an_entry_that_is_no_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"http\.allow holds '10\.0\.0\.1/8', which is no range"):
        make_client(["10.0.0.1/8"])


async def test_the_error_names_the_host_and_the_key_of_the_configuration() -> None:
    async with make_client([], resolve=Resolving(["10.0.0.5"])) as client:
        with pytest.raises(OutgoingRefusedError) as caught:
            await client.get("http://llm.lan/v1?key=leak")
    assert str(caught.value) == (
        "request to 'llm.lan' refused: it leads to a private or local address;"
        " the operator can list it in http.allow"
    )
    assert (caught.value.host, caught.value.code) == ("llm.lan", "outgoing_refused")
    assert caught.value.request.url.host == "llm.lan"
    assert OutgoingRefusedError.__bases__ == (ComfyTavernError, httpx.TransportError)


async def test_a_name_that_changes_its_address_leads_to_the_one_that_was_checked() -> None:
    resolve, network = Resolving([PUBLIC], ["127.0.0.1"]), Network()
    async with make_client([], resolve=resolve, network=network) as client:
        assert (await client.get("https://rebind.example/")).status_code == 204
        assert (resolve.asked, network.connected) == ([("rebind.example", 443)], [(PUBLIC, 443)])
        assert network.names == ["rebind.example"]  # TLS asks for the name, not the address
        with pytest.raises(OutgoingRefusedError):
            await client.get("http://rebind.example/")
    assert network.connected == [(PUBLIC, 443)]


async def test_the_next_address_is_tried_within_the_time_for_connecting() -> None:
    resolve, network = Resolving(["2606:4700::1", PUBLIC]), Network("2606:4700::1")
    async with make_client([], resolve=resolve, network=network) as client:
        await client.get("http://two.example/", timeout=10)
        await client.get("http://two.example:81/", timeout=None)
    assert [host for host, _ in network.connected] == ["2606:4700::1", PUBLIC] * 2
    first, second, *unlimited = network.timeouts
    assert 0 < (first or 0) <= 5 < (second or 0) <= 10
    assert unlimited == [None, None]


async def test_hosts_that_cannot_be_reached_fail_as_httpx_fails() -> None:
    async def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    async def forever(host: str, port: int) -> list[str]:
        await anyio.sleep_forever()
        raise AssertionError

    async def fails(resolve: Resolver, *broken: str) -> str:
        async with make_client([], resolve=resolve, network=Network(*broken)) as client:
            with pytest.raises(httpx.TransportError) as caught:
                await client.get("http://named.example/", timeout=httpx.Timeout(5, connect=0))
        return f"{type(caught.value).__name__}: {caught.value}"

    host = "host 'named.example'"
    assert await fails(unknown) == f"ConnectError: {host} cannot be resolved"
    assert await fails(forever) == f"ConnectTimeout: {host} was not resolved in time"
    assert await fails(Resolving([])) == f"ConnectError: {host} has no address"
    assert await fails(Resolving([PUBLIC]), PUBLIC) == "ConnectError: nobody listens"


async def test_a_real_server_is_reached_if_listed(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # must not count
    resolve = Resolving(["127.0.0.1"])
    url = f"http://llm.test:{port}/"
    async with make_client(["127.0.0.1"], resolve=resolve) as client:
        first = (await client.get(url, headers={"x-api-key": "k"})).json()
        second = (await client.get(url)).json()
    assert (first["host"], first["x-api-key"]) == (f"llm.test:{port}", "k")
    assert resolve.asked == [("llm.test", port)]  # the connection was used again
    assert "cookie" not in second
    assert (list(client.cookies), client.trust_env) == ([], False)
    async with make_client([]) as client:
        with pytest.raises(OutgoingRefusedError):
            await client.get(f"http://localhost:{port}/")


async def test_redirects_are_checked_again(port: int) -> None:
    private = ["http://169.254.169.254/latest", "http://[::1]/", "//10.0.0.1/x"]
    async with make_client(["127.0.0.1"]) as client:
        for to in [*private, "file:///etc/passwd", "ftp://127.0.0.1/"]:
            reason = "private or local" if to in private else "neither http nor https"
            for url in (f"http://127.0.0.1:{port}/?to={to}", to.replace("//10", "http://10")):
                with pytest.raises(OutgoingRefusedError, match=reason):
                    await client.get(url, follow_redirects=True)


async def test_redirects_are_followed_on_request_and_five_at_most(port: int) -> None:
    url = f"http://127.0.0.1:{port}/?left"
    async with make_client(["127.0.0.1"]) as client:
        assert (await client.get(f"{url}=1")).status_code == 307
        assert (await client.get(f"{url}=5", follow_redirects=True)).status_code == 200
        with pytest.raises(httpx.TooManyRedirects):
            await client.get(f"{url}=6", follow_redirects=True)


async def test_keys_do_not_follow_a_redirect_to_another_origin(port: int) -> None:
    keys = {"authorization": "Bearer k", "x-api-key": "k", "x-goog-api-key": "k", "cookie": "k=k"}
    here, there = f"http://llm.test:{port}/", f"http://other.test:{port}/"
    async with make_client(["127.0.0.1"], resolve=Resolving(["127.0.0.1"])) as client:
        client.headers.update(keys | {"accept": "text/x"})

        async def sent(to: str, code: int = 302, method: str = "POST") -> Any:  # Any: JSON
            request = client.build_request(method, f"{here}?to={to}&code={code}", content=b"body")
            return (await client.send(request, follow_redirects=True)).json()

        assert (await sent("/"))["x-api-key"] == "k"
        assert (await sent("/", 307))["content-length"] == "4"
        away = await sent(there)
        assert not keys.keys() & away.keys()
        assert (away["host"], away["accept"]) == (f"other.test:{port}", "text/x")
        for code, method in ((307, "POST"), (302, "GET")):
            with pytest.raises(OutgoingRefusedError, match="send the body to another origin"):
                await sent(there, code, method)
        following = (await client.get(f"{here}?to={there}")).next_request
        assert following is not None
        assert not keys.keys() & (await client.send(following)).json().keys()


def test_without_a_pool_to_replace_there_is_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "__init__", lambda self, **kwargs: None)
    with pytest.raises(RuntimeError, match="no connection pool to replace"):
        make_client([])

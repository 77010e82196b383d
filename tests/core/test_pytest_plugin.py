"""The fixtures inside this process; ``tests/contract`` has them in a run of somebody else's."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, cast

import anyio
import httpx
import pytest

import comfytavern._pytest_plugin as plugin
import comfytavern_llm_nodes
from comfytavern import NodeContext, NodeDefinition, NodeFailedError, Output, Status, node
from comfytavern._no_network import NetworkRefusedError, NoNetwork
from comfytavern.fake_llm import FakeLlm
from comfytavern.testing import EventLog
from comfytavern_llm_nodes.adapters import LlmRequest

# Here also where the installation of core is older than its entry point.
FIXTURES = ("_llm", "_no_network", "event_log", "fake_llm", "pack_host", "run_node", "run_workflow")
globals().update({name: getattr(plugin, name) for name in FIXTURES})

Run = Callable[..., Any]  # Any: what the fixtures return, awaited
MESSAGES = [{"role": "user", "content": "Hello?"}]
CHAT = {
    "nodes": [{"id": "c", "fullType": "core:GenericLlmRequest", "inputs": {"messages": MESSAGES}}]
}


@node
async def ask(question: str, context: NodeContext) -> str:
    body = {"messages": [{"role": "user", "content": question}]}
    answer = await context.http.post("https://llm.example/v1/chat/completions", json=body)
    return cast(str, answer.json()["choices"][0]["message"]["content"])


@node
async def consult(
    question: str, context: NodeContext
) -> AsyncIterator[Annotated[str, Output("said")]]:
    request = LlmRequest([{"role": "user", "content": question}])
    async for chunk in context.services["llm"].call(request).chunks():
        if chunk.type == "text_chunk":
            yield str(chunk.content)


def workflow_of(definition: NodeDefinition, **inputs: object) -> dict[str, object]:
    return {"nodes": [{"id": "n", "fullType": f"test:{definition.type}", "inputs": inputs}]}


async def test_one_node(run_node: Run) -> None:
    with pytest.raises(NodeFailedError, match="HTTP client"):
        await run_node(ask, question="x")


async def test_a_node_and_its_chat_service(run_node: Run, fake_llm: FakeLlm) -> None:
    fake_llm.reply("one")
    fake_llm.reply("t", "wo")
    assert (await run_node(ask, question="x")).outputs == {"result": "one"}
    assert (await run_node(consult, {"question": "y"})).text == "two"
    assert [asked.prompt for asked in fake_llm.chats] == ["x", "y"]


async def test_what_the_test_gives_stays(run_node: Run, fake_llm: FakeLlm) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"choices": [{"message": {"content": "mine"}}]})

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    assert (await run_node(ask, question="x", http=client)).outputs == {"result": "mine"}
    assert fake_llm.requests == []


async def test_a_workflow(run_workflow: Run, event_log: EventLog, fake_llm: FakeLlm) -> None:
    fake_llm.reply("Good ", "evening.")
    given = await run_workflow(CHAT, comfytavern_llm_nodes)
    found = await run_workflow(CHAT, services={"other": 1})
    assert given.node_outputs["c"]["responseText"] == "Good evening."
    assert found.status is Status.ERROR
    assert "was asked 2 times and has 1 answer" in str(found.error)
    assert event_log == [*given.events, *found.events]


async def test_a_workflow_in_a_file(run_workflow: Run, tmp_path: Path) -> None:
    file = anyio.Path(tmp_path / "empty.json")
    await file.write_text('{"nodes": [], "edges": []}', "utf-8")
    assert (await run_workflow(Path(file))).status is Status.COMPLETE


async def test_a_host(pack_host: Run, fake_llm: FakeLlm) -> None:
    async with pack_host(ask) as host:
        assert host.packs.services["llm"].problems == {}
    async with pack_host(ask, services={"llm": "mine"}) as host:
        assert host.packs.services == {"llm": "mine"}


async def test_a_host_without_a_chat_service(pack_host: Run) -> None:
    async with pack_host(ask) as host:
        assert host.packs.services == {}


def test_a_client_that_waits(fake_llm: FakeLlm) -> None:
    with httpx.Client(trust_env=False) as client:
        answer = client.get("http://any.example/v1/models")
    assert answer.json()["data"] == [{"id": "fake-model"}]
    assert fake_llm.requests[0].url == "http://any.example/v1/models"


async def test_a_client_of_ones_own(fake_llm: FakeLlm) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get("http://any.example/v1/models")
    assert answer.status_code == 200


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> plugin._Llm:
    """Give what hosts get where the LLM pack is not installed."""
    monkeypatch.setattr(plugin, "LLM_PACK", "a-pack-that-nobody-has")
    return plugin._Llm(FakeLlm())


async def test_where_the_llm_pack_is_not_installed(alone: plugin._Llm) -> None:
    async with alone.services() as services:
        assert services == {}
    packs, options = alone.lend((ask,), {})
    assert packs == (ask,)
    assert options["http"] is alone.fake.http


def test_the_chat_service_needs_httpx(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(plugin, "find_spec", lambda name: None)
    with pytest.raises(pytest.fail.Exception) as caught:
        request.getfixturevalue("fake_llm")
    assert str(caught.value) == "the fixture fake_llm needs httpx: pip install httpx"


# --- no network ---------------------------------------------------------------------------


@pytest.fixture
def refusing() -> Iterator[NoNetwork]:
    """Refuse the network, without failing the test for it."""
    watching = NoNetwork()
    with pytest.MonkeyPatch.context() as patch:
        watching.install(patch)
        yield watching


def test_hosts_are_not_looked_up(refusing: NoNetwork) -> None:
    with pytest.raises(NetworkRefusedError) as caught:
        socket.create_connection(("llm.example", 443))
    assert refusing.attempts == [caught.value]
    assert str(caught.value) == (
        "the test asked the network for 'llm.example'; answer with the fixture fake_llm, with"
        " http=... or with services=..."
    )


@pytest.mark.parametrize("how", ["connect", "connect_ex", "sendto"])
def test_nobody_is_connected_to(refusing: NoNetwork, how: str) -> None:
    kind = socket.SOCK_DGRAM if how == "sendto" else socket.SOCK_STREAM
    arguments = (b"hi", ("127.0.0.1", 9)) if how == "sendto" else (("127.0.0.1", 9),)
    with socket.socket(type=kind) as sock, pytest.raises(NetworkRefusedError) as caught:
        getattr(sock, how)(*arguments)
    assert caught.value.target == "'127.0.0.1', port 9"


def test_what_stays_possible(refusing: NoNetwork) -> None:
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"hi")
        assert right.recv(2) == b"hi"
    assert refusing.attempts == []


def test_a_pair_may_be_made_of_two_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def pair_of_connections() -> tuple[socket.socket, socket.socket]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            left = socket.socket()
            left.connect(listening.getsockname())
            return left, listening.accept()[0]

    monkeypatch.setattr(socket, "socketpair", pair_of_connections)
    NoNetwork().install(monkeypatch)
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b"hi")
        assert right.recv(2) == b"hi"


def test_the_network_is_back_afterwards() -> None:
    with pytest.MonkeyPatch.context() as patch:
        NoNetwork().install(patch)
    assert socket.getaddrinfo("127.0.0.1", 80)

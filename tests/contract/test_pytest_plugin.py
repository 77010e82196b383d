"""The fixtures for pack authors, in the test run of a pack that somebody else wrote."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest

SETTINGS = """
[tool.pytest.ini_options]
anyio_mode = "auto"
filterwarnings = ["error"]
"""

PACK = '''
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from typing import Annotated

from comfytavern import NodeContext, NodeDefinition, Output, Outputs, hookimpl, node


@node
async def shout(text: str) -> Annotated[str, Output("loud")]:
    return text.upper()


@node
async def ask_server(question: str, context: NodeContext) -> Annotated[str, Output("answer")]:
    """Ask a provider itself, through the client that the host lends."""
    body = {"messages": [{"role": "user", "content": question}]}
    response = await context.http.post("https://llm.example/v1/chat/completions", json=body)
    response.raise_for_status()
    return response.json()["choices"][0]["message"]["content"]


@node
async def ask_channel(
    question: str, context: NodeContext
) -> AsyncIterator[Annotated[str, Output("words")]]:
    """Ask the operator's channels, through the service of comfytavern-llm-nodes."""
    from comfytavern_llm_nodes.adapters import LlmRequest

    call = context.services["llm"].call(LlmRequest([{"role": "user", "content": question}]))
    async for chunk in call.chunks():
        if chunk.type == "text_chunk":
            yield chunk.content


@node
def look_up(name: str, careless: bool = False) -> str:
    import socket

    with suppress(Exception if careless else ()):
        socket.create_connection((name, 443))
    return "done"


started: list[str] = []


@hookimpl
def host_started(pack):
    async def start() -> None:
        started.append(pack.distribution)

    return start


@hookimpl
def register_nodes() -> Iterable[NodeDefinition]:
    return [shout, ask_server, ask_channel, look_up]
'''

GOOD = """
import json

import mini_pack
import pytest
from comfytavern import NodeFailedError, Status

ASK = {"nodes": [{"id": "ask", "fullType": "mini-pack:AskChannel", "inputs": {"question": "Hi"}}]}
CHAT = {
    "nodes": [
        {
            "id": "chat",
            "fullType": "comfytavern-llm-nodes:GenericLlmRequest",
            "inputs": {"messages": [{"role": "user", "content": "Hello?"}]},
        },
    ]
}


async def test_run_node(run_node):
    assert (await run_node(mini_pack.shout, text="hi")).outputs == {"loud": "HI"}


async def test_run_workflow(run_workflow, event_log):
    workflow = {"nodes": [{"id": "a", "fullType": "mini-pack:Shout", "inputs": {"text": "hi"}}]}
    for _ in range(2):
        result = await run_workflow(workflow, mini_pack)
        assert result.node_outputs == {"a": {"loud": "HI"}}
    assert len(event_log.of("NODE_COMPLETE")) == 2
    assert len(event_log.of_node("a")) == 4


async def test_a_workflow_from_a_file(run_workflow):
    result = await run_workflow("examples/hello.json", mini_pack)
    assert result.outputs == {"said": "HELLO"}


async def test_pack_host(pack_host):
    mini_pack.started.clear()
    async with pack_host(mini_pack) as host:
        assert host.packs.record("mini-pack").state == "loaded"
        assert mini_pack.started == ["mini-pack"]


async def test_a_client_of_the_host(run_node, fake_llm):
    fake_llm.reply("forty", "-two")
    result = await run_node(mini_pack.ask_server, question="why?")
    assert result.outputs == {"answer": "forty-two"}
    [asked] = fake_llm.chats
    assert asked.url == "https://llm.example/v1/chat/completions"
    assert asked.prompt == "why?"


async def test_the_service_for_one_node(fake_llm, run_node):
    fake_llm.reply("one ", "two")
    result = await run_node(mini_pack.ask_channel, question="count")
    assert [chunk.content for chunk in result.chunks] == ["one ", "two"]
    assert fake_llm.chats[0].body["stream"] is True


async def test_the_service_in_a_workflow(fake_llm, run_workflow, event_log):
    fake_llm.reply("one ", "two")
    result = await run_workflow(ASK, mini_pack)
    assert result.status is Status.COMPLETE
    chunks = [p["yieldedContent"]["content"] for p in event_log.of("NODE_YIELD")]
    assert "".join(map(str, chunks)).startswith("one two")


async def test_nodes_of_the_llm_pack(fake_llm, run_workflow):
    fake_llm.reply("Good evening.", usage={"completion_tokens": 3})
    result = await run_workflow(CHAT)
    assert result.node_outputs["chat"]["responseText"] == "Good evening."
    assert result.node_outputs["chat"]["response"]["channel"] == "fake"


async def test_a_service_of_the_test(fake_llm, pack_host):
    async with pack_host(mini_pack, services={"llm": "mine"}) as host:
        assert host.packs.services == {"llm": "mine"}


async def test_a_provider_that_refuses(fake_llm, run_workflow):
    fake_llm.fail("no such model", status=404)
    result = await run_workflow(CHAT)
    assert result.status is Status.ERROR
    assert result.error.error_code == "llm_request_failed"
    assert "404" in result.error.reason and "no such model" in result.error.reason


async def test_a_reply_that_breaks(fake_llm, run_workflow):
    fake_llm.reply("Good ", breaks=True)
    result = await run_workflow(ASK, mini_pack)
    assert result.status is Status.ERROR
    assert "the connection broke, as scripted" in result.error.reason


async def test_a_script_that_is_too_short(fake_llm, run_node):
    fake_llm.reply("once")
    await run_node(mini_pack.ask_server, question="one")
    with pytest.raises(NodeFailedError, match="was asked 2 times and has 1 answer; add one with"):
        await run_node(mini_pack.ask_server, question="two")


async def test_without_a_script(fake_llm, run_node):
    for _ in range(2):
        result = await run_node(mini_pack.ask_server, question="anything")
        assert result.outputs == {"answer": "This is a scripted reply."}
"""

BAD = """
import mini_pack
import pytest


async def test_the_network(run_node):
    await run_node(mini_pack.look_up, name="llm.example")


async def test_an_address(run_node):
    await run_node(mini_pack.look_up, name="127.0.0.1")


async def test_an_error_that_is_caught(run_node):
    await run_node(mini_pack.look_up, name="llm.example", careless=True)


async def test_a_client_of_its_own(pack_host):
    import httpx

    async with pack_host(mini_pack), httpx.AsyncClient(trust_env=False) as client:
        await client.get("http://llm.example/")
"""

HELLO = """
{
  "nodes": [{"id": "a", "type": "mini-pack:Shout", "inputValues": {"text": "hello"}}],
  "edges": [],
  "interfaceOutputs": {"said": {"dataFlowType": "STRING"}},
  "outputInterfaceMappings": {"said": {"sourceNodeId": "a", "sourceSlotKey": "loud"}}
}
"""


def python_blocks(page: Path) -> list[str]:
    """Return the Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def project(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the project of a pack, and an installation that names core's plugin as core does."""
    root = tmp_path_factory.mktemp("mini")
    (root / "examples").mkdir()
    (root / "examples" / "hello.json").write_text(HELLO, "utf-8")
    (root / "pyproject.toml").write_text(SETTINGS, "utf-8")
    for name, text in {"mini_pack": PACK, "test_good": GOOD, "check_bad": BAD}.items():
        (root / f"{name}.py").write_text(dedent(text), "utf-8")
    for block in python_blocks(repository / "docs" / "fixtures.md"):
        named = re.match(r"# (\w+\.py)\n", block)
        name = named[1] if named else f"test_docs_{len(list(root.glob('test_docs_*')))}.py"
        (root / name).write_text(block, "utf-8")
    core = tomllib.loads((repository / "core" / "pyproject.toml").read_text("utf-8"))
    [(name, module)] = core["project"]["entry-points"]["pytest11"].items()
    info = root / "site" / "core_as_installed-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: core-as-installed\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n", "utf-8")
    return root


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in the project, on asyncio and on trio."""
    places = [str(project), str(project / "site"), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places), "COVERAGE_PROCESS_START": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(60)
def test_every_fixture_works(project: Path) -> None:
    done = run(project, "test_good.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2 * GOOD.count('async def test_')} passed" in done.stdout


@pytest.mark.timeout(60)
def test_the_examples_of_the_page_pass(project: Path) -> None:
    files = sorted(path.name for path in project.glob("test_docs_*.py"))
    shown = sum((project / file).read_text("utf-8").count("async def test_") for file in files)
    done = run(project, *files, "-k", "asyncio")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{shown} passed" in done.stdout


@pytest.mark.timeout(60)
def test_the_network_fails_the_test(project: Path) -> None:
    done = run(project, "check_bad.py", "--tb=short", "-k", "asyncio")
    told = done.stdout
    remedy = "answer with the fixture fake_llm, with http=... or with services=..."
    assert re.search(r"^3 failed, 1 passed, .* 1 error", told, re.MULTILINE), told
    assert f"failed: the test asked the network for 'llm.example'; {remedy}" in told
    assert f"failed: the test asked the network for '127.0.0.1'; {remedy}" in told
    assert (
        "something caught this error: the test asked the network for 'llm.example'; "
        f"{remedy}\n" in told
    )
    assert "ERROR check_bad.py::test_an_error_that_is_caught[asyncio]" in told


def test_pytest_lists_the_fixtures_with_their_docs(project: Path) -> None:
    told = run(project, "--fixtures", "test_good.py").stdout
    listed = re.findall(r"^(\w+).* -- .*_pytest_plugin\.py:\d+$", told, re.MULTILINE)
    assert sorted(listed) == ["event_log", "fake_llm", "pack_host", "run_node", "run_workflow"]
    assert "no docstring available" not in told.partition("_pytest_plugin")[2].split("---")[0]


def test_a_run_that_uses_no_fixture_loads_nothing(project: Path) -> None:
    (project / "test_nothing.py").write_text(
        "import sys\n\n\ndef test_nothing():\n"
        "    loaded = [name for name in sys.modules if name.startswith('comfytavern')]\n"
        "    assert loaded == ['comfytavern', 'comfytavern._pytest_plugin']\n",
        "utf-8",
    )
    done = run(project, "test_nothing.py")
    assert done.returncode == 0, done.stdout


def test_the_plugin_is_light() -> None:
    probe = (
        "import sys, pytest; before = set(sys.modules); import comfytavern._pytest_plugin;"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    ours = {"comfytavern", "comfytavern._pytest_plugin"}
    loaded = {
        name
        for name in done.stdout.split()
        if name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert loaded == ours

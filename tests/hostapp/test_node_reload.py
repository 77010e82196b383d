"""``POST /api/nodes/reload``: what applies at once, what waits, and that runs go on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from comfytavern_hostapp.config import Config, changed_keys, load_config

from ..packs_on_disk import PacksOnDisk, packs_on_path
from ..scenarios.building import flow, place
from .live_server import Json, Live, serving
from .test_cli_support import CommandLine
from .test_serve import answered, posix, served

# A node that says what the test tells it, in a pack that can be dropped.
TALK = """
    from comfytavern.chunks import Chunk, Outputs
    from comfytavern.definitions import NodeDefinition, OutputDefinition
    from comfytavern.hookspecs import hookimpl

    async def talk(inputs, context):
        stage = context.services["stage"]
        stage.note(context.node_id)
        while (line := await stage.next_line(context.node_id)) is not None:
            yield Chunk.text(line)
        yield Outputs()

    @hookimpl
    def register_nodes(pack):
        speech = OutputDefinition(data_flow_type="STRING", is_stream=True)
        return [NodeDefinition(type="Talk", outputs={"speech": speech}, execute=talk)]
"""
TALKS: Json = {"nodes": [{"id": "a", "fullType": "talk-pack:Talk"}], "edges": []}
NOT_ENABLED = (
    "node 'a' has unknown type 'talk-pack:Talk'; pack 'talk-pack' 1.0 is installed but not"
    " enabled: comfytavern packs enable talk-pack"
)
LIMITS = {"interrupt_grace": "200ms"}
WAITING = "restart the host to load it, or list it by name in packs.enabled"

Serve = Callable[..., AbstractAsyncContextManager[Live]]


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacksOnDisk]:
    with packs_on_path(tmp_path / "site", monkeypatch) as written:
        written.write("talk-pack", TALK)
        written.write("some-pack")
        written.write("bad-pack", "raise ValueError('why')")
        yield written


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> anyio.Path:
    monkeypatch.chdir(tmp_path)
    return anyio.Path(tmp_path / "comfytavern.yaml")


async def write(file: anyio.Path, *enabled: str, **blocks: object) -> None:
    """Write a configuration that enables some packs."""
    chosen = {
        "data_dir": "data",
        "limits": LIMITS,
        "packs": {"enabled": list(enabled)},
        **blocks,
    }
    await file.write_text(json.dumps(chosen))


@pytest.fixture
def serve(packs: PacksOnDisk, file: anyio.Path) -> Serve:
    """Serve what a configuration file says, which may be another one later."""

    @asynccontextmanager
    async def start(*enabled: str, limits: Mapping[str, object] = LIMITS) -> AsyncIterator[Live]:
        await write(file, *enabled, limits=limits)
        reread = partial(load_config, str(file), environment={})
        config = await anyio.to_thread.run_sync(reread)
        chosen = {"enabled": enabled}
        async with serving(config.data_dir, reread=reread, packs=chosen, limits=limits) as live:
            yield live

    return start


async def reload(live: Live) -> Json:
    answer = await live.http.post("/api/nodes/reload")
    assert answer.status_code == 200, answer.text
    told: Json = answer.json()
    assert told["success"] is True
    return told


def states(told: Json) -> dict[str, str]:
    return {record["distribution"]: record["state"] for record in told["changed"]}


async def node_types(live: Live, namespace: str) -> list[str]:
    listed = (await live.http.get("/api/nodes")).json()
    return [node["type"] for node in listed if node["namespace"] == namespace]


def refused(answer: httpx2.Response) -> Json:
    assert answer.status_code == 422, answer.text
    error: Json = answer.json()["error"]
    return error


# What applies at once ---------------------------------------------------------------


async def test_packs_come_and_go_with_the_file(serve: Serve, file: anyio.Path) -> None:
    async with serve("talk-pack") as live, live.socket() as client:
        count = len((await live.http.get("/api/nodes")).json())
        await write(file, "some-pack", "bad-pack", aliases={"say": ["some-pack"]})
        told = await reload(live)
        message = (
            f"bad-pack is failed, some-pack is loaded, talk-pack is not enabled; {count} node types"
        )
        assert states(told) == {
            "bad-pack": "failed",
            "some-pack": "loaded",
            "talk-pack": "available",
        }
        [bad, _, talk] = told["changed"]
        assert (bad["error"], "Traceback" in bad["traceback"]) == ("ValueError: why", True)
        assert talk["warnings"] == ["its code stays in this process until the host restarts"]
        assert (told["message"], told["count"]) == (message, count)
        assert (told["restartRequired"], told["warnings"]) == ([], [])
        notice = await client.of("NODES_RELOADED")
        assert notice["payload"] == {"success": True, "message": message, "count": count}
        assert "seq" not in notice
        assert await node_types(live, "some-pack") == ["Hello"]
        assert await node_types(live, "talk-pack") == []
        assert (await live.http.get("/api/nodes/say/Hello")).status_code == 200


async def test_doing_it_again_changes_nothing(serve: Serve, file: anyio.Path) -> None:
    async with serve("talk-pack") as live:
        first = await live.http.get("/api/nodes")
        for _ in range(2):
            told = await reload(live)
            assert told["changed"] == []
            assert told["message"] == f"no pack has changed; {told['count']} node types"
        again = await live.http.get("/api/nodes")
        assert again.headers["etag"] == first.headers["etag"]


async def test_many_changes_are_summed_up(
    serve: Serve, file: anyio.Path, packs: PacksOnDisk
) -> None:
    names = [f"pack-{number}" for number in range(7)]
    async with serve() as live:
        for name in names:
            await anyio.to_thread.run_sync(packs.write, name)
        await write(file, *names)
        told = await reload(live)
    assert states(told).keys() >= set(names)
    assert "pack-4 is loaded, 2 more have changed; " in told["message"]


async def test_without_a_file_packs_alone_are_looked_for(
    packs: PacksOnDisk, tmp_path: Path
) -> None:
    async with serving(tmp_path / "data", packs={"enabled": ["late-pack"]}) as live:
        assert await node_types(live, "late-pack") == []
        await anyio.to_thread.run_sync(packs.write, "late-pack")
        assert states(await reload(live)) == {"late-pack": "loaded"}
        assert await node_types(live, "late-pack") == ["Hello"]


async def test_calls_at_the_same_time_wait_for_each_other(serve: Serve, file: anyio.Path) -> None:
    answers: list[Json] = []

    async def call() -> None:
        answers.append(await reload(live))

    async with serve("talk-pack") as live:
        await write(file, "some-pack")
        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(call)
    # Whoever came first has made the change, and the others found nothing to do.
    assert sorted(len(told["changed"]) for told in answers) == [0, 0, 0, 2]


# Runs -------------------------------------------------------------------------------


async def test_a_run_goes_on_over_the_end_of_its_pack(serve: Serve, file: anyio.Path) -> None:
    async with serve("talk-pack") as live:
        run_id = await live.submit(TALKS)
        live.stage.say("a", "be")
        await live.stage.begun("a")
        await write(file)
        assert states(await reload(live)) == {"talk-pack": "available"}
        answer = await live.http.post("/api/prompt", json={"workflow": TALKS})
        [finding] = refused(answer)["details"]
        assert (finding["code"], finding["message"]) == ("unknown_node_type", NOT_ENABLED)
        live.stage.say("a", "fore and after")
        live.stage.end("a")
        ended = await live.ended(run_id)
        assert ended["status"] == "complete"
        chunks = [
            event["payload"]["yieldedContent"]["content"]
            for event in await live.log(run_id)
            if event["type"] == "NODE_YIELD" and not event["payload"]["isLastChunk"]
        ]
        assert "".join(chunks) == "before and after"


async def test_a_run_that_waits_for_a_pack_that_has_gone_says_so(
    serve: Serve, file: anyio.Path
) -> None:
    one = {**LIMITS, "concurrent_runs": 1}
    async with serve("talk-pack", limits=one) as live:
        first = await live.submit(flow(place("b", "Wait")))
        await live.stage.begun("b")
        waiting = await live.submit(TALKS)
        await write(file, limits=one)
        await reload(live)
        live.stage.end("b")
        assert (await live.ended(first))["status"] == "complete"
        ended = await live.ended(waiting)
        assert (ended["status"], ended["error"]["code"]) == ("error", "workflow_invalid")
        assert ended["error"]["message"] == NOT_ENABLED


# What is refused, and what waits ----------------------------------------------------


async def test_a_broken_file_changes_nothing(serve: Serve, file: anyio.Path) -> None:
    async with serve("talk-pack") as live, live.socket() as client:
        broken = {"server": {"prt": 1, "port": "x"}, "secrets": {"a": {"value": "s3cret"}}}
        await write(file, "some-pack", **broken)
        answer = await live.http.post("/api/nodes/reload")
        error = refused(answer)
        assert (error["code"], error["message"]) == (
            "config_invalid",
            "nothing has changed: the configuration has 4 problems",
        )
        found = {detail["path"]: detail["message"] for detail in error["details"]}
        assert {detail["code"] for detail in error["details"]} == {"config_invalid"}
        assert found["server.prt"] == (
            "comfytavern.yaml:1: unknown key 'server.prt'; did you mean 'server.port'?"
        )
        assert sorted(found) == [
            "secrets.a.base_urls",
            "secrets.a.value",
            "server.port",
            "server.prt",
        ]
        assert "s3cret" not in answer.text
        assert str(file.parent) not in answer.text
        assert await node_types(live, "talk-pack") == ["Talk"]
        await file.write_text("packs: [")
        [problem] = refused(await live.http.post("/api/nodes/reload"))["details"]
        assert problem["message"].startswith("comfytavern.yaml:1:")
        await file.unlink()
        error = refused(await live.http.post("/api/nodes/reload"))
        assert error["message"] == (
            "nothing has changed: config file 'comfytavern.yaml' of flag '--config' does not exist"
        )
        # Nobody is told of a reload that was none.
        await write(file, "talk-pack")
        await reload(live)
        assert (await client.next())["payload"]["success"] is True


async def test_what_only_a_start_would_refuse(serve: Serve, file: anyio.Path) -> None:
    async with serve("talk-pack") as live:
        await write(file, "some-pack", resources={"roots": {"shared": str(file.parent)}})
        error = refused(await live.http.post("/api/nodes/reload"))
        assert error["details"][0]["path"] == "resources.roots"
        assert str(file.parent) not in error["message"]
        assert await node_types(live, "talk-pack") == ["Talk"]


async def test_what_takes_a_restart_is_told_by_key(serve: Serve, file: anyio.Path) -> None:
    async with serve("talk-pack") as live:
        changed = {
            "server": {"port": 9, "token": "env:SOMEWHERE"},
            "limits": {**LIMITS, "threads": 3},
            "secrets": {"key": {"value": "file:/etc/key", "base_urls": ["https://a.test"]}},
            "logs": {"level": "debug"},
            "packs": {"enabled": "*", "disabled": ["gone-pack"]},
        }
        await write(file, **changed)
        told = await reload(live)
        text = "has changed; restart the host to apply it"
        keys = ["server.port", "server.token", "secrets.key", "limits.threads", "logs.level"]
        assert told["restartRequired"][:5] == [f"{key} {text}" for key in keys]
        waiting = f"pack 'some-pack' 1.0 is not loaded; {WAITING}"
        assert waiting in told["restartRequired"]
        assert told["warnings"] == [
            "comfytavern.yaml:1: no installed pack is named 'gone-pack'; did you mean 'some-pack'?"
        ]
        assert "/etc/key" not in str(told)
        assert "SOMEWHERE" not in str(told)
        again = await reload(live)
        assert (again["changed"], again["restartRequired"]) == ([], told["restartRequired"])
        # The file as it was, and nothing waits any more.
        await write(file, "talk-pack")
        assert (await reload(live))["restartRequired"] == []


async def test_a_pack_that_has_changed_waits(
    serve: Serve, file: anyio.Path, packs: PacksOnDisk
) -> None:
    async with serve("talk-pack") as live:
        namespaces = {"enabled": ["talk-pack"], "namespaces": {"talk": "talk-pack"}}
        await write(file, packs=namespaces)
        told = await reload(live)
        assert states(told) == {"talk-pack": "restart-required"}
        assert told["restartRequired"] == [
            "pack 'talk-pack' 1.0: the namespaces granted to it have changed; restart the host"
        ]
        await anyio.to_thread.run_sync(partial(packs.write, "talk-pack", None, version="2.0"))
        await anyio.Path(packs.root / "talk_pack-1.0.dist-info" / "entry_points.txt").unlink()
        await write(file, "talk-pack")
        told = await reload(live)
        assert told["restartRequired"] == [
            "pack 'talk-pack' 1.0: version 1.0 is in use, 2.0 is installed; restart the host"
        ]
        assert await node_types(live, "talk-pack") == ["Talk"]


@pytest.mark.parametrize(
    ("one", "other", "keys"),
    [
        ({}, {}, []),
        ({"secrets": {}}, {"limits": {}}, []),
        ({"server": {"port": 1}}, {"server": {"host": "::1"}}, ["server.host", "server.port"]),
        ({"aliases": {"a": ["x"]}}, {"aliases": {"a": ["y"]}}, ["aliases.a"]),
        ({}, {"resources": {"roots": {"x": "/x"}}}, ["resources.roots.x"]),
        ({"runner": "dask"}, {}, ["runner"]),
        (
            {"runner": "dask", "runner_settings": {"workers": 1, "kept": None}},
            {"runner": "dask", "runner_settings": {"workers": 2}},
            ["dask.workers", "dask.kept"],
        ),
        ({"runner": "dask", "runner_settings": {"a": 1}}, {}, ["runner", "dask.a"]),
        (
            {"packs": {"settings": {"x": {"a": {"b": 1}}}}},
            {"packs": {"settings": {"x": {"a": [1]}}}},
            ["packs.settings.x.a"],
        ),
    ],
)
def test_changed_keys(one: Any, other: Any, keys: list[str]) -> None:  # Any: blocks
    found = changed_keys(Config.model_validate(one), Config.model_validate(other))
    assert [".".join(map(str, path)) for path in found] == keys


# Through the real process -----------------------------------------------------------


@posix
def test_a_server_reads_its_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = CommandLine(tmp_path, monkeypatch)
    command.packs().write("some-pack")
    command.write("own.yaml", "packs: {enabled: []}\n")
    with served(command, "--config", "own.yaml", "serve", "--log-format", "json") as server:
        url = server.url()
        command.write("own.yaml", "packs: {enabled: [some-pack]}\nserver: {port: 9}\n")
        with answered(url, "POST", "/api/nodes/reload") as answer:
            told = json.load(answer)
        # The flags of the command line count as they did: another port changes nothing.
        assert (states(told), told["restartRequired"]) == ({"some-pack": "loaded"}, [])
        assert "packs reloaded: some-pack is loaded; 1 node type" in server.until("reloaded")
        server.end()

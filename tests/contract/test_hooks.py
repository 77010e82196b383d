"""Every hook from the outside, as ``docs/hooks.md`` has it: one ``test_hook_<name>`` for each."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from itertools import pairwise
from time import perf_counter
from types import SimpleNamespace
from typing import Annotated, Any, cast
from unittest.mock import ANY

import anyio
import anyio.lowlevel
import pytest
from anyio import fail_after, wait_all_tasks_blocked
from pydantic import BaseModel

import comfytavern_core_nodes
import comfytavern_llm_nodes
from comfytavern import (
    Chunk,
    DataFlowType,
    NodeContext,
    NodeDefinition,
    Output,
    OutputDefinition,
    Outputs,
    PackContext,
    PackError,
    PackHost,
    Status,
    hookimpl,
    hookspec,
    node,
)
from comfytavern.events import (
    BypassRequest,
    InterfaceChunk,
    NodeBypassed,
    NodeChunk,
    NodeCompleted,
    NodeFailed,
    NodeInterrupted,
    NodeProgress,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    RunStarted,
)
from comfytavern.hookspecs import EVENT_HOOKS
from comfytavern.local_runner import LocalRunner
from comfytavern.packs import PackChoice, PackState
from comfytavern.runner import RunSpec
from comfytavern.testing import pack_host, run_graph
from comfytavern_llm_nodes.adapters import EchoAdapter

Hook = Callable[..., Any]  # Any: each hook returns something else
Json = dict[str, Any]  # Any: JSON


def pack(distribution: str = "some-pack", /, **hooks: Hook) -> SimpleNamespace:
    """Return a pack of these functions, each as the hook of its name."""
    marked = {name: hookimpl(function) for name, function in hooks.items()}
    return SimpleNamespace(distribution=distribution, **marked)


def host_of(*packs: SimpleNamespace, choice: PackChoice | None = None) -> PackHost:
    """Load packs the way a host does: services and runners when all have registered."""
    host = PackHost(choice, found=())
    for each in packs:
        host.packs.add(each, distribution=each.distribution, version="1.0", finish=False)
    host.packs.finish()
    return host


def refused(*packs: SimpleNamespace, settings: Mapping[str, object] | None = None) -> str:
    """Load packs of which the last is refused, and return its state, phase and error.

    Nothing of it stays, and the others are as they were.
    """
    last = packs[-1].distribution
    host = host_of(*packs[:-1], choice=PackChoice(settings=settings or {}))
    before = [record for record in host.records if record.distribution != last]
    with pytest.raises(PackError) as caught:
        host.packs.add(packs[-1], distribution=last, version="1.0")
    assert caught.value.distribution == last
    assert last not in [name for name, _ in host.packs.plugin_manager.list_name_plugin()]
    assert host.registry.of_pack(last) == ()
    assert [record for record in host.records if record.distribution != last] == before
    record = host.packs.record(last)
    return f"{record.state}, {record.phase}: {record.error}"


def raising(error: BaseException) -> Hook:
    """Return a hook without arguments that raises."""

    def fail() -> object:
        raise error

    return fail


# --- nodes to run, and a workflow in which everything happens -----------------------------------


@node(outputs={"text": OutputDefinition(data_flow_type=DataFlowType.STRING)})
async def talk(context: NodeContext) -> AsyncIterator[Annotated[str | Outputs, Output("stream")]]:
    context.progress(1, 2, "half")
    yield "a"
    yield "b"
    yield Outputs(text="ab")


@node
async def fail(text: str) -> str:
    raise ValueError("no luck")


@node
async def echo(text: str = "default") -> str:
    return text


@node
async def wait() -> None:
    await anyio.sleep_forever()


NODES = (talk, fail, echo, wait)


def place(node_id: str, full_type: str, **more: object) -> Json:
    """Return a placed node."""
    return {"id": node_id, "fullType": full_type, **more}


def edge(source: str, target: str) -> Json:
    """Return an edge between ``a.slot`` and ``b.slot``."""
    (source_id, out), (target_id, slot) = source.split("."), target.split(".")
    ends = {"sourceNodeId": source_id, "sourceHandle": out}
    return ends | {"targetNodeId": target_id, "targetHandle": slot}


EVERYTHING: Json = {
    "nodes": [
        place("talk", "test:Talk"),
        place("fail", "test:Fail"),
        place("after", "test:Echo"),
        place("past", "test:Echo", bypassed=True, inputs={"text": "by"}),
        place("wait", "test:Wait"),
    ],
    "edges": [edge("talk.text", "fail.text"), edge("fail.result", "after.text")],
    "interfaceOutputs": {"said": {"displayName": "Said", "isStream": True}},
    "outputInterfaceMappings": {"said": {"sourceNodeId": "talk", "sourceSlotKey": "stream"}},
}
STATES = {
    "talk": Status.COMPLETE,
    "fail": Status.ERROR,
    "after": Status.SKIPPED,
    "past": Status.SKIPPED,
    "wait": Status.INTERRUPTED,
}


async def run_everything(host: PackHost, run_id: str = "r") -> None:
    """Run a workflow in which every event happens; the node that waits is interrupted."""
    with fail_after(5):
        run = host.start(await host.compile(EVERYTHING), run_id=run_id)
        await wait_all_tasks_blocked()
        run.interrupt()
        result = await run.wait()
    assert (result.status, result.states) == (Status.INTERRUPTED, STATES)


def echoes(count: int) -> Json:
    """Return a workflow of nodes that start one after the other."""
    names = [f"n{number}" for number in range(count)]
    edges = [edge(f"{a}.result", f"{b}.text") for a, b in pairwise(names)]
    return {"nodes": [place(name, "test:Echo") for name in names], "edges": edges}


# --- hooks that contribute ----------------------------------------------------------------------


class Painting:
    """The hookspec of a pack."""

    @hookspec
    def colours(self, pack: PackContext, dark: bool) -> str:
        raise NotImplementedError


def painter(asked: list[tuple[str, object]]) -> SimpleNamespace:
    """Return a pack that defines a hook and asks it when its services are wanted."""

    def register_services(pack: PackContext) -> Mapping[str, object]:
        asked.extend((a.distribution, a.value) for a in pack.ask("colours", dark=True))
        return {}

    return pack(
        "painter", register_hookspecs=lambda: Painting(), register_services=register_services
    )


def test_hook_register_hookspecs(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[tuple[str, object]] = []
    host = host_of(
        painter(asked),
        pack("c-pack", colours=lambda pack, dark: (pack.distribution, dark)),
        pack("broken", colours=raising(ValueError("no luck"))),
        pack("a-pack", colours=lambda: "red"),
        pack("silent", colours=lambda: None),
    )
    assert asked == [("a-pack", "red"), ("c-pack", ("c-pack", True))]
    assert host.packs.record("broken").state is PackState.LOADED
    assert host.packs.record("broken").warnings == ("hook 'colours' raised ValueError: no luck",)
    assert "pack 'broken' 1.0 has a broken hook" in caplog.text


def test_hookspecs_that_are_refused() -> None:
    other = pack("other", register_hookspecs=lambda: Painting())
    assert refused(painter([]), other) == (
        "conflict, hooks: it defines the hook 'colours', which is one of pack 'painter'"
    )
    assert refused(pack(register_hookspecs=lambda: object())) == (
        "failed, hooks: register_hookspecs returned something that carries no hookspec"
    )
    assert refused(pack(register_hookspecs=raising(ValueError("no luck")))) == (
        "failed, hooks: hook 'register_hookspecs' raised ValueError: no luck"
    )


def test_hooks_are_checked_before_anything_is_registered() -> None:
    calls: list[str] = []

    def register_nodes() -> Iterable[NodeDefinition]:
        calls.append("asked")
        return [echo]

    nodes: dict[str, Hook] = {"register_nodes": register_nodes}
    assert refused(pack(run_start=lambda event: None, **nodes)) == (
        "failed, hooks: no hook is named 'run_start'; did you mean 'run_started'?"
    )
    assert refused(pack(run_finished=lambda event, loop: None, **nodes)) == (
        "failed, hooks: hook 'run_finished' asks for 'loop'"
    )

    async def settings_model() -> None:
        raise NotImplementedError

    assert refused(pack(settings_model=settings_model, **nodes)) == (
        "failed, hooks: hook 'settings_model' is a coroutine function"
    )
    wrapping = SimpleNamespace(
        distribution="some-pack", register_nodes=hookimpl(wrapper=True)(lambda: iter(()))
    )
    assert refused(wrapping).startswith("failed, hooks: hook 'register_nodes' is a wrapper")
    assert calls == []
    optional = SimpleNamespace(
        distribution="some-pack", colours=hookimpl(optionalhook=True)(lambda: "red")
    )
    assert host_of(optional).packs.record("some-pack").state is PackState.LOADED


def test_order_of_packs() -> None:
    def hears(name: str, *, first: bool = False, last: bool = False) -> SimpleNamespace:
        implementation = hookimpl(tryfirst=first, trylast=last)(lambda: None)
        return SimpleNamespace(distribution=name, run_started=implementation)

    host = host_of(
        hears("c-pack"), hears("a-last", last=True), hears("b-pack"), hears("d-first", first=True)
    )
    order = [listener.distribution for listener in host.packs.listeners("run_started")]
    assert order == ["d-first", "b-pack", "c-pack", "a-last"]


def test_hook_register_nodes() -> None:
    asked: list[PackContext] = []

    def register_nodes(pack: PackContext) -> Iterable[NodeDefinition]:
        asked.append(pack)
        yield talk
        yield echo

    host = host_of(pack(register_nodes=register_nodes))
    assert host.packs.record("some-pack").node_types == ("some-pack:Talk", "some-pack:Echo")
    [context] = asked
    assert (context.distribution, context.version) == ("some-pack", "1.0")
    assert (context.settings, context.data_dir) == (None, None)


def test_nodes_that_are_refused() -> None:
    def half() -> Iterable[NodeDefinition]:
        yield echo
        raise SystemExit(3)

    assert refused(pack(register_nodes=half)) == (
        "failed, nodes: hook 'register_nodes' raised it called sys.exit(3)"
    )
    assert refused(pack(register_nodes=lambda: [talk, "Echo"])) == (
        "failed, nodes: hook 'register_nodes' answered with a str; expected node definitions"
    )
    assert refused(pack(register_nodes=lambda: [echo, echo])).startswith(
        "conflict, nodes: it has two node types 'some-pack:Echo'"
    )
    foreign = NodeDefinition(type="Echo", namespace="test", execute=lambda inputs, context: {})
    assert refused(pack(register_nodes=lambda: [foreign])) == (
        "failed, nodes: node type 'Echo' claims the namespace 'test', which is not its own"
    )
    elsewhere = NodeDefinition(type="Echo", execute="os:system")
    assert refused(pack(register_nodes=lambda: [elsewhere])) == (
        "failed, nodes: node type 'Echo' runs 'os:system', which is no part of the distribution"
    )


class Settings(BaseModel):
    """The settings of a pack."""

    size: int = 1


async def test_hook_settings_model() -> None:
    seen: list[object] = []

    @node
    async def size(context: NodeContext) -> int:
        return cast(int, context.settings.size)

    def register_nodes(pack: PackContext) -> Iterable[NodeDefinition]:
        seen.append(pack.settings)
        return [size]

    sized = pack(settings_model=lambda: Settings, register_nodes=register_nodes)
    workflow = {"nodes": [place("n", "some-pack:Size")]}
    for block, expected in ({}, 1), ({"some-pack": {"size": 7}}, 7):
        result = await run_graph(workflow, sized, settings=block)
        assert result.node_outputs["n"] == {"result": expected}
    assert seen == [Settings(size=1), Settings(size=7)]


def test_settings_that_are_refused() -> None:
    sized = pack(settings_model=lambda: Settings, register_nodes=lambda: [echo])
    neighbour = pack("neighbour", register_nodes=lambda: [echo])
    said = refused(neighbour, sized, settings={"some-pack": {"size": "s3cret"}})
    assert said.startswith("failed, settings: size: Input should be a valid integer")
    assert "s3cret" not in said
    assert refused(pack(settings_model=lambda: dict)) == (
        "failed, settings: hook 'settings_model' answered with a type; expected a pydantic model"
        " class"
    )
    assert refused(pack(settings_model=raising(ValueError("no luck")))) == (
        "failed, settings: hook 'settings_model' raised ValueError: no luck"
    )
    host = host_of(neighbour, choice=PackChoice(settings={"neighbour": {"size": 7}}))
    assert host.packs.record("neighbour").warnings == (
        "the config holds settings for it, but it takes none",
    )


async def test_hook_register_services() -> None:
    @node
    async def use(context: NodeContext) -> str:
        return cast(str, context.services["greeting"])

    offering = pack("offering", register_services=lambda: {"greeting": "hello"})
    workflow = {"nodes": [place("n", "test:Use")]}
    result = await run_graph(workflow, use, offering)
    assert result.node_outputs["n"] == {"result": "hello"}


def test_services_that_are_refused() -> None:
    one = pack("one", register_services=lambda: {"greeting": "hello"})
    two = pack(
        "two",
        register_nodes=lambda: [echo],
        register_services=lambda: {"greeting": "hi", "farewell": "bye"},
    )
    assert refused(one, two) == ("conflict, services: service 'greeting' is taken by pack 'one'")
    assert refused(pack(register_services=lambda: ["greeting"])) == (
        "failed, services: hook 'register_services' answered with a list; expected a mapping of"
        " names"
    )
    assert refused(pack(register_services=raising(ValueError("no luck")))) == (
        "failed, services: hook 'register_services' raised ValueError: no luck"
    )


async def test_hook_register_runners() -> None:
    offering = pack(
        "offering", register_nodes=lambda: [echo], register_runners=lambda: {"mine": LocalRunner}
    )
    async with pack_host(offering) as host:
        assert list(host.packs.runners) == ["mine"]
        runner = host.packs.runners["mine"](host)
        await runner.start()
        workflow = {"nodes": [place("n", "offering:Echo")], "edges": []}
        with fail_after(5):
            async with aclosing(runner.run(RunSpec("r", workflow))) as batches:
                events = [event async for batch in batches for event in batch]
        await runner.close()
    assert events[-1]["payload"]["status"] == "complete"


def test_runners_that_are_refused() -> None:
    assert refused(pack(register_runners=lambda: {"local": LocalRunner})) == (
        "conflict, runners: runner 'local' is the host's own"
    )
    one = pack("one", register_runners=lambda: {"mine": LocalRunner})
    two = pack("two", register_runners=lambda: {"mine": LocalRunner})
    assert refused(one, two) == "conflict, runners: runner 'mine' is taken by pack 'one'"
    assert refused(pack(register_runners=lambda: LocalRunner)) == (
        "failed, runners: hook 'register_runners' answered with a type; expected a mapping of names"
    )


async def test_hook_register_llm_adapters() -> None:
    names: list[str] = []

    def register_llm_adapters(pack: PackContext) -> Mapping[str, object]:
        names.append(pack.distribution)
        return {"mine": EchoAdapter, "contested": EchoAdapter}

    channels = [{"label": name, "adapter": name} for name in ("mine", "contested")]
    async with pack_host(
        comfytavern_llm_nodes,
        pack("b-pack", register_llm_adapters=register_llm_adapters),
        pack("c-pack", register_llm_adapters=lambda: {"contested": EchoAdapter}),
        pack("broken", register_llm_adapters=raising(ValueError("no luck"))),
        settings={"comfytavern-llm-nodes": {"channels": channels}},
    ) as host:
        assert list(host.packs.services["llm"].problems) == ["contested"]  # type: ignore[attr-defined]  # of the llm pack
        assert host.packs.record("broken").state is PackState.LOADED
    assert names == ["b-pack"]


# --- bypass -------------------------------------------------------------------------------------

Deciding = Callable[[BypassRequest], object]
PAST: Json = {
    "nodes": [
        place("past", "maker:Echo", bypassed=True, inputs={"text": "by"}),
        place("after", "maker:Echo"),
    ],
    "edges": [edge("past.result", "after.text")],
    "interfaceOutputs": {"out": {}},
    "outputInterfaceMappings": {"out": {"sourceNodeId": "after", "sourceSlotKey": "result"}},
}


def deciding(answer: Deciding) -> Hook:
    """Return a bypass_outputs that answers so."""

    def bypass_outputs(request: BypassRequest) -> object:
        return answer(request)

    return bypass_outputs


async def behind_a_bypass(
    listed: Sequence[str] = (), **deciders: Deciding
) -> Any:  # Any: a RunResult, which no public module names
    """Run a bypassed node of the pack ``maker`` and an echo behind it."""
    packs = {name: {"bypass_outputs": deciding(answer)} for name, answer in deciders.items()}
    packs["maker"] = {"register_nodes": lambda: [echo], **packs.get("maker", {})}
    added = [pack(name, **hooks) for name, hooks in packs.items()]
    async with host_of(*added, choice=PackChoice(bypass=tuple(listed))) as host:
        with fail_after(5):
            return await host.run(PAST)


async def test_hook_bypass_outputs() -> None:
    seen: list[BypassRequest] = []

    def answer(request: BypassRequest) -> object:
        seen.append(request)
        return {"result": f"instead of {request.inputs['text']}"}

    async def behind(*listed: str, **deciders: Deciding) -> object:
        return (await behind_a_bypass(listed, **deciders)).outputs["out"]

    assert await behind() == "by"  # the standard rules
    assert await behind(maker=answer) == "instead of by"
    assert (seen[0].node_id, seen[0].definition.type) == ("past", "Echo")
    assert await behind(maker=lambda request: None) == "by"
    assert await behind(maker=lambda request: {}) == "default"  # left out is absent
    # Others are asked only if the operator lists them, and after the pack itself.
    assert await behind(other=answer) == "by"
    assert await behind("other", other=answer) == "instead of by"
    assert await behind("other", maker=lambda request: {"result": "own"}, other=answer) == "own"
    assert await behind("other", maker=lambda request: None, other=answer) == "instead of by"
    both = {"one": lambda request: {"result": "1"}, "two": lambda request: {"result": "2"}}
    assert await behind("two", "one", **both) == "2"


def unlucky(request: BypassRequest) -> object:
    """Raise, as a decider."""
    raise ValueError("no luck")


async def test_a_bypass_that_raises_fails_the_node_and_is_attributed() -> None:
    result = await behind_a_bypass(["other"], other=unlucky)
    assert result.states == {"past": Status.ERROR, "after": Status.SKIPPED}
    assert str(result.error) == (
        "node 'past' (maker:Echo) failed: pack 'other' 1.0 has a broken hook: bypass_outputs"
        " raised ValueError: no luck"
    )


async def test_a_bypass_that_answers_with_something_else_is_attributed() -> None:
    result = await behind_a_bypass(["other"], other=lambda request: ["by"])
    assert str(result.error) == (
        "node 'past' (maker:Echo) failed: pack 'other' 1.0 has a broken hook:"
        " bypass_outputs returned a list; expected a mapping or None"
    )


async def test_a_bypass_that_raises_is_blamed_on_the_pack_that_raised() -> None:
    result = await behind_a_bypass(["other"], other=unlucky)
    assert result.error is not None
    assert result.error.pack == "other"  # not the pack of the node


def leave(request: BypassRequest) -> object:
    """Call sys.exit, as a decider."""
    raise SystemExit(3)


async def test_a_bypass_that_calls_sys_exit_is_attributed() -> None:
    result = await behind_a_bypass(["other"], other=leave)
    assert "pack 'other' 1.0 has a broken hook" in str(result.error)


# --- lifecycle ----------------------------------------------------------------------------------


def living(name: str, heard: list[str], **more: Hook) -> SimpleNamespace:
    """Return a pack that notes when it is told of the start and of the stop."""

    def told(what: str) -> Hook:
        async def hear() -> None:
            await anyio.lowlevel.checkpoint()
            heard.append(f"{name} {what}")

        return lambda: hear

    hooks = {"host_started": told("started"), "host_stopping": told("stopping")} | more
    return pack(name, **hooks)


async def test_hook_host_started() -> None:
    heard: list[str] = []

    async def unlucky() -> None:
        raise ValueError("no luck")

    @node
    async def listen() -> None:
        heard.append("a node ran")

    host = host_of(
        living("b-pack", heard, register_nodes=lambda: [listen]),
        living("a-pack", heard),
        living("broken", heard, host_started=lambda: unlucky),
        living("silent", heard, host_started=lambda: None),
    )
    assert heard == []
    async with host:
        assert heard == ["a-pack started", "b-pack started"]
        await host.run({"nodes": [place("n", "b-pack:Listen")]})
        assert heard[2:] == ["a node ran"]
        assert host.packs.record("broken").state is PackState.LOADED
        assert host.packs.record("broken").warnings == (
            "hook 'host_started' raised ValueError: no luck",
        )


async def test_hook_host_stopping() -> None:
    heard: list[str] = []

    async def unlucky() -> None:
        raise ValueError("no luck")

    packs = (
        living("a-pack", heard),
        living("b-pack", heard),
        living("broken", heard, host_stopping=lambda: unlucky),
        living("failed-start", heard, host_started=raising(ValueError("no luck"))),
    )
    stops = ["failed-start stopping", "b-pack stopping", "a-pack stopping"]
    async with host_of(*packs) as host:
        heard.clear()
    assert heard == stops  # in reverse order
    assert host.packs.record("broken").warnings == (
        "hook 'host_stopping' raised ValueError: no luck",
    )
    heard.clear()
    with suppress(LookupError):
        async with host_of(*packs):
            heard.clear()
            raise LookupError
    assert heard == stops
    with anyio.CancelScope() as scope:
        async with host_of(*packs):
            heard.clear()
            scope.cancel()
    assert heard == stops


async def test_a_start_that_is_cancelled_stops_the_packs_that_had_started() -> None:
    heard: list[str] = []
    host = host_of(
        living("a-pack", heard), living("b-pack", heard, host_started=lambda: anyio.sleep_forever)
    )

    async def serve() -> None:
        async with host:
            raise AssertionError("it never gets ready")

    with fail_after(5):
        async with anyio.create_task_group() as group:
            group.start_soon(serve)
            await wait_all_tasks_blocked()
            assert heard == ["a-pack started"]
            group.cancel_scope.cancel()
    assert "a-pack stopping" in heard


# --- events -------------------------------------------------------------------------------------


@pytest.fixture(params=["plain", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    """Listen with plain functions and with coroutine functions."""
    return bool(request.param == "async")


def listening(
    hook: str, hear: Callable[[Any], object], *, is_async: bool, name: str = "listener"
) -> SimpleNamespace:
    """Return a pack that listens to one event hook."""

    def plain(event: object) -> None:
        hear(event)

    async def slowly(event: object) -> None:
        await anyio.lowlevel.checkpoint()
        hear(event)

    def plain_batch(events: object) -> None:
        hear(events)

    async def slow_batch(events: object) -> None:
        await anyio.lowlevel.checkpoint()
        hear(events)

    batches = hook.endswith("_chunks")
    functions: dict[bool, Hook] = {
        False: plain_batch if batches else plain,
        True: slow_batch if batches else slowly,
    }
    return pack(name, **{hook: functions[is_async]})


async def heard_by(hook: str, is_async: bool) -> list[Any]:  # Any: the events of the hook
    """Return what a listener hears of the workflow in which everything happens."""
    heard: list[Any] = []
    async with pack_host(*NODES, listening(hook, heard.append, is_async=is_async)) as host:
        await run_everything(host)
    return heard


async def test_hook_run_started(is_async: bool) -> None:
    assert await heard_by("run_started", is_async) == [RunStarted("r", 5)]


async def test_a_run_counts_a_group_as_one_node_and_those_inside_it() -> None:
    heard: list[RunStarted] = []
    inner = {"nodes": [place("inner", "test:Echo")]}
    group = place("group", "core:NodeGroup", configValues={"referencedWorkflowId": "inner"})
    listener = listening("run_started", heard.append, is_async=False)
    packs = (comfytavern_core_nodes, echo, listener)
    result = await run_graph({"nodes": [group]}, *packs, workflows={"inner": inner})
    assert list(result.states) == ["group", "group/inner"]
    assert [event.node_count for event in heard] == [2]


async def test_hook_run_finished(is_async: bool) -> None:
    reason = "node 'fail' (test:Fail) failed: no luck"
    expected = RunFinished("r", Status.INTERRUPTED, reason, ANY)
    assert await heard_by("run_finished", is_async) == [expected]


async def test_hook_node_started(is_async: bool) -> None:
    heard = await heard_by("node_started", is_async)
    expected = {("talk", "test:Talk"), ("fail", "test:Fail"), ("wait", "test:Wait")}
    assert {(event.node_id, event.node_type) for event in heard} == expected
    assert (len(heard), {event.run_id for event in heard}) == (3, {"r"})
    assert {type(event) for event in heard} == {NodeStarted}


async def test_hook_node_completed(is_async: bool) -> None:
    expected = NodeCompleted("r", "talk", "test:Talk", {"text": "ab"}, ANY)
    assert await heard_by("node_completed", is_async) == [expected]


async def test_hook_node_failed(is_async: bool) -> None:
    [event] = await heard_by("node_failed", is_async)
    what = ("test", "node_failed", "no luck")
    assert event == NodeFailed("r", "fail", "test:Fail", *what, ANY, partial=False)
    assert 'raise ValueError("no luck")' in event.traceback


async def test_hook_node_skipped(is_async: bool) -> None:
    expected = NodeSkipped("r", "after", "test:Echo", "node 'fail' failed", "fail")
    assert await heard_by("node_skipped", is_async) == [expected]


async def test_hook_node_bypassed(is_async: bool) -> None:
    expected = NodeBypassed("r", "past", "test:Echo", {"result": "by"})
    assert await heard_by("node_bypassed", is_async) == [expected]


async def test_hook_node_interrupted(is_async: bool) -> None:
    expected = NodeInterrupted("r", "wait", "test:Wait", partial=False)
    assert await heard_by("node_interrupted", is_async) == [expected]


async def test_hook_node_progress(is_async: bool) -> None:
    expected = NodeProgress("r", "talk", "test:Talk", 1, 2, "half")
    assert await heard_by("node_progress", is_async) == [expected]


async def test_hook_node_chunks(is_async: bool) -> None:
    batches = await heard_by("node_chunks", is_async)
    assert [event for batch in batches for event in batch] == [
        NodeChunk("r", "talk", Chunk.text("a"), is_last=False),
        NodeChunk("r", "talk", Chunk.text("b"), is_last=False),
    ]


async def test_hook_interface_chunks(is_async: bool) -> None:
    batches = await heard_by("interface_chunks", is_async)
    assert [event for batch in batches for event in batch] == [
        InterfaceChunk("r", "said", "Said", Chunk.text("a"), is_last=False),
        InterfaceChunk("r", "said", "Said", Chunk.text("b"), is_last=False),
        InterfaceChunk("r", "said", "Said", Chunk.finish_reason("Stream ended"), is_last=True),
    ]


@node
async def count() -> AsyncIterator[Annotated[str, Output("stream")]]:
    for number in range(1000):
        yield str(number)


@node
async def stumble() -> AsyncIterator[Annotated[str, Output("stream")]]:
    yield "a"
    raise ValueError("no luck")


async def test_chunks_come_in_batches_and_before_what_must_follow_them(is_async: bool) -> None:
    heard: list[Any] = []  # Any: events and batches of them
    hooks = ("node_chunks", "node_completed", "node_failed", "run_finished")
    packs = [listening(hook, heard.append, is_async=is_async) for hook in hooks]
    listener = SimpleNamespace(**{k: v for each in packs for k, v in vars(each).items()})
    await run_graph({"nodes": [place("n", "test:Count")]}, count, listener)
    *batches, completed, finished = heard
    assert [event.chunk.content for batch in batches for event in batch] == [
        str(number) for number in range(1000)
    ]
    assert len(batches) < 500
    assert (type(completed), type(finished)) == (NodeCompleted, RunFinished)
    heard.clear()
    await run_graph({"nodes": [place("n", "test:Stumble")]}, stumble, listener)
    *batches, failed, finished = heard
    assert [(e.chunk, e.is_last) for batch in batches for e in batch] == [
        (Chunk.text("a"), False),
        (Chunk.error("no luck"), True),
    ]
    assert (failed.partial, finished.status) == (True, Status.ERROR)


@pytest.mark.parametrize("hook", EVENT_HOOKS)
async def test_a_listener_that_raises_costs_nobody_anything(
    hook: str, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def unlucky(event: object) -> None:
        raise ValueError("no luck")

    heard: list[object] = []
    async with pack_host(
        *NODES,
        listening(hook, unlucky, is_async=is_async, name="broken"),
        listening(hook, heard.append, is_async=is_async, name="other"),
    ) as host:
        await run_everything(host)
    assert heard
    said = [r.getMessage() for r in caplog.records if r.name == "comfytavern.packs.broken"]
    assert f"pack 'broken' 0.0.0, hook {hook}: raised ValueError: no luck (1 so far)" in said[0]


async def test_five_failures_in_a_row_cut_a_listener_off(
    is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[object] = []

    def unlucky(event: object) -> None:
        calls.append(event)
        raise ValueError("no luck")

    async with pack_host(echo, listening("node_started", unlucky, is_async=is_async)) as host:
        for _ in range(2):
            result = await host.run(echoes(8))
            assert result.status is Status.COMPLETE
    assert len(calls) == 5
    assert "raised 5 times in a row and is not called again until a restart" in caplog.text


async def test_a_run_never_waits_for_an_async_listener() -> None:
    gate, heard = anyio.Event(), []

    async def node_started(event: NodeStarted) -> None:
        await gate.wait()
        heard.append(event.node_id)

    listener = pack("listener", node_started=node_started)
    with fail_after(5):
        async with pack_host(echo, listener) as host:
            assert (await host.run(echoes(3))).status is Status.COMPLETE
            assert heard == []
            gate.set()
    assert heard == ["n0", "n1", "n2"]


async def test_a_listener_that_holds_up_the_loop_moves_to_a_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    threads: list[int] = []

    def node_started(event: NodeStarted) -> None:
        threads.append(threading.get_ident())
        until = perf_counter() + 0.006
        while perf_counter() < until:
            pass

    async with pack_host(echo, pack("listener", node_started=node_started)) as host:
        assert (await host.run(echoes(3))).status is Status.COMPLETE
    assert threads[0] == threading.get_ident()
    assert len(threads) == 3
    assert threading.get_ident() not in threads[1:]
    [said] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert said.name == "comfytavern.packs.listener"
    assert "its pack moves to a thread" in said.getMessage()

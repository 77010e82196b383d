"""The kit for pack authors: one node or a whole graph, without a server."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from comfytavern import (
    Chunk,
    Config,
    GraphRole,
    Input,
    NodeContext,
    NodeDefinition,
    NodeFailedError,
    NodeMode,
    Output,
    OutputDefinition,
    Outputs,
    ResourceError,
    Status,
    Stream,
    WorkflowError,
    hookimpl,
    node,
    parse_workflow,
)
from comfytavern.engine import EngineLimits
from comfytavern.testing import (
    EventLog,
    InputMutatedError,
    MemoryResources,
    NodeResult,
    pack_host,
    run_graph,
    run_node,
)

Json = Any  # Any: JSON


@node
async def echo(value: object = None) -> Annotated[object, Output("out")]:
    return value


@node
async def shout(text: str, times: Annotated[int, Input(maximum=9)] = 1) -> str:
    return text.upper() + "!" * times


@node(outputs={"count": OutputDefinition()})
async def words(text: str) -> AsyncIterator[Annotated[str, Output("words")]]:
    for word in text.split():
        yield word
    yield Outputs(count=len(text.split()))  # type: ignore[misc]  # the last thing it yields


@node
async def join(left: Stream, right: Stream | None = None) -> Annotated[str, Output("text")]:
    rest = await right.text() if right is not None else "-"
    return await left.text() + rest


@node
async def gather(texts: Annotated[str, Input(multi=True)]) -> Annotated[object, Output("all")]:
    return texts


async def nothing(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    return dict(inputs)


# --- one node -----------------------------------------------------------------------------


async def test_one_node() -> None:
    result = await run_node(shout, text="hi", times=2)
    assert result == NodeResult({"result": "HI!!"}, [], [], Status.COMPLETE)
    assert result.text == ""


async def test_inputs_whose_names_are_no_keywords() -> None:
    definition = NodeDefinition(type="T", dynamic_slots=True, execute=nothing)
    result = await run_node(definition, {"a-b": 1, "config": 2, "settings": 3})
    assert result.outputs == {"a-b": 1, "config": 2, "settings": 3}


async def test_a_streaming_node() -> None:
    result = await run_node(words, text="one two")
    assert result.outputs == {"count": 2}
    assert result.chunks == [Chunk.text("one"), Chunk.text("two")]
    assert result.text == "onetwo"


async def test_stream_inputs_are_lists_of_chunks() -> None:
    left = ["a", Chunk.usage({"tokens": 1}), Chunk.text("b")]
    assert (await run_node(join, left=left)).outputs == {"text": "ab-"}
    assert (await run_node(join, left=left, right=["c"])).outputs == {"text": "abc"}
    assert (await run_node(join, left=[], right=[])).outputs == {"text": ""}


async def test_the_chunks_of_the_inputs_are_not_those_of_the_node() -> None:
    @node
    async def relay(stream: Stream) -> AsyncIterator[str]:
        yield (await stream.text()).upper()

    result = await run_node(relay, stream=["a", "b"])
    assert result.chunks == [Chunk.text("AB")]


@pytest.mark.parametrize("items", [["b", "a"], ("b", "a"), ["only"]])
async def test_multi_inputs_are_lists(items: list[str]) -> None:
    assert (await run_node(gather, texts=items)).outputs == {"all": list(items)}


async def test_one_value_of_a_multi_input() -> None:
    assert (await run_node(gather, texts="x")).outputs == {"all": ["x"]}


async def test_a_node_with_modes() -> None:
    async def stream(inputs: Mapping[str, Any], context: NodeContext) -> AsyncIterator[str]:
        yield await inputs["s"].text()

    streaming = NodeMode(
        inputs={"s": join.inputs["left"]}, outputs={"o": words.outputs["words"]}, execute=stream
    )
    definition = NodeDefinition(
        type="T", modes={"stream": streaming}, mode_config_key="mode", execute=nothing
    )
    result = await run_node(definition, s=["a", "b"], config={"mode": "stream"})
    assert result.text == "ab"
    assert (await run_node(definition)).outputs == {}


async def test_code_that_is_named_by_a_text() -> None:
    definition = NodeDefinition(
        type="T",
        namespace="some-pack",
        dynamic_slots=True,
        execute=f"{__name__}:nothing",
        modes={"m": NodeMode(execute=f"{__name__}:Equal.said")},
        mode_config_key="mode",
    )
    assert (await run_node(definition, x=1)).outputs == {"x": 1}
    assert (await run_node(definition, x=1, config={"mode": "m"})).outputs == {"said": 1}


class Tone(BaseModel):
    tone: str = "low"


@node
async def asks(context: NodeContext, level: Annotated[int, Config()] = 3) -> object:
    context.progress(1, 2, "half")
    return [
        context.node_id,
        context.node_type,
        context.user_id,
        level,
        context.settings,
        dict(context.services),
        await context.resources.read("shared://a.txt", limit=5),
    ]


async def test_what_a_node_asks_of_its_run() -> None:
    result = await run_node(
        asks,
        config={"level": 5},
        settings=Tone(),
        services={"clock": "tick"},
        resources={"shared://a.txt": b"12345"},
        user_id="bob",
    )
    expected = ["node", "test:Asks", "bob", 5, Tone(), {"clock": "tick"}, b"12345"]
    assert result.outputs == {"result": expected}
    assert result.progress == [(1, 2, "half")]


@node
async def asks_more(context: NodeContext) -> object:
    context.check_interrupted()
    context.on_action("press", print)
    context.log.info("asked")
    errors = []
    for ask in (lambda: context.http, lambda: context.secret("key")):
        try:
            ask()
        except (RuntimeError, LookupError) as exc:
            errors.append(str(exc))
    interface = [dict(context.interface_inputs), dict(context.interface_outputs)]
    return [context.run_id, context.mode, context.config, interface, errors]


async def test_what_a_host_without_more_lends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "comfytavern.packs.test")
    result = await run_graph({"nodes": [place("a", "AsksMore")]}, asks_more, run_id="r1")
    refusals = ["this host lends no HTTP client", "no secret is named 'key'"]
    assert result.node_outputs == {"a": {"result": ["r1", None, {}, [{}, {}], refusals]}}
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("comfytavern.packs.test", "asked")
    assert vars(record)["run_id"] == "r1"
    assert vars(record)["node_id"] == "a"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "not found; there are: none"),
        ({"x": b"", "y": b""}, "not found; there are: x, y"),
        ({"shared://a.txt": b"123456"}, "it has 6 bytes, more than 5"),
    ],
)
async def test_resources_that_cannot_be_read(files: dict[str, bytes], reason: str) -> None:
    with pytest.raises(NodeFailedError) as caught:
        await run_node(asks, resources=files)
    assert isinstance(caught.value.__cause__, ResourceError)
    assert caught.value.reason == f"resource 'shared://a.txt': {reason}"
    assert caught.value.error_code == "resource_refused"


async def test_memory_resources_are_a_copy() -> None:
    files = {"a": b"1"}
    resources = MemoryResources(files)
    files["a"] = b"2"
    assert await resources.read("a") == b"1"


async def test_a_failing_node() -> None:
    @node
    async def fails(text: str) -> str:
        raise ValueError(text)

    with pytest.raises(NodeFailedError) as caught:
        await run_node(fails, text="boom")
    assert str(caught.value) == "node 'node' (test:Fails) failed: boom"
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_failure_in_a_plain_function() -> None:
    @node
    def fails() -> str:
        raise ValueError("boom")

    with pytest.raises(NodeFailedError) as caught:
        await run_node(fails)
    assert caught.value.reason == "boom"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "node 'node' needs a value for input 'text' (STRING); connect it or set it"),
        ({"text": "x", "tims": 1}, "node 'node' has no input 'tims'; did you mean 'times'?"),
    ],
)
async def test_inputs_that_do_not_fit(inputs: dict[str, object], message: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        await run_node(shout, inputs)
    assert str(caught.value) == message


# --- inputs that are changed --------------------------------------------------------------


def change(value: Any) -> None:
    if isinstance(value, list):
        value.append(1)
    elif isinstance(value, dict):
        change(value["deep"])
    else:
        value.count += 1


@node
async def mutates(value: object) -> None:
    change(value)


@node
def mutates_in_a_thread(value: object) -> None:
    change(value)


class Equal:
    """An object with an equality of its own."""

    def __init__(self) -> None:
        self.count = 0

    @staticmethod
    def said(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
        return {"said": inputs["x"]}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal) and other.count == self.count

    __hash__ = None  # type: ignore[assignment]  # it changes


@dataclass
class Counter:
    count: int = 0


class CountModel(BaseModel):
    count: int = 0


@pytest.mark.parametrize("definition", [mutates, mutates_in_a_thread])
@pytest.mark.parametrize("make", [list, lambda: {"deep": []}, Equal, Counter, CountModel])
async def test_a_changed_input_is_detected(definition: NodeDefinition, make: Any) -> None:
    with pytest.raises(InputMutatedError) as caught:
        await run_node(definition, value=make())
    assert str(caught.value) == (
        "the node changed its input 'value'; inputs are shared, so copy it first"
    )
    assert (caught.value.slot, caught.value.code) == ("value", "input_mutated")


class Plain:
    """An object as most classes make them: equal to itself only."""

    def __init__(self) -> None:
        self.count = 0


@dataclass
class Holder:
    """Equal to another one if what it holds is; what it holds may be equal to nothing."""

    held: object


class Ambiguous(Plain):
    """An array of numbers, as numpy has them."""

    def __eq__(self, other: object) -> Any:  # Any: an array of booleans
        return Ambiguous()

    def __bool__(self) -> bool:
        raise ValueError("the truth value of an array is ambiguous")

    __hash__ = None  # type: ignore[assignment]  # arrays have none


class Uncopied(Plain):
    """A connection, a lock, an open file."""

    def __deepcopy__(self, memo: object) -> Uncopied:
        raise TypeError("cannot copy")


UNTOUCHED: list[object] = [
    [1],
    {"deep": []},
    Plain(),
    [Plain()],
    Holder(Plain()),
    Holder(math.nan),
    math.nan,
    [math.nan],
    Ambiguous(),
    Uncopied(),
    iter([1]),
    object(),
    lambda: 1,
]


@pytest.mark.parametrize("value", UNTOUCHED, ids=lambda value: type(value).__name__)
async def test_an_input_that_is_left_alone_is_no_mistake(value: object) -> None:
    assert (await run_node(echo, value=value)).outputs == {"out": value}


async def test_a_failure_comes_before_a_changed_input() -> None:
    @node
    async def both(value: list[int]) -> None:
        value.append(1)
        raise ValueError("boom")

    with pytest.raises(NodeFailedError):
        await run_node(both, value=[1])


# --- graphs -------------------------------------------------------------------------------

GROUP = NodeDefinition(type="Group", graph_role=GraphRole.GROUP, dynamic_slots=True)
GROUP_INPUT = NodeDefinition(
    type="GroupInput", graph_role=GraphRole.GROUP_INPUT, dynamic_slots=True, execute=nothing
)
GROUP_OUTPUT = NodeDefinition(
    type="GroupOutput", graph_role=GraphRole.GROUP_OUTPUT, dynamic_slots=True, execute=nothing
)
NODES = (echo, shout, words, join, gather, GROUP, GROUP_INPUT, GROUP_OUTPUT)


def place(node_id: str, kind: str, **inputs: object) -> Json:
    return {"id": node_id, "fullType": f"test:{kind}", "inputs": inputs}


def edges(*pairs: str) -> list[Json]:
    found = []
    for pair in pairs:
        (source, out), (target, slot) = (end.split(".") for end in pair.split(" -> "))
        ends = {"sourceNodeId": source, "sourceHandle": out}
        found.append(ends | {"targetNodeId": target, "targetHandle": slot})
    return found


INNER = {
    "nodes": [place("in", "GroupInput"), place("s", "Shout"), place("end", "GroupOutput")],
    "edges": edges("in.text -> s.text", "s.result -> end.loud"),
    "interfaceInputs": {"text": {"dataFlowType": "STRING", "required": True}},
    "interfaceOutputs": {"loud": {"dataFlowType": "STRING"}},
}


async def test_a_graph() -> None:
    workflow = {
        "nodes": [place("a", "Echo", value="one two"), place("w", "Words")],
        "edges": edges("a.out -> w.text"),
        "outputInterfaceMappings": {
            "count": {"sourceNodeId": "w", "sourceSlotKey": "count"},
            "told": {"sourceNodeId": "w", "sourceSlotKey": "words"},
        },
    }
    result = await run_graph(workflow, *NODES, run_id="r7")
    assert result.status is Status.COMPLETE
    assert result.outputs == {"count": 2, "told": "onetwo"}
    assert result.states == {"a": Status.COMPLETE, "w": Status.COMPLETE}
    assert result.node_outputs == {"a": {"out": "one two"}, "w": {"count": 2}}
    assert result.error is None
    assert {event["payload"]["promptId"] for event in result.events} == {"r7"}
    parsed = await run_graph(parse_workflow(workflow), *NODES)
    assert parsed.outputs == result.outputs


async def test_a_graph_with_groups() -> None:
    workflow = {
        "nodes": [
            place("in", "GroupInput"),
            {**place("g", "Group"), "configValues": {"referencedWorkflowId": "inner"}},
            place("end", "GroupOutput"),
        ],
        "edges": edges("in.said -> g.text", "g.loud -> end.loud"),
        "interfaceInputs": {"said": {"dataFlowType": "STRING"}},
    }
    result = await run_graph(
        workflow, *NODES, inputs={"said": "hi"}, workflows={"inner": INNER}, user_id="bob"
    )
    assert result.outputs == {"loud": "HI!"}
    assert result.node_outputs["g/s"] == {"result": "HI!"}
    assert set(result.states) == {"in", "g", "g/in", "g/s", "g/end", "end"}


async def test_a_graph_that_fails() -> None:
    workflow = {
        "nodes": [place("j", "Shout", text="x", times=3), place("e", "Echo")],
        "edges": edges("j.result -> e.value"),
    }

    @node(type="Shout")
    async def broken(text: str, times: int) -> str:
        raise ValueError("boom")

    result = await run_graph(workflow, echo, broken)
    assert result.status is Status.ERROR
    assert str(result.error) == "node 'j' (test:Shout) failed: boom"
    assert result.states == {"j": Status.ERROR, "e": Status.SKIPPED}
    assert result.node_outputs == {}


@pytest.mark.parametrize(
    ("workflow", "message"),
    [
        ({}, "workflow is not a workflow: expected an object with a list of 'nodes'"),
        (
            {"nodes": [place("a", "Shuot")]},
            (
                "node 'a' has unknown type 'test:Shuot'; pack 'test' 0.0.0 has no such type;"
                " did you mean 'test:Shout'?"
            ),
        ),
        (
            {"nodes": [{**place("g", "Group"), "configValues": {"referencedWorkflowId": "ghost"}}]},
            "node 'g' refers to workflow 'ghost', which is not known here",
        ),
    ],
    ids=["shape", "type", "reference"],
)
async def test_a_graph_that_is_refused(workflow: Json, message: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        await run_graph(workflow, *NODES)
    assert str(caught.value) == message


# --- hosts --------------------------------------------------------------------------------


class Pack:
    """A pack as a module would be."""

    distribution = "Some_Pack"

    @hookimpl
    def register_nodes(self) -> Iterable[NodeDefinition]:
        return [asks]

    @hookimpl
    def settings_model(self) -> type[BaseModel]:
        return Tone

    @hookimpl
    def register_services(self) -> Mapping[str, object]:
        return {"own": 1}


async def test_packs_have_their_settings_and_services() -> None:
    result = await run_graph(
        {"nodes": [{"id": "a", "fullType": "some-pack:Asks"}]},
        Pack(),
        settings={"some-pack": {"tone": "high"}},
        services={"clock": "tick"},
        resources={"shared://a.txt": b""},
    )
    found = result.node_outputs["a"]["result"]
    assert isinstance(found, list)
    assert found[4:6] == [Tone(tone="high"), {"own": 1, "clock": "tick"}]


async def test_a_module_is_a_pack_of_its_name() -> None:
    module = ModuleType("Some_module")
    vars(module)["register_nodes"] = hookimpl(lambda: [shout])
    placed = {"id": "s", "fullType": "some-module:Shout", "inputs": {"text": "a"}}
    result = await run_graph({"nodes": [placed]}, module)
    assert result.node_outputs == {"s": {"result": "A!"}}


async def test_a_host_without_packs() -> None:
    async with pack_host() as host:
        assert list(host.registry) == []
        assert (await host.run({"nodes": []})).status is Status.COMPLETE


async def test_limits_and_aliases_are_handed_on() -> None:
    aliases = {"mine": ("test",)}
    limits = EngineLimits(threads=1)
    async with pack_host(shout, limits=limits, aliases=aliases) as host:
        assert host.limits is limits
    result = await run_graph(
        {"nodes": [{"id": "s", "fullType": "test:Shout", "inputs": {"text": "a"}}]}, shout
    )
    assert result.node_outputs == {"s": {"result": "A!"}}


def test_the_log_of_a_run() -> None:
    def event(kind: str, **payload: Json) -> Json:
        return {"type": kind, "payload": payload}

    def told(key: str, content: Json, kind: str = "text_chunk") -> Json:
        said = {"type": kind, "content": content}
        return event("WORKFLOW_INTERFACE_YIELD", interfaceOutputKey=key, yieldedContent=said)

    events = [
        event("NODE_EXECUTING", nodeId="a"),
        event("NODE_YIELD", sourceNodeId="a"),
        event("NODE_EXECUTING", nodeId="b"),
        told("x", "one"),
        told("y", "other"),
        told("x", {"n": 1}, "usage_chunk"),
        told("x", "two"),
    ]
    log = EventLog(events)
    assert log.of("NODE_EXECUTING", "NODE_YIELD") == [
        {"nodeId": "a"},
        {"sourceNodeId": "a"},
        {"nodeId": "b"},
    ]
    assert log.of_node("a") == events[:2]
    assert (log.text("x"), log.text("y"), log.text("z")) == ("onetwo", "other", "")

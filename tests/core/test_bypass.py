"""The standard rules of bypassed nodes: what each output is when the node does not run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pytest

from comfytavern.bypass import standard_outputs
from comfytavern.chunks import Chunk
from comfytavern.definitions import (
    BypassBehavior,
    InputDefinition,
    NodeDefinition,
    NodeMode,
    OutputDefinition,
)
from comfytavern.events import BypassRequest, Status
from comfytavern.testing import run_graph
from comfytavern.types import DataFlowType, SlotType

T = DataFlowType
Behavior = Literal["mute"] | BypassBehavior | None
Slots = Mapping[str, SlotType]


def slot(flow: DataFlowType, *categories: str, stream: bool = False) -> SlotType:
    return SlotType(flow, stream, frozenset(categories))


def outputs(
    inputs: Mapping[str, object],
    ins: Slots,
    outs: Slots,
    behavior: Behavior = None,
    multi: frozenset[str] = frozenset(),
) -> dict[str, object]:
    return standard_outputs(
        BypassRequest(
            run_id="r",
            node_id="n",
            definition=NodeDefinition(type="T", bypass_behavior=behavior),
            inputs=inputs,
            input_types=ins,
            output_types=outs,
            multi_inputs=multi,
        )
    )


TEXT, NUMBER, OBJECT = slot(T.STRING), slot(T.INTEGER), slot(T.OBJECT)
AUTO: list[tuple[dict[str, object], Slots, Slots, dict[str, object]]] = [
    # the first input that fits and that no earlier output took
    ({"a": "x", "b": "y"}, {"a": TEXT, "b": TEXT}, {"p": TEXT, "q": TEXT}, {"p": "x", "q": "y"}),
    ({"a": "x"}, {"a": TEXT}, {"p": TEXT, "q": TEXT}, {"p": "x", "q": ""}),
    ({"b": 2, "a": 1}, {"a": NUMBER, "b": NUMBER}, {"p": NUMBER}, {"p": 1}),
    ({"a": {}, "b": "y"}, {"a": OBJECT, "b": TEXT}, {"p": TEXT}, {"p": "y"}),
    # an input that is not there is passed over
    ({"b": "y"}, {"a": TEXT, "b": TEXT}, {"p": TEXT}, {"p": "y"}),
    # None and what is empty are values
    ({"a": None, "b": "y"}, {"a": TEXT, "b": TEXT}, {"p": TEXT}, {"p": None}),
    ({"a": "", "b": "y"}, {"a": TEXT, "b": TEXT}, {"p": TEXT}, {"p": ""}),
    # values are converted on their way
    ({"a": 5}, {"a": NUMBER}, {"p": TEXT}, {"p": "5"}),
    ({"a": 5}, {"a": NUMBER}, {"p": slot(T.FLOAT)}, {"p": 5.0}),
    ({"a": "5"}, {"a": TEXT}, {"p": NUMBER}, {"p": 0}),
    # categories and wildcards
    ({"a": {"x": 1}}, {"a": slot(T.OBJECT, "Mine")}, {"p": slot(T.ARRAY, "Mine")}, {"p": {"x": 1}}),
    ({"a": 5}, {"a": slot(T.WILDCARD)}, {"p": OBJECT}, {"p": 5}),
    # a value is no stream
    ({"a": "x"}, {"a": TEXT}, {"p": slot(T.STRING, stream=True)}, {}),
    # what the node does not declare is nobody's
    ({"extra": "x"}, {}, {"p": TEXT}, {"p": ""}),
]


@pytest.mark.parametrize(("inputs", "ins", "outs", "expected"), AUTO)
def test_without_a_declared_behaviour(
    inputs: dict[str, object], ins: Slots, outs: Slots, expected: dict[str, object]
) -> None:
    assert outputs(inputs, ins, outs) == expected


def test_a_converted_value_has_the_type_of_the_output() -> None:
    found = outputs({"a": 5}, {"a": NUMBER}, {"p": slot(T.FLOAT)})["p"]
    assert type(found) is float


@pytest.mark.parametrize(
    ("flow", "empty"),
    [
        (T.STRING, ""),
        (T.INTEGER, 0),
        (T.FLOAT, 0.0),
        (T.BOOLEAN, False),
        (T.ARRAY, []),
        (T.OBJECT, {}),
        (T.BINARY, b""),
        (T.WILDCARD, None),
        (T.CONVERTIBLE_ANY, None),
    ],
)
def test_without_inputs_an_output_is_empty(flow: DataFlowType, empty: object) -> None:
    assert outputs({}, {}, {"p": slot(flow)}) == {"p": empty}
    assert outputs({}, {}, {"p": slot(flow, stream=True)}) == {}


def test_mute_leaves_everything_out() -> None:
    assert outputs({"a": "x"}, {"a": TEXT}, {"p": TEXT}, "mute") == {}


PASS = BypassBehavior(pass_through={"p": "b"})
BOTH = BypassBehavior(pass_through={"p": "b"}, defaults={"p": "DEF", "q": 7, "unknown": 1})
DECLARED: list[tuple[BypassBehavior, dict[str, object], dict[str, object]]] = [
    (PASS, {"a": "x", "b": "y"}, {"p": "y", "q": 0}),
    (PASS, {"a": "x"}, {"p": "", "q": 0}),
    (PASS, {"b": None}, {"p": None, "q": 0}),
    (BOTH, {"b": "y"}, {"p": "y", "q": 7}),
    (BOTH, {"a": "x"}, {"p": "DEF", "q": 7}),
    (BypassBehavior(defaults={"p": None}), {"a": "x"}, {"p": None, "q": 0}),
    (BypassBehavior(), {"a": "x", "b": "y"}, {"p": "", "q": 0}),
    (BypassBehavior(pass_through={"p": "ghost"}), {"a": "x"}, {"p": "", "q": 0}),
    # an input may stand for several outputs, converted for each
    (BypassBehavior(pass_through={"p": "n", "q": "n"}), {"n": 5}, {"p": "5", "q": 5}),
    # what does not fit falls through to the default
    (
        BypassBehavior(pass_through={"q": "a"}, defaults={"q": 3}),
        {"a": "x"},
        {"p": "", "q": 3},
    ),
]


@pytest.mark.parametrize(("behavior", "inputs", "expected"), DECLARED)
def test_a_declared_behaviour(
    behavior: BypassBehavior, inputs: dict[str, object], expected: dict[str, object]
) -> None:
    ins = {"a": TEXT, "b": TEXT, "n": NUMBER}
    assert outputs(inputs, ins, {"p": TEXT, "q": NUMBER}, behavior) == expected


@pytest.mark.parametrize("behavior", [None, BypassBehavior(pass_through={"p": "m"})])
@pytest.mark.parametrize(("value", "expected"), [(["x", "y"], "x"), ([], ""), ("preset", "preset")])
def test_the_first_of_several_stands_for_a_multi_input(
    behavior: Behavior, value: object, expected: str
) -> None:
    multi = frozenset({"m"})
    assert outputs({"m": value}, {"m": TEXT}, {"p": TEXT}, behavior, multi) == {"p": expected}


# --- in a run -----------------------------------------------------------------------------


def define(name: str, **more: Any) -> NodeDefinition:  # Any: fields of a definition
    async def execute(inputs: Mapping[str, object], context: object) -> object:
        return dict(inputs)

    return NodeDefinition(**{"type": name, "execute": execute, **more})


async def words(inputs: Mapping[str, object], context: object) -> Any:  # Any: a stream
    yield "one"
    yield "two"


STREAM = {"s": OutputDefinition(data_flow_type=T.STRING, is_stream=True)}
STREAM_IN = {"s": InputDefinition(data_flow_type=T.STRING, is_stream=True)}
TEXT_OUT = {"p": OutputDefinition(data_flow_type=T.STRING)}
NODES = (
    define("Words", outputs=STREAM, execute=words),
    define("Relay", inputs=STREAM_IN, outputs=STREAM, execute=words),
    define("Mute", outputs=TEXT_OUT, bypass_behavior="mute"),
    define(
        "Echo",
        inputs={"x": InputDefinition(data_flow_type=T.STRING, config={"default": "dflt"})},
        outputs={"x": OutputDefinition(data_flow_type=T.STRING)},
    ),
    define(
        "Modes",
        inputs={"x": InputDefinition(data_flow_type=T.STRING)},
        outputs={"x": OutputDefinition(data_flow_type=T.STRING)},
        modes={"other": NodeMode(outputs={"n": OutputDefinition(data_flow_type=T.INTEGER)})},
        mode_config_key="mode",
    ),
)


def bypassed(node_id: str, name: str, **more: object) -> dict[str, object]:
    return {"id": node_id, "fullType": f"test:{name}", "bypassed": True, **more}


def edge(source: str, target: str) -> dict[str, str]:
    (source_id, out), (target_id, into) = source.split("."), target.split(".")
    ends = {"sourceNodeId": source_id, "sourceHandle": out}
    return ends | {"targetNodeId": target_id, "targetHandle": into}


async def test_a_muted_output_lets_its_reader_fall_back() -> None:
    reader = {"id": "e", "fullType": "test:Echo"}
    result = await run_graph(
        {"nodes": [bypassed("m", "Mute"), reader], "edges": [edge("m.p", "e.x")]}, *NODES
    )
    assert result.node_outputs == {"e": {"x": "dflt"}}
    assert result.states == {"m": Status.SKIPPED, "e": Status.COMPLETE}
    assert result.events.of("NODE_BYPASSED") == [
        {"promptId": "test-run", "nodeId": "m", "pseudoOutputs": {}}
    ]


async def test_presets_and_defaults_are_inputs_of_a_bypassed_node() -> None:
    nodes = [bypassed("a", "Echo"), bypassed("b", "Echo", inputs={"x": "preset"})]
    result = await run_graph({"nodes": nodes}, *NODES)
    found = [payload["pseudoOutputs"] for payload in result.events.of("NODE_BYPASSED")]
    assert found == [{"x": "dflt"}, {"x": "preset"}]


async def test_the_slots_of_the_active_mode_count() -> None:
    nodes = [bypassed("a", "Modes", inputs={"x": "1"}, configValues={"mode": "other"})]
    result = await run_graph({"nodes": nodes}, *NODES)
    assert result.events.of("NODE_BYPASSED")[0]["pseudoOutputs"] == {"n": 0}


async def test_a_bypassed_relay_hands_the_same_stream_on() -> None:
    nodes = [{"id": "w", "fullType": "test:Words"}, bypassed("r", "Relay")]
    mapping = {"out": {"sourceNodeId": "r", "sourceSlotKey": "s"}}
    result = await run_graph(
        {"nodes": nodes, "edges": [edge("w.s", "r.s")], "outputInterfaceMappings": mapping},
        *NODES,
    )
    assert result.outputs == {"out": "onetwo"}
    assert [payload["sourceNodeId"] for payload in result.events.of("NODE_YIELD")] == ["w", "w"]
    assert Chunk.text("one").to_wire() == result.events.of("NODE_YIELD")[0]["yieldedContent"]

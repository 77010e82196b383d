"""Both formats of workflows, every shape error at once, and nothing but WorkflowError for junk."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from comfytavern.errors import Finding, WorkflowError
from comfytavern.types import DataFlowType, SlotType
from comfytavern.workflow import (
    Edge,
    InterfaceSlot,
    OutputMapping,
    Workflow,
    WorkflowNode,
    parse_workflow,
    read_workflow,
)

Json = Any  # Any: a JSON value
ORDERS = {"texts": ["e2", "e1"]}
PAYLOAD: Json = {
    "workflowId": "w1",
    "nodes": [
        {
            "id": "a",
            "fullType": "core:Text",
            "inputs": {"text": "hi"},
            "configValues": {"k": 1},
            "bypassed": True,
            "inputConnectionOrders": ORDERS,
            "somethingElse": [],
        },
        {"id": 7, "fullType": "core:Out"},
    ],
    "edges": [
        {
            "id": "e1",
            "sourceNodeId": "a",
            "sourceHandle": "text",
            "targetNodeId": 7,
            "targetHandle": "in",
        }
    ],
    "interfaceInputs": {"prompt": {"dataFlowType": "STRING", "required": True}},
    "interfaceOutputs": {"out": {"displayName": "Out", "isStream": True}},
    "outputInterfaceMappings": {"out": {"sourceNodeId": "a", "sourceSlotKey": "text"}},
}
CANVAS: Json = {
    "id": "w1",
    "nodes": [
        {
            "id": "a",
            "type": "core:Text",
            "position": {"x": 0, "y": 0},
            "inputValues": {"text": "hi"},
            "configValues": {"k": 1},
            "isBypassed": True,
            "inputConnectionOrders": ORDERS,
        },
        {"id": "7", "type": "core:Out", "position": {"x": 1, "y": 1}},
    ],
    "edges": [
        {"id": "e1", "source": "a", "sourceHandle": "text", "target": "7", "targetHandle": "in"}
    ],
    "interfaceInputs": {"prompt": {"dataFlowType": "STRING", "required": True}},
    "interfaceOutputs": {"out": {"displayName": "Out", "isStream": True}},
    "outputInterfaceMappings": {"out": {"sourceNodeId": "a", "sourceSlotKey": "text"}},
    "viewport": {"x": 0, "y": 0, "zoom": 1},
    "createdAt": None,
}


PROMPT = InterfaceSlot(data_flow_type=DataFlowType.STRING, required=True)


def refusal(document: object, source: str = "workflow") -> tuple[Finding, ...]:
    with pytest.raises(WorkflowError) as caught:
        parse_workflow(document, source=source)
    return caught.value.findings


def unreadable(text: str | bytes) -> tuple[str, str]:
    with pytest.raises(WorkflowError) as caught:
        read_workflow(text, source="a.json")
    (finding,) = caught.value.findings
    assert finding.message == str(caught.value)
    return finding.code, finding.message


def test_both_formats_are_one_workflow() -> None:
    parsed = parse_workflow(PAYLOAD)
    assert parsed == parse_workflow(CANVAS)
    assert parsed == Workflow(
        id="w1",
        nodes=(
            WorkflowNode(
                id="a",
                full_type="core:Text",
                inputs={"text": "hi"},
                config_values={"k": 1},
                bypassed=True,
                input_connection_orders=ORDERS,
            ),
            WorkflowNode(id="7", full_type="core:Out"),
        ),
        edges=(Edge(id="e1", source="a", source_slot="text", target="7", target_slot="in"),),
        interface_inputs={"prompt": PROMPT},
        interface_outputs={"out": InterfaceSlot(display_name="Out", is_stream=True)},
        output_mappings={"out": OutputMapping(source_node_id="a", source_slot_key="text")},
    )


def test_a_parsed_workflow_passes_through() -> None:
    workflow = parse_workflow(PAYLOAD)
    assert parse_workflow(workflow) is workflow


def test_the_least_workflow() -> None:
    assert parse_workflow({"nodes": []}) == Workflow(nodes=())
    assert parse_workflow(MappingProxyType({"nodes": ()})) == Workflow(nodes=())


def test_null_is_as_good_as_left_out() -> None:
    names = ("edges", "interfaceInputs", "interfaceOutputs", "outputInterfaceMappings", "name")
    assert parse_workflow({"nodes": [], **dict.fromkeys(names)}) == Workflow(nodes=())


def test_ids_are_texts_whatever_they_look_like() -> None:
    node = {"id": 1, "type": "t", "inputConnectionOrders": {"a": [1, "2"]}}
    edge = {"id": 3, "source": 1, "sourceHandle": "o", "target": 1, "targetHandle": "a"}
    mapping = {"sourceNodeId": 1, "sourceSlotKey": "o"}
    document = {"nodes": [node], "edges": [edge], "outputInterfaceMappings": {"o": mapping}}
    parsed = parse_workflow(document)
    assert parsed.nodes[0].id == "1"
    assert parsed.nodes[0].input_connection_orders == {"a": ["1", "2"]}
    assert (parsed.edges[0].id, parsed.edges[0].source, parsed.edges[0].target) == ("3", "1", "1")
    assert parsed.output_mappings == {"o": OutputMapping(source_node_id="1", source_slot_key="o")}


def test_an_interface_slot_knows_its_type() -> None:
    slot = InterfaceSlot.model_validate(
        {"dataFlowType": "ARRAY", "isStream": True, "matchCategories": ["Json"]}
    )
    assert slot.slot_type == SlotType(DataFlowType.ARRAY, True, frozenset({"Json"}))
    assert InterfaceSlot.model_validate({"customDescription": "d"}).description == "d"


@pytest.mark.parametrize(
    "document",
    [None, True, 5, "nodes", [], {}, {"nodes": None}, {"nodes": {}}, {"nodes": "ab"}],
    ids=repr,
)
def test_what_is_no_workflow_at_all(document: object) -> None:
    message = "a.json is not a workflow: expected an object with a list of 'nodes'"
    assert refusal(document, "a.json") == (Finding("not_a_workflow", message),)


def test_every_shape_error_is_reported_at_once() -> None:
    edge = {"sourceNodeId": "a", "sourceHandle": 5, "targetNodeId": True, "targetHandle": "in"}
    document = {
        "nodes": [
            {"fullType": "core:Text"},
            {"id": None, "fullType": 5},
            "node",
            {"id": "a", "fullType": "t", "inputs": [], "configValues": "x", "bypassed": "maybe"},
            {"id": "b", "fullType": "t", "inputConnectionOrders": {"s": "e1"}},
        ],
        "edges": [edge, {}],
        "interfaceInputs": {"p": {"dataFlowType": "TEXT"}, "q": 5},
        "outputInterfaceMappings": {"o": {}},
    }
    flows = "'STRING', 'INTEGER', 'FLOAT', 'BOOLEAN', 'OBJECT', 'ARRAY', 'BINARY', 'WILDCARD'"
    expected = {
        "nodes.0.id": "field required",
        "nodes.1.id": "input should be a valid string",
        "nodes.1.fullType": "input should be a valid string",
        "nodes.2": "input should be a valid dictionary or instance of WorkflowNode",
        "nodes.3.inputs": "input should be a valid dictionary",
        "nodes.3.configValues": "input should be a valid dictionary",
        "nodes.3.bypassed": "input should be a valid boolean, unable to interpret input",
        "nodes.4.inputConnectionOrders.s": "input should be a valid list",
        "edges.0.sourceHandle": "input should be a valid string",
        "edges.0.targetNodeId": "input should be a valid string",
        "edges.1.sourceNodeId": "field required",
        "edges.1.sourceHandle": "field required",
        "edges.1.targetNodeId": "field required",
        "edges.1.targetHandle": "field required",
        "interfaceInputs.p.dataFlowType": f"input should be {flows} or 'CONVERTIBLE_ANY'",
        "interfaceInputs.q": "input should be a valid dictionary or instance of InterfaceSlot",
        "outputInterfaceMappings.o.sourceNodeId": "field required",
        "outputInterfaceMappings.o.sourceSlotKey": "field required",
    }
    assert refusal(document, "a.json") == tuple(
        Finding("bad_shape", f"a.json: {path}: {message}", path=path)
        for path, message in expected.items()
    )


def test_a_message_is_one_line_without_control_characters() -> None:
    (finding,) = refusal({"nodes": [], "interfaceInputs": {"a\nb\x1b[2J": 5}})
    assert finding.message.isprintable()


def nested(depth: int) -> Json:
    value: Json = []
    for level in range(depth - 1):
        value = [value] if level % 2 else {"a": value}
    return value


def test_depth_is_limited() -> None:
    node = {"id": "a", "fullType": "t"}
    # the document, its list of nodes, the node and its inputs are the first four levels
    parsed = parse_workflow({"nodes": [{**node, "inputs": {"v": nested(196)}}]})
    assert parsed.nodes[0].id == "a"
    deep = {"nodes": [{**node, "inputs": {"v": nested(197)}}]}
    message = "workflow is nested more than 200 levels deep"
    assert refusal(deep) == (Finding("too_deep", message),)
    assert refusal({"nodes": [], "extra": nested(100_000)}) == (Finding("too_deep", message),)


HUGE = b'{"nodes": [' + b"1" * 5000 + b"]}"


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "not_json", "a.json is not JSON: expecting value (line 1, column 1)"),
        (b"", "not_json", "a.json is not JSON: expecting value (line 1, column 1)"),
        ('{\n "nodes": [,]', "not_json", "a.json is not JSON: expecting value (line 2, column 12)"),
        (b'{"nodes": "\xff"}', "not_utf8", "a.json is not UTF-8 text"),
        (b"\xff\xfe\xff", "not_utf8", "a.json is not UTF-8 text"),
        ("[" * 100_000, "too_deep", "a.json is nested too deeply to be a workflow"),
        (
            "[]",
            "not_a_workflow",
            "a.json is not a workflow: expected an object with a list of 'nodes'",
        ),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_text_that_cannot_be_read(text: str | bytes, code: str, message: str) -> None:
    assert unreadable(text) == (code, message)


def test_an_endless_number_is_not_called_a_deep_one() -> None:
    code, message = unreadable(HUGE)
    assert code != "too_deep"
    assert "nested" not in message


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_workflow_files_are_read(encoding: str) -> None:
    assert read_workflow(json.dumps(CANVAS).encode(encoding)) == parse_workflow(CANVAS)
    assert read_workflow(json.dumps(PAYLOAD)) == parse_workflow(PAYLOAD)


LONE = "\ud83d"  # half of an emoji, as JSON may spell it


@pytest.mark.parametrize(
    "document",
    [
        {"nodes": [{"id": LONE, "fullType": "t"}]},
        {"nodes": [{"id": "a", "fullType": LONE}]},
        {"nodes": [], "interfaceOutputs": {LONE: {}}},
        {"nodes": [], "interfaceOutputs": {"a": {"displayName": LONE}}},
        {
            "nodes": [],
            "outputInterfaceMappings": {LONE: {"sourceNodeId": "a", "sourceSlotKey": "b"}},
        },
    ],
    ids=ascii,
)
def test_names_that_no_event_can_carry_are_refused(document: Json) -> None:
    # an id goes into every event of its node, and from there onto the wire as UTF-8
    (finding,) = refusal(document)
    finding.message.encode()
    assert finding.code == "bad_shape"


def test_half_an_emoji_in_a_value_is_the_nodes_business() -> None:
    (node,) = parse_workflow({"nodes": [{"id": "a", "fullType": "t", "inputs": {"t": LONE}}]}).nodes
    assert node.inputs == {"t": LONE}


# --- foreign input ------------------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8)
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
NODE_KEYS = (
    "id fullType type inputs inputValues configValues bypassed isBypassed inputConnectionOrders"
)
EDGE_KEYS = "id sourceNodeId source sourceHandle targetNodeId target targetHandle"
SLOT_KEYS = "key displayName description dataFlowType isStream matchCategories required config"


def objects(keys: str) -> st.SearchStrategy[Json]:
    return st.dictionaries(st.sampled_from(keys.split()), ANY, max_size=6)


# Documents that look like workflows, with anything in any place.
ALMOST = st.fixed_dictionaries(
    {"nodes": st.lists(objects(NODE_KEYS) | ANY, max_size=3)},
    optional={
        "id": ANY,
        "name": ANY,
        "edges": st.lists(objects(EDGE_KEYS) | ANY, max_size=3) | ANY,
        "interfaceInputs": st.dictionaries(st.text(max_size=3), objects(SLOT_KEYS) | ANY) | ANY,
        "interfaceOutputs": ANY,
        "outputInterfaceMappings": st.dictionaries(st.text(max_size=3), ANY) | ANY,
    },
)


def check(findings: tuple[Finding, ...]) -> None:
    assert findings
    for finding in findings:
        assert finding.message
        json.dumps(finding.to_wire(), ensure_ascii=False).encode()


@settings(deadline=None)
@given(st.one_of(ANY, ALMOST))
@example({"nodes": [{"id": 10**5000, "fullType": "t"}]})
@example({"nodes": [{"id": "a", "fullType": "t", "inputConnectionOrders": {"\ud800": 5}}]})
def test_any_json_value_is_a_workflow_or_refused(document: Json) -> None:
    try:
        assert isinstance(parse_workflow(document), Workflow)
    except WorkflowError as exc:
        check(exc.findings)


@settings(deadline=None)
@given(st.one_of(st.binary(), ALMOST.map(json.dumps).map(str.encode)))
@example(b"\xef\xbb\xbf")
@example(b"\x00")
@example(b"\xfe\xff\xd8\x00")
@example(HUGE)
def test_any_bytes_are_a_workflow_or_refused(data: bytes) -> None:
    try:
        assert isinstance(read_workflow(data), Workflow)
    except WorkflowError as exc:
        check(exc.findings)


@settings(deadline=None)
@given(st.text())
@example("\ufeff{}")
@example("\ud800")
def test_any_text_is_a_workflow_or_refused(text: str) -> None:
    try:
        assert isinstance(read_workflow(text), Workflow)
    except WorkflowError as exc:
        check(exc.findings)

"""Old workflows brought up to date: types, names, both ends of edges, orders, outputs."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest

from comfytavern.definitions import (
    InputDefinition,
    NodeDefinition,
    OutputDefinition,
    Replacement,
)
from comfytavern.migrations import heir_of, migrate, migrate_document
from comfytavern.registry import NodeRegistry
from comfytavern.workflow import parse_workflow

Json = dict[str, Any]  # Any: JSON

SHOUT = NodeDefinition(
    type="Shout",
    inputs={
        "message": InputDefinition(multi=True),
        "times": InputDefinition(),
        "mark": InputDefinition(),
    },
    outputs={"loud": OutputDefinition(), "rest": OutputDefinition()},
    config_schema={"tone": InputDefinition()},
    replaces=(
        Replacement(
            type="Yell",
            inputs={"text": "message", "count": "times"},
            outputs={"out": "loud"},
            config={"level": "tone"},
        ),
        Replacement(type="Shout", inputs={"sign": "mark"}, outputs={"remainder": "rest"}),
    ),
)


def registry_of(*definitions: NodeDefinition) -> NodeRegistry:
    registry = NodeRegistry(aliases={"core": ("a-pack",)})
    registry.add_pack("a-pack", "2.0", definitions)
    return registry


REGISTRY = registry_of(SHOUT)

PAYLOAD: Json = {
    "nodes": [
        {
            "id": 1,
            "fullType": "a-pack:Yell",
            "inputs": {"count": 2, "other": None},
            "configValues": {"level": 9, "kept": [1]},
            "inputConnectionOrders": {"text": ["e2", "e1"]},
        },
        {"id": "same", "fullType": "b-pack:Yell", "inputs": {"text": "x", "count": 1}},
    ],
    "edges": [
        {
            "id": "e1",
            "sourceNodeId": "same",
            "sourceHandle": "out",
            "targetNodeId": 1,
            "targetHandle": "text__0",
        },
        {
            "id": "e2",
            "sourceNodeId": 1,
            "sourceHandle": "out",
            "targetNodeId": "same",
            "targetHandle": "text",
        },
    ],
    "outputInterfaceMappings": {
        "said": {"sourceNodeId": 1, "sourceSlotKey": "out"},
        "else": {"sourceNodeId": "same", "sourceSlotKey": "out"},
    },
}
MIGRATED: Json = {
    "nodes": [
        {
            "id": 1,
            "fullType": "a-pack:Shout",
            "inputs": {"times": 2, "other": None},
            "configValues": {"tone": 9, "kept": [1]},
            "inputConnectionOrders": {"message": ["e2", "e1"]},
        },
        PAYLOAD["nodes"][1],
    ],
    "edges": [
        {**PAYLOAD["edges"][0], "targetHandle": "message__0"},
        {**PAYLOAD["edges"][1], "sourceHandle": "loud"},
    ],
    "outputInterfaceMappings": {
        "said": {"sourceNodeId": 1, "sourceSlotKey": "loud"},
        "else": {"sourceNodeId": "same", "sourceSlotKey": "out"},
    },
}
CANVAS: Json = {
    "zebra": {"kept": True},
    "nodes": [
        {
            "position": {"x": 1, "y": 2},
            "type": "a-pack:Yell",
            "id": "n",
            "inputValues": {"text": "ab", "count": 3},
            "configValues": {"level": 1},
            "data": {"type": "a-pack:Yell", "text": 1},
        }
    ],
    "edges": [
        {"source": "n", "target": "n", "targetHandle": "count", "sourceHandle": "out", "extra": 1}
    ],
    "viewport": {"zoom": 1.5},
}


def found(notes: object) -> list[tuple[str, str | None]]:
    return [(note.code, note.slot) for note in notes]  # type: ignore[attr-defined]  # findings


def node(full_type: str, **inputs: object) -> Json:
    return {"nodes": [{"id": "n", "fullType": full_type, "inputs": inputs}]}


def test_everything_that_names_a_slot_follows() -> None:
    migrated = migrate(parse_workflow(PAYLOAD), REGISTRY)
    assert migrated.workflow == parse_workflow(MIGRATED)
    assert [(note.node, note.message, note.severity) for note in migrated.notes] == [
        ("1", "node '1': its type 'a-pack:Yell' is 'a-pack:Shout' now", "warning"),
        ("1", "node '1': input 'count' is 'times' now", "warning"),
        ("1", "node '1': config value 'level' is 'tone' now", "warning"),
        ("1", "node '1': input 'text' is 'message' now", "warning"),
        ("1", "node '1': output 'out' is 'loud' now", "warning"),
    ]
    assert found(migrated.notes) == [
        ("node_replaced", None),
        ("input_renamed", "count"),
        ("config_renamed", "level"),
        ("input_renamed", "text"),
        ("output_renamed", "out"),
    ]


@pytest.mark.parametrize("document", [PAYLOAD, CANVAS], ids=["payload", "canvas"])
def test_a_document_and_its_workflow_become_the_same(document: Json) -> None:
    before = copy.deepcopy(document)
    changed, workflow = (
        migrate_document(document, REGISTRY),
        migrate(parse_workflow(document), REGISTRY),
    )
    assert document == before, "what was given is not changed"
    assert parse_workflow(changed.document) == workflow.workflow
    assert changed.notes == workflow.notes


def test_a_document_keeps_what_nobody_renamed_and_the_order_of_keys() -> None:
    migrated = migrate_document(CANVAS, REGISTRY).document
    text = json.dumps(CANVAS)
    for old, new in (
        ('"type": "a-pack:Yell", "id"', '"type": "a-pack:Shout", "id"'),
        ('{"text": "ab", "count": 3}', '{"message": "ab", "times": 3}'),
        ('{"level": 1}', '{"tone": 1}'),
        (
            '"targetHandle": "count", "sourceHandle": "out"',
            '"targetHandle": "times", "sourceHandle": "loud"',
        ),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    assert json.dumps(migrated) == text


@pytest.mark.parametrize("document", [PAYLOAD, CANVAS], ids=["payload", "canvas"])
def test_a_second_time_changes_nothing(document: Json) -> None:
    once = migrate_document(document, REGISTRY)
    twice = migrate_document(once.document, REGISTRY)
    assert once.notes
    assert (twice.document, twice.notes) == (once.document, ())
    workflow = parse_workflow(once.document)
    assert migrate(workflow, REGISTRY).workflow == workflow


def test_what_is_not_old_is_handed_back_as_it_is() -> None:
    workflow = parse_workflow(node("a-pack:Other", text=1))
    assert migrate(workflow, REGISTRY).workflow is workflow
    assert migrate_document(node("a-pack:Other"), REGISTRY).document == node("a-pack:Other")
    assert migrate(workflow, NodeRegistry()).notes == ()


def test_a_type_that_exists_is_not_replaced() -> None:
    registry = registry_of(SHOUT, NodeDefinition(type="Yell", inputs={"text": InputDefinition()}))
    workflow = parse_workflow(PAYLOAD)
    assert migrate(workflow, registry).workflow is workflow


def test_a_slot_of_the_same_type_has_another_name() -> None:
    document = node("a-pack:Shout", sign="!", times=2)
    migrated = migrate_document(document, REGISTRY)
    assert migrated.document == node("a-pack:Shout", mark="!", times=2)
    assert found(migrated.notes) == [("input_renamed", "sign")]
    assert migrate_document(node("a-pack:Shout", mark="?"), REGISTRY).notes == ()


def test_old_types_go_through_later_renames_of_slots() -> None:
    registry = registry_of(
        SHOUT.model_copy(
            update={
                "replaces": (
                    Replacement(type="Yell", inputs={"end": "sign"}, outputs={"out": "remainder"}),
                    SHOUT.replaces[1],
                )
            }
        )
    )
    heir = heir_of("a-pack:Yell", registry)
    assert heir is not None
    assert (heir.inputs, heir.outputs) == (
        {"end": "mark", "sign": "mark"},
        {"out": "rest", "remainder": "rest"},
    )


def test_an_alias_stays_where_it_leads_to_the_heir() -> None:
    assert migrate_document(node("core:Yell"), REGISTRY).document == node("core:Shout")
    registry = NodeRegistry(aliases={"core": ("gone", "a-pack")})
    moved = SHOUT.model_copy(update={"replaces": (Replacement(type="gone:Yell"),)})
    registry.add_pack("a-pack", "2.0", [moved])
    assert migrate_document(node("core:Yell"), registry).document == node("core:Shout")
    assert migrate_document(node("gone:Yell"), registry).document == node("a-pack:Shout")


def chain(*replaces: Replacement, **more: Any) -> NodeRegistry:  # Any: fields of a definition
    slots = {"inputs": {"c": InputDefinition(), "kept": InputDefinition()}}
    return registry_of(NodeDefinition(type="C", replaces=replaces, **{**slots, **more}))


@pytest.mark.parametrize("turned", [False, True])
def test_a_chain_leads_to_its_end(turned: bool) -> None:
    steps = (
        Replacement(type="A", into="B", inputs={"a": "b"}),
        Replacement(type="B", inputs={"b": "c", "more": "kept"}),
    )
    registry = chain(*(reversed(steps) if turned else steps))
    migrated = migrate_document(node("a-pack:A", a=1, more=2), registry)
    assert migrated.document == node("a-pack:C", c=1, kept=2)
    assert [note.message for note in migrated.notes] == [
        "node 'n': its type 'a-pack:A' is 'a-pack:C' now",
        "node 'n': input 'a' is 'c' now",
        "node 'n': input 'more' is 'kept' now",
    ]
    assert migrate_document(node("a-pack:B", b=1), registry).document == node("a-pack:C", c=1)


def test_a_chain_ends_at_a_type_that_exists() -> None:
    registry = registry_of(
        NodeDefinition(type="B", inputs={"b": InputDefinition()}),
        NodeDefinition(
            type="C",
            inputs={"c": InputDefinition()},
            replaces=(
                Replacement(type="A", into="B", inputs={"a": "b"}),
                Replacement(type="B", inputs={"b": "c"}),
            ),
        ),
    )
    assert migrate_document(node("a-pack:A", a=1), registry).document == node("a-pack:B", b=1)


def test_two_names_may_change_places() -> None:
    swap = Replacement(type="Old", inputs={"c": "kept", "kept": "c"})
    migrated = migrate_document(node("a-pack:Old", c=1, kept=2), chain(swap)).document
    assert migrated == node("a-pack:C", kept=1, c=2)


@pytest.mark.parametrize(
    ("maps", "given", "expected"),
    [
        ({"a": "c"}, {"a": 1, "c": 2}, {"a": 1, "c": 2}),
        ({"a": "c"}, {"c": 2, "a": 1}, {"c": 2, "a": 1}),
        ({"a": "c", "b": "c"}, {"a": 1, "b": 2}, {"c": 1, "b": 2}),
    ],
)
def test_no_value_is_overwritten(maps: Mapping[str, str], given: Json, expected: Json) -> None:
    registry = chain(Replacement(type="Old", inputs=dict(maps)))
    migrated = migrate_document(node("a-pack:Old", **given), registry)
    assert list(migrated.document["nodes"][0]["inputs"].items()) == list(expected.items())
    left = next(name for name in expected if name != "c")
    assert migrated.notes[-1].code == "rename_taken"
    assert migrated.notes[-1].message == (
        f"node 'n': input {left!r} is 'c' now, and both have a value; that of 'c' counts"
    )


def test_handles_that_only_look_numbered_stay() -> None:
    registry = chain(Replacement(type="Old", inputs={"a": "c", "a__x": "kept", "kept": "kept"}))
    heads = ["a", "a__0", "a__x", "a__12", "b__0", "a__", "kept"]
    edges = [
        {"source": "n", "sourceHandle": "o", "target": "n", "targetHandle": head} for head in heads
    ]
    changed = migrate_document({**node("a-pack:Old"), "edges": edges}, registry)
    assert [edge["targetHandle"] for edge in changed.document["edges"]] == [
        "c",
        "c__0",
        "kept",
        "c__12",
        "b__0",
        "a__",
        "kept",
    ]
    assert "kept" not in [note.slot for note in changed.notes]


def test_notes_name_a_node_inside_a_group_by_its_whole_id() -> None:
    [note, *_] = migrate(parse_workflow(PAYLOAD), REGISTRY, prefix="g/").notes
    assert (note.node, note.message) == (
        "g/1",
        "node 'g/1': its type 'a-pack:Yell' is 'a-pack:Shout' now",
    )

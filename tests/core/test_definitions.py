"""Node definitions: what is refused, and how they look on the wire."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from comfytavern.definitions import (
    BypassBehavior,
    GraphRole,
    InputDefinition,
    NodeAction,
    NodeDefinition,
    NodeMode,
    OutputDefinition,
    Replacement,
)
from comfytavern.types import DataFlowType, SlotType

Wire = dict[str, Any]  # Any: JSON


async def execute(inputs: Mapping[str, object], context: object) -> dict[str, object]:
    return {}


def messages(error: ValidationError) -> list[str]:
    return [problem["msg"].removeprefix("Value error, ") for problem in error.errors()]


MODES = {"a": NodeMode(), "b": NodeMode()}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": ""}, "type '' is not a name (letters, digits, '_', '-', '.')"),
    ({"type": "core:Text"}, "type 'core:Text' is not a name (letters, digits, '_', '-', '.')"),
    ({"type": "1st"}, "type '1st' is not a name (letters, digits, '_', '-', '.')"),
    ({"type": "two words"}, "type 'two words' is not a name (letters, digits, '_', '-', '.')"),
    ({"file_path": "/etc/a.py"}, "file_path is relative to the distribution, never absolute"),
    ({"file_path": "\\a.py"}, "file_path is relative to the distribution, never absolute"),
    ({"file_path": "C:\\a.py"}, "file_path is relative to the distribution, never absolute"),
    ({"modes": {"a": NodeMode()}}, "a node with modes names its mode_config_key"),
    (
        {
            "modes": {"a": NodeMode(), "b": NodeMode()},
            "mode_config_key": "m",
            "default_mode_id": "c",
        },
        "default_mode_id 'c' is no mode; modes: a, b",
    ),
    ({"default_mode_id": "c"}, "default_mode_id 'c' is no mode; modes: none"),
    ({"execute": "no_colon"}, "execute 'no_colon' is not 'package.module:attribute'"),
    ({"execute": ":run"}, "execute ':run' is not 'package.module:attribute'"),
    ({"execute": "mod:run()"}, "execute 'mod:run()' is not 'package.module:attribute'"),
    (
        {"modes": {"a": NodeMode(execute="x y")}, "mode_config_key": "m"},
        "execute 'x y' is not 'package.module:attribute'",
    ),
    ({"bypass_behavior": "loud"}, "Input should be 'mute'"),
    ({"colour": "red"}, "Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED, ids=[text[:40] for _, text in REFUSED])
def test_definitions_that_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        NodeDefinition(**{"type": "T"} | fields)
    assert messages(caught.value)[0] == message


@pytest.mark.parametrize(
    ("flow", "default", "named"),
    [
        (DataFlowType.INTEGER, "x", "text"),
        (DataFlowType.INTEGER, 0.5, "a number"),
        (DataFlowType.INTEGER, True, "a boolean"),
        (DataFlowType.FLOAT, "1.5", "text"),
        (DataFlowType.STRING, 5, "a whole number"),
        (DataFlowType.BOOLEAN, 1, "a whole number"),
        (DataFlowType.ARRAY, {}, "an object"),
        (DataFlowType.OBJECT, "x", "text"),
        (DataFlowType.BINARY, [], "a list"),
    ],
)
def test_a_default_fits_its_slot(flow: DataFlowType, default: object, named: str) -> None:
    with pytest.raises(ValidationError) as caught:
        InputDefinition(data_flow_type=flow, config={"default": default})
    expected = f"the default is {named}, but the slot is {flow.value}"
    assert messages(caught.value) == [expected]


def test_a_multi_slot_may_have_a_list_as_its_default() -> None:
    slot = InputDefinition(
        data_flow_type=DataFlowType.STRING, multi=True, config={"default": ["a"]}
    )
    assert slot.config == {"default": ["a"]}
    none = InputDefinition(data_flow_type=DataFlowType.STRING, config={"default": None})
    assert none.config == {"default": None}


@pytest.mark.parametrize("name", ["Text", "text-merge", "v1.2", "_private", "Größe"])
def test_names_of_types(name: str) -> None:
    assert NodeDefinition(type=name).type == name


@pytest.mark.parametrize("reference", ["mod:run", "a.b.c:Thing.run", "_x:_y"])
def test_references_to_code(reference: str) -> None:
    assert NodeDefinition(type="T", execute=reference).execute == reference


def test_definitions_are_frozen() -> None:
    definition = NodeDefinition(type="T")
    with pytest.raises(ValidationError):
        definition.type = "U"  # type: ignore[misc]  # that it is refused is the point


def test_fields_may_be_given_under_their_wire_names() -> None:
    given: Wire = {
        "type": "T",
        "displayName": "A T",
        "inputs": {"a": {"dataFlowType": "STRING", "isStream": True, "hideHandle": True}},
        "configSchema": {"k": {"dataFlowType": "INTEGER", "required": True}},
        "isPreviewUnsafe": True,
        "graphRole": "group",
    }
    definition = NodeDefinition.model_validate(given)
    assert definition.display_name == "A T"
    assert definition.inputs["a"].slot_type == SlotType(DataFlowType.STRING, True, frozenset())
    assert definition.config_schema["k"].required is True
    assert definition.graph_role is GraphRole.GROUP


def test_a_slot_knows_its_type() -> None:
    slot = OutputDefinition(data_flow_type=DataFlowType.ARRAY, match_categories=("Json", "Mine"))
    assert slot.slot_type == SlotType(DataFlowType.ARRAY, False, frozenset({"Json", "Mine"}))
    assert slot.slot_type is slot.slot_type


def test_the_least_definition_on_the_wire() -> None:
    assert NodeDefinition(type="T", execute=execute).to_wire() == {
        "type": "T",
        "fullType": "T",
        "displayName": "T",
        "category": "Utilities",
        "description": "",
        "inputs": {},
        "outputs": {},
    }


def full() -> NodeDefinition:
    preview = NodeAction(
        id="look",
        icon="eye",
        label="Look",
        tooltip="Shows it",
        handler_type="builtin_preview",
        handler_args={"wide": True},
    )
    text = InputDefinition(
        display_name="Text",
        description="What to say",
        data_flow_type=DataFlowType.STRING,
        match_categories=("Markdown",),
        required=True,
        multi=True,
        config={"default": "hi", "multiline": True, "placeholder": "..."},
        actions=(preview,),
        allow_dynamic_type=True,
        hide_handle=True,
    )
    return NodeDefinition(
        type="Say",
        namespace="test",
        category="Text",
        display_name="Say it",
        description="Says something.",
        inputs={"text": text},
        outputs={"words": OutputDefinition(data_flow_type=DataFlowType.STRING, is_stream=True)},
        config_schema={"tone": InputDefinition(data_flow_type=DataFlowType.STRING)},
        modes={
            "loud": NodeMode(
                display_name="Loud",
                description="Louder",
                inputs={"volume": InputDefinition(data_flow_type=DataFlowType.INTEGER)},
                outputs={"noise": OutputDefinition(data_flow_type=DataFlowType.BINARY)},
                execute=execute,
            )
        },
        mode_config_key="tone",
        default_mode_id="loud",
        dynamic_slots=True,
        bypass_behavior=BypassBehavior(pass_through={"words": "text"}, defaults={"words": "-"}),
        client_script_url="/client_scripts/test/say.js",
        width=300,
        deprecated=True,
        experimental=True,
        is_preview_unsafe=True,
        file_path="test/say.py",
        replaces=(Replacement(type="OldSay", inputs={"old": "text"}),),
        idempotent=True,
        graph_role=GraphRole.GROUP_INPUT,
        execute=execute,
    )


FULL: Wire = {
    "type": "Say",
    "fullType": "test:Say",
    "namespace": "test",
    "category": "Text",
    "displayName": "Say it",
    "description": "Says something.",
    "inputs": {
        "text": {
            "displayName": "Text",
            "description": "What to say",
            "dataFlowType": "STRING",
            "matchCategories": ["Markdown"],
            "required": True,
            "multi": True,
            "config": {"default": "hi", "multiline": True, "placeholder": "..."},
            "actions": [
                {
                    "id": "look",
                    "icon": "eye",
                    "label": "Look",
                    "tooltip": "Shows it",
                    "handlerType": "builtin_preview",
                    "handlerArgs": {"wide": True},
                }
            ],
            "allowDynamicType": True,
            "hideHandle": True,
        }
    },
    "outputs": {"words": {"dataFlowType": "STRING", "isStream": True}},
    "configSchema": {"tone": {"dataFlowType": "STRING"}},
    "modes": {
        "loud": {
            "displayName": "Loud",
            "description": "Louder",
            "inputs": {"volume": {"dataFlowType": "INTEGER"}},
            "outputs": {"noise": {"dataFlowType": "BINARY"}},
        }
    },
    "modeConfigKey": "tone",
    "defaultModeId": "loud",
    "dynamicSlots": True,
    "bypassBehavior": {"passThrough": {"words": "text"}, "defaults": {"words": "-"}},
    "clientScriptUrl": "/client_scripts/test/say.js",
    "width": 300,
    "deprecated": True,
    "experimental": True,
    "isPreviewUnsafe": True,
    "filePath": "test/say.py",
    "replaces": [{"type": "OldSay", "inputs": {"old": "text"}}],
    "idempotent": True,
    "graphRole": "group_input",
}


def test_a_full_definition_on_the_wire() -> None:
    assert json.loads(json.dumps(full().to_wire())) == FULL


def test_what_is_on_the_wire_describes_the_same_node() -> None:
    wire = full().to_wire()
    del wire["fullType"]
    again = NodeDefinition.model_validate(json.loads(json.dumps(wire)))
    assert again.to_wire() == full().to_wire()


def test_mute_on_the_wire() -> None:
    assert NodeDefinition(type="T", bypass_behavior="mute").to_wire()["bypassBehavior"] == "mute"


def test_what_depends_on_the_configuration_is_not_on_the_wire() -> None:
    depends = InputDefinition(data_flow_type=DataFlowType.STRING, required=lambda config: True)
    needed = InputDefinition(data_flow_type=DataFlowType.STRING, required=True)
    slots = {"depends": depends, "needed": needed}
    definition = NodeDefinition(
        type="T",
        inputs=slots,
        config_schema=slots,
        modes={"m": NodeMode(inputs=slots)},
        mode_config_key="needed",
    )
    wire: Wire = definition.to_wire()
    expected = {
        "depends": {"dataFlowType": "STRING"},
        "needed": {"dataFlowType": "STRING", "required": True},
    }
    assert wire["inputs"] == wire["configSchema"] == wire["modes"]["m"]["inputs"] == expected


def test_every_slot_on_the_wire_names_its_type() -> None:
    slots = {"any": InputDefinition()}
    definition = NodeDefinition(
        type="T",
        inputs=slots,
        outputs={"any": OutputDefinition()},
        config_schema=slots,
        modes={"m": NodeMode(inputs=slots, outputs={"any": OutputDefinition()})},
        mode_config_key="any",
    )
    wire: Wire = definition.to_wire()
    mode = wire["modes"]["m"]
    places = [
        wire["inputs"],
        wire["outputs"],
        wire["configSchema"],
        mode["inputs"],
        mode["outputs"],
    ]
    assert places == [{"any": {"dataFlowType": "WILDCARD"}}] * 5


class Unknown:
    """A default that JSON has no word for."""

    def __repr__(self) -> str:
        return "Unknown()"


@pytest.mark.parametrize(
    "default", [b"", b"\xff", {1, 2}, Unknown(), [Unknown()], math.nan], ids=repr
)
def test_a_default_that_json_cannot_hold_does_not_break_the_listing(default: object) -> None:
    flow = DataFlowType.BINARY if isinstance(default, bytes) else DataFlowType.WILDCARD
    slot = InputDefinition(data_flow_type=flow, config={"default": default})
    wire = NodeDefinition(type="T", inputs={"a": slot}).to_wire()
    json.dumps(wire, allow_nan=False, ensure_ascii=False).encode()


def test_code_is_neither_dumped_nor_shown() -> None:
    definition = NodeDefinition(type="T", execute=execute)
    assert "execute" not in definition.model_dump()
    assert "execute" not in repr(definition)

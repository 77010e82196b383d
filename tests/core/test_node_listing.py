"""Definitions as the front end reads them; what packs put into them never breaks the list."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

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
from comfytavern.hookspecs import hookimpl
from comfytavern.node_listing import definition_for_wire, definitions_for_wire
from comfytavern.packs import PackManager
from comfytavern.registry import RegisteredNode
from comfytavern.types import DataFlowType

Wire = dict[str, Any]  # Any: JSON


async def execute(inputs: Mapping[str, object], context: object) -> dict[str, object]:
    return {}


class Offering:
    def __init__(self, *definitions: NodeDefinition) -> None:
        self.definitions = definitions

    @hookimpl
    def register_nodes(self) -> Iterable[NodeDefinition]:
        return self.definitions


def listed(*definitions: NodeDefinition) -> list[Wire]:
    manager = PackManager(found=[])
    manager.add(Offering(*definitions), distribution="some-pack", version="1.5")
    wire = definitions_for_wire(manager.registry)
    json.dumps(wire, allow_nan=False, ensure_ascii=False).encode()
    return wire


def text(**fields: Any) -> InputDefinition:  # Any: the fields of InputDefinition
    return InputDefinition(data_flow_type=DataFlowType.STRING, **fields)


def test_the_least_definition() -> None:
    assert listed(NodeDefinition(type="T")) == [
        {
            "type": "T",
            "fullType": "some-pack:T",
            "namespace": "some-pack",
            "category": "Utilities",
            "displayName": "T",
            "description": "",
            "inputs": {},
            "outputs": {},
            "pack": "some-pack",
            "packVersion": "1.5",
        }
    ]


def test_a_definition_with_every_field() -> None:
    look = NodeAction(
        id="look", icon="eye", handler_type="builtin_preview", handler_args={"wide": True}
    )
    definition = NodeDefinition(
        type="Say",
        category="Text",
        display_name="Say it",
        description="Says something.",
        inputs={
            "text": text(
                display_name="Text",
                description="What to say",
                match_categories=("Markdown", "Mine"),
                required=True,
                multi=True,
                config={"default": "hi", "multiline": True, "suggestions": ["hi", "ho"]},
                actions=(look,),
                allow_dynamic_type=True,
                hide_handle=True,
            ),
            "any": InputDefinition(),
        },
        outputs={"words": OutputDefinition(data_flow_type=DataFlowType.STRING, is_stream=True)},
        config_schema={"tone": text(config={"default": "loud"})},
        modes={
            "loud": NodeMode(
                display_name="Loud",
                description="Louder",
                inputs={"volume": InputDefinition(data_flow_type=DataFlowType.INTEGER)},
                outputs={"noise": OutputDefinition(data_flow_type=DataFlowType.BINARY)},
                execute=execute,
            ),
            "low": NodeMode(),
        },
        mode_config_key="tone",
        default_mode_id="loud",
        dynamic_slots=True,
        bypass_behavior=BypassBehavior(pass_through={"words": "text"}, defaults={"words": "-"}),
        client_script_url="client_scripts/say.js",
        width=300,
        deprecated=True,
        experimental=True,
        is_preview_unsafe=True,
        file_path="test/say.py",
        replaces=(Replacement(type="OldSay"),),
        idempotent=True,
        graph_role=GraphRole.GROUP,
        execute=execute,
    )
    assert listed(definition) == [
        {
            "type": "Say",
            "fullType": "some-pack:Say",
            "namespace": "some-pack",
            "category": "Text",
            "displayName": "Say it",
            "description": "Says something.",
            "inputs": {
                "text": {
                    "displayName": "Text",
                    "description": "What to say",
                    "dataFlowType": "STRING",
                    "matchCategories": ["Markdown", "Mine"],
                    "required": True,
                    "multi": True,
                    "config": {"default": "hi", "multiline": True, "suggestions": ["hi", "ho"]},
                    "actions": [
                        {
                            "id": "look",
                            "icon": "eye",
                            "handlerType": "builtin_preview",
                            "handlerArgs": {"wide": True},
                        }
                    ],
                    "allowDynamicType": True,
                    "hideHandle": True,
                },
                "any": {"dataFlowType": "WILDCARD"},
            },
            "outputs": {"words": {"dataFlowType": "STRING", "isStream": True}},
            "configSchema": {"tone": {"dataFlowType": "STRING", "config": {"default": "loud"}}},
            "modes": {
                "loud": {
                    "displayName": "Loud",
                    "description": "Louder",
                    "inputs": {"volume": {"dataFlowType": "INTEGER"}},
                    "outputs": {"noise": {"dataFlowType": "BINARY"}},
                },
                "low": {"inputs": {}, "outputs": {}},
            },
            "modeConfigKey": "tone",
            "defaultModeId": "loud",
            "dynamicSlots": True,
            "bypassBehavior": {"passThrough": {"words": "text"}, "defaults": {"words": "-"}},
            "clientScriptUrl": "client_scripts/say.js",
            "width": 300,
            "deprecated": True,
            "experimental": True,
            "isPreviewUnsafe": True,
            "filePath": "test/say.py",
            "pack": "some-pack",
            "packVersion": "1.5",
        }
    ]


def test_mute_and_definitions_in_order() -> None:
    first, second = listed(
        NodeDefinition(type="B", bypass_behavior="mute"), NodeDefinition(type="A")
    )
    assert (first["fullType"], first["bypassBehavior"]) == ("some-pack:B", "mute")
    assert second["fullType"] == "some-pack:A"


# Required ---------------------------------------------------------------------------


def test_what_depends_on_the_configuration_is_decided_by_the_defaults() -> None:
    def if_loud(config: Mapping[str, object]) -> bool:
        return config["tone"] == "loud"

    slots = {"depends": text(required=if_loud), "fixed": text(required=True), "free": text()}
    tone = text(config={"default": "low"})
    plain = NodeDefinition(type="Plain", inputs=slots, config_schema={"tone": tone, **slots})
    moded = NodeDefinition(
        type="Moded",
        inputs=slots,
        config_schema={"tone": tone},
        modes={"low": NodeMode(inputs=slots), "loud": NodeMode(inputs=slots)},
        mode_config_key="tone",
        default_mode_id="loud",
    )

    def shown(required: bool) -> Wire:
        return {
            "depends": {
                "dataFlowType": "STRING",
                "required": required,
                "requiredDependsOnConfig": True,
            },
            "fixed": {"dataFlowType": "STRING", "required": True},
            "free": {"dataFlowType": "STRING"},
        }

    first, second = listed(plain, moded)
    assert first["inputs"] == shown(False)
    tone_wire = {"tone": {"dataFlowType": "STRING", "config": {"default": "low"}}}
    assert first["configSchema"] == tone_wire | shown(False)
    assert second["inputs"] == shown(True)
    assert second["modes"]["low"]["inputs"] == shown(False)
    assert second["modes"]["loud"]["inputs"] == shown(True)


def test_a_callable_cannot_change_what_others_see() -> None:
    def greedy(config: Mapping[str, object]) -> bool:
        assert isinstance(config, dict)
        return bool(config.pop("tone", None))

    slots = {"a": text(required=greedy), "b": text(required=greedy)}
    schema = {"tone": text(config={"default": "low"})}
    [wire] = listed(NodeDefinition(type="T", inputs=slots, config_schema=schema))
    assert [slot["required"] for slot in wire["inputs"].values()] == [True, True]


class Untrue:
    def __bool__(self) -> bool:
        raise ValueError("neither nor")


def test_a_callable_that_fails_leaves_it_open(caplog: pytest.LogCaptureFixture) -> None:
    def leave(config: Mapping[str, object]) -> bool:
        raise SystemExit(3)

    slots = {
        "missing": text(required=lambda config: bool(config["nothing"])),
        "untrue": text(required=lambda config: Untrue()),
        "leave": text(required=leave),
    }
    bad, good = listed(NodeDefinition(type="Bad", inputs=slots), NodeDefinition(type="Good"))
    expected = {"dataFlowType": "STRING", "requiredDependsOnConfig": True}
    assert bad["inputs"] == dict.fromkeys(slots, expected)
    assert good["type"] == "Good"
    assert caplog.messages == [
        "node type 'Bad' cannot say whether input 'missing' is required: KeyError: 'nothing'",
        "node type 'Bad' cannot say whether input 'untrue' is required: ValueError: neither nor",
        "node type 'Bad' cannot say whether input 'leave' is required: SystemExit: 3",
    ]


# What JSON cannot hold --------------------------------------------------------------


class Hostile:
    """An object that resists being looked at."""

    def __repr__(self) -> str:
        raise ValueError("no")

    def __eq__(self, other: object) -> bool:
        raise ValueError("no")

    __hash__ = None  # type: ignore[assignment]  # it has no equality


def test_values_are_encoded_as_in_events() -> None:
    recursive: list[object] = []
    recursive.append(recursive)
    config = {
        "default": math.nan,
        "bytes": b"ab",
        "big": 2**60,
        "hostile": Hostile(),
        "many": {1},
        "nested": [{"deep": math.inf}],
        "recursive": recursive,
        "half": "\ud83d",
    }
    [wire] = listed(
        NodeDefinition(
            type="T",
            inputs={"a": InputDefinition(config=config)},
            bypass_behavior=BypassBehavior(defaults={"a": b""}),
        )
    )
    shown = wire["inputs"]["a"]["config"]
    assert shown["default"] is None
    assert shown["bytes"]["$blob"]["size"] == 2
    assert shown["big"] == str(2**60)
    assert shown["hostile"] == {"$opaque": f"{__name__}.Hostile"}
    assert (shown["many"], shown["nested"], shown["half"]) == ([1], [{"deep": None}], "?")
    assert wire["bypassBehavior"]["defaults"]["a"]["$blob"]["size"] == 0


def test_a_definition_that_cannot_be_shown_is_listed_by_its_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inputs: Any = 5  # Any: what a pack may do past the checks
    broken = NodeDefinition.model_construct(type="Broken", inputs=inputs, display_name="x")
    with caplog.at_level(logging.WARNING):
        first, second = listed(broken, NodeDefinition(type="Good"))
    assert first == {
        "type": "Broken",
        "fullType": "some-pack:Broken",
        "namespace": "some-pack",
        "displayName": "Broken",
        "category": "",
        "description": "",
        "inputs": {},
        "outputs": {},
        "pack": "some-pack",
        "packVersion": "1.5",
    }
    assert second["displayName"] == "Good"
    assert caplog.messages == [
        (
            "node type 'some-pack:Broken' of pack 'some-pack' is listed by its name only:"
            " AttributeError: 'int' object has no attribute 'items'"
        )
    ]


def test_one_definition_can_be_asked_for() -> None:
    node = RegisteredNode("short:T", NodeDefinition(type="T", namespace="short"), "a-pack", "2")
    wire = definition_for_wire(node)
    assert (wire["namespace"], wire["fullType"], wire["pack"]) == ("short", "short:T", "a-pack")

"""What every node of the pack owes its users, and what loading the pack costs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module, resources

import pytest

from comfytavern.definitions import NodeDefinition
from comfytavern_core_nodes.catalog import definitions

CATEGORIES = {"Group", "Loaders", "Processors", "LLM", "Utilities"}
HEAVY = (
    "yaml",
    "PIL",
    "regex",
    "comfytavern_core_nodes.cards",
    "comfytavern_core_nodes.context",
    "comfytavern_core_nodes.worldbooks",
)

every_node = pytest.mark.parametrize("definition", definitions(), ids=lambda node: node.type)


def test_nodes_are_those_of_the_specification() -> None:
    assert sorted(node.type for node in definitions()) == [
        "ApplyRegex",
        "ArrayConstant",
        "BooleanConstant",
        "CharacterCardLoader",
        "Collect",
        "ContextBuilder",
        "FloatConstant",
        "GroupInput",
        "GroupOutput",
        "HistoryLoader",
        "IntegerConstant",
        "MathOperation",
        "NodeGroup",
        "ObjectConstant",
        "PresetLoader",
        "RandomNumber",
        "RegexRuleLoader",
        "StreamLogger",
        "StreamSuffixRelay",
        "StringConstant",
        "Switch",
        "TestWidgets",
        "TextMerge",
        "WorldBookLoader",
    ]


@every_node
def test_node_and_slots_say_what_they_are(definition: NodeDefinition) -> None:
    assert definition.category in CATEGORIES
    assert definition.display_name
    assert definition.description
    slots = {**definition.inputs, **definition.outputs, **definition.config_schema}
    unnamed = [name for name, slot in slots.items() if not (slot.display_name and slot.description)]
    assert unnamed == []


@every_node
def test_definition_is_json_for_the_page(definition: NodeDefinition) -> None:
    assert json.loads(json.dumps(definition.to_wire()))["type"] == definition.type


@every_node
def test_code_named_as_text_exists(definition: NodeDefinition) -> None:
    if isinstance(definition.execute, str):
        module, _, attribute = definition.execute.partition(":")
        assert callable(getattr(import_module(module), attribute))


@every_node
def test_client_script_is_in_the_package(definition: NodeDefinition) -> None:
    if definition.client_script_url:
        script = resources.files("comfytavern_core_nodes") / definition.client_script_url
        assert "export function setupClientNode" in script.read_text(encoding="utf-8")


@pytest.mark.slow
def test_loading_the_pack_loads_nothing_heavy() -> None:
    code = (
        "import sys, comfytavern_core_nodes as pack; list(pack.register_nodes(None));"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Every built-in node as ``GET /api/nodes`` lists it: what the original front end knows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

import pytest

import comfytavern_core_nodes
import comfytavern_llm_nodes
from comfytavern.node_listing import definitions_for_wire
from comfytavern.packs import PackManager
from comfytavern.types import DataFlowType

Wire = dict[str, Any]  # Any: JSON

PACKS: Mapping[str, ModuleType] = {
    "comfytavern-core-nodes": comfytavern_core_nodes,
    "comfytavern-llm-nodes": comfytavern_llm_nodes,
}
NEEDED = {"type", "fullType", "namespace", "category", "displayName", "description"} | {
    "inputs",
    "outputs",
    "pack",
    "packVersion",
}
FURTHER = {
    "bypassBehavior",
    "clientScriptUrl",
    "configSchema",
    "defaultModeId",
    "deprecated",
    "dynamicSlots",
    "experimental",
    "filePath",
    "isPreviewUnsafe",
    "modeConfigKey",
    "modes",
    "width",
}
SLOT = {
    "actions",
    "allowDynamicType",
    "config",
    "dataFlowType",
    "description",
    "displayName",
    "hideHandle",
    "isStream",
    "matchCategories",
    "multi",
    "required",
    "requiredDependsOnConfig",
}


@cache
def manager() -> PackManager:
    built_in = PackManager(found=[])
    for distribution, module in PACKS.items():
        built_in.add(module, distribution=distribution, version="1.0", finish=False)
    return built_in


@cache
def catalogue() -> Mapping[str, Wire]:
    return {wire["fullType"]: wire for wire in definitions_for_wire(manager().registry)}


NAMES = sorted(catalogue())


def slots_of(wire: Wire) -> Iterable[Wire]:
    for shape in (wire, *wire.get("modes", {}).values()):
        for key in ("inputs", "outputs", "configSchema"):
            yield from shape.get(key, {}).values()


def test_every_built_in_node_is_listed() -> None:
    assert NAMES == sorted(node.full_type for node in manager().registry)
    assert {"comfytavern-core-nodes:TextMerge", "comfytavern-llm-nodes:GenericLlmRequest"} <= set(
        NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_built_in_node_on_the_wire(name: str) -> None:
    wire = catalogue()[name]
    assert json.loads(json.dumps(wire, allow_nan=False)) == wire
    assert set(wire) >= NEEDED
    assert set(wire) <= NEEDED | FURTHER
    assert None not in wire.values()
    assert (wire["pack"], wire["packVersion"]) == (wire["namespace"], "1.0")
    assert wire["fullType"] == f"{wire['namespace']}:{wire['type']}"
    package = wire["namespace"].replace("-", "_")
    assert wire.get("filePath", package + "/").startswith(package + "/")  # a group has no code
    assert wire["category"]
    assert wire["description"]
    for slot in slots_of(wire):
        assert set(slot) <= SLOT
        assert slot["dataFlowType"] in set(DataFlowType)
        assert None not in {key: value for key, value in slot.items() if key != "config"}.values()
        assert isinstance(slot.get("required", False), bool)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_listed_is_what_is_defined(name: str) -> None:
    wire, node = catalogue()[name], manager().registry.get(name)
    assert node is not None
    definition = node.definition
    assert list(wire["inputs"]) == list(definition.inputs)
    assert list(wire["outputs"]) == list(definition.outputs)
    assert list(wire.get("configSchema", {})) == list(definition.config_schema)
    assert wire.get("clientScriptUrl") == definition.client_script_url
    if definition.client_script_url is not None:
        assert manager().client_script(name).content

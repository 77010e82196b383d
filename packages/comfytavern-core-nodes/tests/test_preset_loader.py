"""PresetLoader: which preset is read, what comes out, and what is said when it cannot be."""

from __future__ import annotations

import json
import logging

import pytest

from comfytavern.errors import NodeFailedError, WorkflowError
from comfytavern.testing import run_node
from comfytavern_core_nodes.catalog import definitions

LOADER = next(node for node in definitions() if node.type == "PresetLoader")


def preset(text: str, **fields: object) -> bytes:
    prompts = [{"identifier": "main", "content": text}]
    return json.dumps({"prompts": prompts, "temperature": 0.5, **fields}).encode()


FILES = {"one.json": preset("One"), "two.json": preset("Two", proxy_password="secret")}


async def main_prompt(config: dict[str, object], **inputs: object) -> object:
    result = await run_node(LOADER, inputs, config=config, resources=FILES)
    data = result.outputs["presetData"]
    assert isinstance(data, dict)
    assert result.outputs["parameters"] == {"temperature": 0.5}
    assert "secret" not in str(data)
    return data["prompts"][0]["content"]


async def test_preset_of_the_configuration_and_of_the_input() -> None:
    assert await main_prompt({"presetResource": "one.json"}) == "One"
    assert await main_prompt({"presetResource": "one.json"}, presetResource="two.json") == "Two"


async def test_warnings_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="comfytavern.packs"):
        await main_prompt({"presetResource": "two.json"})
    assert [record.getMessage() for record in caplog.records] == [
        (
            "preset 'two.json': a preset decides nothing of models and addresses; left out:"
            " proxy_password"
        )
    ]


async def test_no_preset_chosen() -> None:
    with pytest.raises(WorkflowError, match="needs a value for input 'presetResource'"):
        await run_node(LOADER)
    with pytest.raises(NodeFailedError, match="no preset is chosen; set 'presetResource'"):
        await run_node(LOADER, presetResource="")


async def test_unusable_file_is_named_with_its_reason() -> None:
    with pytest.raises(NodeFailedError, match=r"preset 'x\.json' cannot be read \(bad_json\)"):
        await run_node(LOADER, config={"presetResource": "x.json"}, resources={"x.json": b"{oops"})

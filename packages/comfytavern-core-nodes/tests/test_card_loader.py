"""CharacterCardLoader: which card is read, what comes out, and what is said when it cannot be."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from comfytavern.errors import NodeFailedError, WorkflowError
from comfytavern.testing import run_node
from comfytavern_core_nodes.catalog import definitions

LOADER = next(node for node in definitions() if node.type == "CharacterCardLoader")
V2_PNG = (Path(__file__).parent / "cases" / "cards" / "v2.png").read_bytes()


def card(name: str, **fields: object) -> bytes:
    data = {"name": name, "first_mes": "Hello.", **fields}
    return json.dumps({"spec": "chara_card_v2", "spec_version": "2.0", "data": data}).encode()


FILES = {"ann.json": card("Ann"), "bo.json": card("Bo")}


async def name_read(config: dict[str, object], **inputs: object) -> object:
    result = await run_node(LOADER, inputs, config=config, resources=FILES)
    data = result.outputs["characterData"]
    assert isinstance(data, dict)
    return data["name"]


async def test_card_of_the_configuration() -> None:
    assert await name_read({"cardResource": "ann.json"}) == "Ann"


async def test_connected_card_wins() -> None:
    assert await name_read({"cardResource": "ann.json"}, cardResource="bo.json") == "Bo"
    assert await name_read({}, cardResource="bo.json") == "Bo"


@pytest.mark.parametrize("nothing", [None, ""])
async def test_connected_nothing_leaves_it_to_the_configuration(nothing: object) -> None:
    assert await name_read({"cardResource": "ann.json"}, cardResource=nothing) == "Ann"


async def test_png_card_comes_out_normalised() -> None:
    result = await run_node(LOADER, config={"cardResource": "v2"}, resources={"v2": V2_PNG})
    character = result.outputs["characterData"]
    assert isinstance(character, dict)
    assert character["spec"] == "v2"
    assert json.loads(json.dumps(character)) == character


async def test_warnings_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    files = {"odd.json": card("Odd", character_book=[])}
    with caplog.at_level(logging.WARNING, logger="comfytavern.packs"):
        await run_node(LOADER, config={"cardResource": "odd.json"}, resources=files)
    assert [record.getMessage()[:17] for record in caplog.records] == ["card 'odd.json': "]


async def test_no_card_chosen_is_known_before_the_run() -> None:
    with pytest.raises(WorkflowError, match="needs a value for input 'cardResource'"):
        await run_node(LOADER)


async def test_connected_nothing_and_no_configuration() -> None:
    with pytest.raises(NodeFailedError) as failed:
        await run_node(LOADER, cardResource="")
    assert failed.value.reason == (
        "no character card is chosen; set 'cardResource' in the configuration, or connect the"
        " input of that name"
    )


async def test_unusable_file_is_named_with_its_reason() -> None:
    with pytest.raises(NodeFailedError, match=r"card 'x\.json' cannot be read \(bad_json\)"):
        await run_node(LOADER, config={"cardResource": "x.json"}, resources={"x.json": b"{oops"})


async def test_missing_file_is_named() -> None:
    with pytest.raises(NodeFailedError, match=r"gone\.png"):
        await run_node(LOADER, config={"cardResource": "gone.png"}, resources=FILES)

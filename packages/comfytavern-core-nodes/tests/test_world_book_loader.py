"""WorldBookLoader: which book is read, what comes out, and what is said when it cannot be."""

from __future__ import annotations

import json
import logging

import pytest

from comfytavern.errors import NodeFailedError, WorkflowError
from comfytavern.testing import run_node
from comfytavern_core_nodes.catalog import definitions

LOADER = next(node for node in definitions() if node.type == "WorldBookLoader")


def book(**fields: object) -> bytes:
    return json.dumps({"entries": {"0": {"key": ["inn"], "content": "An inn."}}, **fields}).encode()


FILES = {"shared://worlds/a.json": book(), "b.json": book(name="B"), "c.yml": b"entries: []"}


async def loaded(config: dict[str, object], **inputs: object) -> dict[str, object]:
    result = await run_node(LOADER, inputs, config=config, resources=FILES)
    data = result.outputs["worldBookData"]
    assert isinstance(data, dict)
    return data


async def test_book_of_the_configuration_is_named_after_its_file() -> None:
    data = await loaded({"worldBookResource": "shared://worlds/a.json"})
    assert data["name"] == "a"
    assert json.loads(json.dumps(data)) == data
    entries = data["entries"]
    assert isinstance(entries, list)
    assert (entries[0]["uid"], entries[0]["key"], entries[0]["order"]) == (0, ["inn"], 100)


@pytest.mark.parametrize("configured", [{}, {"worldBookResource": "c.yml"}])
async def test_connected_book_wins(configured: dict[str, object]) -> None:
    assert (await loaded(configured, worldBookResource="b.json"))["name"] == "B"


async def test_connected_nothing_leaves_it_to_the_configuration() -> None:
    data = await loaded({"worldBookResource": "c.yml"}, worldBookResource="")
    assert (data["name"], data["entries"]) == ("c", [])


async def test_problems_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    entries = [{"key": ["a"], "order": "?"}] * 25
    files = {"odd.json": json.dumps({"entries": entries}).encode()}
    with caplog.at_level(logging.WARNING, logger="comfytavern.packs"):
        await run_node(LOADER, config={"worldBookResource": "odd.json"}, resources=files)
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0] == (
        "world book 'odd.json': entries[0].order: a text where a number was expected; the default"
        " is used"
    )
    assert messages[20:] == ["world book 'odd.json': 5 more problems"]


async def test_no_book_chosen_is_known_before_the_run() -> None:
    with pytest.raises(WorkflowError, match="needs a value for input 'worldBookResource'"):
        await run_node(LOADER)


async def test_connected_nothing_and_no_configuration() -> None:
    with pytest.raises(NodeFailedError) as failed:
        await run_node(LOADER, worldBookResource="")
    assert failed.value.reason == (
        "no world book is chosen; set 'worldBookResource' in the configuration, or connect the"
        " input of that name"
    )


async def test_unusable_file_is_named_with_its_reason() -> None:
    with pytest.raises(
        NodeFailedError, match=r"world book 'x\.json' cannot be read \(not_a_world_book\)"
    ):
        await run_node(LOADER, config={"worldBookResource": "x.json"}, resources={"x.json": b"{}"})

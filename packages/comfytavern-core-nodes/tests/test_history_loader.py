"""HistoryLoader: which chat is read, what comes out, and what is said when it cannot be."""

from __future__ import annotations

import pytest

from comfytavern.errors import NodeFailedError, WorkflowError
from comfytavern.testing import run_node
from comfytavern_core_nodes.catalog import definitions

LOADER = next(node for node in definitions() if node.type == "HistoryLoader")
FILES = {
    "one.json": b'[{"role": "user", "content": "One"}]',
    "two.jsonl": b'{"user_name": "Ann", "chat_metadata": {"note_depth": 2}}\n{"mes": "Two"}',
}


async def load(config: dict[str, object], **inputs: object) -> tuple[object, object]:
    result = await run_node(LOADER, inputs, config=config, resources=FILES)
    return result.outputs["historyMessages"], result.outputs["metadata"]


async def test_history_of_the_configuration_and_of_the_input() -> None:
    one: tuple[object, object] = ([{"role": "user", "content": "One"}], {})
    two = (
        [{"role": "assistant", "content": "Two"}],
        {"user_name": "Ann", "chat_metadata": {"note_depth": 2}},
    )
    assert await load({"historyResource": "one.json"}) == one
    assert await load({"historyResource": "one.json"}, historyResource="two.jsonl") == two


async def test_no_history_chosen() -> None:
    with pytest.raises(WorkflowError, match="needs a value for input 'historyResource'"):
        await run_node(LOADER)
    with pytest.raises(NodeFailedError, match="no chat history is chosen; set 'historyResource'"):
        await run_node(LOADER, historyResource="")


async def test_unusable_file_is_named_with_place_and_reason() -> None:
    files = {"x.jsonl": b'{"mes": "a"}\n{"mes": 1}'}
    with pytest.raises(NodeFailedError, match=r"history 'x\.jsonl', line 2, message 1 cannot be"):
        await run_node(LOADER, config={"historyResource": "x.jsonl"}, resources=files)

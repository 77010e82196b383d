"""StreamLogger, StreamSuffixRelay and Collect: nothing lost, nothing changed but what is meant."""

from __future__ import annotations

import logging

import pytest

from comfytavern.chunks import Chunk
from comfytavern.testing import run_node
from comfytavern_core_nodes.catalog import definitions

NODES = {node.type: node for node in definitions()}
MIXED = [
    Chunk.text("Good"),
    Chunk.text(" evening\n"),
    Chunk.tool_call({"name": "pour"}),
    Chunk("own_chunk", [1, 2]),
    Chunk.usage({"total": 3}),
    Chunk.finish_reason("stop"),
]


async def test_logger_logs_and_passes_on_every_chunk(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="comfytavern.packs"):
        result = await run_node(NODES["StreamLogger"], inputStream=MIXED)
    assert result.chunks == MIXED
    logged = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert logged == [
        (logging.INFO, "text_chunk: 'Good'"),
        (logging.INFO, "text_chunk: ' evening\\n'"),
        (logging.INFO, "tool_call_chunk: {'name': 'pour'}"),
        (logging.INFO, "own_chunk: [1, 2]"),
        (logging.INFO, "usage_chunk: {'total': 3}"),
        (logging.INFO, "finish_reason_chunk: 'stop'"),
    ]


async def test_logger_cuts_what_it_shows_and_not_what_it_passes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    long = "x" * 5000
    with caplog.at_level(logging.INFO, logger="comfytavern.packs"):
        result = await run_node(NODES["StreamLogger"], inputStream=[long])
    assert result.chunks == [Chunk.text(long)]
    assert caplog.records[0].getMessage() == f"text_chunk: '{'x' * 1999}... (5002 characters)"


async def test_suffix_goes_behind_text_chunks_only() -> None:
    result = await run_node(NODES["StreamSuffixRelay"], inputStream=MIXED, suffix="|")
    assert result.chunks == [Chunk.text("Good|"), Chunk.text(" evening\n|"), *MIXED[2:]]


async def test_no_suffix_changes_nothing() -> None:
    result = await run_node(NODES["StreamSuffixRelay"], inputStream=MIXED)
    assert result.chunks == MIXED


async def test_collect_gives_text_chunks_and_count() -> None:
    result = await run_node(NODES["Collect"], inputStream=MIXED)
    assert result.outputs == {
        "text": "Good evening\n",
        "chunks": [{"type": chunk.type, "content": chunk.content} for chunk in MIXED],
        "count": 6,
    }


@pytest.mark.parametrize("name", ["StreamLogger", "StreamSuffixRelay", "Collect"])
async def test_empty_stream(name: str) -> None:
    result = await run_node(NODES[name], inputStream=[])
    assert result.chunks == []
    if name == "Collect":
        assert result.outputs == {"text": "", "chunks": [], "count": 0}

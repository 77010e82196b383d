"""Collect: a stream as ordinary values, once it has ended."""

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.chunks import Chunk
from comfytavern.context import NodeContext
from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory

from .streams import TEXT_CHUNK, stream_of
from .text import as_text

__all__ = ("COLLECT",)


async def _collect(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    chunks: list[Chunk] = [chunk async for chunk in stream_of(inputs, "inputStream")]
    return {
        "text": "".join(as_text(chunk.content) for chunk in chunks if chunk.type == TEXT_CHUNK),
        "chunks": [chunk.to_wire() for chunk in chunks],
        "count": len(chunks),
    }


COLLECT = NodeDefinition(
    type="Collect",
    category="Utilities",
    display_name="Collect Stream",
    description="Reads a stream to its end and gives its text, all of its chunks, and their"
    " number.",
    inputs={
        "inputStream": InputDefinition(
            display_name="Stream",
            description="The stream to read; chunks of every type.",
            data_flow_type=DataFlowType.WILDCARD,
            is_stream=True,
            required=True,
        )
    },
    outputs={
        "text": OutputDefinition(
            display_name="Text",
            description="The text chunks, joined.",
            data_flow_type=DataFlowType.STRING,
        ),
        "chunks": OutputDefinition(
            display_name="Chunks",
            description="Every chunk in order, as {type, content}.",
            data_flow_type=DataFlowType.ARRAY,
            match_categories=(MatchCategory.STREAM_CHUNK,),
        ),
        "count": OutputDefinition(
            display_name="Count",
            description="How many chunks there were, of all types.",
            data_flow_type=DataFlowType.INTEGER,
        ),
    },
    idempotent=True,
    execute=_collect,
)

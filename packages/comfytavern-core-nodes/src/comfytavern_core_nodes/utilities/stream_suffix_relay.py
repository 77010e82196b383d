"""StreamSuffixRelay: the same stream, with something behind each piece of text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from comfytavern.chunks import Chunk, Outputs
from comfytavern.context import NodeContext
from comfytavern.definitions import (
    BypassBehavior,
    InputDefinition,
    NodeDefinition,
    OutputDefinition,
)
from comfytavern.types import DataFlowType

from .streams import TEXT_CHUNK, stream_of
from .text import as_text

__all__ = ("STREAM_SUFFIX_RELAY",)


async def _relay(
    inputs: Mapping[str, object], context: NodeContext
) -> AsyncGenerator[Chunk | Outputs, None]:
    suffix = as_text(inputs.get("suffix"))
    async for chunk in stream_of(inputs, "inputStream"):
        if chunk.type == TEXT_CHUNK:
            yield Chunk(chunk.type, as_text(chunk.content) + suffix)
        else:
            yield chunk
    yield Outputs()


STREAM_SUFFIX_RELAY = NodeDefinition(
    type="StreamSuffixRelay",
    category="Utilities",
    display_name="Suffix Each Chunk",
    description="Passes a stream on and adds a suffix to each of its text chunks. Other chunks,"
    " such as usage or the finish reason, stay as they are.",
    inputs={
        "inputStream": InputDefinition(
            display_name="Stream",
            description="The text stream to pass on.",
            data_flow_type=DataFlowType.STRING,
            is_stream=True,
            required=True,
        ),
        "suffix": InputDefinition(
            display_name="Suffix",
            description="Added behind each text chunk, as it stands.",
            data_flow_type=DataFlowType.STRING,
            config={"default": "", "placeholder": "for example |"},
        ),
    },
    outputs={
        "outputStream": OutputDefinition(
            display_name="Stream",
            description="The stream with the suffix in it.",
            data_flow_type=DataFlowType.STRING,
            is_stream=True,
        )
    },
    bypass_behavior=BypassBehavior(pass_through={"outputStream": "inputStream"}),
    idempotent=True,
    execute=_relay,
)

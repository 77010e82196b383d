"""StreamLogger: see what flows, change nothing."""

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

from .streams import stream_of

__all__ = ("STREAM_LOGGER",)

# A log line is for reading; a chunk may also be a whole tool call or a picture.
_LONGEST_SHOWN = 2_000


async def _log_each(
    inputs: Mapping[str, object], context: NodeContext
) -> AsyncGenerator[Chunk | Outputs, None]:
    log = context.log
    async for chunk in stream_of(inputs, "inputStream"):
        log.info("%s: %s", chunk.type, _shown(chunk.content))
        yield chunk
    yield Outputs()


def _shown(content: object) -> str:
    # repr keeps a chunk on one line, whatever line breaks it holds.
    text = repr(content)
    if len(text) <= _LONGEST_SHOWN:
        return text
    return f"{text[:_LONGEST_SHOWN]}... ({len(text)} characters)"


STREAM_LOGGER = NodeDefinition(
    type="StreamLogger",
    category="Utilities",
    display_name="Log Stream",
    description="Writes each chunk of a stream to the log and passes it on unchanged.",
    inputs={
        "inputStream": InputDefinition(
            display_name="Stream",
            description="The stream to look at; chunks of every type.",
            data_flow_type=DataFlowType.WILDCARD,
            is_stream=True,
            required=True,
        )
    },
    outputs={
        "outputStream": OutputDefinition(
            display_name="Stream",
            description="The same stream, chunk by chunk.",
            data_flow_type=DataFlowType.WILDCARD,
            is_stream=True,
        )
    },
    bypass_behavior=BypassBehavior(pass_through={"outputStream": "inputStream"}),
    idempotent=True,
    execute=_log_each,
)

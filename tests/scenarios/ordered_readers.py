"""Nodes that read several streams one after the other, as the configuration says.

``order`` lists the inputs in the order in which they are read; ``leave`` says after how many
chunks an input is left. What is not listed is never read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import anyio

from comfytavern.chunks import Chunk, Outputs, Stream
from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition

from .slots import give, take

__all__ = ("ORDERED_NODES", "SLOTS", "reading")

SLOTS = ("a", "b", "c")
Inputs = Mapping[str, Any]  # Any: a node knows its inputs


def reading(order: str, **leave: int) -> dict[str, object]:
    """Return the configuration: ``reading("ba", a=3)`` reads b, then three chunks of a."""
    return {"order": list(order), "leave": leave}


async def _chunks(inputs: Inputs, config: Inputs) -> AsyncGenerator[tuple[str, str], None]:
    for slot in config["order"]:
        left = config["leave"].get(slot, -1)
        if left == 0:
            inputs[slot].close()
            continue
        count = 0
        async for chunk in inputs[slot]:
            yield slot, chunk.content
            count += 1
            if count == left:
                break


async def _read(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    read: dict[str, list[str]] = {slot: [] for slot in context.config["order"]}  # type: ignore[attr-defined]  # a list
    async with aclosing(_chunks(inputs, context.config)) as chunks:
        async for slot, content in chunks:
            read[slot].append(content)
    return {"read": read}


async def _relay(inputs: Inputs, context: NodeContext) -> AsyncGenerator[Chunk | Outputs, None]:
    count = 0
    async with aclosing(_chunks(inputs, context.config)) as chunks:
        async for _, content in chunks:
            yield Chunk.text(content)
            count += 1
    yield Outputs(count=count)


async def _write(inputs: Inputs, context: NodeContext) -> AsyncGenerator[Chunk | Outputs, None]:
    name = context.node_id.rpartition("/")[2]
    for number in range(inputs["n"]):
        if inputs["pause"]:
            await anyio.lowlevel.checkpoint()
        if number == inputs["throw_at"]:
            raise ValueError(context.node_id)
        yield Chunk.text(f"{name}:{number}")
    yield Outputs(count=inputs["n"])


async def _read_all(inputs: Inputs, context: NodeContext) -> dict[str, object]:
    read = {str(number): await _list(stream) for number, stream in enumerate(inputs["all"])}
    return {"read": read}


async def _list(stream: Stream) -> list[object]:
    return [chunk.content async for chunk in stream]


_AFTER = {"after": take("W", multi=True)}
_STREAMS_IN = {slot: take("S~") for slot in SLOTS}
_STREAMS_OUT = {"left": give("S~"), "right": give("S~"), "count": give("I")}
_CONFIG = {"order": take("A", []), "leave": take("O", {})}

ORDERED_NODES = (
    NodeDefinition(
        type="Write",
        inputs=_AFTER | {"n": take("I", 100), "pause": take("B", False), "throw_at": take("I", -1)},
        outputs=_STREAMS_OUT,
        execute=_write,
    ),
    NodeDefinition(
        type="Relay",
        inputs=_AFTER | _STREAMS_IN,
        outputs=_STREAMS_OUT,
        config_schema=_CONFIG,
        execute=_relay,
    ),
    NodeDefinition(
        type="Read",
        inputs=_AFTER | _STREAMS_IN,
        outputs={"read": give("O")},
        config_schema=_CONFIG,
        execute=_read,
    ),
    NodeDefinition(
        type="ReadAll",
        inputs={"all": take("S~!", multi=True)},
        outputs={"read": give("O")},
        execute=_read_all,
    ),
)

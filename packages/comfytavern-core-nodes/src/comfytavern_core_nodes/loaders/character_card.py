"""The code of CharacterCardLoader; imported when such a node first runs."""

from __future__ import annotations

from collections.abc import Mapping

from anyio import to_thread

from comfytavern.context import NodeContext
from comfytavern.types import describe_value

from ..cards import read_card

__all__ = ("load_card",)

MAX_CARD_BYTES = 32 * 1024 * 1024


async def load_card(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    """Read the card that the input or the configuration names.

    :raises ValueError: neither names one
    :raises CardError: the file is no usable card; the text says why
    """
    name = _resource_name(inputs, context)
    data = await context.resources.read(name, limit=MAX_CARD_BYTES)
    # Inflating and decoding a large file takes a while; the event loop must not wait for it.
    reading = await to_thread.run_sync(read_card, data, name)
    for warning in reading.warnings:
        context.log.warning("card %r: %s", name, warning)
    return {"characterData": reading.card.model_dump()}


def _resource_name(inputs: Mapping[str, object], context: NodeContext) -> str:
    name = inputs.get("cardResource") or context.config.get("cardResource")
    if not name:
        raise ValueError(
            "no character card is chosen; set 'cardResource' in the configuration, or connect"
            " the input of that name"
        )
    if not isinstance(name, str):
        raise TypeError(
            f"'cardResource' is {describe_value(name)}; expected the name of a resource"
        )
    return name

"""The code of HistoryLoader; imported when such a node first runs."""

from __future__ import annotations

from collections.abc import Mapping

from anyio import to_thread

from comfytavern.context import NodeContext
from comfytavern.types import describe_value

from ..histories import read_history

__all__ = ("load_history",)

MAX_HISTORY_BYTES = 32 * 1024 * 1024


async def load_history(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    """Read the chat history that the input or the configuration names.

    :raises ValueError: neither names one
    :raises HistoryError: the file is no usable history; the text says why and where
    """
    name = _resource_name(inputs, context)
    data = await context.resources.read(name, limit=MAX_HISTORY_BYTES)
    return await to_thread.run_sync(_outputs, data, name)


def _outputs(data: bytes, name: str) -> dict[str, object]:
    reading = read_history(data, name)
    messages = [message.to_json() for message in reading.messages]
    return {"historyMessages": messages, "metadata": reading.metadata}


def _resource_name(inputs: Mapping[str, object], context: NodeContext) -> str:
    name = inputs.get("historyResource") or context.config.get("historyResource")
    if not name:
        raise ValueError(
            "no chat history is chosen; set 'historyResource' in the configuration, or connect the"
            " input of that name"
        )
    if not isinstance(name, str):
        raise TypeError(
            f"'historyResource' is {describe_value(name)}; expected the name of a resource"
        )
    return name

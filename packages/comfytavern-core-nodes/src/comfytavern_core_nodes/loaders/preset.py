"""The code of PresetLoader; imported when such a node first runs."""

from __future__ import annotations

from collections.abc import Mapping

from anyio import to_thread

from comfytavern.context import NodeContext
from comfytavern.types import describe_value

from ..presets import read_preset

__all__ = ("load_preset",)

MAX_PRESET_BYTES = 8 * 1024 * 1024


async def load_preset(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    """Read the preset that the input or the configuration names.

    :raises ValueError: neither names one
    :raises PresetError: the file is no usable preset; the text says why
    """
    name = _resource_name(inputs, context)
    data = await context.resources.read(name, limit=MAX_PRESET_BYTES)
    # Parsing a large file takes a while; the event loop must not wait for it.
    reading = await to_thread.run_sync(read_preset, data, name)
    for warning in reading.warnings:
        context.log.warning("preset %r: %s", name, warning)
    return {"presetData": reading.preset.model_dump(), "parameters": reading.parameters}


def _resource_name(inputs: Mapping[str, object], context: NodeContext) -> str:
    name = inputs.get("presetResource") or context.config.get("presetResource")
    if not name:
        raise ValueError(
            "no preset is chosen; set 'presetResource' in the configuration, or connect the input"
            " of that name"
        )
    if not isinstance(name, str):
        raise TypeError(
            f"'presetResource' is {describe_value(name)}; expected the name of a resource"
        )
    return name

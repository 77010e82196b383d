"""Presets: read a file of any known kind into one normalised model."""

from __future__ import annotations

from .errors import PRESET_ERROR_CODES, PresetError, PresetErrorCode
from .model import OrderEntry, Preset, PresetPrompt, PresetReading
from .read import preset_from, read_preset

__all__ = (
    "PRESET_ERROR_CODES",
    "OrderEntry",
    "Preset",
    "PresetError",
    "PresetErrorCode",
    "PresetPrompt",
    "PresetReading",
    "preset_from",
    "read_preset",
)

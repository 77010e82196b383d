"""Macros: ``{{user}}`` and its like in texts that remember where they came from."""

from __future__ import annotations

from .engine import Macros
from .pieces import EMPTY, Origin, OriginKind, Piece, Text, TextTooLongError
from .scene import Said, Scene

__all__ = (
    "EMPTY",
    "Macros",
    "Origin",
    "OriginKind",
    "Piece",
    "Said",
    "Scene",
    "Text",
    "TextTooLongError",
)

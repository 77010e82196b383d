"""Everything an assembly works with, gathered and with its macros ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..macros import Macros, Text
from ..presets.model import Preset
from .card import CardTexts
from .drafts import Meter
from .journal import Journal
from .lore import Lore
from .settings import ContextSettings
from .turns import Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What one context is made of. The journal is the only thing in it that changes."""

    user: str
    char: str
    card: CardTexts
    preset: Preset
    settings: ContextSettings
    turns: Sequence[Turn]
    note: Text
    lore: Lore
    macros: Macros
    meter: Meter
    journal: Journal

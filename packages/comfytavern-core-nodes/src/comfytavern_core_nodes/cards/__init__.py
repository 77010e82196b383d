"""Character cards: read a file of any known kind into one normalised model."""

from __future__ import annotations

from .errors import CARD_ERROR_CODES, CardError, CardErrorCode
from .model import CardFinding, CardReading, CharacterCard, DepthPrompt
from .read import read_card

__all__ = (
    "CARD_ERROR_CODES",
    "CardError",
    "CardErrorCode",
    "CardFinding",
    "CardReading",
    "CharacterCard",
    "DepthPrompt",
    "read_card",
)

"""What one activation pass follows beside the books."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_SCAN_DEPTH = 1000
DEFAULT_SCAN_DEPTH = 2
FromBook = Literal["book"]


class Strategy(IntEnum):
    """Which books are considered first; it decides who gets the budget, not where texts stand."""

    EVENLY = 0
    CHARACTER_FIRST = 1
    GLOBAL_FIRST = 2


class ScanSettings(BaseModel):
    """The settings of one pass; the defaults are those that SillyTavern ships.

    Where ``"book"`` can be chosen, a book's own value counts, and the shipped one for a book
    without. For recursion one book that allows it is enough; a token budget counts only if every
    book has one, and then they add up.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    scan_depth: int | FromBook = Field("book", description="How many messages are searched.")
    budget_percent: float = Field(25, description="The part of the context the entries may take.")
    budget_cap: int | FromBook = Field("book", description="At most so many tokens; 0 for no cap.")
    recursive: bool | FromBook = Field("book", description="Search the texts of entries too.")
    include_names: bool = Field(True, description="Search the names before messages too.")
    case_sensitive: bool = Field(False, description="Let plain keys tell capitals apart.")
    match_whole_words: bool = Field(True, description="Let keys of one word match no part of one.")
    insertion_strategy: Strategy = Field(
        Strategy.CHARACTER_FIRST, description="Whose entries are considered first."
    )
    min_activations: int = Field(
        0, description="Search further back until so many entries are active."
    )
    min_activations_depth_max: int = Field(
        0, description="How far back min_activations may search; 0 for the whole chat."
    )
    max_recursion_steps: int = Field(0, description="Stop after so many rounds; 0 for no limit.")
    use_group_scoring: bool = Field(
        False, description="In a group let the entries with most matching keys win."
    )

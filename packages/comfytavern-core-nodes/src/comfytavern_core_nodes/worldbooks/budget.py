"""The token budget of a pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from .why import BudgetStop

_CHARACTERS_PER_TOKEN = 3.35


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has, without a tokenizer."""
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def budget_of(max_context: int, percent: float, cap: int) -> int:
    """Return the tokens that entries may take; a cap of 0 is none."""
    # JavaScript rounds halves up, Python to even.
    budget = math.floor(percent * max_context / 100 + 0.5) or 1
    return min(budget, cap) if cap > 0 else budget


class TokenBudget:
    """Counts the texts of a pass against its budget.

    What is compared is the count of all texts joined. A counter never counts a joined text higher
    than its parts, so as long as the sum of the parts fits, nothing long is counted again.
    """

    def __init__(self, budget: int, count: Callable[[str], int]) -> None:
        self._budget = budget
        self._count = count
        self._earlier: list[str] = []
        self._earlier_tokens = 0
        self._running: list[str] = []
        self._running_tokens = 0

    def tokens(self, text: str) -> int:
        """Return the tokens of one entry's text with its line break."""
        return self._count(text + "\n")

    def take(self, ref: str, text: str, tokens: int) -> BudgetStop | None:
        """Add the text of an entry to this round; say if that does not stay below the budget."""
        before = self._earlier_tokens + self._running_tokens
        self._running.append(text + "\n")
        self._running_tokens += tokens
        if before + tokens < self._budget:
            return None
        self._running_tokens = self._count("".join(self._running))
        self._earlier_tokens = self._count("".join(reversed(self._earlier)))
        after = self._earlier_tokens + self._running_tokens
        if after < self._budget:
            return None
        return BudgetStop(max(after - tokens, 0), tokens, self._budget, ref)

    def end_round(self, texts: Iterable[tuple[str, int]]) -> None:
        """Forget the texts of this round but those given, which were fed into the search."""
        kept = list(texts)
        self._running, self._running_tokens = [], 0
        if kept:
            # A later round's text stands in front of an earlier one's.
            self._earlier.append("".join(f"{text}\n" for text, _ in kept))
            self._earlier_tokens += sum(tokens for _, tokens in kept)

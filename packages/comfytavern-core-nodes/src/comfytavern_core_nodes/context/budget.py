"""How many tokens are left while a prompt is filled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from .drafts import Draft
from .errors import ContextError
from .journal import Journal

REPLY_START_TOKENS = 3


class Budget:
    """Tokens that may still be spent.

    What has to be sent is paid; what need not is asked for first. With ``keep``, what does not
    fit is sent all the same and named in a warning.
    """

    def __init__(
        self, context: int, reply: int, on_overflow: Literal["error", "keep"], journal: Journal
    ) -> None:
        self.total = context - reply - REPLY_START_TOKENS
        self.left = self.total
        self._on_overflow = on_overflow
        self._journal = journal

    def fits(self, *drafts: Draft) -> bool:
        """Say whether all of these can still be afforded; what costs nothing always can."""
        cost = cost_of(drafts)
        return cost == 0 or cost <= self.left

    def take(self, *drafts: Draft) -> None:
        """Spend without asking; also how something is reserved."""
        self.left -= cost_of(drafts)

    def free(self, *drafts: Draft) -> None:
        """Give back what was reserved."""
        self.left += cost_of(drafts)

    def pay(self, *drafts: Draft) -> None:
        """Spend on what has to be sent.

        :raises ContextError: ``token_budget_exceeded``
        """
        if not self.fits(*drafts):
            part, cost = drafts[0].part, cost_of(drafts)
            reason = (
                f"{part} takes {cost} tokens, but of {self.total} only {max(self.left, 0)} are"
                " left; raise max_context, lower max_tokens or shorten what is always sent"
            )
            if self._on_overflow == "error":
                raise ContextError("token_budget_exceeded", reason)
            self._journal.warn(reason)
        self.take(*drafts)


def cost_of(drafts: Iterable[Draft]) -> int:
    """Return the tokens of messages together."""
    return sum(draft.tokens for draft in drafts)

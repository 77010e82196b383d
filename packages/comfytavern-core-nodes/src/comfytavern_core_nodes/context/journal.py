"""What happened while a context was built: the part of the report that nothing else remembers."""

from __future__ import annotations

from collections.abc import Sequence

from .drafts import Draft


class Journal:
    """Collects what was dropped and why, and warnings; both as plain JSON values."""

    def __init__(self) -> None:
        self.dropped: list[dict[str, object]] = []
        self.warnings: list[str] = []

    def drop(self, part: str, reason: str, **details: object) -> None:
        """Note that something was left out."""
        self.dropped.append({"part": part, "reason": reason, **details})

    def drop_drafts(self, part: str, reason: str, drafts: Sequence[Draft]) -> None:
        """Note that messages were left out; a long run of them is one entry."""
        if not drafts:
            return
        details: dict[str, object] = {
            "messages": len(drafts),
            "tokens": sum(draft.tokens for draft in drafts),
        }
        turns = [draft.turn for draft in drafts if draft.turn is not None]
        if turns:
            details |= {"first": min(turns), "last": max(turns)}
        self.drop(part, reason, **details)

    def warn(self, text: str) -> None:
        """Note something that the user should look at."""
        self.warnings.append(text)

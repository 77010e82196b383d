"""The one exception of the context builder and its stable codes."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

ContextErrorCode: TypeAlias = Literal["bad_input", "token_budget_exceeded", "text_too_long"]
CONTEXT_ERROR_CODES: tuple[ContextErrorCode, ...] = get_args(ContextErrorCode)


class ContextError(Exception):
    """Say why no context can be built. ``code`` is stable and meant for programs."""

    def __init__(self, code: ContextErrorCode, reason: str) -> None:
        super().__init__(code, reason)
        self.code: ContextErrorCode = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the context cannot be built ({self.code}): {self.reason}"

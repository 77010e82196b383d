"""The one exception of the expressions, and its stable codes.

The worker process imports this module too, so it stays free of the host's libraries.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

RegexErrorCode: TypeAlias = Literal[
    "bad_flags",
    "bad_pattern",
    "unsupported",
    "pattern_too_large",
    "text_too_large",
    "timeout",
    "worker_failed",
]
REGEX_ERROR_CODES: tuple[RegexErrorCode, ...] = get_args(RegexErrorCode)

# What JavaScript itself refuses; all other codes are limits of ours.
SYNTAX_CODES = frozenset({"bad_flags", "bad_pattern"})


class RegexError(Exception):
    """Say why an expression cannot be used, or why its use had to end.

    ``code`` is stable and meant for programs, ``reason`` for people; ``position`` counts the
    characters of the pattern before the fault, as far as there is such a place.
    """

    def __init__(self, code: RegexErrorCode, reason: str, position: int | None = None) -> None:
        # All three go to args, so that the error survives pickling between processes.
        super().__init__(code, reason, position)
        self.code: RegexErrorCode = code
        self.reason = reason
        self.position = position

    def __str__(self) -> str:
        where = "" if self.position is None else f" at position {self.position}"
        return f"{self.reason}{where}"

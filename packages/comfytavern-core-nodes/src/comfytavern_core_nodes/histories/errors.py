"""The one exception of the history reader and its stable codes."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

HistoryErrorCode: TypeAlias = Literal[
    "empty_file", "bad_utf8", "bad_json", "too_large", "not_a_history", "bad_message"
]
HISTORY_ERROR_CODES: tuple[HistoryErrorCode, ...] = get_args(HistoryErrorCode)


class HistoryError(Exception):
    """Say why a file is no usable chat history.

    The only exception the reader raises. ``line`` counts from 1 and is known for files with one
    message per line; ``index`` counts messages from 0.
    """

    def __init__(
        self,
        code: HistoryErrorCode,
        reason: str,
        source: str,
        *,
        line: int | None = None,
        index: int | None = None,
    ) -> None:
        super().__init__(code, reason, source)
        self.code: HistoryErrorCode = code
        self.reason = reason
        self.source = source
        self.line = line
        self.index = index

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments are not in args; without this they are lost between processes.
        places = {"line": self.line, "index": self.index}
        return (_rebuilt, (self.code, self.reason, self.source, places))

    def __str__(self) -> str:
        places = (("line", self.line), ("message", self.index))
        where = "".join(f", {what} {number}" for what, number in places if number is not None)
        return f"history {self.source!r}{where} cannot be read ({self.code}): {self.reason}"


def _rebuilt(
    code: HistoryErrorCode, reason: str, source: str, places: dict[str, int | None]
) -> HistoryError:
    return HistoryError(code, reason, source, **places)

"""The one exception of the world book reader and its stable codes."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

WorldBookErrorCode: TypeAlias = Literal[
    "empty_file",
    "bad_utf8",
    "bad_json",
    "bad_yaml",
    "not_an_object",
    "not_a_world_book",
    "bad_entry",
    "too_large",
]
WORLD_BOOK_ERROR_CODES: tuple[WorldBookErrorCode, ...] = get_args(WorldBookErrorCode)


class WorldBookError(Exception):
    """Say why a file is no usable world book.

    The only exception the reader raises. ``code`` is stable and meant for programs, ``reason`` for
    people; the text joins both with the file in ``source``.
    """

    def __init__(self, code: WorldBookErrorCode, reason: str, source: str) -> None:
        # All three go to args, so that the error survives pickling between processes.
        super().__init__(code, reason, source)
        self.code: WorldBookErrorCode = code
        self.reason = reason
        self.source = source

    def __str__(self) -> str:
        # The reason names keys of the file, which may hold anything.
        reason = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in self.reason)
        return f"world book {self.source!r} cannot be read ({self.code}): {reason}"

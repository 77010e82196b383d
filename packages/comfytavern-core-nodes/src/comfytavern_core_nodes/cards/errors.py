"""The one exception of the card reader and its stable codes."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

CardErrorCode: TypeAlias = Literal[
    "empty_file",
    "not_png",
    "bad_png",
    "png_truncated",
    "png_crc",
    "bad_compressed_text",
    "no_card_data",
    "bad_base64",
    "bad_utf8",
    "bad_json",
    "bad_yaml",
    "not_an_object",
    "not_a_card",
    "bad_card",
    "missing_name",
    "bad_field",
    "bad_zip",
    "encrypted",
    "too_large",
]
CARD_ERROR_CODES: tuple[CardErrorCode, ...] = get_args(CardErrorCode)


class CardError(Exception):
    """Say why a file is no usable character card.

    The only exception the reader raises. ``code`` is stable and meant for programs, ``reason`` for
    people; the text joins both with the file in ``source``.
    """

    def __init__(self, code: CardErrorCode, reason: str, source: str) -> None:
        # All three go to args, so that the error survives pickling between processes.
        super().__init__(code, reason, source)
        self.code: CardErrorCode = code
        self.reason = reason
        self.source = source

    def __str__(self) -> str:
        return f"card {self.source!r} cannot be read ({self.code}): {self.reason}"

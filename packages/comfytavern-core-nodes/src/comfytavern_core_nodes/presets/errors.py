"""The one exception of the preset reader and its stable codes."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

PresetErrorCode: TypeAlias = Literal[
    "empty_file",
    "bad_utf8",
    "bad_json",
    "too_large",
    "not_an_object",
    "bad_preset",
    "unsupported_preset",
]
PRESET_ERROR_CODES: tuple[PresetErrorCode, ...] = get_args(PresetErrorCode)


class PresetError(Exception):
    """Say why a file is no usable preset.

    The only exception the reader raises. ``code`` is stable and meant for programs, ``reason`` for
    people; the text joins both with the file in ``source``.
    """

    def __init__(self, code: PresetErrorCode, reason: str, source: str) -> None:
        # All three go to args, so that the error survives pickling between processes.
        super().__init__(code, reason, source)
        self.code: PresetErrorCode = code
        self.reason = reason
        self.source = source

    def __str__(self) -> str:
        return f"preset {self.source!r} cannot be read ({self.code}): {self.reason}"

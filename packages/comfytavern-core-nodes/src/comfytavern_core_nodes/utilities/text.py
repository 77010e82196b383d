"""Values as the text that a person expects to read."""

from __future__ import annotations

import json

from comfytavern.types import describe_value, js_text

__all__ = ("as_text",)


def as_text(value: object) -> str:
    """Return text as it is, nothing as empty, scalars as JavaScript prints them, the rest as JSON.

    :raises TypeError: the value has no text, as bytes and pictures have none
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return js_text(value)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as exc:
        raise TypeError(
            f"cannot make text of {describe_value(value)}: {exc}; expected text, a number,"
            " a boolean, or JSON data"
        ) from exc

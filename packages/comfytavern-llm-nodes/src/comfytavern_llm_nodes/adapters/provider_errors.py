"""What providers say when they fail, in the shapes that are found in the wild."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

__all__ = ("describe_error", "error_in")

_LENGTH = 500


def error_in(value: Mapping[str, object]) -> tuple[int | None, str] | None:
    """Return the status and message of an error that came in place of a reply, if one did."""
    error = value.get("error")
    if not error:
        return None
    code = error.get("code") if isinstance(error, Mapping) else value.get("code")
    status = code if isinstance(code, int) and 100 <= code < 600 else None
    return status, _line(_message(value))


def describe_error(body: bytes) -> str:
    """Return the message in the body of an error, in one line; empty if it says nothing."""
    text = body.decode("utf-8", "replace").strip()
    try:
        return _line(_message(json.loads(text)))
    except (ValueError, RecursionError):
        pass
    # A page for people, from a proxy most likely: its markup is no message.
    return "" if text[:1] == "<" else _line(text)


def _message(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        for key in ("error", "message", "detail", "msg"):
            if value.get(key):
                return _message(value[key])
        return json.dumps(value, ensure_ascii=False) if value else ""
    if isinstance(value, Sequence):  # FastAPI lists what it did not like
        return "; ".join(_message(item) for item in value)
    return "" if value is None else str(value)


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LENGTH else line[: _LENGTH - 1] + "…"

"""Bytes of a stranger's JSON file to plain, finite values.

What leaves here can be written as JSON in UTF-8 again: text is valid Unicode, numbers are finite,
nesting and the number of values are bounded.
"""

from __future__ import annotations

import json
import math
import re
from typing import Literal, NoReturn, TypeAlias

from pydantic import JsonValue

MAX_BYTES = 32 * 1024 * 1024
"""Bytes of one file."""

MAX_MARKS = 2_000_000
"""Commas and opening brackets: bounds the number of values before they are built."""

MAX_DEPTH = 100
"""Lists and objects inside each other."""

JsonTextCode: TypeAlias = Literal["empty_file", "bad_utf8", "bad_json", "too_large"]

_SURROGATE = re.compile("[\ud800-\udfff]")


class JsonTextError(Exception):
    """Say why bytes are no usable JSON; loaders word it as their own error."""

    def __init__(self, code: JsonTextCode, reason: str) -> None:
        super().__init__(code, reason)
        self.code: JsonTextCode = code
        self.reason = reason


def decode(data: bytes) -> str:
    """Return the text of a file: UTF-8, with or without a byte order mark.

    :raises JsonTextError: ``empty_file``, ``bad_utf8`` or ``too_large``
    """
    if len(data) > MAX_BYTES:
        raise JsonTextError("too_large", f"the file is longer than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise JsonTextError("bad_utf8", f"byte {exc.start} is no UTF-8") from exc
    if not text.strip():
        raise JsonTextError("empty_file", "the file is empty")
    if sum(map(text.count, ",[{")) > MAX_MARKS:
        raise JsonTextError("too_large", f"the file has more than {MAX_MARKS} values")
    return text


def parse(text: str) -> JsonValue:
    """Return the value of a JSON text.

    :raises JsonTextError: ``bad_json``
    """
    try:
        return _plain(json.loads(text, parse_constant=_refuse_constant), 0)
    except RecursionError as exc:
        raise _too_deep() from exc
    except json.JSONDecodeError as exc:
        reason = f"{exc.msg.lower()} at line {exc.lineno}, column {exc.colno}"
        raise JsonTextError("bad_json", reason) from exc
    except ValueError as exc:
        reason = "a number is not finite or has too many digits"
        raise JsonTextError("bad_json", reason) from exc


def clean(text: str) -> str:
    """Replace half surrogate pairs, which JSON can escape and no UTF-8 can carry."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def kind_of(value: object) -> str:
    """Name the kind of a JSON value for an error text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "a text" if isinstance(value, str) else "a number"


def _plain(value: object, depth: int) -> JsonValue:
    if isinstance(value, str):
        return clean(value)
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, dict):
        return {clean(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise JsonTextError("bad_json", "a number is too large")
    if value is None or isinstance(value, int | float):
        return value
    raise JsonTextError("bad_json", "the text holds a value that is not JSON")


def _too_deep() -> JsonTextError:
    reason = f"lists and objects are nested more than {MAX_DEPTH} deep"
    return JsonTextError("bad_json", reason)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)

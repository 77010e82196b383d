"""Values as JSON can hold them. Encoding never fails a run, whatever a node returns.

Bytes and pictures become ``{"$blob": {sha256, size, mime}}`` and are handed to the blob
sink, NaN and infinities null, integers beyond 2^53 text, anything else that JSON has no
word for ``{"$opaque": type}``. A text or structure that is too large is kept as a blob
too, with the beginning of it as ``preview``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import Enum
from math import isfinite
from typing import Any

from pydantic import BaseModel

from .streams import StreamReader

__all__ = ("BlobSink", "to_json")

# Called with (sha256, bytes, mime type); keeps the bytes as long as the event.
BlobSink = Callable[[str, bytes, str], None]

SAFE_INTEGER = 2**53
MAX_DEPTH = 64
MAX_TEXT = 1 << 20
MAX_ITEMS = 100_000
PREVIEW = 1000


def to_json(value: object, blobs: BlobSink | None = None) -> Any:  # Any: a JSON value
    """Return ``value`` as JSON can hold it.

    :param blobs: where bytes go; without one they are only described
    """
    # Most values are small scalars; the encoder is for the rest.
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str and len(value) < MAX_TEXT and value.isascii():  # type: ignore[arg-type,attr-defined]  # a str
        return value
    if kind is int and -SAFE_INTEGER <= value <= SAFE_INTEGER:  # type: ignore[operator]  # an int
        return value
    return _Encoder(blobs).encode(value, 0)


class _Encoder:
    def __init__(self, blobs: BlobSink | None) -> None:
        self._blobs = blobs
        self._items = 0

    def encode(self, value: object, depth: int) -> Any:  # Any: a JSON value
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Enum):
            return self.encode(value.value, depth)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            return int(value) if -SAFE_INTEGER <= value <= SAFE_INTEGER else _long_integer(value)
        if isinstance(value, float):
            return float(value) if isfinite(value) else None
        try:
            return self._structure(value, depth)
        except Exception:
            return _opaque(value)

    def _structure(self, value: object, depth: int) -> Any:  # Any: a JSON value
        self._items += 1
        if depth >= MAX_DEPTH or self._items > MAX_ITEMS:
            return _opaque(value)
        if isinstance(value, Mapping):
            return {_key(key): self.encode(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.encode(item, depth + 1) for item in value]
        if isinstance(value, bytes | bytearray | memoryview):
            return self._blob(bytes(value), "application/octet-stream")
        if isinstance(value, BaseModel):
            return self.encode(value.model_dump(by_alias=True), depth + 1)
        if isinstance(value, datetime | date):
            return value.isoformat()
        if isinstance(value, StreamReader):
            return {"$opaque": "stream"}
        picture = getattr(
            type(value), "_repr_png_", None
        )  # what a notebook shows: pictures have it
        data = picture(value) if picture is not None else None
        return self._blob(data, "image/png") if isinstance(data, bytes) else _opaque(value)

    def _text(self, value: str) -> Any:  # Any: a JSON value
        text = value if value.isascii() else value.encode("utf-8", "replace").decode()
        if len(text) < MAX_TEXT:
            return text
        blob = self._blob(text.encode(), "text/plain; charset=utf-8")
        blob["$blob"]["preview"] = text[:PREVIEW]
        return blob

    def _blob(self, data: bytes, mime: str) -> dict[str, Any]:  # Any: a JSON value
        digest = hashlib.sha256(data).hexdigest()
        if self._blobs is not None:
            self._blobs(digest, data, mime)
        return {"$blob": {"sha256": digest, "size": len(data), "mime": mime}}


def _long_integer(value: int) -> str:
    # Python refuses to print integers of very many digits, as that takes quadratic time.
    return str(value) if value.bit_length() < 10_000 else f"0x{value:x}"


def _key(key: object) -> str:
    if isinstance(key, str):
        return key if key.isascii() else key.encode("utf-8", "replace").decode()
    return json.dumps(key) if isinstance(key, bool | int | float) or key is None else repr(key)


def _opaque(value: object) -> dict[str, str]:
    kind = type(value)
    return {"$opaque": f"{kind.__module__}.{kind.__qualname__}"}

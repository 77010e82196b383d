"""Values as JSON can hold them. Encoding never fails a run, whatever a node returns.

Bytes and pictures become ``{"$blob": {sha256, size, mime}}`` and are handed to the blob
sink, NaN and infinities null, integers beyond 2^53 text, anything else that JSON has no
word for ``{"$opaque": type}``. A text or structure that is too large is kept as a blob
too, with the beginning of it as ``preview``.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from enum import Enum
from itertools import takewhile
from math import isfinite
from typing import Any

from pydantic import BaseModel

from .streams import StreamReader

__all__ = ("MAX_TEXT", "BlobSink", "to_json", "to_key")

# Called with (sha256, bytes, mime type); keeps the bytes as long as the event.
BlobSink = Callable[[str, bytes, str], None]

SAFE_INTEGER = 2**53
MAX_DEPTH = 64
# No value is sent that takes more JSON than this; in characters, counted roughly.
MAX_TEXT = 1 << 20
# Of a structure that is larger than any use of it, no more than this is looked at.
MAX_ITEMS = 200_000
PREVIEW = 1000

_log = logging.getLogger(__name__)


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
    encoder = _Encoder(blobs)
    encoded = encoder.encode(value, 0)
    # A text has been looked at by itself; what is left to look at is many small parts.
    whole = encoder.size < MAX_TEXT or isinstance(encoded, str)
    return encoded if whole else encoder.as_blob(encoded)


def to_key(key: object) -> str:
    """Return a name of any kind as JSON can hold it."""
    try:
        if isinstance(key, Enum):
            key = key.value
        if key is None or isinstance(key, bool | int | float):
            return json.dumps(key)
        return _text(key if isinstance(key, str) else repr(key))
    except Exception:  # objects of packs: whatever they raise, the run goes on
        return f"<{_text(type(key).__name__)}>"


class _Encoder:
    def __init__(self, blobs: BlobSink | None) -> None:
        self._blobs = blobs
        self._items = 0
        self._path: set[int] = set()  # what is being encoded, to notice what holds itself
        self.size = 0

    def encode(self, value: object, depth: int) -> Any:  # Any: a JSON value
        try:
            return self._encode(value, depth)
        except Exception:  # objects of packs: whatever they raise, the run goes on
            return _opaque(value)

    def _encode(self, value: object, depth: int) -> Any:  # Any: a JSON value
        self.size += 4
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Enum):
            return self.encode(value.value, depth)
        if isinstance(value, str):
            return self._long_text(_text(value))
        if isinstance(value, int):
            return int(value) if -SAFE_INTEGER <= value <= SAFE_INTEGER else _long_integer(value)
        if isinstance(value, float):
            return float(value) if isfinite(value) else None
        return self._structure(value, depth)

    def _has_room(self, _: object) -> bool:
        return self.size < 4 * MAX_TEXT  # beyond, it is a blob anyway, of the beginning

    def _structure(self, value: object, depth: int) -> Any:  # Any: a JSON value
        self._items += 1
        if depth >= MAX_DEPTH or self._items > MAX_ITEMS:
            return _opaque(value)
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            return self._container(value, depth)
        if isinstance(value, bytes | bytearray | memoryview):
            return self._blob(bytes(value), "application/octet-stream")
        if isinstance(value, BaseModel):
            return self.encode(value.model_dump(by_alias=True, warnings=False), depth + 1)
        if isinstance(value, date):
            return value.isoformat()
        if isinstance(value, StreamReader):
            return {"$opaque": "stream"}
        picture = getattr(type(value), "_repr_png_", None)  # pictures have it, for notebooks
        data = picture(value) if picture is not None else None
        return self._blob(data, "image/png") if isinstance(data, bytes) else _opaque(value)

    def _container(
        self, value: Mapping[object, object] | Iterable[object], depth: int
    ) -> Any:  # Any: a JSON value
        if id(value) in self._path:
            return _opaque(value)
        self._path.add(id(value))
        try:
            if isinstance(value, Mapping):
                items = takewhile(self._has_room, value.items())
                return {self._key(key): self.encode(item, depth + 1) for key, item in items}
            return [self.encode(item, depth + 1) for item in takewhile(self._has_room, value)]
        finally:
            self._path.discard(id(value))

    def _key(self, key: object) -> str:
        text = to_key(key)
        self.size += len(text) + 4
        return text

    def _long_text(self, text: str) -> Any:  # Any: a JSON value
        if len(text) < MAX_TEXT:
            self.size += len(text)
            return text
        return self._blob(text.encode(), "text/plain; charset=utf-8", text)

    def as_blob(self, encoded: object) -> dict[str, Any]:  # Any: a JSON value
        """Return a large structure as a blob of its own JSON."""
        text = json.dumps(encoded, ensure_ascii=False)
        return self._blob(text.encode(), "application/json", text)

    def _blob(
        self, data: bytes, mime: str, preview: str | None = None
    ) -> dict[str, Any]:  # Any: a JSON value
        digest = hashlib.sha256(data).hexdigest()
        described: dict[str, Any] = {
            "sha256": digest,
            "size": len(data),
            "mime": mime,
        }  # Any: a JSON value
        if preview is not None:
            described["preview"] = preview[:PREVIEW]
        if self._blobs is not None:
            try:
                self._blobs(digest, data, mime)
            except Exception as exc:  # a full disk, a store that is closed: the run goes on
                _log.error("a value of %d bytes is not kept: %s", len(data), exc)
        return {"$blob": described}


def _text(value: str) -> str:
    """Return a text that can be sent as UTF-8: half of a surrogate pair becomes '?'."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def _long_integer(value: int) -> str:
    # Python refuses to print integers of very many digits, as that takes quadratic time.
    return str(value) if value.bit_length() < 10_000 else f"{value:#x}"


def _opaque(value: object) -> dict[str, str]:
    kind = type(value)
    return {"$opaque": _text(f"{kind.__module__}.{kind.__qualname__}")}

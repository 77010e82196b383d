"""How the host and the worker talk: JSON values, each behind its length in four bytes."""

from __future__ import annotations

import json
import struct
from typing import BinaryIO

__all__ = ("packed", "read_frame")

_LENGTH = struct.Struct(">I")


def packed(value: object) -> bytes:
    """Return a JSON value as one frame."""
    # Half a surrogate pair is no UTF-8, but a text may hold one.
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return _LENGTH.pack(len(body)) + body


def read_frame(stream: BinaryIO) -> object:
    """Read one frame; this blocks until it is there.

    :raises EOFError: the other side is gone
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    value: object = json.loads(_exactly(stream, length).decode("utf-8", "surrogatepass"))
    return value


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data

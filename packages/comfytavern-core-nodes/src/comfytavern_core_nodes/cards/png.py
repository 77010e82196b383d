"""Text chunks of a PNG: the walk, and the bytes a chunk carries.

Pixels are never decoded; only the frame of the file and the checksums of text chunks are looked at.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from .errors import CardError
from .limits import MAX_PNG_CHUNKS, MAX_TEXT_BYTES

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")
_HEADER = struct.Struct(">I4s")
_CRC_BYTES = 4


@dataclass(frozen=True, slots=True)
class TextChunk:
    """One text chunk: its kind, its keyword in lower case, and what follows the keyword."""

    kind: bytes
    keyword: bytes
    body: bytes


def text_chunks(data: bytes, source: str) -> list[TextChunk]:
    """Return the text chunks of a PNG in file order.

    :raises CardError: ``bad_png``, ``png_truncated``, ``png_crc`` or ``too_large``
    """
    if len(data) < len(SIGNATURE):
        raise CardError("png_truncated", "the file ends inside the PNG signature", source)
    if not data.startswith(SIGNATURE):
        raise CardError("bad_png", "the PNG signature is damaged; copy the file as binary", source)
    found: list[TextChunk] = []
    position = len(SIGNATURE)
    for number in range(MAX_PNG_CHUNKS):
        kind, start, end = _frame(data, position, source)
        if number == 0 and kind != b"IHDR":
            raise CardError("bad_png", f"the first chunk is {_shown(kind)}, not IHDR", source)
        if end + _CRC_BYTES > len(data):
            raise CardError("png_truncated", f"the file ends inside chunk {_shown(kind)}", source)
        if kind == b"IEND":
            return found
        if kind in _TEXT_KINDS:
            found.extend(_text_chunk(data, kind, start, end, source))
        position = end + _CRC_BYTES
    raise CardError("too_large", f"the PNG has more than {MAX_PNG_CHUNKS} chunks", source)


def chunk_text(chunk: TextChunk, source: str) -> bytes:
    """Return the text of a chunk, inflated where the chunk is compressed.

    :raises CardError: ``bad_compressed_text`` or ``too_large``
    """
    if chunk.kind == b"zTXt":
        text = _inflated(chunk.body[1:], chunk.body[:1], source)
    elif chunk.kind == b"iTXt":
        text = _international_text(chunk.body, source)
    else:
        text = chunk.body
    if len(text) > MAX_TEXT_BYTES:
        raise _too_large(source)
    return text


def _frame(data: bytes, position: int, source: str) -> tuple[bytes, int, int]:
    if position + _HEADER.size > len(data):
        raise CardError("png_truncated", "the file ends before the IEND chunk", source)
    length, kind = _HEADER.unpack_from(data, position)
    start = position + _HEADER.size
    return kind, start, start + length


def _text_chunk(data: bytes, kind: bytes, start: int, end: int, source: str) -> list[TextChunk]:
    content = data[start:end]
    (expected,) = struct.unpack_from(">I", data, end)
    if zlib.crc32(content, zlib.crc32(kind)) != expected:
        raise CardError("png_crc", f"the checksum of a {_shown(kind)} chunk is wrong", source)
    keyword, separator, body = content.partition(b"\0")
    # Without the separator there is no keyword, so the chunk cannot be the card.
    return [TextChunk(kind, keyword.lower(), body)] if separator else []


def _international_text(body: bytes, source: str) -> bytes:
    flag, method = body[:1], body[1:2]
    language_and_rest = body[2:].split(b"\0", 2)
    if len(language_and_rest) < 3 or flag not in (b"\0", b"\1"):
        raise CardError("bad_compressed_text", "the iTXt chunk is cut short or damaged", source)
    text = language_and_rest[2]
    return _inflated(text, method, source) if flag == b"\1" else text


def _inflated(packed: bytes, method: bytes, source: str) -> bytes:
    if method != b"\0":
        reason = "the text chunk names no known compression method"
        raise CardError("bad_compressed_text", reason, source)
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(packed, MAX_TEXT_BYTES + 1)
    except zlib.error as exc:
        raise CardError("bad_compressed_text", "the compressed text is damaged", source) from exc
    if len(text) > MAX_TEXT_BYTES:
        raise _too_large(source)
    if not inflater.eof:
        raise CardError("bad_compressed_text", "the compressed text is cut short", source)
    return text


def _too_large(source: str) -> CardError:
    return CardError("too_large", f"the card text is longer than {MAX_TEXT_BYTES} bytes", source)


def _shown(kind: bytes) -> str:
    return repr(kind.decode("latin-1"))

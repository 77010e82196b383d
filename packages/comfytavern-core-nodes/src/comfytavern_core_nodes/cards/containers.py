"""Which container a card file is, and the card text inside a CHARX zip.

The first bytes decide; the file name only where they say nothing.
"""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from typing import Literal, TypeAlias

from .errors import CardError
from .limits import MAX_TEXT_BYTES, MAX_ZIP_DIRECTORY

Container: TypeAlias = Literal["png", "charx", "yaml", "json"]

CARD_MEMBER = "card.json"
_PNG_MARK = b"\x89PNG"
_ZIP_MARK = b"PK\x03\x04"
_END_MARK = b"PK\x05\x06"
_END_RECORD = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR_MARK = b"PK\x06\x07"
_ZIP64_LOCATOR_BYTES = 20
_ENCRYPTED_FLAG = 0x1
# zipfile answers damage with whatever its parts raise, so this is the list seen in its source.
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    OSError,
    OverflowError,
    LookupError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)


def container_of(data: bytes, name: str) -> Container:
    """Return the container of a card file.

    :raises CardError: ``empty_file``, or ``not_png`` / ``bad_zip`` where the name promises more
    """
    lowered = name.lower()
    if not data:
        raise CardError("empty_file", "the file is empty", name)
    if data.startswith(_PNG_MARK):
        return "png"
    if data.startswith(_ZIP_MARK):
        return "charx"
    if lowered.endswith((".png", ".apng")):
        raise CardError("not_png", "the file has a PNG name, but its content is no PNG", name)
    if lowered.endswith(".charx"):
        raise CardError("bad_zip", "the file has a CHARX name, but its content is no zip", name)
    return "yaml" if lowered.endswith((".yaml", ".yml")) else "json"


def charx_text(data: bytes, source: str) -> bytes:
    """Return the content of ``card.json`` at the root of a CHARX file.

    :raises CardError: ``bad_zip``, ``no_card_data``, ``encrypted`` or ``too_large``
    """
    _check_directory(data, source)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _member_text(archive, source)
    except _ZIP_FAULTS as exc:
        raise CardError("bad_zip", "the zip file is damaged", source) from exc


def _check_directory(data: bytes, source: str) -> None:
    """Refuse a huge list of members before zipfile builds an object for each."""
    end = data.rfind(_END_MARK)
    if end < 0 or end + _END_RECORD.size > len(data):
        raise CardError("bad_zip", "the zip file is cut short", source)
    size = _END_RECORD.unpack_from(data, end)[5]
    # A zip64 locator would override the size just read; no card needs 4 GiB.
    locator = max(end - _ZIP64_LOCATOR_BYTES, 0)
    if size > MAX_ZIP_DIRECTORY or data.startswith(_ZIP64_LOCATOR_MARK, locator):
        raise CardError("too_large", "the zip file has too many members for a card", source)


def _member_text(archive: zipfile.ZipFile, source: str) -> bytes:
    try:
        member = archive.getinfo(CARD_MEMBER)
    except KeyError as exc:
        reason = f"the zip file has no {CARD_MEMBER} at its root"
        raise CardError("no_card_data", reason, source) from exc
    if member.flag_bits & _ENCRYPTED_FLAG:
        raise CardError("encrypted", f"{CARD_MEMBER} is encrypted", source)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        reason = f"{CARD_MEMBER} is neither stored nor deflated"
        raise CardError("bad_zip", reason, source)
    # The size in the directory is a claim of the file, so the read itself is bounded too.
    with archive.open(member) as stream:
        text = b"" if member.file_size > MAX_TEXT_BYTES else stream.read(MAX_TEXT_BYTES + 1)
    if max(member.file_size, len(text)) > MAX_TEXT_BYTES:
        reason = f"{CARD_MEMBER} is longer than {MAX_TEXT_BYTES} bytes"
        raise CardError("too_large", reason, source)
    return text

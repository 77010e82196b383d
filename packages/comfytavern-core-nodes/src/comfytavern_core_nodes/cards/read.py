"""Bytes of a card file to a card."""

from __future__ import annotations

from dataclasses import replace

from pydantic import JsonValue

from .containers import charx_text, container_of
from .documents import parse_chunk_text, parse_json, parse_yaml
from .errors import CardError
from .model import CardReading
from .png import TextChunk, chunk_text, text_chunks
from .shapes import normalised


def read_card(data: bytes, name: str) -> CardReading:
    """Read a character card: PNG, APNG, CHARX, YAML or JSON.

    The content decides what the file is; ``name`` helps where it does not and appears in errors.
    Nothing is read from disk and no state is kept, so this may be called from any thread; a large
    file takes a while, so keep it off an event loop.

    :raises CardError: for everything that is not a usable card; nothing else is ever raised
    """
    document, warnings = card_document(data, name)
    reading = normalised(document, name)
    return replace(reading, warnings=(*warnings, *reading.warnings))


def card_document(data: bytes, name: str) -> tuple[dict[str, JsonValue], tuple[str, ...]]:
    """Return the card object of a file as it stands there, and warnings about the file.

    :raises CardError: the file holds no object
    """
    container = container_of(data, name)
    if container == "png":
        return _png_document(data, name)
    if container == "charx":
        return parse_json(charx_text(data, name), name), ()
    parse = parse_yaml if container == "yaml" else parse_json
    return parse(data, name), ()


def _png_document(data: bytes, source: str) -> tuple[dict[str, JsonValue], tuple[str, ...]]:
    chunks = text_chunks(data, source)
    newer, older = _chosen(chunks, b"ccv3"), _chosen(chunks, b"chara")
    if newer is None or older is None:
        only = newer or older
        if only is None:
            raise CardError("no_card_data", "the PNG has no ccv3 or chara text chunk", source)
        return _chunk_document(only, source), ()
    document: dict[str, JsonValue] | None = None
    try:
        document = _chunk_document(newer, source)
        normalised(document, source)
    except CardError as newer_error:
        try:
            fallback = _chunk_document(older, source)
            normalised(fallback, source)
        except CardError:
            if document is None:
                raise newer_error from None
            return document, ()  # whoever reads it meets the same error
        warning = f"chunk ccv3 cannot be read ({newer_error.code}); chunk chara is used instead"
        return fallback, (warning,)
    return document, ()


def _chunk_document(chunk: TextChunk, source: str) -> dict[str, JsonValue]:
    return parse_chunk_text(chunk_text(chunk, source), source)


def _chosen(chunks: list[TextChunk], keyword: bytes) -> TextChunk | None:
    named = [chunk for chunk in chunks if chunk.keyword == keyword]
    # min keeps file order among equals, so plain text wins and then the first.
    return min(named, key=lambda chunk: chunk.kind != b"tEXt", default=None)

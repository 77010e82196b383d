"""Bytes of a card file to a card."""

from __future__ import annotations

from dataclasses import replace

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
    container = container_of(data, name)
    if container == "png":
        return _png_card(data, name)
    if container == "charx":
        return normalised(parse_json(charx_text(data, name), name), name)
    parse = parse_yaml if container == "yaml" else parse_json
    return normalised(parse(data, name), name)


def _png_card(data: bytes, source: str) -> CardReading:
    chunks = text_chunks(data, source)
    newer, older = _chosen(chunks, b"ccv3"), _chosen(chunks, b"chara")
    if newer is None or older is None:
        only = newer or older
        if only is None:
            raise CardError("no_card_data", "the PNG has no ccv3 or chara text chunk", source)
        return _chunk_card(only, source)
    try:
        return _chunk_card(newer, source)
    except CardError as newer_error:
        try:
            reading = _chunk_card(older, source)
        except CardError:
            raise newer_error from None
        warning = f"chunk ccv3 cannot be read ({newer_error.code}); chunk chara is used instead"
        return replace(reading, warnings=(warning, *reading.warnings))


def _chunk_card(chunk: TextChunk, source: str) -> CardReading:
    return normalised(parse_chunk_text(chunk_text(chunk, source), source), source)


def _chosen(chunks: list[TextChunk], keyword: bytes) -> TextChunk | None:
    named = [chunk for chunk in chunks if chunk.keyword == keyword]
    # min keeps file order among equals, so plain text wins and then the first.
    return min(named, key=lambda chunk: chunk.kind != b"tEXt", default=None)

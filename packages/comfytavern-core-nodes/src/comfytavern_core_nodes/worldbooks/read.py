"""Bytes of a world book file, or an object already parsed, to a world book."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..cards import CardError, CardErrorCode
from ..cards.documents import parse_json, parse_yaml
from .entries import normalised_entries
from .errors import WorldBookError, WorldBookErrorCode
from .fields import Fields, Problems
from .formats import raw_book, raw_entries, unknown_fields
from .model import WorldBook, WorldBookReading

_KNOWN = frozenset(WorldBook.model_fields)
# The parser is that of character cards. Its own words are used only where they fit a book.
_CODES: Mapping[CardErrorCode, tuple[WorldBookErrorCode, str]] = MappingProxyType(
    {
        "bad_utf8": ("bad_utf8", "the text is not UTF-8; a world book is JSON or YAML"),
        "bad_json": ("bad_json", ""),
        "bad_yaml": ("bad_yaml", ""),
        "not_an_object": (
            "not_an_object",
            "the file holds no object; a world book is an object with named fields",
        ),
        "too_large": ("too_large", "the text is longer or has more values than a world book may"),
    }
)


def read_world_book(data: bytes, name: str) -> WorldBookReading:
    """Read a world book of any known format from JSON or, by its name, YAML.

    ``name`` also appears in errors. Nothing is read from disk and no state is kept, so this may be
    called from any thread; a large file takes a while, so keep it off an event loop.

    :raises WorldBookError: for everything that is no usable book; nothing else is ever raised
    """
    if not data.strip():
        raise WorldBookError("empty_file", "the file is empty", name)
    parse = parse_yaml if name.lower().endswith((".yaml", ".yml")) else parse_json
    try:
        value = parse(data, name)
    except CardError as error:
        code, reason = _CODES.get(error.code, ("not_a_world_book", ""))
        raise WorldBookError(code, reason or error.reason, name) from error
    return world_book_from(value, name)


def world_book_from(value: object, source: str) -> WorldBookReading:
    """Normalise a parsed book of any known format; a normalised one comes out as it is.

    :param source: what errors call the book
    :raises WorldBookError: ``not_an_object``, ``not_a_world_book``, ``bad_entry`` or ``too_large``
    """
    raw = raw_book(value, source)
    problems = Problems()
    entries = normalised_entries(raw_entries(raw, source), problems, source)
    fields = Fields(raw.values, raw.path, problems)
    known: dict[str, object] = {
        "name": fields.text("name").strip() or None,
        "scan_depth": fields.optional_whole("scan_depth"),
        "token_budget": fields.optional_whole("token_budget", least=0),
        "recursive_scanning": fields.optional_flag("recursive_scanning"),
        "entries": entries,
    }
    book = WorldBook.model_validate(unknown_fields(raw, _KNOWN) | known)
    return WorldBookReading(book, problems.all())

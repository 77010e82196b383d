"""Bytes of a history file, or a value between nodes, to messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from pydantic import JsonValue

from .errors import HistoryError
from .json_text import JsonTextError, decode, kind_of, parse
from .messages import Place, message_from, pair_from
from .model import ChatMessage, HistoryReading

_HEADER_KEYS = ("chat_metadata", "user_name", "character_name")
_VALUE_NAME = "historyMessages"


def read_history(data: bytes, name: str) -> HistoryReading:
    """Read a chat history: JSON, or JSON with one message per line.

    The content decides; ``name`` helps where it does not and appears in errors. Nothing is read
    from disk; a large file takes a while, so keep it off an event loop.

    :raises HistoryError: for everything that is no usable history; nothing else is ever raised
    """
    try:
        text = decode(data)
    except JsonTextError as exc:
        raise HistoryError(exc.code, exc.reason, name) from exc
    return _lines_reading(text, name) if _has_lines(text, name) else _whole_reading(text, name)


def messages_from(value: object) -> tuple[ChatMessage, ...]:
    """Return the messages in ``value``: a list of messages, or the text of a history file.

    None and blank text are an empty history.

    :raises HistoryError: it is something else; the text names the message
    """
    if isinstance(value, str):
        if not value.strip():
            return ()
        return read_history(value.encode("utf-8", "replace"), _VALUE_NAME).messages
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray):
        reason = f"it is {type(value).__name__}; a list of messages or its text was expected"
        raise HistoryError("not_a_history", reason, _VALUE_NAME)
    return tuple(_each(value, Place(_VALUE_NAME)))


def _has_lines(text: str, name: str) -> bool:
    """Say whether each line is JSON of its own."""
    if name.lower().endswith(".jsonl"):
        return not text.lstrip().startswith("[")
    first, _, rest = text.strip().partition("\n")
    # An object that ends with its line and has something behind it: no single JSON value.
    return first.startswith("{") and first.rstrip().endswith("}") and rest.startswith("{")


def _whole_reading(text: str, source: str) -> HistoryReading:
    try:
        value = parse(text)
    except JsonTextError as exc:
        raise HistoryError(exc.code, exc.reason, source) from exc
    if isinstance(value, list):
        return HistoryReading(tuple(_each(value, Place(source))), {})
    if not isinstance(value, dict):
        reason = f"the file holds {kind_of(value)}; a list or an object was expected"
        raise HistoryError("not_a_history", reason, source)
    return _object_reading(value, source)


def _object_reading(value: dict[str, JsonValue], source: str) -> HistoryReading:
    messages = value.get("messages")
    if isinstance(messages, list):
        return HistoryReading(tuple(_each(messages, Place(source))), _metadata(value))
    pairs = value.get("data_visible", value.get("visible"))
    if isinstance(pairs, list):
        return HistoryReading(tuple(_pairs(pairs, Place(source))), {})
    if _is_header(value):
        return HistoryReading((), _metadata(value))
    if "mes" in value or "role" in value:
        return HistoryReading((message_from(value, Place(source)),), {})
    reason = "the object has no list of messages, data_visible, or chat_metadata"
    raise HistoryError("not_a_history", reason, source)


def _lines_reading(text: str, source: str) -> HistoryReading:
    metadata: dict[str, JsonValue] = {}
    messages: list[ChatMessage] = []
    place = Place(source)
    place.index = 0
    is_first = True
    # Not splitlines: text in JSON may hold other line ends, such as U+2028, as they are.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        value = _parsed_line(line, number, source)
        place.line = number
        if is_first and isinstance(value, dict) and _is_header(value):
            metadata = _metadata(value)
        else:
            messages += _line_messages(value, place)
        is_first = False
    return HistoryReading(tuple(messages), metadata)


def _line_messages(value: JsonValue, place: Place) -> list[ChatMessage]:
    inner = value.get("messages") if isinstance(value, dict) else None
    found = [message_from(each, place) for each in (inner if isinstance(inner, list) else [value])]
    place.index = (place.index or 0) + len(found)
    return found


def _parsed_line(line: str, number: int, source: str) -> JsonValue:
    try:
        return parse(line)
    except JsonTextError as exc:
        # The parser sees one line only, so its own count would mislead.
        reason = exc.reason.replace(" at line 1, column", " at column")
        raise HistoryError(exc.code, reason, source, line=number) from exc


def _each(values: Iterable[object], place: Place) -> Iterator[ChatMessage]:
    for place.index, value in enumerate(values):
        yield message_from(value, place)


def _pairs(values: Iterable[object], place: Place) -> Iterator[ChatMessage]:
    def pairs() -> Iterator[list[ChatMessage]]:
        for place.index, value in enumerate(values):
            yield pair_from(value, place)

    return chain.from_iterable(pairs())


def _is_header(value: dict[str, JsonValue]) -> bool:
    return "mes" not in value and "role" not in value and any(key in value for key in _HEADER_KEYS)


def _metadata(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {
        key: value[key] for key in ("user_name", "character_name", "chat_metadata") if key in value
    }

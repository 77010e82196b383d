"""Data-flow types: which slots connect, how values convert, and what is empty.

``ABSENT`` is not None: it marks a value that is not there, so that the next source
(preset, default) is asked. None is a value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = (
    "ABSENT",
    "Absent",
    "Converter",
    "DataFlowType",
    "MatchCategory",
    "SlotType",
    "as_float",
    "can_connect",
    "converter",
    "describe_value",
    "empty_value",
    "fits",
    "js_text",
    "parse_text",
)


class DataFlowType(StrEnum):
    """What flows through a slot, as it is named on the wire."""

    STRING = "STRING"
    INTEGER = "INTEGER"
    FLOAT = "FLOAT"
    BOOLEAN = "BOOLEAN"
    OBJECT = "OBJECT"
    ARRAY = "ARRAY"
    BINARY = "BINARY"
    WILDCARD = "WILDCARD"
    CONVERTIBLE_ANY = "CONVERTIBLE_ANY"


class MatchCategory(StrEnum):
    """The built-in match categories; packs may use names of their own beside them."""

    CODE = "Code"
    JSON = "Json"
    MARKDOWN = "Markdown"
    URL = "Url"
    FILE_PATH = "FilePath"
    PROMPT = "Prompt"
    CHAT_MESSAGE = "ChatMessage"
    CHAT_HISTORY = "ChatHistory"
    LLM_CONFIG = "LlmConfig"
    LLM_OUTPUT = "LlmOutput"
    VECTOR_EMBEDDING = "VectorEmbedding"
    CHARACTER_PROFILE = "CharacterProfile"
    IMAGE_DATA = "ImageData"
    AUDIO_DATA = "AudioData"
    VIDEO_DATA = "VideoData"
    RESOURCE_ID = "ResourceId"
    TRIGGER = "Trigger"
    STREAM_CHUNK = "StreamChunk"
    COMBO_OPTION = "ComboOption"
    REGEX_RULE_ARRAY = "RegexRuleArray"
    UI_BLOCK = "UiBlock"
    CAN_PREVIEW = "CanPreview"
    NO_DEFAULT_EDIT = "NoDefaultEdit"
    BEHAVIOR_WILDCARD = "BehaviorWildcard"
    BEHAVIOR_CONVERTIBLE = "BehaviorConvertible"


class Absent(Enum):
    """The type of ``ABSENT``."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = Absent.ABSENT

Converter = Callable[[object], object]

_ANYTHING = frozenset({DataFlowType.WILDCARD, DataFlowType.CONVERTIBLE_ANY})
_ANYTHING_CATEGORIES = frozenset(
    {MatchCategory.BEHAVIOR_WILDCARD.value, MatchCategory.BEHAVIOR_CONVERTIBLE.value}
)
# Tags that tell the editor how to draw a slot say nothing about what flows through it.
_PRESENTATION = frozenset(
    {
        MatchCategory.UI_BLOCK.value,
        MatchCategory.CAN_PREVIEW.value,
        MatchCategory.NO_DEFAULT_EDIT.value,
    }
)
_TO_TEXT = frozenset({DataFlowType.INTEGER, DataFlowType.FLOAT, DataFlowType.BOOLEAN})


class SlotType(NamedTuple):
    """What the connection rules need to know of a slot."""

    flow: DataFlowType
    is_stream: bool = False
    categories: frozenset[str] = frozenset()

    def __str__(self) -> str:
        stream = " stream" if self.is_stream else ""
        tags = sorted(self.categories - _PRESENTATION)
        return f"{self.flow.value}{stream}" + (f" [{', '.join(tags)}]" if tags else "")


def can_connect(source: SlotType, target: SlotType) -> bool:
    """Return whether an edge may lead from ``source`` to ``target``."""
    if source.is_stream != target.is_stream:
        return False
    if source.flow is target.flow or source.flow in _ANYTHING or target.flow in _ANYTHING:
        return True
    if source.categories & _ANYTHING_CATEGORIES or target.categories & _ANYTHING_CATEGORIES:
        return True
    if source.flow is DataFlowType.INTEGER and target.flow is DataFlowType.FLOAT:
        return True
    if source.flow in _TO_TEXT and target.flow is DataFlowType.STRING:
        return True
    return bool((source.categories & target.categories) - _PRESENTATION)


def converter(source: SlotType, target: SlotType) -> Converter | None:
    """Return what turns a value of ``source`` into one of ``target``; None if nothing does."""
    if source.flow is target.flow or source.is_stream:
        return None
    if target.flow is DataFlowType.STRING and source.flow in _TO_TEXT:
        return _to_text
    if target.flow is DataFlowType.FLOAT and source.flow is DataFlowType.INTEGER:
        return _to_float
    return None


def _to_text(value: object) -> object:
    return js_text(value) if isinstance(value, bool | int | float) else value


def _to_float(value: object) -> object:
    return as_float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def as_float(value: int) -> float:
    """Return an integer as a float; one that is too large as an infinity, as JavaScript does."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def js_text(value: bool | int | float) -> str:
    """Return a scalar as JavaScript's ``String(value)`` prints it.

    Numbers follow ECMA-262 ``Number::toString``: the shortest digits that round-trip,
    plain notation for exponents from -7 to 20, otherwise ``1e+21``.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if abs(value) < 10**21:
            return str(value)
        value = as_float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "0"
    return ("-" if value < 0 else "") + _js_digits(abs(value))


def _js_digits(value: float) -> str:
    mantissa, _, exponent = f"{value!r}e0".partition("e")
    exponent_of_ten = int(exponent.removesuffix("e0"))
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # position of the decimal point, counted from the first significant digit
    point = len(whole.lstrip("0")) + exponent_of_ten
    if whole.strip("0") == "":
        point = exponent_of_ten - (len(fraction) - len(fraction.lstrip("0")))
    digits = digits.rstrip("0") or "0"
    if len(digits) <= point <= 21:
        return digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    power = point - 1
    shown = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{shown}e{'+' if power > 0 else '-'}{abs(power)}"


_EMPTY: Mapping[DataFlowType, Callable[[], object]] = MappingProxyType(
    {
        DataFlowType.STRING: str,
        DataFlowType.INTEGER: int,
        DataFlowType.FLOAT: float,
        DataFlowType.BOOLEAN: bool,
        DataFlowType.OBJECT: dict,
        DataFlowType.ARRAY: list,
        DataFlowType.BINARY: bytes,
    }
)


def empty_value(flow: DataFlowType) -> object:
    """Return the empty value of a type: ``'' 0 0.0 False {} [] b''``, else None."""
    make = _EMPTY.get(flow)
    return make() if make is not None else None


def fits(value: object, flow: DataFlowType) -> bool:
    """Return whether a preset may hold ``value`` for a slot of type ``flow``.

    None always fits (it is a value of every type); an integral float fits INTEGER,
    because JSON has one kind of number; OBJECT takes any structured value, as JSON
    widgets hold lists too.
    """
    if value is None or flow in _ANYTHING:
        return True
    if flow is DataFlowType.STRING:
        return isinstance(value, str)
    if flow is DataFlowType.BOOLEAN:
        return isinstance(value, bool)
    if flow is DataFlowType.INTEGER:
        return isinstance(value, int | float) and _is_number(value) and value == value // 1
    if flow is DataFlowType.FLOAT:
        return _is_number(value)
    if flow is DataFlowType.ARRAY:
        return isinstance(value, list | tuple)
    if flow is DataFlowType.BINARY:
        return isinstance(value, bytes | bytearray | memoryview | str | dict)
    return not isinstance(value, str | bytes | bool | int | float)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(as_float(value) if isinstance(value, int) else value)


_INTEGER_TEXT = re.compile(r"[+-]?\d{1,300}", re.ASCII)


def parse_text(text: str, flow: DataFlowType) -> object:
    """Parse text from a command line by the type of the slot it is for.

    :raises ValueError: the text does not spell a value of that type
    """
    if flow is DataFlowType.STRING:
        return text
    if flow is DataFlowType.BOOLEAN:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.strip().lower() not in words:
            raise ValueError("expected true or false")
        return words[text.strip().lower()]
    if flow is DataFlowType.INTEGER:
        if not _INTEGER_TEXT.fullmatch(text.strip(" \t\r\n")):
            raise ValueError("expected a whole number")
        return int(text.strip(" \t\r\n"))
    if flow is DataFlowType.FLOAT:
        return _parse_float(text)
    return _parse_structured(text, flow)


def _parse_float(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("expected a number")
    return value


def _parse_structured(text: str, flow: DataFlowType) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        if flow in _ANYTHING or flow is DataFlowType.BINARY:
            return text  # free text is a value of these types
        raise ValueError(f"expected JSON for {flow.value}") from None
    if flow is DataFlowType.BINARY and not fits(value, flow):
        return text
    if flow is DataFlowType.ARRAY and not isinstance(value, list):
        raise ValueError("expected a JSON list")
    if flow is DataFlowType.OBJECT and not isinstance(value, dict | list):
        raise ValueError("expected a JSON object")
    return value


def describe_value(value: object) -> str:
    """Return a short name of what a value is, for messages: never the value itself."""
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    names: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "a boolean"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "text"),
        ((list, tuple), "a list"),
        (dict, "an object"),
        ((bytes, bytearray), "bytes"),
    )
    for kind, name in names:
        if isinstance(value, kind):
            return name
    return f"a {type(value).__name__}"

"""The kinds of values a configuration holds: what is accepted, and what it becomes.

Each kind is an annotated type. Its validator takes what YAML, a variable or a flag
gives and raises :class:`Unfit` with what it would have taken; who reports the error
knows the key, the place and the value.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from .references import SecretReference

_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([a-z]*)", re.I)
_BREAKS = re.compile(r"[\r\n\0]")
_TRUTH = {"true": True, "yes": True, "on": True, "1": True} | dict.fromkeys(
    ("false", "no", "off", "0"), False
)
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "b": 1} | {
    f"{prefix}{suffix}": base**power
    for power, prefix in enumerate("kmgt", start=1)
    for suffix, base in (("b", 1000), ("ib", 1024))
}


class Unfit(ValueError):
    """A value is not what its key takes. ``wrong`` is what is said instead of the value."""

    def __init__(self, expected: str, wrong: str | None = None) -> None:
        self.expected = expected
        self.wrong = wrong
        super().__init__(expected)


def found(value: object) -> str:
    """Name a value in an error message: text is quoted and cut, collections are not shown."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:57] + "...")
    return str(value) if isinstance(value, int | float) else f"a {type(value).__name__}"


def distribution_name(value: object) -> str:
    """Normalise the name of a distribution as PEP 503 says.

    :raises Unfit: it is no such name
    """
    if not isinstance(value, str) or not _DISTRIBUTION.fullmatch(value):
        raise Unfit("the name of a distribution, as pip installs it")
    return re.sub(r"[-_.]+", "-", value).lower()


def one_line(value: object, expected: str = "text") -> str:
    """Take a text without line breaks, which could not start a second header.

    :raises Unfit: it is no text, or has several lines
    """
    if not isinstance(value, str):
        raise Unfit(expected)
    if _BREAKS.search(value):
        raise Unfit(expected, "holds a line break or a NUL")
    return value


def _name(value: object) -> str:
    text = one_line(value, "a name")
    if not _NAME.fullmatch(text):
        raise Unfit("a name of letters, digits, '.', '_' and '-'")
    return text


def _truth(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUTH:
        return _TRUTH[value.lower()]
    raise Unfit("true or false")


def whole_number(minimum: int, maximum: int) -> Callable[[object], int]:
    """Make a validator for whole numbers between two bounds, both included."""
    expected = f"a whole number from {minimum} to {maximum}"

    def check(value: object) -> int:
        number = int(value) if isinstance(value, str) and _WHOLE.fullmatch(value) else value
        if type(number) is not int or not minimum <= number <= maximum:
            raise Unfit(expected)
        return number

    return check


def _choice(*allowed: str) -> Callable[[object], str]:
    expected = f"one of {', '.join(allowed)}"

    def check(value: object) -> str:
        if not isinstance(value, str) or value.lower() not in allowed:
            raise Unfit(expected)
        return value.lower()

    return check


def _quantity(value: object, units: dict[str, float] | dict[str, int], expected: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if 0 <= value < 1e15 and math.isfinite(value):
            return value
    elif isinstance(value, str):
        match = _QUANTITY.fullmatch(value.strip())
        if match and match[2].lower() in units:
            return float(match[1]) * units[match[2].lower()]
    raise Unfit(expected)


def parse_duration(value: object) -> float:
    """Read ``5s``, ``250ms``, ``2m`` or a number of seconds.

    :raises Unfit: it is no duration
    """
    return float(_quantity(value, _SECONDS, "a duration such as 250ms, 5s or 2m"))


def parse_size(value: object) -> int:
    """Read ``16MiB``, ``512KB`` or a number of bytes.

    :raises Unfit: it is no size of at least one byte
    """
    size = int(_quantity(value, _BYTES, "a size such as 512KB, 16MiB or 1GiB"))
    if size < 1:
        raise Unfit("a size of at least one byte")
    return size


def _days(value: object) -> float:
    days = float(_quantity(value, {"": 1.0, "d": 1.0}, "a number of days"))
    if not 0 < days <= 36500:
        raise Unfit("a number of days, more than 0 and at most 36500")
    return days


def _plain_days(days: float) -> int | float:
    """Write whole days without a fraction."""
    return int(days) if days.is_integer() else days


def format_duration(seconds: float) -> str:
    """Write a duration so that :func:`parse_duration` reads the same."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:.15g}ms"
    return f"{seconds:.15g}s"


def format_size(size: int) -> str:
    """Write a size so that :func:`parse_size` reads the same."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size % _BYTES[unit.lower()] == 0:
            return f"{size // _BYTES[unit.lower()]}{unit}"
    return f"{size}B"


def _directory(value: object) -> Path:
    text = str(value) if isinstance(value, Path) else one_line(value, "the path of a directory")
    if not text.strip():
        raise Unfit("the path of a directory")
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise Unfit("a path with a home directory that exists")
    return Path(os.path.abspath(expanded))


def _reference(value: object) -> SecretReference:
    if isinstance(value, SecretReference):
        return value
    reference = SecretReference.parse(value) if isinstance(value, str) else None
    if reference is None:
        # The value may be the secret itself: it is never shown.
        wrong = "is empty" if value in (None, "") else "is no reference to a secret"
        raise Unfit("env:NAME or file:PATH; keep the secret itself there, not here", wrong)
    return reference


def _nothing_is_empty(value: object) -> object:
    """A key whose items are all commented out holds null."""
    return () if value is None else value


def _nothing_is_no_entries(value: object) -> object:
    return {} if value is None else value


EMPTY_LIST = BeforeValidator(_nothing_is_empty)
EMPTY_MAPPING = BeforeValidator(_nothing_is_no_entries)

Text = Annotated[str, BeforeValidator(one_line)]
Name = Annotated[str, BeforeValidator(_name)]
DistributionName = Annotated[str, BeforeValidator(distribution_name)]
Truth = Annotated[bool, BeforeValidator(_truth)]
Count = Annotated[int, BeforeValidator(whole_number(1, 1_000_000_000))]
CountOrNone = Annotated[int, BeforeValidator(whole_number(0, 1_000_000_000))]
Threads = Annotated[int, BeforeValidator(whole_number(1, 1024))]
Depth = Annotated[int, BeforeValidator(whole_number(1, 256))]
Duration = Annotated[
    float, BeforeValidator(parse_duration), PlainSerializer(format_duration, when_used="json")
]
Size = Annotated[int, BeforeValidator(parse_size), PlainSerializer(format_size, when_used="json")]
Days = Annotated[float, BeforeValidator(_days), PlainSerializer(_plain_days, when_used="json")]
Directory = Annotated[Path, BeforeValidator(_directory)]
Reference = Annotated[
    SecretReference, BeforeValidator(_reference), PlainSerializer(str, when_used="json")
]
LogLevel = Annotated[str, BeforeValidator(_choice("debug", "info", "warning", "error"))]
LogFormat = Annotated[str, BeforeValidator(_choice("text", "json"))]

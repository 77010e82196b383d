"""Typed access to the fields of a preset object, noting what had to be overlooked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn, TypeVar

from pydantic import JsonValue

from ..histories.json_text import kind_of
from .errors import PresetError

_Default = TypeVar("_Default")


class PresetFields:
    """Reads one object; text of a wrong kind is refused, a wrong number or switch is a warning."""

    def __init__(self, values: Mapping[str, JsonValue], source: str, where: str = "") -> None:
        self._values = values
        self._source = source
        self._where = where
        self.warnings: list[str] = []
        self.read: set[str] = set()

    def get(self, key: str) -> JsonValue:
        """Return the field as it is, or null."""
        self.read.add(key)
        return self._values.get(key)

    def has(self, key: str) -> bool:
        """Say whether the field is there and not null."""
        return self.get(key) is not None

    def text(self, key: str) -> str:
        """Return a text field, ``""`` if null or missing.

        :raises PresetError: ``bad_preset``
        """
        value = self.get(key)
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        self.refuse(key, "a text", value)

    def objects(self, key: str) -> list[dict[str, JsonValue]]:
        """Return a list of objects, ``[]`` if null or missing.

        :raises PresetError: ``bad_preset``
        """
        value = self.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(key, "a list", value)
        members: list[dict[str, JsonValue]] = []
        for number, member in enumerate(value):
            if not isinstance(member, dict):
                self.refuse(f"{key}[{number}]", "an object", member)
            members.append(member)
        return members

    def switch(self, key: str, default: bool = False) -> bool:
        """Return true or false; anything else is a warning and the default."""
        value = self.get(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        if value in (0, 1):
            return value == 1
        return self._instead(key, value, default)

    def whole(self, key: str, default: int, least: int) -> int:
        """Return a whole number from ``least`` up; anything else is a warning and the default."""
        value = self.get(key)
        if value is None:
            return default
        number = as_whole(value)
        return (
            number if number is not None and number >= least else self._instead(key, value, default)
        )

    def refuse(self, key: str, wanted: str, value: JsonValue) -> NoReturn:
        """Raise the error for a field of the wrong kind."""
        reason = f"field {self._where}{key} is {kind_of(value)}; {wanted} was expected"
        raise PresetError("bad_preset", reason, self._source)

    def warn(self, text: str) -> None:
        """Note what was overlooked."""
        self.warnings.append(f"{self._where}{text}")

    def _instead(self, key: str, value: JsonValue, default: _Default) -> _Default:
        self.warn(f"{key} is {_shown(value)}; {_shown(default)} is used")
        return default


def as_whole(value: object) -> int | None:
    """Return a whole number of JSON, which may be written as 2.0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Infinity and NaN fail the first comparison.
    return int(value) if abs(value) < 2**53 and value == int(value) else None


def _shown(value: object) -> str:
    if isinstance(value, str):
        return repr(value[:40])
    return str(value) if isinstance(value, bool | int | float) else kind_of(value)

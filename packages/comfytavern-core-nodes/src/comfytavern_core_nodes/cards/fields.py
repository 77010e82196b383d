"""Typed access to the fields of a card object, remembering what was read and overlooked."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from .errors import CardError


class CardFields:
    """Reads one card object field by field; every refusal names the field."""

    def __init__(self, values: Mapping[str, JsonValue], source: str) -> None:
        self._values = values
        self._read: set[str] = set()
        self.source = source
        self.warnings: list[str] = []

    def get(self, key: str) -> JsonValue:
        """Return the field as it is, or null."""
        self._read.add(key)
        return self._values.get(key)

    def text(self, key: str) -> str:
        """Return a text field; a number gives its text, null and missing give ``""``.

        :raises CardError: ``bad_field``
        """
        value = self.get(key)
        if value is None:
            return ""
        if isinstance(value, str):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise self._bad(key, "a text", value)

    def texts(self, key: str) -> list[str]:
        """Return a list of texts; one text counts as a list of one, other members are dropped.

        :raises CardError: ``bad_field``
        """
        value = self.get(key)
        if isinstance(value, str):
            return [value] if value else []
        return [member for member in self._members(key, value) if isinstance(member, str)]

    def tags(self, key: str) -> list[str]:
        """Return a list of texts; one text is split at its commas.

        :raises CardError: ``bad_field``
        """
        value = self.get(key)
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return self.texts(key)

    def objects(self, key: str) -> list[dict[str, JsonValue]]:
        """Return a list of objects, dropping other members.

        :raises CardError: ``bad_field``
        """
        members = self._members(key, self.get(key))
        return [member for member in members if isinstance(member, dict)]

    def mapping(self, key: str) -> dict[str, JsonValue]:
        """Return an object field, ``{}`` if null or missing.

        :raises CardError: ``bad_field``
        """
        value = self.get(key)
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        raise self._bad(key, "an object", value)

    def number(self, key: str) -> int | float | None:
        """Return a number, or null for anything else."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return value

    def unread(self) -> dict[str, JsonValue]:
        """Return the fields nobody asked for."""
        return {key: value for key, value in self._values.items() if key not in self._read}

    def _members(self, key: str, value: JsonValue) -> list[JsonValue]:
        if value is None:
            return []
        if isinstance(value, list):
            return value
        raise self._bad(key, "a list", value)

    def _bad(self, key: str, wanted: str, value: JsonValue) -> CardError:
        reason = f"field {key!r} is {_kind(value)}; {wanted} was expected"
        return CardError("bad_field", reason, self.source)


def _kind(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return "a text" if isinstance(value, str) else "a number"

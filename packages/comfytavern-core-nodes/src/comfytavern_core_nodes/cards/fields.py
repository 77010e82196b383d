"""Typed access to the fields of a card object, remembering what was read and overlooked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from .errors import CardError
from .model import CardFinding, FindingLevel


class CardFields:
    """Reads one card object field by field; every refusal names the field.

    :param path: where the object stands in the file, with a dot at its end
    :param findings: takes in everything that is odd; then nothing is refused, and a field that
        does not fit counts as missing
    """

    def __init__(
        self,
        values: Mapping[str, JsonValue],
        source: str,
        path: str = "",
        findings: list[CardFinding] | None = None,
    ) -> None:
        self._values = values
        self._read: set[str] = set()
        self._path = path
        self._findings = findings
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
        self._refuse(key, "a text", value)
        return ""

    def name(self, key: str) -> str:
        """Return a text field that must say something, without blanks around it.

        :raises CardError: ``missing_name`` or ``bad_field``
        """
        name = self.text(key).strip()
        if not name:
            reason = "is empty; a card needs a name"
            if self._findings is None:
                raise CardError("missing_name", f"field {key!r} {reason}", self.source)
            self._find("error", key, f"it {reason}")
        return name

    def texts(self, key: str) -> list[str]:
        """Return a list of texts; one text counts as a list of one, other members are dropped.

        :raises CardError: ``bad_field``
        """
        value = self.get(key)
        if isinstance(value, str):
            return [value] if value else []
        members = self._members(key, value)
        texts = [member for member in members if isinstance(member, str)]
        if len(texts) < len(members):
            self._overlook(key, enumerate(members), str, "texts")
        return texts

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
        return self.objects_in(key, self._members(key, self.get(key)))

    def objects_in(self, key: str, members: list[JsonValue]) -> list[dict[str, JsonValue]]:
        """Return the objects of a list that was found below ``key``, dropping other members."""
        objects = [member for member in members if isinstance(member, dict)]
        if len(objects) < len(members):
            self._overlook(key, enumerate(members), dict, "objects")
        return objects

    def texts_by_name(self, key: str) -> dict[str, str]:
        """Return an object of texts, dropping other members.

        :raises CardError: ``bad_field``
        """
        members = self.mapping(key)
        texts = {name: text for name, text in members.items() if isinstance(text, str)}
        if len(texts) < len(members):
            self._overlook(key, members.items(), str, "texts")
        return texts

    def mapping(self, key: str) -> dict[str, JsonValue]:
        """Return an object field, ``{}`` if null or missing.

        :raises CardError: ``bad_field``
        """
        value = self.get(key)
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        self._refuse(key, "an object", value)
        return {}

    def number(self, key: str) -> int | float | None:
        """Return a number, or null for anything else."""
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            if value is not None:
                self.overlooked(key, f"it is {kind_of(value)}; only a number is used")
            return None
        return value

    def unread(self) -> dict[str, JsonValue]:
        """Return the fields nobody asked for."""
        return {key: value for key, value in self._values.items() if key not in self._read}

    def warn(self, key: str, text: str) -> None:
        """Say that a field is not used as it stands."""
        self.warnings.append(text)
        self._find("warning", key, text)

    def overlooked(self, key: str, reason: str) -> None:
        """Say the same where nobody asks but who wants to know everything."""
        self._find("warning", key, reason)

    def note_unread(self, reason: str, but: Iterable[str] = ()) -> None:
        """Say the same of every field that nobody asked for."""
        for key in sorted(self.unread().keys() - set(but)):
            self._find("note", key, reason)

    def _find(self, level: FindingLevel, key: str, reason: str) -> None:
        if self._findings is not None:
            self._findings.append(CardFinding(level, f"{self._path}{key}", reason))

    def _overlook(
        self,
        key: str,
        members: Iterable[tuple[str | int, JsonValue]],
        wanted: type,
        expected: str,
    ) -> None:
        for name, member in members:
            if not isinstance(member, wanted):
                reason = f"it is {kind_of(member)} and was left out; only {expected} are used"
                self.overlooked(f"{key}[{name!r}]", reason)

    def _members(self, key: str, value: JsonValue) -> list[JsonValue]:
        if value is None:
            return []
        if isinstance(value, list):
            return value
        self._refuse(key, "a list", value)
        return []

    def _refuse(self, key: str, wanted: str, value: JsonValue) -> None:
        reason = f"is {kind_of(value)}; {wanted} was expected"
        if self._findings is None:
            raise CardError("bad_field", f"field {key!r} {reason}", self.source)
        self._find("error", key, f"it {reason}")


def kind_of(value: JsonValue) -> str:
    """Name the kind of a JSON value for people."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "a text"
    return "null" if value is None else "a number"

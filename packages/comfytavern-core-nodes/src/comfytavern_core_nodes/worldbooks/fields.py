"""Typed access to the fields of a book or an entry.

A field of the wrong kind becomes its default and a problem; one bad field never costs the entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .keys import keys_of_text
from .model import Problem

MAX_PROBLEMS = 1000
_LARGEST = 2**53  # what a JSON number holds exactly; a larger one is no count of anything
_NUMERAL = re.compile(r"\s*[-+]?[0-9]{1,15}(?:\.[0-9]{1,6})?\s*", re.ASCII)
_NO_PATHS: Mapping[str, str] = {}


class Problems:
    """Collects problems up to a limit, so that a hostile file does not fill the memory."""

    def __init__(self) -> None:
        self._listed: list[Problem] = []
        self._more = 0

    def add(self, path: str, reason: str) -> None:
        """Note that the value at ``path`` was not used as it stands."""
        if len(self._listed) < MAX_PROBLEMS:
            self._listed.append(Problem(path, reason))
        else:
            self._more += 1

    def all(self) -> tuple[Problem, ...]:
        """Return the problems in file order; the last one counts those that are not listed."""
        if not self._more:
            return tuple(self._listed)
        return (*self._listed, Problem("", f"{self._more} more problems are not listed"))


class Fields:
    """Reads values by the normalised name of the field.

    :param path: where the object stands in the file
    :param paths: where the file has a field under another name, below ``path``
    """

    def __init__(
        self,
        values: Mapping[str, object],
        path: str,
        problems: Problems,
        paths: Mapping[str, str] = _NO_PATHS,
    ) -> None:
        self._values = values
        self._path = path
        self._paths = paths
        self._problems = problems

    def problem(self, name: str, reason: str) -> None:
        """Note that a field was not used as it stands."""
        where = self._paths.get(name, name)
        self._problems.add(f"{self._path}.{where}" if self._path else where, reason)

    def text(self, name: str) -> str:
        """Return a text; a number gives its text, null and missing give ``""``."""
        value = self._values.get(name)
        if isinstance(value, str):
            return value
        if value is None:
            return ""
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        self._wrong(name, value, "a text", "nothing")
        return ""

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; one text is split at its commas."""
        value = self._values.get(name)
        if value is None:
            return []
        if isinstance(value, str):
            return keys_of_text(value)
        if not isinstance(value, list | tuple):
            self._wrong(name, value, "a list of texts", "none")
            return []
        return list(self._members(name, value))

    def _members(self, name: str, members: Iterable[object]) -> Iterable[str]:
        for index, member in enumerate(members):
            if isinstance(member, str):
                yield member
            elif isinstance(member, int | float) and not isinstance(member, bool):
                yield str(member)
            else:
                self.problem(name, f"member {index} is {kind(member)}; it was left out")

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false; null and missing give the default."""
        value = self.optional_flag(name)
        return default if value is None else value

    def optional_flag(self, name: str) -> bool | None:
        """Return true, false, or null, which leaves the choice to somebody else."""
        value = self._values.get(name)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float) and value in (0, 1):
            return bool(value)
        self._wrong(name, value, "true or false", "the default")
        return None

    def number(self, name: str, default: int, *, least: int | None = None) -> int | float:
        """Return a number, the default for null, missing, and whatever is none."""
        value = self._number(name, least)
        return default if value is None else value

    def whole(self, name: str, default: int, *, least: int | None = None) -> int:
        """Return an integer, the default for null, missing, and whatever is none."""
        value = self.optional_whole(name, least=least)
        return default if value is None else value

    def optional_whole(self, name: str, *, least: int | None = None) -> int | None:
        """Return an integer or null."""
        value = self._number(name, least)
        if isinstance(value, float):
            self._wrong(name, value, "an integer", "the default")
            return None
        return value

    def level(self, name: str) -> int:
        """Return a count that may also be given as true, meaning 1, or false, meaning 0."""
        value = self._values.get(name)
        return int(value) if isinstance(value, bool) else self.whole(name, 0, least=0)

    def choice(self, name: str, default: int, words: tuple[str, ...]) -> int:
        """Return which of ``words`` the field means, be it by number or by word."""
        value = self._values.get(name)
        if isinstance(value, str) and value in words:
            return words.index(value)
        number = self.whole(name, default)
        if 0 <= number < len(words):
            return number
        self.problem(name, f"there is no {number}; the default is used")
        return default

    def _number(self, name: str, least: int | None) -> int | float | None:
        value = self._values.get(name)
        if value is None:
            return None
        number = _as_number(value)
        if number is None:
            self._wrong(name, value, "a number", "the default")
        elif not -_LARGEST <= number <= _LARGEST or (least is not None and number < least):
            self.problem(name, "the number is out of range; the default is used")
            number = None
        return number

    def _wrong(self, name: str, value: object, wanted: str, used: str) -> None:
        self.problem(name, f"{kind(value)} where {wanted} was expected; {used} is used")


def _as_number(value: object) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _NUMERAL.fullmatch(value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, float):
        # JSON has one kind of number: 2.0 is an integer too.
        return int(value) if value.is_integer() else value
    return value if isinstance(value, int) else None


def kind(value: object) -> str:
    """Say what a parsed value is, for people."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "a text" if isinstance(value, str) else "a number"

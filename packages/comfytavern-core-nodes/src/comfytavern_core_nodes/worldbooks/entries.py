"""Entries under SillyTavern's names to normalised entries with unique numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .errors import WorldBookError
from .fields import Fields, Problems, kind
from .formats import RawEntry
from .model import CharacterFilter, WorldBookEntry

LOGICS = ("AND ANY", "NOT ALL", "NOT ANY", "AND ALL")
ROLES = ("system", "user", "assistant")
_PLACES = {"before_char": 0, "after_char": 1}
_KNOWN = frozenset(WorldBookEntry.model_fields)


def normalised_entries(
    raw: Iterable[RawEntry], problems: Problems, source: str
) -> list[WorldBookEntry]:
    """Return the entries of a book, sorted by number and then by their order in the file.

    :raises WorldBookError: ``bad_entry`` if the content of one is no text
    """
    entries = list(raw)
    wanted = [_wanted_uid(entry, index, problems) for index, entry in enumerate(entries)]
    numbered = zip(unique_numbers(wanted), entries, strict=True)
    # Numbers are unique, so the tuple never comes to compare two entries.
    return [_entry(entry, uid, problems, source) for uid, entry in sorted(numbered)]


def _wanted_uid(entry: RawEntry, index: int, problems: Problems) -> int:
    fields = Fields(entry.values, entry.path, problems, entry.paths)
    own = fields.optional_whole("uid", least=0)
    if own is not None:
        return own
    label = Fields({"label": entry.label}, entry.path, Problems()).optional_whole("label", least=0)
    return index if label is None else label


def unique_numbers(wanted: Iterable[int]) -> list[int]:
    """Return numbers without repeats: the first to want one has it, others the next free one."""
    wishes = list(wanted)
    taken = set(wishes)
    seen: set[int] = set()
    # Where the search for the next free number goes on; shortened as it is walked, so that a book
    # whose entries all have one number does not take quadratic time.
    onward: dict[int, int] = {}
    numbers: list[int] = []
    for number in wishes:
        given = number
        if number in seen:
            given = _next_free(number, taken, onward)
            taken.add(given)
        seen.add(given)
        numbers.append(given)
    return numbers


def _next_free(number: int, taken: set[int], onward: dict[int, int]) -> int:
    walked: list[int] = []
    while number in taken:
        walked.append(number)
        number = onward.get(number, number + 1)
    for passed in walked:
        onward[passed] = number
    return number


def _entry(raw: RawEntry, uid: int, problems: Problems, source: str) -> WorldBookEntry:
    fields = Fields(raw.values, raw.path, problems, raw.paths)
    known: dict[str, object] = {
        "uid": uid,
        "content": _content(raw, source),
        "key": fields.texts("key"),
        "keysecondary": fields.texts("keysecondary"),
        "comment": fields.text("comment"),
        "constant": fields.flag("constant", False),
        "disable": fields.flag("disable", False),
        "selective": fields.flag("selective", False),
        "selectiveLogic": fields.choice("selectiveLogic", 0, LOGICS),
        "order": fields.number("order", 100),
        "position": _position(raw.values.get("position"), fields),
        "depth": fields.whole("depth", 4, least=0),
        "role": fields.choice("role", 0, ROLES),
        "probability": fields.number("probability", 100),
        "useProbability": fields.flag("useProbability", False),
        **_recursion_fields(fields),
        **_group_fields(fields),
        **_matching_fields(fields),
        "sticky": fields.optional_whole("sticky", least=0),
        "cooldown": fields.optional_whole("cooldown", least=0),
        "delay": fields.optional_whole("delay", least=0),
        "characterFilter": _filter(raw, problems),
        "outletName": fields.text("outletName"),
    }
    unknown = {str(key): value for key, value in raw.values.items() if key not in _KNOWN}
    return WorldBookEntry.model_validate(unknown | known)


def _recursion_fields(fields: Fields) -> dict[str, object]:
    return {
        "excludeRecursion": fields.flag("excludeRecursion", False),
        "preventRecursion": fields.flag("preventRecursion", False),
        "delayUntilRecursion": fields.level("delayUntilRecursion"),
    }


def _group_fields(fields: Fields) -> dict[str, object]:
    return {
        "group": fields.text("group"),
        "groupOverride": fields.flag("groupOverride", False),
        "groupWeight": fields.number("groupWeight", 100, least=0),
        "useGroupScoring": fields.optional_flag("useGroupScoring"),
    }


def _matching_fields(fields: Fields) -> dict[str, object]:
    return {
        "scanDepth": fields.optional_whole("scanDepth"),
        "caseSensitive": fields.optional_flag("caseSensitive"),
        "matchWholeWords": fields.optional_flag("matchWholeWords"),
    }


def _content(raw: RawEntry, source: str) -> str:
    content = raw.values.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if isinstance(content, int | float) and not isinstance(content, bool):
        return str(content)
    where = f"{raw.path}.{raw.paths.get('content', 'content')}"
    raise WorldBookError("bad_entry", f"{where} is {kind(content)}; expected a text", source)


def _position(value: object, fields: Fields) -> int:
    place = _PLACES.get(value) if isinstance(value, str) else None
    # A number that no position has is kept: such an entry counts as active and places no text.
    return fields.whole("position", 0, least=0) if place is None else place


def _filter(raw: RawEntry, problems: Problems) -> CharacterFilter | None:
    value = raw.values.get("characterFilter")
    if value is None:
        return None
    path = f"{raw.path}.characterFilter"
    if not isinstance(value, Mapping):
        problems.add(path, f"{kind(value)} where an object was expected; it was left out")
        return None
    fields = Fields(value, path, problems)
    known = {
        "names": fields.texts("names"),
        "tags": fields.texts("tags"),
        "isExclude": fields.flag("isExclude", False),
    }
    return CharacterFilter.model_validate({str(key): value[key] for key in value} | known)

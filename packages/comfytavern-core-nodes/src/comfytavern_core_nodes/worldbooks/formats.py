"""Which format a world book object has, and its entries under SillyTavern's field names.

Nothing is checked here but the shape; the values of the fields are looked at in ``entries``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from .errors import WorldBookError
from .fields import kind

MAX_ENTRIES = 100_000

_Object = Mapping[str, object]
# Values under SillyTavern's names, and what the file calls them where the name differs.
_Converter = Callable[[_Object], tuple[dict[str, object], Mapping[str, str]]]

_NO_PATHS: Mapping[str, str] = MappingProxyType({})
_MARKS = (("spec", "lorebook_v3"), ("kind", "memory"), ("type", "risu"))
_BOOK_FIELDS = {
    "keys": "key",
    "secondary_keys": "keysecondary",
    "insertion_order": "order",
    "id": "uid",
    "case_sensitive": "caseSensitive",
}
_EXTENSION_FIELDS = {
    "position": "position",
    "depth": "depth",
    "role": "role",
    "selectiveLogic": "selectiveLogic",
    "probability": "probability",
    "useProbability": "useProbability",
    "exclude_recursion": "excludeRecursion",
    "prevent_recursion": "preventRecursion",
    "delay_until_recursion": "delayUntilRecursion",
    "scan_depth": "scanDepth",
    "case_sensitive": "caseSensitive",
    "match_whole_words": "matchWholeWords",
    "use_group_scoring": "useGroupScoring",
    "group": "group",
    "group_override": "groupOverride",
    "group_weight": "groupWeight",
    "sticky": "sticky",
    "cooldown": "cooldown",
    "delay": "delay",
    "vectorized": "vectorized",
    "automation_id": "automationId",
    "display_index": "displayIndex",
    "triggers": "triggers",
    "outlet_name": "outletName",
    "ignore_budget": "ignoreBudget",
    "match_persona_description": "matchPersonaDescription",
    "match_character_description": "matchCharacterDescription",
    "match_character_personality": "matchCharacterPersonality",
    "match_character_depth_prompt": "matchCharacterDepthPrompt",
    "match_scenario": "matchScenario",
    "match_creator_notes": "matchCreatorNotes",
}
_AGNAI_FIELDS = {"keywords": "key", "entry": "content", "name": "comment", "weight": "order"}
_NOVEL_FIELDS = {"keys": "key", "text": "content", "displayName": "comment"}
_RISU_FIELDS = {
    "secondkey": "keysecondary",
    "alwaysActive": "constant",
    "insertorder": "order",
    "activationPercent": "probability",
}
_EXTENSION_PATHS = {ours: f"extensions.{theirs}" for theirs, ours in _EXTENSION_FIELDS.items()}


@dataclass(frozen=True, slots=True)
class RawEntry:
    """An entry under SillyTavern's field names, its values as the file has them.

    ``path`` is where it stands in the file; ``label`` the uid it has if it names none.
    """

    values: _Object
    path: str
    label: object
    paths: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RawBook:
    """The object that holds a book's own fields, its entries, and the path to both."""

    values: _Object
    path: str
    entries_key: str = "entries"
    convert: _Converter | None = None
    own_uids: bool = True


def raw_book(value: object, source: str) -> RawBook:
    """Tell the format of a parsed file.

    :raises WorldBookError: ``not_an_object`` or ``not_a_world_book``
    """
    if not isinstance(value, Mapping):
        reason = f"the file holds {kind(value)}; a world book is an object with named fields"
        raise WorldBookError("not_an_object", reason, source)
    if _marks("spec", value.get("spec")):
        data = value.get("data")
        if not isinstance(data, Mapping):
            reason = "the file names lorebook_v3 but has no data object"
            raise WorldBookError("not_a_world_book", reason, source)
        return RawBook(data, "data")
    if "lorebookVersion" in value:
        return RawBook(value, "", convert=_from_novel, own_uids=False)
    if _marks("kind", value.get("kind")):
        return RawBook(value, "", convert=_from_agnai, own_uids=False)
    if _marks("type", value.get("type")):
        return RawBook(value, "", "data", convert=_from_risu, own_uids=False)
    return RawBook(value, "")


def unknown_fields(book: RawBook, known: frozenset[str]) -> dict[str, object]:
    """Return a book's fields that are not known, without those that mark its format.

    What is normalised is in that format no longer, and must not be taken for it later.
    """
    return {
        str(key): value
        for key, value in book.values.items()
        if key not in known and key != book.entries_key and not _marks(key, value)
    }


def _marks(key: object, value: object) -> bool:
    return key == "lorebookVersion" or (key, value) in _MARKS


def raw_entries(book: RawBook, source: str) -> Iterator[RawEntry]:
    """Yield the entries of a book under SillyTavern's field names, in file order.

    :raises WorldBookError: ``not_a_world_book``, ``too_large`` or ``bad_entry``
    """
    entries = book.values.get(book.entries_key)
    path = f"{book.path}.{book.entries_key}" if book.path else book.entries_key
    if not isinstance(entries, list | tuple | Mapping):
        reason = f"{path!r} is {kind(entries)}; a list or an object of entries was expected"
        raise WorldBookError("not_a_world_book", reason, source)
    if len(entries) > MAX_ENTRIES:
        raise WorldBookError("too_large", f"the book has more than {MAX_ENTRIES} entries", source)
    keyed = isinstance(entries, Mapping)
    labelled = list(entries.items()) if isinstance(entries, Mapping) else list(enumerate(entries))
    by_shape = _converter(entry for _, entry in labelled)
    for label, entry in labelled:
        where = f"{path}.{label}" if keyed else f"{path}[{label}]"
        if not isinstance(entry, Mapping):
            reason = f"{where} is {kind(entry)}; an entry is an object"
            raise WorldBookError("bad_entry", reason, source)
        values, paths = (book.convert or by_shape(entry))(entry)
        own = values.get("uid", values.get("id")) if book.own_uids else None
        yield RawEntry({**values, "uid": own}, where, label, paths)


def _converter(entries: Iterator[object]) -> Callable[[_Object], _Converter]:
    """Return how to choose: ``keys`` makes a character_book entry, ``key`` one of SillyTavern."""
    any_card_entry = any(isinstance(entry, Mapping) and "keys" in entry for entry in entries)

    def choose(entry: _Object) -> _Converter:
        of_card = "key" not in entry and ("keys" in entry or any_card_entry)
        return _from_card if of_card else _as_it_is

    return choose


def _as_it_is(entry: _Object) -> tuple[dict[str, object], Mapping[str, str]]:
    return dict(entry), _NO_PATHS


def _from_card(entry: _Object) -> tuple[dict[str, object], Mapping[str, str]]:
    values = _renamed(entry, _BOOK_FIELDS)
    paths = {ours: theirs for theirs, ours in _BOOK_FIELDS.items()}
    values["position"] = 0 if entry.get("position") == "before_char" else 1
    values["useProbability"] = True
    values["disable"] = _not(values.pop("enabled", None))
    extensions = values.pop("extensions", None)
    if not isinstance(extensions, Mapping):
        # Whatever it is, it is kept; the fields it could not give have their defaults.
        return values | ({} if extensions is None else {"extensions": extensions}), paths
    for theirs, ours in _EXTENSION_FIELDS.items():
        if extensions.get(theirs) is not None:
            values[ours] = extensions[theirs]
            paths[ours] = _EXTENSION_PATHS[ours]
    if left := {key: extensions[key] for key in extensions if key not in _EXTENSION_FIELDS}:
        values["extensions"] = left
    return values, paths


def _from_agnai(entry: _Object) -> tuple[dict[str, object], Mapping[str, str]]:
    values = _renamed(entry, _AGNAI_FIELDS)
    values |= {"disable": _not(values.pop("enabled", None)), "useProbability": True}
    return values, {ours: theirs for theirs, ours in _AGNAI_FIELDS.items()}


def _from_novel(entry: _Object) -> tuple[dict[str, object], Mapping[str, str]]:
    values = _renamed(entry, _NOVEL_FIELDS)
    config = entry.get("contextConfig")
    priority = config.get("budgetPriority") if isinstance(config, Mapping) else None
    values |= {"disable": _not(values.pop("enabled", None)), "useProbability": True}
    values["order"] = 0 if priority is None else priority
    paths = {ours: theirs for theirs, ours in _NOVEL_FIELDS.items()}
    return values, {**paths, "order": "contextConfig.budgetPriority"}


def _from_risu(entry: _Object) -> tuple[dict[str, object], Mapping[str, str]]:
    values = _renamed(entry, _RISU_FIELDS)
    values["useProbability"] = True
    return values, {ours: theirs for theirs, ours in _RISU_FIELDS.items()}


def _renamed(entry: _Object, names: Mapping[str, str]) -> dict[str, object]:
    """Copy an entry under our names; a foreign field that has one of them by chance is dropped."""
    ours = set(names.values())
    kept = {key: value for key, value in entry.items() if key not in ours and key not in names}
    return kept | {names[key]: value for key, value in entry.items() if key in names}


def _not(enabled: object) -> object:
    if enabled is None:
        return False
    # Anything else goes on as it is, to be refused with its path.
    return not enabled if isinstance(enabled, bool | int) else enabled

"""Books made ready for activation: keys parsed once per book, not once per pass."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

from .decorators import ACTIVATE, DONT_ACTIVATE, parse_decorators
from .keys import BLANKS, Key, Needle, PlainKey, has_macro, parse_key
from .model import Problem, WorldBook, WorldBookEntry
from .read import world_book_from

_KEPT_BOOKS = 16
_GROUP_BREAK = re.compile(f",[{BLANKS}]*")


@dataclass(frozen=True, slots=True)
class MacroKey:
    """A key whose meaning depends on the macros of a pass."""

    text: str


PreparedKey: TypeAlias = Key | MacroKey


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of an entry in one pass; those that can never match are left out.

    ``folded`` and ``exact`` are the texts of the primary keys; None if one of them is a regex.
    """

    primary: tuple[Key, ...] = ()
    secondary: tuple[Key, ...] = ()
    folded: tuple[str, ...] | None = ()
    exact: tuple[str, ...] | None = ()


@dataclass(frozen=True, slots=True)
class PreparedEntry:
    """An entry with everything about it that no pass changes.

    ``content`` is without its decorators. ``keys`` is None where a pass has to parse the keys
    anew, or to ask whether they compile. Unless an entry is ``ordinary``, something beside its
    keys may let it in or stop it; if it is ``gated``, so may the kind of a round.
    """

    entry: WorldBookEntry
    content: str
    forced: bool
    suppressed: bool
    primary: tuple[PreparedKey, ...]
    secondary: tuple[PreparedKey, ...]
    keys: KeySet | None
    groups: tuple[str, ...]
    ordinary: bool
    gated: bool


Needles: TypeAlias = dict[str, tuple[Needle, bool]]
"""What to look for, by its text, and whether only as a whole word."""


@dataclass(frozen=True, slots=True)
class PreparedBook:
    """A book ready for any number of passes, in any thread.

    ``levels`` are the values of ``delayUntilRecursion`` that occur; ``tag_filters`` is the number
    of entries with a filter by tags, which is not applied.
    """

    book: WorldBook
    entries: tuple[PreparedEntry, ...]
    problems: tuple[Problem, ...]
    levels: frozenset[int]
    tag_filters: int
    _needles: dict[tuple[bool, bool], dict[tuple[bool, bool], Needles]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def needles(self, folded: bool, whole_words: bool) -> dict[tuple[bool, bool], Needles]:
        """Return the plain keys of all entries by how they are searched: folded, whole words.

        :param folded: how entries are searched that do not say it themselves
        :param whole_words: the same
        """
        defaults = (folded, whole_words)
        if defaults not in self._needles:
            collected: dict[tuple[bool, bool], Needles] = {}
            for prepared in self.entries:
                if prepared.keys is not None:
                    kind = kind_of(prepared.entry, *defaults)
                    add_needles(collected.setdefault(kind, {}), prepared.keys, kind)
            # Two threads may both come here; they bring the same.
            self._needles[defaults] = collected
        return self._needles[defaults]


def kind_of(entry: WorldBookEntry, folded: bool, whole_words: bool) -> tuple[bool, bool]:
    """Return how the plain keys of an entry are searched, given what holds for others."""
    sensitive, words = entry.caseSensitive, entry.matchWholeWords
    return (
        folded if sensitive is None else not sensitive,
        whole_words if words is None else words,
    )


def add_needles(needles: Needles, keys: KeySet, kind: tuple[bool, bool]) -> None:
    """Add the plain keys of a set to what is looked for."""
    folded, whole_words = kind
    for key in (*keys.primary, *keys.secondary):
        if isinstance(key, PlainKey):
            wanted = key.folded if folded else key.exact
            needles[wanted.text] = (wanted, whole_words and key.word)


def key_set(primary: Iterable[Key], secondary: Iterable[Key]) -> KeySet:
    """Return keys with the texts by which most entries are ruled out."""
    first = tuple(primary)
    plain = [key for key in first if isinstance(key, PlainKey)]
    if len(plain) < len(first):
        return KeySet(first, tuple(secondary), None, None)
    folded = tuple(key.folded.text for key in plain)
    return KeySet(first, tuple(secondary), folded, tuple(key.exact.text for key in plain))


def prepare(book: WorldBook, problems: tuple[Problem, ...] = ()) -> PreparedBook:
    """Parse the keys and decorators of a book."""
    filters = (entry.characterFilter for entry in book.entries)
    return PreparedBook(
        book=book,
        entries=tuple(map(_prepared, book.entries)),
        problems=problems,
        levels=frozenset(entry.delayUntilRecursion for entry in book.entries) - {0},
        tag_filters=sum(1 for one in filters if one is not None and one.tags),
    )


def _prepared(entry: WorldBookEntry) -> PreparedEntry:
    decorators, content = parse_decorators(entry.content)
    forced, suppressed = ACTIVATE in decorators, DONT_ACTIVATE in decorators
    primary, secondary = _keys(entry.key), _keys(entry.keysecondary)
    special = entry.disable or entry.characterFilter or entry.delay or entry.constant
    return PreparedEntry(
        entry=entry,
        content=content,
        forced=forced,
        suppressed=suppressed,
        primary=primary,
        secondary=secondary,
        keys=_fixed(primary, secondary),
        groups=tuple(dict.fromkeys(filter(None, _GROUP_BREAK.split(entry.group)))),
        ordinary=bool(primary) and not (special or forced or suppressed),
        gated=entry.excludeRecursion or entry.delayUntilRecursion > 0,
    )


def _keys(texts: list[str]) -> tuple[PreparedKey, ...]:
    keys = (MacroKey(text) if has_macro(text) else parse_key(text) for text in texts)
    return tuple(key for key in keys if key is not None)


def _fixed(primary: tuple[PreparedKey, ...], secondary: tuple[PreparedKey, ...]) -> KeySet | None:
    plain = [[key for key in keys if isinstance(key, PlainKey)] for keys in (primary, secondary)]
    if len(plain[0]) < len(primary) or len(plain[1]) < len(secondary):
        return None
    return key_set(*plain)


class PreparedBooks:
    """Remembers the books prepared last, so that a chat's next turn finds its keys ready.

    Values are compared, not only their identity: each run brings an equal value of its own.
    Safe to use from several threads.
    """

    def __init__(self, limit: int = _KEPT_BOOKS) -> None:
        self._limit = limit
        self._kept: list[tuple[object, PreparedBook]] = []
        self._lock = Lock()

    def get(self, value: Mapping[str, object], source: str) -> PreparedBook:
        """Return the book of a value that travelled between nodes, or of a card.

        :param source: what errors call the book
        :raises WorldBookError: it is no usable world book
        """
        with self._lock:
            for index, (known, prepared) in enumerate(self._kept):
                if known == value:
                    self._kept.append(self._kept.pop(index))
                    return prepared
        reading = world_book_from(value, source)
        prepared = prepare(reading.book, reading.problems)
        with self._lock:
            # A copy: whoever changes the value later must not change what it is compared with.
            self._kept.append((copy.deepcopy(value), prepared))
            del self._kept[: -self._limit]
        return prepared

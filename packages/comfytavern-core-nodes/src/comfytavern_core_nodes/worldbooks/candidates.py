"""The entries of all books of a pass, in the order in which they are considered."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, TypeAlias

from .prepared import KeySet, PreparedBook, PreparedEntry
from .settings import Strategy
from .why import EntryRecord, Match, Step

Source: TypeAlias = Literal["global", "character", "chat"]
_NO_KEYS = KeySet()
_NOTHING: frozenset[str] = frozenset()
# A book listed twice counts where it comes first here.
_PRECEDENCE: tuple[Source, ...] = ("global", "chat", "character")


@dataclass(frozen=True, slots=True)
class BookUse:
    """A book in a pass: under which name, and on whose behalf."""

    name: str
    source: Source
    book: PreparedBook


class Candidate:
    """One entry in one pass: what the pass has found out about it so far.

    ``always`` is what makes it a hit without any key; ``text`` its content, with macros
    substituted once it was weighed; ``settled`` says that no later round looks at it. ``kind`` is
    how its plain keys are searched, and ``found`` what was found of all keys of this kind. While it
    is on cooldown, ``cooldown_end`` is how many messages the chat has when that is over.
    """

    __slots__ = (
        "always",
        "cooldown_end",
        "depth",
        "entry",
        "found",
        "keys",
        "kind",
        "prepared",
        "ref",
        "settled",
        "steps",
        "sticky",
        "text",
        "use",
    )

    def __init__(self, use: BookUse, prepared: PreparedEntry) -> None:
        self.use = use
        self.prepared = prepared
        self.entry = prepared.entry
        self.ref = f"{use.name}.{prepared.entry.uid}"
        self.text = prepared.content
        self.sticky = False
        self.cooldown_end = 0
        self.settled = False
        self.always: Match | None = None
        self.steps: list[Step] = []
        # What follows is set before the first round of what takes part in it.
        self.depth = 0
        self.kind = (True, True)
        self.keys = prepared.keys or _NO_KEYS
        self.found: Set[str] = _NOTHING

    @property
    def ruled_out(self) -> bool:
        """Whether none of the primary keys was found anywhere, so that none can match."""
        texts = self.keys.folded if self.kind[0] else self.keys.exact
        return texts is not None and self.found.isdisjoint(texts)

    def note(self, step: Step) -> None:
        """Remember what became of the entry, unless nothing changed."""
        if not self.steps or not self.steps[-1].repeats(step):
            self.steps.append(step)

    def settle(self, step: Step) -> None:
        """Remember the end of it: the entry takes no part in later rounds."""
        self.steps.append(step)
        self.settled = True

    def record(self) -> EntryRecord:
        """Return what happened to the entry."""
        return EntryRecord(
            self.ref,
            self.use.name,
            self.use.source,
            self.entry.uid,
            self.entry.comment,
            tuple(self.steps),
        )


def candidates(uses: Iterable[BookUse], strategy: Strategy) -> list[Candidate]:
    """Return the entries of the books in the order in which they are considered.

    Chat lore comes first, then what the strategy says; inside a list the higher ``order``.
    """
    given = list(uses)
    named: set[str] = set()
    of: dict[Source, list[Candidate]] = {"global": [], "chat": [], "character": []}
    for source in _PRECEDENCE:
        for use in given:
            if use.source == source and use.name not in named:
                named.add(use.name)
                of[source] += [Candidate(use, prepared) for prepared in use.book.entries]
    if strategy == Strategy.EVENLY:
        rest = _by_order(of["global"] + of["character"])
    elif strategy == Strategy.GLOBAL_FIRST:
        rest = _by_order(of["global"]) + _by_order(of["character"])
    else:
        rest = _by_order(of["character"]) + _by_order(of["global"])
    return _by_order(of["chat"]) + rest


def _by_order(members: list[Candidate]) -> list[Candidate]:
    # Reversed sorting keeps the order of equals, too.
    return sorted(members, key=attrgetter("entry.order"), reverse=True)

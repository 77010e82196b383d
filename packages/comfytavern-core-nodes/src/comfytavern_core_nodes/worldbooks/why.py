"""Why an entry is active or not: one record per entry, written by the code that decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

Trigger = Literal["decorator", "constant", "sticky", "key"]


_WON_BY = {
    "sticky": "it is sticky",
    "score": "more of its keys match",
    "active": "it is already active",
    "override": "it has priority",
    "roll": "by a roll",
}


class Outcome(StrEnum):
    """What became of an entry in a round."""

    ACTIVE = "active"
    DISABLED = "disabled"
    CHARACTER = "character_filter"
    DELAY = "delay"
    COOLDOWN = "cooldown"
    SUPPRESSED = "dont_activate"
    NO_KEYS = "no_keys"
    WAITING = "waits_for_recursion"
    EXCLUDED = "excluded_from_recursion"
    NO_MATCH = "no_key_matched"
    SECONDARY = "secondary_keys"
    GROUP = "group"
    PROBABILITY = "probability"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key was found.

    Message ``index`` of those given, injected text ``index``, or the text of the entry ``ref``,
    which round ``index`` brought.
    """

    kind: Literal["message", "injection", "entry"]
    index: int
    ref: str = ""

    def __str__(self) -> str:
        return f"the text of {self.ref}" if self.kind == "entry" else f"{self.kind} {self.index}"


@dataclass(frozen=True, slots=True)
class KeyHit:
    """A key and where it was found first; no place if it matched the empty text."""

    key: str
    place: Place | None

    def __str__(self) -> str:
        return f"{self.key!r} in {self.place}" if self.place else repr(self.key)


@dataclass(frozen=True, slots=True)
class Match:
    """What made an entry a hit; for keys, the first of each list that was found."""

    trigger: Trigger
    primary: KeyHit | None = None
    secondary: tuple[KeyHit, ...] = ()

    def __str__(self) -> str:
        if self.primary is None:
            return self.trigger
        return "key " + " and ".join(map(str, (self.primary, *self.secondary)))


@dataclass(frozen=True, slots=True)
class Roll:
    """A number drawn from 0 to ``of``, and the largest one that would have passed."""

    value: float
    limit: float
    of: float = 100

    @property
    def passed(self) -> bool:
        """Whether the roll let the entry through."""
        return self.value <= self.limit

    def __str__(self) -> str:
        sign = "<=" if self.passed else ">"
        return f"roll {self.value:.4g} {sign} {self.limit:.4g}"


@dataclass(frozen=True, slots=True)
class GroupLoss:
    """Which group an entry lost, to whom, and by what."""

    group: str
    winner: str
    by: Literal["sticky", "score", "active", "override", "roll"]
    roll: Roll | None = None
    scores: tuple[int, int] | None = None  # ours, and the best

    def __str__(self) -> str:
        how = _WON_BY[self.by]
        if self.scores is not None:
            how = f"{self.scores[0]} against {self.scores[1]} matching keys"
        if self.roll is not None:
            how = f"a roll of {self.roll.value:.4g} out of {self.roll.of:.4g}"
        return f"lost group {self.group!r} to {self.winner}: {how}"


@dataclass(frozen=True, slots=True)
class BudgetStop:
    """How many tokens were used and needed when the budget ran out, and at which entry."""

    used: int
    needed: int
    budget: int
    at: str

    def __str__(self) -> str:
        return f"{self.used} + {self.needed} tokens for {self.at} do not stay below {self.budget}"


@dataclass(frozen=True, slots=True)
class Step:
    """What became of an entry in the rounds from ``round`` on, until the next step."""

    round: int
    outcome: Outcome
    match: Match | None = None
    roll: Roll | None = None
    group: GroupLoss | None = None
    budget: BudgetStop | None = None
    note: str = ""

    def repeats(self, later: Step) -> bool:
        """Say whether a later round says the same."""
        if self.outcome is not later.outcome:
            return False
        said, again = (self.match, self.roll, self.group), (later.match, later.roll, later.group)
        return said == again

    def __str__(self) -> str:
        details = (self.group, self.roll, self.budget, self.note, self.match)
        shown = "; ".join(str(detail) for detail in details if detail)
        name = self.outcome.replace("_", " ")
        return f"round {self.round}: {name}" + (f" ({shown})" if shown else "")


class EntryRecord(NamedTuple):  # a thousand are made in every pass, and a dataclass costs more
    """Everything that happened to one entry; ``ref`` is ``book.uid``.

    Rounds in which nothing changed have no step of their own. What no round could change, such as
    a disabled entry, has a single step of round 0.
    """

    ref: str
    book: str
    source: str
    uid: int
    comment: str
    steps: tuple[Step, ...]

    @property
    def last(self) -> Step:
        """The step that decided."""
        return self.steps[-1]

    @property
    def active(self) -> bool:
        """Whether the entry is active in the end."""
        return self.last.outcome is Outcome.ACTIVE

    def __str__(self) -> str:
        title = f"{self.ref} {self.comment!r}" if self.comment else self.ref
        return f"{title}: " + "; ".join(map(str, self.steps))

    def as_data(self) -> dict[str, object]:
        """Return the record as plain JSON values; its texts are for people."""
        return {
            "entry": self.ref,
            "book": self.book,
            "source": self.source,
            "uid": self.uid,
            "comment": self.comment,
            "active": self.active,
            "outcome": str(self.last.outcome),
            "round": self.last.round,
            "steps": [str(step) for step in self.steps],
        }

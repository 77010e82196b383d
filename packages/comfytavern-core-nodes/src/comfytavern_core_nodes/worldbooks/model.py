"""The normalised world book: SillyTavern's field names, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict


class CharacterFilter(BaseModel):
    """For which characters an entry counts: those named, or all but those named."""

    model_config = ConfigDict(frozen=True, extra="allow")

    names: list[str] = []
    tags: list[str] = []
    isExclude: bool = False


class WorldBookEntry(BaseModel):
    """One entry with all fields present; fields the program does not know are kept beside them.

    ``selectiveLogic``: 0 AND ANY, 1 NOT ALL, 2 NOT ANY, 3 AND ALL. ``position``: 0 before, 1 after,
    2 note top, 3 note bottom, 4 at depth, 5 examples top, 6 examples bottom, 7 outlet. ``role``:
    0 system, 1 user, 2 assistant. Null leaves a choice to the book or the settings.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    uid: int
    key: list[str] = []
    keysecondary: list[str] = []
    comment: str = ""
    content: str = ""
    constant: bool = False
    disable: bool = False
    selective: bool = False
    selectiveLogic: int = 0
    order: int | float = 100
    position: int = 0
    depth: int = 4
    role: int = 0
    probability: int | float = 100
    useProbability: bool = False
    excludeRecursion: bool = False
    preventRecursion: bool = False
    delayUntilRecursion: int = 0
    scanDepth: int | None = None
    caseSensitive: bool | None = None
    matchWholeWords: bool | None = None
    useGroupScoring: bool | None = None
    group: str = ""
    groupOverride: bool = False
    groupWeight: int | float = 100
    sticky: int | None = None
    cooldown: int | None = None
    delay: int | None = None
    characterFilter: CharacterFilter | None = None
    outletName: str = ""


class WorldBook(BaseModel):
    """A world book; ``model_dump()`` is the plain value that travels between nodes.

    Entries are sorted by their uid, which is unique in the book.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str | None = None
    scan_depth: int | None = None
    token_budget: int | None = None
    recursive_scanning: bool | None = None
    entries: list[WorldBookEntry] = []


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of the file that was not used as it stands; ``path`` says where it is."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


@dataclass(frozen=True, slots=True)
class WorldBookReading:
    """A world book and what its reader had to overlook."""

    book: WorldBook
    problems: tuple[Problem, ...]

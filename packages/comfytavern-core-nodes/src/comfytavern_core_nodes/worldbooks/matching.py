"""Whether the keys of an entry are found: primary ones, secondary ones, and how many."""

from __future__ import annotations

from dataclasses import dataclass

from .candidates import Candidate
from .entries import LOGICS
from .search import KeySearch
from .why import Match

_AND_ANY, _NOT_ALL, _NOT_ANY, _AND_ALL = range(len(LOGICS))


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A primary key was found, but the secondary keys do not allow the entry."""

    match: Match
    reason: str


def judge(candidate: Candidate, search: KeySearch, entry_texts: bool) -> Match | NearMiss | None:
    """Return the keys that make an entry a hit, or what is wrong with them, or None without any.

    :param entry_texts: whether the texts of active entries are searched too
    """
    primary = next(search.hits(candidate, candidate.keys.primary, entry_texts), None)
    if primary is None:
        return None
    total = len(candidate.entry.keysecondary)
    if not candidate.entry.selective or not total:
        return Match("key", primary)
    secondary = tuple(search.hits(candidate, candidate.keys.secondary, entry_texts))
    match = Match("key", primary, secondary)
    logic = candidate.entry.selectiveLogic
    if _is_met(logic, len(secondary), total):
        return match
    return NearMiss(match, f"{LOGICS[logic]}, {len(secondary)} of {total} secondary keys found")


def score(candidate: Candidate, search: KeySearch, entry_texts: bool) -> int:
    """Return how many keys count for an entry in its group."""
    if not candidate.keys.primary:
        return 0
    primary = sum(1 for _ in search.hits(candidate, candidate.keys.primary, entry_texts))
    secondary = sum(1 for _ in search.hits(candidate, candidate.keys.secondary, entry_texts))
    logic = candidate.entry.selectiveLogic
    all_found = secondary == len(candidate.entry.keysecondary)
    counted = logic == _AND_ANY or (logic == _AND_ALL and all_found)
    return primary + secondary if counted else primary


def _is_met(logic: int, found: int, total: int) -> bool:
    if logic == _AND_ANY:
        return found > 0
    if logic == _NOT_ALL:
        return found < total
    if logic == _NOT_ANY:
        return found == 0
    return found == total

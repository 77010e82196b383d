"""The rounds of one pass: which entries become active, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from .budget import TokenBudget
from .candidates import Candidate
from .groups import GroupContest
from .matching import NearMiss, judge, score
from .search import KeySearch, needs_search
from .settings import ScanSettings
from .why import BudgetStop, Match, Outcome, Roll, Step


class Scan(StrEnum):
    """Why there is a round."""

    INITIAL = "initial"
    RECURSION = "recursion"
    MIN_ACTIVATIONS = "min_activations"


@dataclass(frozen=True, slots=True)
class Round:
    """One round: it searched ``depth`` messages, where neither book nor entry says otherwise."""

    number: int
    scan: Scan
    depth: int
    active: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the books and settings of a pass come to.

    ``levels`` are the distinct values of ``delayUntilRecursion``, ascending.
    """

    depth: int
    recursive: bool
    messages: int
    levels: tuple[int, ...]


# A book whose every entry waits for a level of its own would take a round for each.
MOST_ROUNDS = 1000


class Rounds:
    """The rounds of one pass over the candidates that can become active; used once.

    :param live: these candidates, in the order in which they are considered
    """

    def __init__(
        self,
        live: Sequence[Candidate],
        search: KeySearch,
        budget: TokenBudget,
        limits: Limits,
        settings: ScanSettings,
        *,
        random: Callable[[], float],
        macros: Callable[[str], str],
    ) -> None:
        self._live = live
        self._search = search
        self._budget = budget
        self._limits = limits
        self._settings = settings
        self._random = random
        self._macros = macros
        self._levels = list(limits.levels)
        self._level = self._levels.pop(0) if self._levels else 0
        self._depth = limits.depth
        self._scan = Scan.INITIAL
        self._number = 0
        self._no_match = Step(0, Outcome.NO_MATCH)
        self.active: dict[Candidate, int] = {}
        self.rounds: list[Round] = []
        self.overflowed = False
        self.warnings: list[str] = []

    def run(self) -> None:
        """Run rounds until none is needed, or as many as allowed are done.

        ``active`` then holds the active candidates in order, with their tokens.
        """
        scan: Scan | None = Scan.INITIAL
        most = self._settings.max_recursion_steps
        while scan is not None and not 0 < most <= self._number:
            if self._number >= MOST_ROUNDS:
                self.warnings.append(f"the scan was ended after {MOST_ROUNDS} rounds")
                break
            self._scan, depth, known = scan, self._depth, len(self.active)
            self._number += 1
            self._no_match = Step(self._number, Outcome.NO_MATCH)
            feed = self._weighed(self._contested(self._hits()))
            fresh = tuple(candidate.ref for candidate in islice(self.active, known, None))
            self.rounds.append(Round(self._number, scan, depth, fresh))
            self._live = [candidate for candidate in self._live if not candidate.settled]
            scan = self._next(bool(feed))
            self._budget.end_round((candidate.text, tokens) for candidate, tokens in feed.items())
            if scan is not None and feed:
                self._search.feed(self._number, feed)

    @property
    def _entry_texts(self) -> bool:
        return self._scan is not Scan.MIN_ACTIVATIONS

    def _hits(self) -> dict[Candidate, Match]:
        """Return the candidates that this round would make active, sticky ones first."""
        waiting = [
            candidate
            for candidate in self._live
            if not candidate.prepared.gated or self._is_open(candidate)
        ]
        with_patterns = (candidate for candidate in waiting if candidate.prepared.keys is None)
        self._search.match_patterns(filter(needs_search, with_patterns), self._entry_texts)
        hits: dict[Candidate, Match] = {}
        for candidate in waiting:
            match = candidate.always or self._match(candidate)
            if match is not None:
                hits[candidate] = match
        return dict(sorted(hits.items(), key=lambda hit: not hit[0].sticky))

    def _is_open(self, candidate: Candidate) -> bool:
        entry = candidate.entry
        recursion = self._scan is Scan.RECURSION
        if candidate.sticky:
            return True
        level = entry.delayUntilRecursion
        if level and (not recursion or level > self._level):
            candidate.note(Step(self._number, Outcome.WAITING, note=f"level {level}"))
            return False
        if recursion and entry.excludeRecursion and self._limits.recursive:
            candidate.note(Step(self._number, Outcome.EXCLUDED))
            return False
        return True

    def _match(self, candidate: Candidate) -> Match | None:
        found = None
        if not candidate.ruled_out:
            found = judge(candidate, self._search, self._entry_texts)
        if isinstance(found, NearMiss):
            reason = found.reason
            candidate.note(Step(self._number, Outcome.SECONDARY, found.match, note=reason))
            return None
        if found is None:
            candidate.note(self._no_match)
        return found

    def _contested(self, hits: dict[Candidate, Match]) -> dict[Candidate, Match]:
        if not any(candidate.prepared.groups for candidate in hits):
            return hits
        contest = GroupContest(
            self.active,
            score=lambda candidate: score(candidate, self._search, self._entry_texts),
            scored=self._settings.use_group_scoring,
            random=self._random,
        )
        left = contest.settle(list(hits))
        for candidate, match in hits.items():
            if loss := contest.losses.get(candidate.ref):
                candidate.note(Step(self._number, Outcome.GROUP, match, group=loss))
        return {candidate: hits[candidate] for candidate in left}

    def _weighed(self, hits: dict[Candidate, Match]) -> dict[Candidate, int]:
        """Roll and budget what is left; return what is searched next, with its tokens."""
        feed: dict[Candidate, int] = {}
        stop: BudgetStop | None = None
        for candidate, match in hits.items():
            roll = None if stop else self._roll(candidate)
            if roll is not None and not roll.passed:
                candidate.settle(Step(self._number, Outcome.PROBABILITY, match, roll))
                continue
            if stop is None:
                candidate.text = self._macros(candidate.text)
            tokens = self._budget.tokens(candidate.text)
            if stop is None:
                stop = self._budget.take(candidate.ref, candidate.text, tokens)
            if stop is None:
                candidate.settle(Step(self._number, Outcome.ACTIVE, match, roll))
                self.active[candidate] = tokens
            else:
                candidate.note(Step(self._number, Outcome.BUDGET, match, roll, budget=stop))
            if not candidate.entry.preventRecursion:
                feed[candidate] = tokens
        self.overflowed = self.overflowed or stop is not None
        return feed

    def _roll(self, candidate: Candidate) -> Roll | None:
        entry = candidate.entry
        if not entry.useProbability or entry.probability == 100 or candidate.sticky:
            return None
        return Roll(self._random() * 100, entry.probability)

    def _next(self, fed: bool) -> Scan | None:
        """Return why there is a next round, None if there is none."""
        settings, may_go_on = self._settings, not self.overflowed
        # After a deeper look, what active entries say is searched again before going deeper.
        again = self._scan is Scan.MIN_ACTIVATIONS and self._search.has_entry_texts
        if self._limits.recursive and may_go_on and (fed or again):
            return Scan.RECURSION
        deepest = self._limits.messages
        if settings.min_activations_depth_max > 0:
            deepest = min(deepest, settings.min_activations_depth_max)
        deeper = self._depth <= deepest
        if may_go_on and deeper and len(self.active) < settings.min_activations:
            self._depth += 1
            for candidate in self._live:
                if candidate.entry.scanDepth is None:
                    candidate.depth += 1
            return Scan.MIN_ACTIVATIONS
        if self._levels:
            self._level = self._levels.pop(0)
            return Scan.RECURSION
        return None

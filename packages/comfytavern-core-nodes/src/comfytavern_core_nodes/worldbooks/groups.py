"""Inclusion groups: of the hits of one round that share a group, as a rule one stays."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from .candidates import Candidate
from .why import GroupLoss, Roll


class GroupContest:
    """Settles the groups of one round.

    Who loses one group leaves the round and takes no further part in its other groups.

    :param active: the entries that are active already
    :param score: how many keys of an entry match, for groups that count them
    :param scored: whether entries take part in scoring unless they say otherwise
    """

    def __init__(
        self,
        active: Iterable[Candidate],
        *,
        score: Callable[[Candidate], int],
        scored: bool,
        random: Callable[[], float],
    ) -> None:
        self._score = score
        self._scored = scored
        self._random = random
        # Only an entry whose whole group text is the name bars the group, as in SillyTavern.
        self._taken = {other.entry.group: other.ref for other in active if other.entry.group}
        self.losses: dict[str, GroupLoss] = {}

    def settle(self, hits: Sequence[Candidate]) -> list[Candidate]:
        """Return the hits that stay, in order; ``losses`` says why the others do not."""
        groups: dict[str, list[Candidate]] = {}
        for candidate in hits:
            for name in candidate.prepared.groups:
                groups.setdefault(name, []).append(candidate)
        decided = {name for name in groups if self._keep_sticky(name, groups[name])}
        for name in groups:
            if name not in decided:
                self._keep_best(name, self._left(groups[name]))
        for name in groups:
            if name not in decided:
                self._keep_one(name, self._left(groups[name]))
        return self._left(hits)

    def _left(self, members: Iterable[Candidate]) -> list[Candidate]:
        return [member for member in members if member.ref not in self.losses]

    def _keep_sticky(self, name: str, members: list[Candidate]) -> bool:
        sticky = next((member for member in members if member.sticky), None)
        if sticky is None:
            return False
        for member in members:
            if not member.sticky:
                self._lose(member, GroupLoss(name, sticky.ref, "sticky"))
        return True

    def _keep_best(self, name: str, members: list[Candidate]) -> None:
        if not self._scored and not any(member.entry.useGroupScoring for member in members):
            return
        scores = [self._score(member) for member in members]
        best = max(scores, default=0)
        for member, score in zip(members, scores, strict=True):
            own = member.entry.useGroupScoring
            if score < best and (self._scored if own is None else own):
                winner = members[scores.index(best)].ref
                self._lose(member, GroupLoss(name, winner, "score", scores=(score, best)))

    def _keep_one(self, name: str, members: list[Candidate]) -> None:
        if holder := self._taken.get(name):
            for member in members:
                self._lose(member, GroupLoss(name, holder, "active"))
            return
        if len(members) < 2:
            return
        if preferred := [member for member in members if member.entry.groupOverride]:
            # max keeps the first of equals, as a stable sort would.
            winner = max(preferred, key=lambda member: member.entry.order)
            self._keep(name, members, winner, None)
            return
        sums = list(accumulate(member.entry.groupWeight for member in members))
        rolled = self._random() * sums[-1]
        place = min(bisect_left(sums, rolled), len(sums) - 1)
        self._keep(name, members, members[place], Roll(rolled, sums[place], sums[-1]))

    def _keep(
        self, name: str, members: list[Candidate], winner: Candidate, roll: Roll | None
    ) -> None:
        loss = GroupLoss(name, winner.ref, "roll" if roll else "override", roll)
        for member in members:
            if member is not winner:
                self._lose(member, loss)

    def _lose(self, member: Candidate, loss: GroupLoss) -> None:
        self.losses.setdefault(member.ref, loss)

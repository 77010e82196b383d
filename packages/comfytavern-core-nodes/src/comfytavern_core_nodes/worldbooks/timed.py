"""Timed effects: entries that stay active, or stay away, for some messages after they were active.

The state of a chat is plain JSON in SillyTavern's shape: ``sticky`` and ``cooldown``, each from
``book.uid`` to ``{start, end, protected, hash}``, counted in visible messages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from .candidates import Candidate

_Kind = Literal["sticky", "cooldown"]
_KINDS: tuple[_Kind, ...] = ("sticky", "cooldown")
_LARGEST = 2**53


@dataclass(frozen=True, slots=True)
class Effect:
    """From message ``start`` on until the chat has ``end``; ``protected`` survives a swipe."""

    start: int
    end: int
    protected: bool
    hash: str


class TimedEffects:
    """The effects of one chat in one pass; marks the candidates they are on for."""

    def __init__(
        self, state: Mapping[str, object] | None, entries: Iterable[Candidate], length: int
    ) -> None:
        self.warnings: list[str] = []
        self._length = length
        self._entries = {candidate.ref: candidate for candidate in entries}
        self._effects = {kind: self._read(state or {}, kind) for kind in _KINDS}
        for kind in _KINDS:
            for ref, effect in list(self._effects[kind].items()):
                if not self._goes_on(kind, ref, effect):
                    del self._effects[kind][ref]

    def remember(self, active: Iterable[Candidate]) -> None:
        """Start the effects of the entries that are active now, unless they are on already."""
        for candidate in active:
            for kind in _KINDS:
                span = getattr(candidate.entry, kind)
                if span and candidate.ref not in self._effects[kind]:
                    self._effects[kind][candidate.ref] = self._new(candidate, span, False)

    def state(self) -> dict[str, object]:
        """Return the effects as plain JSON values, for the chat's next turn."""
        return {
            kind: {ref: asdict(effect) for ref, effect in self._effects[kind].items()}
            for kind in _KINDS
        }

    def _goes_on(self, kind: _Kind, ref: str, effect: Effect) -> bool:
        if self._length <= effect.start and not effect.protected:
            # The chat did not go on since: it was swiped or cut, so the effect never began.
            return False
        over = self._length >= effect.end
        candidate = self._entries.get(ref)
        if candidate is None:
            # The book may be back in a later turn.
            return not over
        if not getattr(candidate.entry, kind) or not _is_of(effect, candidate):
            return False
        if over:
            if kind == "sticky" and (span := candidate.entry.cooldown):
                self._effects["cooldown"][ref] = self._new(candidate, span, True)
            return False
        if kind == "sticky":
            candidate.sticky = True
        else:
            candidate.cooldown_end = effect.end
        return True

    def _new(self, candidate: Candidate, span: int, protected: bool) -> Effect:
        return Effect(self._length, self._length + span, protected, entry_hash(candidate))

    def _read(self, state: Mapping[str, object], kind: _Kind) -> dict[str, Effect]:
        effects = state.get(kind)
        if effects is None:
            return {}
        if not isinstance(effects, Mapping):
            self.warnings.append(f"the state's {kind!r} is no object; it was left out")
            return {}
        read = {str(ref): _effect(value) for ref, value in effects.items()}
        if bad := [ref for ref, effect in read.items() if effect is None]:
            text = f"the state has no usable {kind!r} for {bad[0]!r}; it was left out"
            self.warnings.append(f"{text}, like {len(bad) - 1} others" if bad[1:] else text)
        return {ref: effect for ref, effect in read.items() if effect is not None}


def entry_hash(candidate: Candidate) -> str:
    """Return what changes when the entry changes."""
    data = candidate.entry.model_dump(exclude={"uid", "displayIndex"})
    text = json.dumps(data, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_of(effect: Effect, candidate: Candidate) -> bool:
    # SillyTavern's own hashes are numbers that cannot be computed here; they count as fitting.
    return not effect.hash or effect.hash == entry_hash(candidate)


def _effect(value: object) -> Effect | None:
    if not isinstance(value, Mapping):
        return None
    start, end, hashed = _count(value.get("start")), _count(value.get("end")), value.get("hash")
    if start is None or end is None:
        return None
    known = hashed if isinstance(hashed, str) else ""
    return Effect(start, end, value.get("protected") is True, known)


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _LARGEST else None

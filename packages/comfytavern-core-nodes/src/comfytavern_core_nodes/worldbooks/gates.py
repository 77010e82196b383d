"""What of a pass is decided before its first round: which entries take part, and by which keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from .candidates import Candidate
from .keys import Key, PatternKey, PlainKey, parse_key, plain_key
from .patterns import PatternFault, PatternMatcher
from .prepared import MacroKey, PreparedKey, key_set
from .why import Match, Outcome, Step


def admit(entries: Iterable[Candidate], character: str, length: int) -> list[Candidate]:
    """Return the candidates that can become active at all; the others get their reason.

    :param character: whose card file it is, for filters by name
    :param length: how many messages the chat has
    """
    admitted: list[Candidate] = []
    for candidate in entries:
        if candidate.prepared.ordinary and not (candidate.sticky or candidate.cooldown_end):
            admitted.append(candidate)
            continue
        stop = _stopped(candidate, character, length)
        if stop is None:
            admitted.append(candidate)
        else:
            candidate.settle(stop)
    return admitted


def _stopped(candidate: Candidate, character: str, length: int) -> Step | None:
    entry = candidate.entry
    if entry.disable:
        return Step(0, Outcome.DISABLED)
    if not _is_for(candidate, character):
        return Step(0, Outcome.CHARACTER, note=f"the character is {character!r}")
    if entry.delay and length < entry.delay:
        return Step(0, Outcome.DELAY, note=f"the chat has {length} of {entry.delay} messages")
    if candidate.cooldown_end and not candidate.sticky:
        note = f"the chat has {length} of {candidate.cooldown_end} messages"
        return Step(0, Outcome.COOLDOWN, note=note)
    if candidate.prepared.forced:
        candidate.always = Match("decorator")
    elif candidate.prepared.suppressed:
        return Step(0, Outcome.SUPPRESSED)
    elif entry.constant:
        candidate.always = Match("constant")
    elif candidate.sticky:
        candidate.always = Match("sticky")
    elif not candidate.prepared.primary:
        return Step(0, Outcome.NO_KEYS)
    return None


def _is_for(candidate: Candidate, character: str) -> bool:
    wanted = candidate.entry.characterFilter
    if wanted is None or not wanted.names:
        return True
    return (character in wanted.names) != wanted.isExclude


class KeyRing:
    """Gives entries their keys, where those depend on macros or the regex engine."""

    def __init__(self, macros: Callable[[str], str], matcher: PatternMatcher) -> None:
        self._matcher = matcher
        # The same few keys with macros stand in many entries.
        self._of_macros = cache(lambda text: parse_key(macros(text)))

    def hand_out(self, entries: Iterable[Candidate]) -> None:
        """Set the keys that are not known yet; a regex that does not compile is plain text."""
        open_ones = [candidate for candidate in entries if candidate.prepared.keys is None]
        resolved = {
            candidate: (
                self._resolved(candidate.prepared.primary),
                self._resolved(candidate.prepared.secondary),
            )
            for candidate in open_ones
        }
        keys = (key for lists in resolved.values() for keys in lists for key in keys)
        literal = self._literals(key for key in keys if isinstance(key, PatternKey))
        for candidate, (primary, secondary) in resolved.items():
            candidate.keys = key_set(
                (literal.get(key.text, key) for key in primary),
                (literal.get(key.text, key) for key in secondary),
            )

    def _resolved(self, keys: tuple[PreparedKey, ...]) -> list[Key]:
        found = (self._of_macros(key.text) if isinstance(key, MacroKey) else key for key in keys)
        return [key for key in found if key is not None]

    def _literals(self, keys: Iterable[PatternKey]) -> dict[str, PlainKey]:
        """Return, by its text, what is to be looked for instead of a regex."""
        patterns = {(key.pattern, key.flags): key.text for key in keys}
        if not patterns:
            return {}
        verdicts = self._matcher(list(patterns), "")
        return {
            text: plain_key(text)
            for text, verdict in zip(patterns.values(), verdicts, strict=True)
            if isinstance(verdict, PatternFault) and verdict.kind == "syntax"
        }

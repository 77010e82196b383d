"""Regex rules and scripts on the texts of a context, and regex keys of world books.

Expressions of strangers run in a process that can be killed. It is reached from an event loop, so
whoever builds a context in a thread brings a :class:`RegexEngine`, as :class:`WorkerEngine` is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from anyio import from_thread

from ..macros import Macros
from ..regexes import (
    Budget,
    Passage,
    Placement,
    RegexError,
    RegexScript,
    RegexWorker,
    Rule,
    apply_to_all,
    read_rule,
    rules_that_count,
)
from ..worldbooks import PatternFault, Verdict
from ..worldbooks.patterns import Pattern
from .journal import Journal

_SYNTAX = frozenset({"bad_flags", "bad_pattern"})


class RegexEngine(Protocol):
    """What applies rules and searches for patterns; both may raise nothing but ``RuleError``."""

    def apply(
        self, passages: Sequence[Passage], rules: Sequence[Rule], macros: Callable[[str], str]
    ) -> list[str]:
        """Return the texts as the rules leave them."""
        ...

    def match(self, patterns: Sequence[Pattern], text: str) -> Sequence[Verdict]:
        """Search a text for many patterns."""
        ...


class WorkerEngine:
    """The worker process, for a thread that an event loop of anyio has started.

    All questions of one engine share the time that one node has.
    """

    def __init__(self, worker: RegexWorker | None = None) -> None:
        self._own = worker is None
        self._worker = worker or RegexWorker()
        self._budget: Budget | None = None

    def apply(
        self, passages: Sequence[Passage], rules: Sequence[Rule], macros: Callable[[str], str]
    ) -> list[str]:
        """Return the texts as the rules leave them.

        :raises RuleError: a rule cannot be applied
        """
        budget = self._shared()

        async def apply() -> list[str]:
            return await apply_to_all(passages, rules, self._worker, macros=macros, budget=budget)

        return from_thread.run(apply)

    def match(self, patterns: Sequence[Pattern], text: str) -> Sequence[Verdict]:
        """Search a text for many patterns; one that is wrong or too slow is a fault."""
        if not patterns:
            return []
        found = from_thread.run(self._worker.match_many, patterns, [text], self._shared())
        return [
            _fault(found.problems[number]) if number in found.problems else places[0]
            for number, places in enumerate(found.positions)
        ]

    def close(self) -> None:
        """End the process, if it was started and is not the host's."""
        if self._own and self._budget is not None:
            from_thread.run(self._worker.close)

    def _shared(self) -> Budget:
        if self._budget is None:
            self._budget = self._worker.budget()
        return self._budget


class Scripts:
    """The rules of one context, with the macros of its chat."""

    def __init__(self, rules: Sequence[Rule], engine: RegexEngine, macros: Macros) -> None:
        self._rules = rules
        # Plain rules say nothing of places: they are for what is said, not for lore.
        self._lore_rules = [
            rule
            for rule in rules
            if isinstance(rule, RegexScript) and rule.applies(Placement.WORLD_INFO)
        ]
        self._engine = engine
        self._macros = macros

    def said(self, passages: Sequence[Passage]) -> list[str]:
        """Return messages as the rules leave them.

        :raises RuleError: a rule cannot be applied
        """
        if not self._rules or not passages:
            return [passage.text for passage in passages]
        return self._engine.apply(passages, self._rules, self._macros.expand)

    def lore(self, text: str, depth: int | None) -> str:
        """Return the text of a world book's entry as the scripts leave it.

        :raises RuleError: a script cannot be applied
        """
        if not self._lore_rules or not text:
            return text
        passage = Passage(text, Placement.WORLD_INFO, depth)
        return self._engine.apply([passage], self._lore_rules, self._macros.expand)[0]


def rules_of(values: Iterable[object], card: Mapping[str, object], journal: Journal) -> list[Rule]:
    """Return the rules that are connected and, behind them, those of the card.

    Of plain rules with one name the first counts, even if it is disabled. What is no rule is left
    out with a warning.
    """
    own = card.get("regex_scripts")
    scripts = own if isinstance(own, list) else []
    connected = _read(values, "regex rule {}", journal)
    rules = rules_that_count(connected) + _read(scripts, "regex script {} of the card", journal)
    return [rule for rule in rules if rule.enabled]


def _read(values: Iterable[object], title: str, journal: Journal) -> list[Rule]:
    rules: list[Rule] = []
    for number, value in enumerate(values):
        name = title.format(number)
        try:
            rules.append(read_rule(value, name))
        except ValueError as exc:
            journal.warn(f"{name} is not used: {exc}")
    return rules


def _fault(problem: RegexError) -> PatternFault:
    if problem.code == "timeout":
        return PatternFault("timeout", str(problem))
    return PatternFault("syntax" if problem.code in _SYNTAX else "other", str(problem))

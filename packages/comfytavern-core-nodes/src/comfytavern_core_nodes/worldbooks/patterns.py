"""What activation needs of a regex engine, and a simple one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import regex

Pattern: TypeAlias = tuple[str, str]
"""A JavaScript pattern and its flags."""


@dataclass(frozen=True, slots=True)
class PatternFault:
    """Why a pattern gave no answer: it does not compile, took too long, or failed otherwise."""

    kind: Literal["syntax", "timeout", "other"]
    reason: str


Verdict: TypeAlias = int | PatternFault | None
"""Where the first match begins, counted in characters; None if there is none."""


class PatternMatcher(Protocol):
    """Search a text for many patterns at once, each as a fresh ``RegExp.exec`` would.

    One verdict per pattern, in order; faults are returned, never raised. Activation calls it with
    an empty text first, to learn which patterns compile.
    """

    def __call__(self, patterns: Sequence[Pattern], text: str) -> Sequence[Verdict]: ...


_FLAGS = {"i": regex.IGNORECASE, "m": regex.MULTILINE, "s": regex.DOTALL}


class InProcessMatcher:
    """Search with the ``regex`` package as it is, close to JavaScript for everyday patterns.

    For tests and trusted books: its deadline is no hard one, and nothing bounds compiling.
    """

    def __init__(self, timeout: float = 0.8) -> None:
        self._timeout = timeout

    def __call__(self, patterns: Sequence[Pattern], text: str) -> Sequence[Verdict]:
        """Return one verdict per pattern."""
        return [self._verdict(pattern, flags, text) for pattern, flags in patterns]

    def _verdict(self, pattern: str, flags: str, text: str) -> Verdict:
        options = regex.VERSION0
        for flag in flags:
            options |= _FLAGS.get(flag, regex.VERSION0)
        try:
            compiled = regex.compile(pattern, options)
            find = compiled.match if "y" in flags else compiled.search
            found = find(text, timeout=self._timeout, concurrent=True)
        except regex.error as error:
            return PatternFault("syntax", str(error))
        except TimeoutError:
            return PatternFault("timeout", f"no answer after {self._timeout} s")
        return found.start() if found else None

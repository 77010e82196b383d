"""What the worker is asked to do: the values that cross to it, and the short way around it.

Nothing here needs the ``regex`` package, so the host loads none of it before a rule is used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from .errors import RegexError

__all__ = (
    "Job",
    "Step",
    "StepError",
    "literal_of",
    "literal_pieces",
    "replaced_here",
    "script_template",
)

# Longer texts go to the worker even for plain words: cutting them up would hold up the event loop.
MAX_TEXT_HERE = 100_000
MAX_RESULT_HERE = 1_000_000

_PLAIN = re.compile(r"[^\\^$.*+?()\[\]{}|]+")
_MATCH_MACRO = re.compile(r"\{\{match\}\}", re.I)
_GROUP = re.compile(r"\$([0-9]+)")


class Step(NamedTuple):
    """One replacement on a text.

    ``style`` says how ``replacement`` is read: as JavaScript does, or as SillyTavern does, where
    ``trim`` is cut out of every group before it is put in.
    """

    pattern: str
    flags: str
    replacement: str
    style: Literal["js", "script"] = "js"
    trim: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """Steps to be done on a text, one on the result of the other."""

    text: str
    steps: tuple[Step, ...]


class StepError(Exception):
    """A step of a job could not be done; nothing of the batch counts."""

    def __init__(self, job: int, step: int, problem: RegexError) -> None:
        super().__init__(job, step, problem)
        self.job = job
        self.step = step
        self.problem = problem


def literal_of(pattern: str, flags: str) -> str | None:
    """Return the text that an expression stands for if it is nothing but text.

    Such an expression needs no engine, so it may be searched for anywhere. A wrong flag is not
    noticed here but where it is translated: None is the answer to everything in doubt.
    """
    plain_flags = set(flags) <= set("dgmsu") and len(set(flags)) == len(flags)
    return pattern if plain_flags and _PLAIN.fullmatch(pattern) else None


def literal_pieces(text: str, step: Step) -> list[str] | None:
    """Cut a text up at its matches without the engine; None if it takes one."""
    literal = literal_of(step.pattern, step.flags)
    if literal is None or "$" in step.replacement or len(text) > MAX_TEXT_HERE:
        return None
    if step.style == "script" and _MATCH_MACRO.search(step.replacement):
        return None
    if len(text) + text.count(literal) * len(step.replacement) > MAX_RESULT_HERE:
        return None
    between = text.split(literal, -1 if "g" in step.flags else 1)
    pieces = [step.replacement] * (2 * len(between) - 1)
    pieces[::2] = between
    return pieces


def replaced_here(job: Job) -> list[str] | None:
    """Do a whole job without the engine; None if one of its steps takes one."""
    pieces = [job.text]
    for step in job.steps:
        following = literal_pieces("".join(pieces), step)
        if following is None:
            return None
        pieces = following
    return pieces


def script_template(replacement: str) -> Sequence[str | int]:
    """Read a SillyTavern replacement: text as it is, and the numbers of groups."""
    parts: list[str | int] = []
    end = 0
    replacement = _MATCH_MACRO.sub("$0", replacement)
    for found in _GROUP.finditer(replacement):
        digits = found[1].lstrip("0") or "0"
        # Beyond what any pattern has; the number itself might be too long to convert.
        number = int(digits) if len(digits) <= 6 else 10**6
        parts += (replacement[end : found.start()], number)
        end = found.end()
    parts.append(replacement[end:])
    return [part for part in parts if part != ""]

"""SillyTavern's scripts: what they hold, which texts they are for, and what they do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from .steps import Step, script_template

__all__ = ("Macros", "Placement", "RegexScript", "script_regex")

Macros: TypeAlias = Callable[[str], str]
"""Replaces the macros of a text."""

_SHAPE = re.compile(r"(/?)([^\n\r\u2028\u2029]+)\1([A-Za-z]*)")
_PERL_FLAGS = frozenset("gmixXsuUAJ")
_MACRO = re.compile(r"\{\{[^{}]*\}\}|<(?:user|bot|char|group|charifnotgroup)>", re.I)
_SPECIAL = re.compile(r"[\n\r\t\v\f\0.^$*+?{}\[\]\\/|()]")
_LETTERS = {"\n": "n", "\r": "r", "\t": "t", "\v": "v", "\f": "f", "\0": "0"}


class Placement(IntEnum):
    """What kind of text a script is for, by SillyTavern's numbers."""

    USER = 1
    AI = 2
    SLASH = 3
    WORLD_INFO = 5
    REASONING = 6


@dataclass(frozen=True, slots=True)
class RegexScript:
    """A SillyTavern script; it says itself which texts it is for."""

    name: str
    find: str
    replacement: str = ""
    trim: tuple[str, ...] = ()
    placements: frozenset[int] = frozenset()
    enabled: bool = True
    markdown_only: bool = False
    prompt_only: bool = False
    run_on_edit: bool = False
    substitute: int = 0
    min_depth: float | None = None
    max_depth: float | None = None

    def to_value(self) -> dict[str, object]:
        """Return the script as it travels between nodes.

        It carries the nearest plain rule with it, for readers that know nothing of scripts.
        """
        pattern, flags = script_regex(self.find) or ("", "")
        script = {
            "scriptName": self.name,
            "findRegex": self.find,
            "replaceString": self.replacement,
            "trimStrings": list(self.trim),
            "placement": sorted(self.placements),
            "disabled": not self.enabled,
            "markdownOnly": self.markdown_only,
            "promptOnly": self.prompt_only,
            "runOnEdit": self.run_on_edit,
            "substituteRegex": self.substitute,
            "minDepth": self.min_depth,
            "maxDepth": self.max_depth,
        }
        return {
            "name": self.name,
            "pattern": pattern,
            "replacement": _plain_replacement(self.replacement),
            "flags": flags,
            "enabled": self.enabled and not self.markdown_only and bool(pattern),
            "script": script,
        }

    def applies(
        self,
        placement: int | None,
        depth: int | None = None,
        *,
        prompt: bool = True,
        markdown: bool = False,
    ) -> bool:
        """Return whether the script is for a text.

        :param placement: what kind of text it is; None if that is not known and not asked
        :param depth: how many messages come after it; None if it is no message
        :param prompt: the text goes to a model
        :param markdown: the text is only shown
        """
        unmarked = not self.markdown_only and not self.prompt_only and not markdown
        if not (unmarked or (self.prompt_only and prompt) or (self.markdown_only and markdown)):
            return False
        if not self.enabled or (placement is not None and placement not in self.placements):
            return False
        if depth is None:
            return True
        least, most = self.min_depth, self.max_depth
        return not (least is not None and depth < least) and not (most is not None and depth > most)

    def step(self, macros: Macros) -> Step | None:
        """Return what is to be done; None if the script changes nothing."""
        find = self.find
        if self.substitute == 1:
            find = macros(find)
        elif self.substitute == 2:
            find = _MACRO.sub(lambda macro: _substituted(macro[0], macros), find)
        expression = script_regex(find)
        if expression is None:
            return None
        trim = tuple(filter(None, map(macros, self.trim)))
        return Step(*expression, self.replacement, "script", trim)


def script_regex(find: str) -> tuple[str, str] | None:
    """Return the pattern and flags that a script's ``findRegex`` means; None if there are none.

    Whether JavaScript takes the pattern is not asked.
    """
    found = _SHAPE.search(find)
    if found is None:
        return None
    pattern, flags = found[2], found[3]
    if flags and (not set(flags) <= _PERL_FLAGS or len(set(flags)) < len(flags)):
        return find, ""
    # Flags that only Perl knows pass SillyTavern's own check; then JavaScript refuses them.
    return (pattern, flags) if set(flags) <= set("gimsu") else None


def _substituted(macro: str, macros: Macros) -> str:
    value = macros(macro)
    if value == macro:
        return macro
    return _SPECIAL.sub(lambda special: "\\" + _LETTERS.get(special[0], special[0]), value)


def _plain_replacement(replacement: str) -> str:
    """Return the replacement of a script as JavaScript would have to read it."""
    parts = script_template(replacement)
    # A group that does not exist stays as text in JavaScript; scripts that use one are broken.
    return "".join(
        part.replace("$", "$$") if isinstance(part, str) else "$&" if part == 0 else f"${part}"
        for part in parts
    )

"""Rules as they come out of a file or along an edge: plain ones, and SillyTavern's scripts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from comfytavern.types import describe_value

from .scripts import RegexScript
from .steps import Step

__all__ = ("RegexRule", "Rule", "is_script", "read_rule")

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class RegexRule:
    """A rule of ComfyTavern: ``text.replace(new RegExp(pattern, flags), replacement)``."""

    name: str
    pattern: str
    replacement: str
    flags: str = ""
    description: str = ""
    enabled: bool = True

    def to_value(self) -> dict[str, object]:
        """Return the rule as it travels between nodes."""
        value: dict[str, object] = {
            "name": self.name,
            "pattern": self.pattern,
            "replacement": self.replacement,
            "flags": self.flags,
            "enabled": self.enabled,
        }
        return value | ({"description": self.description} if self.description else {})

    def step(self) -> Step:
        """Return what is to be done."""
        return Step(self.pattern, self.flags, self.replacement)


Rule: TypeAlias = RegexRule | RegexScript


def is_script(value: object) -> bool:
    """Return whether a value looks like a SillyTavern script."""
    return isinstance(value, Mapping) and "findRegex" in value


def read_rule(value: object, default_name: str = "") -> Rule:
    """Read a rule or script from a value of a file or an edge.

    :param default_name: what it is called if it has no name; without one, that is an error
    :raises ValueError: it is none; the text says why
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"it is {describe_value(value)}; expected an object")
    script = value.get("script")
    if is_script(script) or is_script(value):
        return _read_script(script if is_script(script) else value, default_name)
    rule = RegexRule(
        name=_text(value, "name", default_name or None) or default_name,
        pattern=_text(value, "pattern", None),
        replacement=_text(value, "replacement", None),
        flags=_text(value, "flags", ""),
        description=_text(value, "description", ""),
        enabled=_truth(value, "enabled", True),
    )
    if not rule.name or not rule.pattern:
        raise ValueError(f"{'pattern' if rule.name else 'name'!r} is empty")
    return rule


def _read_script(value: object, default_name: str) -> RegexScript:
    assert isinstance(value, Mapping), "only called with what looks like a script"
    find = _text(value, "findRegex", None)
    return RegexScript(
        name=_text(value, "scriptName", "") or default_name or find,
        find=find,
        replacement=_text(value, "replaceString", ""),
        trim=tuple(_whole(item) for item in _items(value, "trimStrings") if isinstance(item, str)),
        placements=frozenset(item for item in _items(value, "placement") if isinstance(item, int)),
        enabled=not _truth(value, "disabled", False),
        markdown_only=_truth(value, "markdownOnly", False),
        prompt_only=_truth(value, "promptOnly", False),
        run_on_edit=_truth(value, "runOnEdit", False),
        substitute=_substitute(value.get("substituteRegex")),
        min_depth=_depth(value, "minDepth"),
        max_depth=_depth(value, "maxDepth"),
    )


def _text(value: Mapping[object, object], key: str, default: str | None) -> str:
    found = value.get(key)
    if found is None and default is not None:
        return default
    if not isinstance(found, str):
        given = "missing" if key not in value else describe_value(found)
        raise ValueError(f"{key!r} is {given}; expected text")
    return _whole(found)


def _whole(text: str) -> str:
    # Half a surrogate pair can be escaped in JSON, but no UTF-8 output can carry it.
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _truth(value: Mapping[object, object], key: str, default: bool) -> bool:
    found = value.get(key)
    if found is not None and not isinstance(found, bool):
        raise ValueError(f"{key!r} is {describe_value(found)}; expected true or false")
    return default if found is None else found


def _items(value: Mapping[object, object], key: str) -> Iterable[object]:
    found = value.get(key)
    if found is not None and not isinstance(found, list | tuple):
        raise ValueError(f"{key!r} is {describe_value(found)}; expected a list")
    return found or ()


def _depth(value: Mapping[object, object], key: str) -> float | None:
    """Read a bound; null, NaN and what is below zero mean none."""
    found = value.get(key)
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise ValueError(f"{key!r} is {describe_value(found)}; expected a number or null")
    return None if math.isnan(found) or found < 0 else found


def _substitute(value: object) -> int:
    # Older scripts hold true or false here.
    return int(value) if isinstance(value, int) and value in (1, 2) else 0

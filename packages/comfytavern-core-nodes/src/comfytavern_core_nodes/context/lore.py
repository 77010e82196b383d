"""What world books bring to a prompt: their texts by place, and the records of the report."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..macros import EMPTY, Text
from .card import DepthText


@dataclass(frozen=True, slots=True, kw_only=True)
class Lore:
    """The result of one activation pass. ``records`` go into the report as they are."""

    before: Text = EMPTY
    after: Text = EMPTY
    note_top: Text = EMPTY
    note_bottom: Text = EMPTY
    examples: tuple[tuple[bool, Text], ...] = ()
    at_depth: tuple[DepthText, ...] = ()
    records: dict[str, object] = field(default_factory=dict)
    state: dict[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

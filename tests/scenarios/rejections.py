"""The cases that do not compile here, and what is found in each: code, node, slot.

The original found out while running, if at all. Written by hand from the rules.
"""

from __future__ import annotations

__all__ = ("ALLOWED", "REJECTED")

Found = tuple[str, str | None, str | None]

REJECTED: dict[int, set[Found]] = {
    11: {("duplicate_id", "a", None)},
    13: {("cycle", "a", None)},
    # a__0 is the slot a; the others are sub-handles of nothing
    22: {
        ("unknown_slot", "j", "b__x"),
        ("unknown_slot", "j", "b__00"),
        ("unknown_slot", "j", "b__0__1"),
    },
    25: {("unknown_slot", "p", "nope"), ("unknown_node", "ghost", None)},
    34: {("missing_input", "r", "x")},
    37: {("two_edges", "i", "a")},
    38: {("unknown_slot", "p", "nope")},
    40: {("unknown_node", "ghost", None)},
    41: {("unknown_node", "ghost", None)},
    43: {("unknown_slot", "i", "surprise")},
    44: {("unknown_slot", "r", "undeclared")},
    46: {("unknown_node_type", "u", None)},
    47: {("unknown_node_type", "u", None)},
    # a stream connects only to a stream, also behind a bypassed node
    73: {("slot_mismatch", "k", "in")},
    89: {("unknown_slot", "c", "dummy")},
    106: {("unknown_slot", "s", "nope")},
    107: {("unknown_slot", "c", "after")},
    113: {("missing_input", "c", "in")},
}

# What may be reported besides: it follows from the above, and is true as well.
ALLOWED: dict[int, set[Found]] = {
    38: {("two_edges", "i", "a")},
    40: {("missing_input", "r", "x")},
    106: {("missing_input", "r", "x")},
}

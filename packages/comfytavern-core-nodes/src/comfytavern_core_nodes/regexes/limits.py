"""How much an expression may cost. Rules come from strangers, in cards and in workflows."""

from __future__ import annotations

MAX_PATTERN = 20_000
"""Characters of one pattern."""

MAX_GROUP_DEPTH = 200
"""Groups inside each other."""

MAX_UNROLLED = 100_000
"""Items of a pattern after its counts are written out, as the engine does before it searches."""

MAX_TEXT = 16 * 1024 * 1024
"""Characters of a text, before and after each rule: a replacement can double it every time."""

MAX_WORKER_BYTES = 2 * 1024**3
"""Address space of the worker process, where the system can limit it."""

RULE_SECONDS = 0.8
"""How long one rule may take on one text, by the wall clock."""

NODE_SECONDS = 5.0
"""How long all rules of one node may take together."""

"""Dice: what ``{{roll:2d6+3}}`` rolls."""

from __future__ import annotations

import re
from collections.abc import Callable

MAX_DICE = 1000
"""Dice in one roll; more are treated like a formula that makes no sense."""

_FORMULA = re.compile(r"([1-9][0-9]{0,5})?d([1-9][0-9]{0,11})([+-][0-9]{1,12})?", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,12}")


def roll(formula: str, random: Callable[[], float]) -> str:
    """Roll ``[n]d<m>[+-k]`` or, for digits alone, one die with that many sides.

    :param random: gives numbers from 0 up to, but without, 1; asked once per die
    :return: the sum, or ``""`` if the formula makes no sense
    """
    formula = formula.strip()
    if _DIGITS.fullmatch(formula):
        formula = f"1d{formula}"
    found = _FORMULA.fullmatch(formula)
    count = int(found[1] or 1) if found else 0
    if found is None or count > MAX_DICE:
        return ""
    sides = int(found[2])
    total = sum(1 + int(random() * sides) for _ in range(count))
    return str(total + int(found[3] or 0))

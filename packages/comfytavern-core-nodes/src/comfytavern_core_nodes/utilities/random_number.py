"""RandomNumber: a whole number that stays, counts, or is drawn anew for each run.

Normally the page computes: before it submits a run, ``client_scripts/RandomNumber.js`` puts the
new number into ``value`` and the same number into the hidden input ``page_value``. How the
back end tells whether a page did so:

- ``page_value`` equals ``value``: a page computed for this run, ``value`` goes on as it is.
- Otherwise (no ``page_value``, or ``value`` was changed since, or comes over an edge): no page
  did, so the step of ``mode`` is taken here, starting from ``value``.

The script empties ``page_value`` again some seconds after the run was submitted, so that a saved
workflow does not carry it: run later without a page, ``random`` is random. A workflow saved within
those seconds gives the saved number until ``value`` is changed. As nothing is kept between runs,
counting without a page always gives the number after the saved one.

An edge into ``reroll`` draws a number in every mode when it brings anything but null or false.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from comfytavern.context import NodeContext
from comfytavern.definitions import (
    BypassBehavior,
    InputDefinition,
    NodeDefinition,
    OutputDefinition,
)
from comfytavern.errors import did_you_mean
from comfytavern.types import DataFlowType, MatchCategory, describe_value

__all__ = ("RANDOM_NUMBER",)

_RANGE = 2**32

# Workflows saved by ComfyTavern hold the Chinese words.
_MODES: Mapping[str, str] = {
    "fixed": "fixed",
    "increase": "increase",
    "decrease": "decrease",
    "random": "random",
    "固定": "fixed",
    "增加": "increase",
    "减少": "decrease",
    "随机": "random",
}


async def _give_number(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    value = _in_range(inputs.get("value", 0))
    mode = _mode(inputs.get("mode", "fixed"))
    if inputs.get("reroll") not in (None, False):
        return {"number": _draw()}
    computed = inputs.get("page_value")
    if computed is not None and computed == value:
        return {"number": value}
    return {"number": _step(mode, value)}


def _step(mode: str, value: int) -> int:
    if mode == "increase":
        return (value + 1) % _RANGE
    if mode == "decrease":
        return (value - 1) % _RANGE
    return _draw() if mode == "random" else value


def _draw() -> int:
    return random.randrange(_RANGE)


def _mode(word: object) -> str:
    mode = _MODES.get(word) if isinstance(word, str) else None
    if mode is None:
        known = f"; modes: {', '.join(_MODES)}"
        raise ValueError(f"unknown mode {word!r}{did_you_mean(str(word), _MODES) or known}")
    return mode


def _in_range(value: object) -> int:
    if value is None:
        return 0
    # JSON has one kind of number, so a whole one may come as a float.
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"input 'value' is {describe_value(value)}; expected a whole number")
    if not 0 <= number < _RANGE:
        raise ValueError(f"input 'value' is {number}; expected 0 to {_RANGE - 1}")
    return number


RANDOM_NUMBER = NodeDefinition(
    type="RandomNumber",
    category="Utilities",
    display_name="Random Number",
    description="A whole number of 32 bits that stays as it is, counts up or down, or is drawn"
    " anew for each run. The page computes it before a run; without a page the host does.",
    width=260,
    inputs={
        "mode": InputDefinition(
            display_name="Mode",
            description="What happens to the number before each run. Counting wraps around.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.COMBO_OPTION,),
            config={
                "default": "fixed",
                "suggestions": ["fixed", "increase", "decrease", "random"],
            },
        ),
        "value": InputDefinition(
            display_name="Value",
            description="The current number.",
            data_flow_type=DataFlowType.INTEGER,
            config={"default": 0, "min": 0, "max": _RANGE - 1, "step": 1},
        ),
        "reroll": InputDefinition(
            display_name="Reroll",
            description="Draws a new number now. Connected, it draws one in each run in which it"
            " receives anything but null or false.",
            data_flow_type=DataFlowType.WILDCARD,
            match_categories=(MatchCategory.TRIGGER,),
            config={"label": "Reroll"},
        ),
        "page_value": InputDefinition(
            display_name="Computed by the page",
            description="Written by the page: the number that it computed for this run. While it"
            " equals the value, the host computes nothing.",
            data_flow_type=DataFlowType.INTEGER,
            config={"min": 0, "max": _RANGE - 1},
            hide_handle=True,
        ),
    },
    outputs={
        "number": OutputDefinition(
            display_name="Number",
            description="The number of this run.",
            data_flow_type=DataFlowType.INTEGER,
        )
    },
    bypass_behavior=BypassBehavior(pass_through={"number": "value"}),
    client_script_url="client_scripts/RandomNumber.js",
    execute=_give_number,
)

"""MathOperation: two numbers into one.

All arithmetic is done in floating point, as on every FLOAT slot. A result that is no number,
or too large for one, is an error here and never travels on as NaN or infinity: JSON has neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from comfytavern.context import NodeContext
from comfytavern.definitions import (
    BypassBehavior,
    InputDefinition,
    NodeDefinition,
    OutputDefinition,
)
from comfytavern.errors import did_you_mean
from comfytavern.types import DataFlowType, MatchCategory, describe_value, js_text

__all__ = ("MATH_OPERATION",)

_OPERATIONS: Mapping[str, Callable[[float, float], float]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "modulo": lambda a, b: a % b,
    "power": math.pow,
    "minimum": min,
    "maximum": max,
}


async def _calculate(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    a, b = _number(inputs, "a"), _number(inputs, "b")
    name = inputs.get("operation", "add")
    operation = _OPERATIONS.get(name) if isinstance(name, str) else None
    if operation is None:
        known = f"; operations: {', '.join(_OPERATIONS)}"
        raise ValueError(
            f"unknown operation {name!r}{did_you_mean(str(name), _OPERATIONS) or known}"
        )
    result = _checked(str(name), operation, a, b)
    return {"result": result, "integer": _rounded(result)}


def _number(inputs: Mapping[str, object], slot: str) -> float:
    value = inputs.get(slot, 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"input {slot!r} is {describe_value(value)}; expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        shown = js_text(number)
        raise ValueError(f"input {slot!r} is {shown}; expected a number below 1.8e308")
    return number


def _checked(name: str, operation: Callable[[float, float], float], a: float, b: float) -> float:
    shown = f"{js_text(a)} {name} {js_text(b)}"
    if (b == 0 and name in ("divide", "modulo")) or (name == "power" and a == 0 and b < 0):
        raise ZeroDivisionError(f"division by zero: {shown}")
    try:
        result = operation(a, b)
    except OverflowError:
        result = math.inf
    except ValueError:
        raise ValueError(
            f"no real number is the result of {shown}; a negative number has only whole powers"
        ) from None
    if not math.isfinite(result):
        raise OverflowError(f"the result of {shown} is too large; numbers end at 1.8e308")
    return result


def _rounded(number: float) -> int:
    # Halves go away from zero, as people round; Python's round() goes to the even neighbour.
    whole = math.trunc(number)
    return whole + (1 if number > 0 else -1) if abs(number - whole) >= 0.5 else whole


MATH_OPERATION = NodeDefinition(
    type="MathOperation",
    category="Utilities",
    display_name="Math",
    description="Calculates with two numbers.",
    inputs={
        "a": InputDefinition(
            display_name="A",
            description="The first number.",
            data_flow_type=DataFlowType.FLOAT,
            config={"default": 0.0, "step": 0.1},
        ),
        "b": InputDefinition(
            display_name="B",
            description="The second number.",
            data_flow_type=DataFlowType.FLOAT,
            config={"default": 0.0, "step": 0.1},
        ),
        "operation": InputDefinition(
            display_name="Operation",
            description="What to do with A and B. modulo has the sign of B.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.COMBO_OPTION,),
            config={"default": "add", "suggestions": list(_OPERATIONS)},
        ),
    },
    outputs={
        "result": OutputDefinition(
            display_name="Result",
            description="The exact result, as far as floating point is exact.",
            data_flow_type=DataFlowType.FLOAT,
        ),
        "integer": OutputDefinition(
            display_name="Integer",
            description="The result rounded to a whole number, halves away from zero.",
            data_flow_type=DataFlowType.INTEGER,
        ),
    },
    bypass_behavior=BypassBehavior(pass_through={"result": "a"}, defaults={"integer": 0}),
    idempotent=True,
    execute=_calculate,
)

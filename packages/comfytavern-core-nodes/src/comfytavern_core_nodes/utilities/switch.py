"""Switch: one of two values, by a condition."""

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.context import NodeContext
from comfytavern.definitions import (
    BypassBehavior,
    InputDefinition,
    NodeDefinition,
    OutputDefinition,
)
from comfytavern.types import DataFlowType, describe_value

__all__ = ("SWITCH",)


async def _pick(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    branch = "if_true" if _truth(inputs.get("condition")) else "if_false"
    # A branch that has no value gives none: the readers then fall back to presets and defaults.
    return {"output": inputs[branch]} if branch in inputs else {}


def _truth(value: object) -> bool:
    if value is None or isinstance(value, bool | int | float):
        return bool(value)
    raise TypeError(
        f"input 'condition' is {describe_value(value)}; expected true or false"
        " (a number counts as true unless it is 0)"
    )


SWITCH = NodeDefinition(
    type="Switch",
    category="Utilities",
    display_name="Switch",
    description="Gives one of two values, depending on a condition. Both sides run; only the"
    " chosen value goes on.",
    inputs={
        "condition": InputDefinition(
            display_name="Condition",
            description="Which of the two values goes on.",
            data_flow_type=DataFlowType.BOOLEAN,
            config={"default": False},
        ),
        "if_true": InputDefinition(
            display_name="If true",
            description="Goes on when the condition is true; if it is absent, so is the output.",
            data_flow_type=DataFlowType.WILDCARD,
        ),
        "if_false": InputDefinition(
            display_name="If false",
            description="Goes on when the condition is false; if it is absent, so is the output.",
            data_flow_type=DataFlowType.WILDCARD,
        ),
    },
    outputs={
        "output": OutputDefinition(
            display_name="Output",
            description="The value of the chosen side.",
            data_flow_type=DataFlowType.WILDCARD,
        )
    },
    # Without this the standard rules would pass on the condition: it too fits any output.
    bypass_behavior=BypassBehavior(pass_through={"output": "if_true"}),
    idempotent=True,
    execute=_pick,
)

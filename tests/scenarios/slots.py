"""Slots of the test node types, written as the specification writes them: ``S~!``."""

from __future__ import annotations

from comfytavern.definitions import InputDefinition, OutputDefinition, Required
from comfytavern.types import ABSENT, DataFlowType

__all__ = ("give", "take")

_FLOWS = {
    "W": DataFlowType.WILDCARD,
    "S": DataFlowType.STRING,
    "I": DataFlowType.INTEGER,
    "F": DataFlowType.FLOAT,
    "B": DataFlowType.BOOLEAN,
    "O": DataFlowType.OBJECT,
    "A": DataFlowType.ARRAY,
    "C": DataFlowType.CONVERTIBLE_ANY,
}


def take(
    code: str,
    default: object = ABSENT,
    *,
    multi: bool = False,
    required: Required | None = None,
    categories: tuple[str, ...] = (),
) -> InputDefinition:
    """Return an input: a letter for the type, ``~`` for a stream, ``!`` for required."""
    return InputDefinition(
        data_flow_type=_FLOWS[code[0]],
        is_stream="~" in code,
        required="!" in code if required is None else required,
        multi=multi,
        match_categories=categories,
        config={} if default is ABSENT else {"default": default},
    )


def give(code: str, *, categories: tuple[str, ...] = ()) -> OutputDefinition:
    """Return an output, of the same letters."""
    return OutputDefinition(
        data_flow_type=_FLOWS[code[0]], is_stream="~" in code, match_categories=categories
    )

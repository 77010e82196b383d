"""Values that a workflow file gives: do they fit the slot's type and bounds?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from .definitions import InputDefinition
from .errors import did_you_mean
from .types import DataFlowType, as_float, describe_value, fits

__all__ = ("FindingLog", "as_wanted", "check_values", "misfit")


class FindingLog(Protocol):
    """Where problems and warnings are reported."""

    def problem(self, code: str, message: str, node: str | None, slot: str | None) -> None: ...
    def warn(self, code: str, message: str, node: str | None, slot: str | None) -> None: ...


_NUMBERS = frozenset({DataFlowType.INTEGER, DataFlowType.FLOAT})


def misfit(value: object, slot: InputDefinition) -> str | None:
    """Return why a value does not fit a slot, or None if it does."""
    if slot.multi and isinstance(value, list | tuple):
        reasons = (_misfit_one(item, slot) for item in value)
        return next((reason for reason in reasons if reason), None)
    return _misfit_one(value, slot)


def _misfit_one(value: object, slot: InputDefinition) -> str | None:
    flow = slot.data_flow_type
    if not fits(value, flow):
        return f"is {describe_value(value)}, but the slot is {flow.value}"
    if flow in _NUMBERS and isinstance(value, int | float):
        low, high = slot.config.get("min"), slot.config.get("max")
        if isinstance(low, int | float) and value < low:
            return f"is {value!r}, below the minimum {low!r}"
        if isinstance(high, int | float) and value > high:
            return f"is {value!r}, above the maximum {high!r}"
    return None


def check_values(
    node_id: str,
    values: Mapping[str, object],
    slots: Mapping[str, InputDefinition],
    word: str,
    findings: FindingLog,
) -> dict[str, object]:
    """Return the values that fit, as their slots want them; report the rest.

    :param word: what messages call such a value: ``input`` or ``config value``
    """
    kept: dict[str, object] = {}
    for name, value in values.items():
        slot = slots.get(name)
        if slot is None:
            message = f"node {node_id!r} has no {word} {name!r}; its value is not used"
            hint = did_you_mean(name, slots)
            findings.warn(f"unknown_{word.split()[0]}", message + hint, node_id, name)
        elif slot.is_stream:
            message = f"node {node_id!r}: {word} {name!r} is a stream; its value is not used"
            findings.warn("stream_preset", message, node_id, name)
        elif reason := misfit(value, slot):
            message = f"node {node_id!r}: {word} {name!r} {reason}"
            findings.problem("bad_value", message, node_id, name)
        else:
            kept[name] = as_wanted(value, slot.data_flow_type)
    return kept


def as_wanted(value: object, flow: DataFlowType) -> object:
    """Return a value that fits as its slot wants it: JSON has one kind of number, Python two."""
    if flow is DataFlowType.INTEGER and isinstance(value, float):
        return int(value)
    if flow is DataFlowType.FLOAT and isinstance(value, int) and not isinstance(value, bool):
        return as_float(value)
    return value

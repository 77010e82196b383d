"""The standard rules for what a bypassed node hands on."""

from __future__ import annotations

from collections.abc import Mapping

from .definitions import BypassBehavior
from .events import BypassRequest
from .types import ABSENT, can_connect, converter, empty_value

__all__ = ("standard_outputs",)


def standard_outputs(request: BypassRequest) -> dict[str, object]:
    """Return the pseudo-outputs of a bypassed node; an output left out is absent.

    ``mute`` leaves all out. Otherwise each output takes, in definition order: what
    ``passThrough`` names if it is there and fits, else its default, else the empty value
    of its type. Without a declared behaviour it takes the first input, in definition
    order, that fits and that no earlier output took.
    """
    behavior = request.definition.bypass_behavior
    if behavior == "mute":
        return {}
    if isinstance(behavior, BypassBehavior):
        return _declared(request, behavior)
    used: set[str] = set()
    outputs: dict[str, object] = {}
    for slot in request.output_types:
        value: object = ABSENT
        for name in request.input_types:
            if name not in used:
                value = _passed(request, name, slot)
            if value is not ABSENT:
                used.add(name)
                break
        _put(outputs, request, slot, value)
    return outputs


def _declared(request: BypassRequest, behavior: BypassBehavior) -> dict[str, object]:
    outputs: dict[str, object] = {}
    defaults: Mapping[str, object] = behavior.defaults
    for slot in request.output_types:
        name = behavior.pass_through.get(slot)
        value = _passed(request, name, slot) if name is not None else ABSENT
        _put(outputs, request, slot, defaults.get(slot, ABSENT) if value is ABSENT else value)
    return outputs


def _passed(request: BypassRequest, name: str, slot: str) -> object:
    """Return an input as a value of an output slot; ABSENT if it is not there or does not fit."""
    source = request.input_types.get(name)
    value = request.inputs.get(name, ABSENT)
    if source is None or value is ABSENT:
        return ABSENT
    target = request.output_types[slot]
    if not can_connect(source, target):
        return ABSENT
    if name in request.multi_inputs and isinstance(value, list):
        # One output cannot be several values; the first connection stands for them.
        value = value[0] if value else ABSENT
    convert = converter(source, target)
    return convert(value) if convert is not None and value is not ABSENT else value


def _put(outputs: dict[str, object], request: BypassRequest, slot: str, value: object) -> None:
    target = request.output_types[slot]
    if value is not ABSENT:
        outputs[slot] = value
    elif not target.is_stream:  # a stream that is not there is an empty stream
        outputs[slot] = empty_value(target.flow)

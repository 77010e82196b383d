"""A pack that decides what bypassed nodes hand on: the hooks, and a node to try it with.

The standard rules give each output the first input that fits, in the order of the definition,
and an empty value where none does. Gentler is: the input of the same name first, and where
nothing fits, nothing at all. Whoever reads such an output takes its own preset or default.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from comfytavern import Input, NodeDefinition, Output, hookimpl, node
from comfytavern.events import BypassRequest
from comfytavern.types import ABSENT, can_connect, converter

__all__ = ("bypass_outputs", "register_nodes", "replace_word")


@node(category="Text", display_name="Replace Word")
async def replace_word(
    word: Annotated[str, Input(description="what is replaced")],
    by: Annotated[str, Input(description="what takes its place")],
    text: Annotated[str, Input(multiline=True)],
) -> tuple[Annotated[str, Output("text")], Annotated[int, Output("count")]]:
    """Replace a word in a text, and count how often. Bypassed, it hands on the text."""
    return text.replace(word, by), text.count(word) if word else 0


@hookimpl
def register_nodes() -> Iterable[NodeDefinition]:
    """Contribute the node."""
    return [replace_word]


@hookimpl
def bypass_outputs(request: BypassRequest) -> Mapping[str, object] | None:
    """Decide for the nodes of this pack, and of others if the operator lists it."""
    if request.definition.bypass_behavior is not None:
        return None  # its author has said what is to happen
    used: set[str] = set()
    outputs: dict[str, object] = {}
    for slot in request.output_types:
        same = [slot] if slot in request.input_types else []
        # A name that an output bears is kept for that output.
        others = [name for name in request.input_types if name not in request.output_types]
        for name in same + others:
            value = ABSENT if name in used else _passed(request, name, slot)
            if value is not ABSENT:
                used.add(name)
                outputs[slot] = value
                break
    return outputs


def _passed(request: BypassRequest, name: str, slot: str) -> object:
    """Return an input as a value of an output; ABSENT if it is not there or does not fit."""
    value = request.inputs.get(name, ABSENT)
    source, target = request.input_types[name], request.output_types[slot]
    if value is ABSENT or not can_connect(source, target):
        return ABSENT
    if name in request.multi_inputs and isinstance(value, list):
        if not value:
            return ABSENT
        value = value[0]  # one output cannot be several values
    convert = converter(source, target)
    return value if convert is None else convert(value)

"""Node definitions as the front end reads them: one JSON object per node type.

A field is left out where it says nothing. What a pack puts into a definition may be
anything; one that cannot be shown is listed by its name, and the others as if it were
not there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from .definitions import ConfigValues, InputDefinition, NodeDefinition
from .encoding import to_json, to_key
from .registry import RegisteredNode

__all__ = ("definition_for_wire", "definitions_for_wire")

# What only the host needs to know.
_NOT_SHOWN = frozenset({"execute", "graph_role", "idempotent", "replaces"})
# What a front end expects in every definition and every slot.
_ALWAYS = frozenset({"category", "data_flow_type", "description", "inputs", "outputs"})

_log = logging.getLogger(__name__)

Wire = dict[str, Any]  # Any: JSON


def definitions_for_wire(nodes: Iterable[RegisteredNode]) -> list[Wire]:
    """Return the definitions of node types, such as those of a registry, in its order.

    Asks packs whether inputs are required by default, so call it in a thread; the answer
    is the same for as long as the digest of the packs is.
    """
    return [definition_for_wire(node) for node in nodes]


def definition_for_wire(node: RegisteredNode) -> Wire:
    """Return one definition by its wire names, with the pack that it comes from.

    ``required`` is true or false. Where it depends on the configuration it is what holds
    for the default values, and ``requiredDependsOnConfig`` is true. ``clientScriptUrl`` is
    as the pack wrote it, relative to its package. What JSON cannot hold is encoded as in
    events. Never raises.
    """
    namespace, _, name = node.full_type.partition(":")
    wire: Wire = {
        "type": name,
        "fullType": node.full_type,
        "namespace": namespace,
        "displayName": name,
        "category": "",
        "description": "",
        "inputs": {},
        "outputs": {},
        "pack": node.distribution,
        "packVersion": node.version,
    }
    try:
        wire |= _shown(node.definition)
    except Exception as exc:  # a definition that a pack made past the checks
        _log.warning(
            "node type %r of pack %r is listed by its name only: %s: %s",
            node.full_type,
            node.distribution,
            type(exc).__name__,
            exc,
        )
    return wire


def _shown(definition: NodeDefinition) -> Wire:
    wire = _fields(definition)
    config = _default_config(definition)
    for key, slots in (("inputs", definition.inputs), ("configSchema", definition.config_schema)):
        _decide_required(wire.get(key, {}), slots, config, definition.type)
    for name, mode in definition.modes.items():
        chosen = {**config, str(definition.mode_config_key): name}
        _decide_required(wire["modes"][name]["inputs"], mode.inputs, chosen, definition.type)
    return wire


def _fields(model: BaseModel) -> Wire:
    """Return the fields that say something, by their wire names."""
    wire: Wire = {}
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if name in _NOT_SHOWN or value is None or callable(value):
            continue
        if name in _ALWAYS or value != field.get_default(call_default_factory=True):
            wire[field.alias or name] = _value(value)
    return wire


def _value(value: object) -> Any:  # Any: JSON
    if isinstance(value, BaseModel):
        return _fields(value)
    if isinstance(value, Mapping):
        return {to_key(key): _value(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    return to_json(value)


def _default_config(definition: NodeDefinition) -> ConfigValues:
    schema = definition.config_schema
    values = {n: slot.config["default"] for n, slot in schema.items() if "default" in slot.config}
    if definition.mode_config_key and definition.default_mode_id:
        values[definition.mode_config_key] = definition.default_mode_id
    return values


def _decide_required(
    shown: Wire, slots: Mapping[str, InputDefinition], config: ConfigValues, node_type: str
) -> None:
    for name, slot in slots.items():
        if not callable(slot.required):
            continue
        entry = shown[to_key(name)]
        entry["requiredDependsOnConfig"] = True
        try:
            entry["required"] = bool(slot.required(dict(config)))
        except (Exception, SystemExit) as exc:  # code of the pack
            # Left open: the compiler says it of the workflow in which it matters.
            _log.warning(
                "node type %r cannot say whether input %r is required: %s: %s",
                node_type,
                name,
                type(exc).__name__,
                exc,
            )

"""What a node type is: its slots, modes, bypass behaviour and code.

One ``NodeDefinition`` class serves every node type. The field names on the wire are
ComfyTavern's (camelCase); in Python they are snake_case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cached_property
from math import isfinite
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from .types import DataFlowType, SlotType, describe_value, fits

__all__ = (
    "BypassBehavior",
    "Execute",
    "GraphRole",
    "InputDefinition",
    "NodeAction",
    "NodeDefinition",
    "NodeMode",
    "OutputDefinition",
    "Replacement",
)

# What `execute` looks like is checked when a node first runs, not here: it may be a
# coroutine function, a plain function, an async generator function, or their name.
Execute = Callable[..., object]
ConfigValues = Mapping[str, object]
Required = bool | Callable[[ConfigValues], bool]

_TYPE_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_OLD_TYPE = re.compile(r"([\w.-]+:)?[A-Za-z_][\w.-]*")


class _Definition(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        ignored_types=(cached_property,),
    )


class NodeAction(_Definition):
    """A button beside an input, and what pressing it does."""

    id: str
    icon: str | None = None
    label: str | None = None
    tooltip: str | None = None
    handler_type: Literal[
        "builtin_preview", "builtin_editor", "emit_event", "client_script_hook", "open_panel"
    ]
    handler_args: dict[str, object] | None = None


class _Slot(_Definition):
    display_name: str | None = None
    description: str | None = None
    data_flow_type: DataFlowType = DataFlowType.WILDCARD
    is_stream: bool = False
    match_categories: tuple[str, ...] = ()
    allow_dynamic_type: bool = False

    @cached_property
    def slot_type(self) -> SlotType:
        """What the connection rules need to know of this slot."""
        return SlotType(self.data_flow_type, self.is_stream, frozenset(self.match_categories))


class InputDefinition(_Slot):
    """An input slot, or a value of ``config_schema``.

    ``config`` feeds the widget: ``default``, ``min``, ``max``, ``step``, ``multiline``,
    ``suggestions``, ``placeholder`` and what else a widget understands.
    """

    required: Annotated[Required, Field(union_mode="left_to_right")] = False
    multi: bool = False
    config: dict[str, object] = Field(default_factory=dict)
    actions: tuple[NodeAction, ...] = ()
    hide_handle: bool = False

    @model_validator(mode="after")
    def _default_fits(self) -> InputDefinition:
        default = self.config.get("default")
        listed = self.multi and isinstance(default, list)
        if not listed and not fits(default, self.data_flow_type):
            raise ValueError(
                f"the default is {describe_value(default)}, but the slot is"
                f" {self.data_flow_type.value}"
            )
        return self


class OutputDefinition(_Slot):
    """An output slot."""


class BypassBehavior(_Definition):
    """Where the pseudo-outputs of a bypassed node come from, output by output."""

    pass_through: dict[str, str] = Field(default_factory=dict)
    defaults: dict[str, object] = Field(default_factory=dict)


class NodeMode(_Definition):
    """One of several shapes of a node; what it leaves out comes from the definition."""

    display_name: str | None = None
    description: str | None = None
    inputs: dict[str, InputDefinition] = Field(default_factory=dict)
    outputs: dict[str, OutputDefinition] = Field(default_factory=dict)
    execute: Annotated[Execute | str | None, Field(exclude=True, repr=False)] = None


class Replacement(_Definition):
    """An old node type that this definition takes over, and how its names map.

    Of the definition's own type, it says which of its slots had another name before. Names
    that are not mapped stay as they are.
    """

    type: str = Field(description="the old full type, or a bare type of the same pack")
    into: str | None = Field(
        default=None,
        description="the old type that this one became, if that was not the definition itself",
    )
    inputs: dict[str, str] = Field(default_factory=dict, description="old name -> new name")
    outputs: dict[str, str] = Field(default_factory=dict, description="old name -> new name")
    config: dict[str, str] = Field(default_factory=dict, description="old name -> new name")

    @field_validator("type", "into")
    @classmethod
    def _type_is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not _OLD_TYPE.fullmatch(value):
            raise ValueError(f"old type {value!r} is neither 'Type' nor 'namespace:Type'")
        return value


class GraphRole(StrEnum):
    """How the engine recognises the nodes of a group without importing their pack."""

    NONE = "none"
    GROUP = "group"
    GROUP_INPUT = "group_input"
    GROUP_OUTPUT = "group_output"


class NodeDefinition(_Definition):
    """A node type.

    ``execute(inputs, context)`` is an ``async def``, a plain function (run in a worker
    thread), an async generator function (a streaming node), or a text
    ``"package.module:attribute"`` that is imported when the node first runs.

    :raises pydantic.ValidationError: a field does not fit
    """

    type: str
    namespace: str | None = None
    category: str = "Utilities"
    display_name: str = ""
    description: str = ""
    inputs: dict[str, InputDefinition] = Field(default_factory=dict)
    outputs: dict[str, OutputDefinition] = Field(default_factory=dict)
    config_schema: dict[str, InputDefinition] = Field(default_factory=dict)
    modes: dict[str, NodeMode] = Field(default_factory=dict)
    mode_config_key: str | None = None
    default_mode_id: str | None = None
    dynamic_slots: bool = False
    bypass_behavior: Literal["mute"] | BypassBehavior | None = None
    client_script_url: str | None = None
    width: int | None = None
    deprecated: bool = False
    experimental: bool = False
    is_preview_unsafe: bool = False
    file_path: str | None = None
    replaces: tuple[Replacement, ...] = ()
    idempotent: bool = False
    graph_role: GraphRole = GraphRole.NONE
    execute: Annotated[Execute | str | None, Field(exclude=True, repr=False)] = None

    @field_validator("type")
    @classmethod
    def _type_is_a_name(cls, value: str) -> str:
        if not _TYPE_NAME.fullmatch(value):
            raise ValueError(f"type {value!r} is not a name (letters, digits, '_', '-', '.')")
        return value

    @field_validator("file_path")
    @classmethod
    def _path_is_relative(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith(("/", "\\")) or ":" in value):
            raise ValueError("file_path is relative to the distribution, never absolute")
        return value

    @model_validator(mode="after")
    def _is_consistent(self) -> NodeDefinition:
        if self.modes and not self.mode_config_key:
            raise ValueError("a node with modes names its mode_config_key")
        if self.default_mode_id is not None and self.default_mode_id not in self.modes:
            known = ", ".join(self.modes) or "none"
            raise ValueError(f"default_mode_id {self.default_mode_id!r} is no mode; modes: {known}")
        for execute in (self.execute, *(mode.execute for mode in self.modes.values())):
            if isinstance(execute, str) and not _REFERENCE.fullmatch(execute):
                raise ValueError(f"execute {execute!r} is not 'package.module:attribute'")
        return self

    def to_wire(self) -> dict[str, object]:
        """Return the definition as a front end reads it: JSON values, no code.

        A ``required`` that depends on the configuration is left out, as the page
        cannot know it.
        """
        wire: dict[str, Any] = self.model_dump(  # Any: JSON
            by_alias=True, exclude_defaults=True, exclude=_callable_required(self)
        )
        wire["type"] = self.type
        wire["fullType"] = f"{self.namespace}:{self.type}" if self.namespace else self.type
        wire["displayName"] = self.display_name or self.type
        wire["category"], wire["description"] = self.category, self.description
        shapes: list[tuple[dict[str, Any], Any]] = [(wire, self)]  # Any: with slots
        shapes += [(wire["modes"][name], mode) for name, mode in self.modes.items()]
        for dumped, shape in shapes:
            for key, slots in (("inputs", shape.inputs), ("outputs", shape.outputs)):
                _name_types(dumped.setdefault(key, {}), slots)
        if self.config_schema:
            _name_types(wire["configSchema"], self.config_schema)
        carried: dict[str, object] = _carried(wire)
        return carried


def _name_types(dumped: dict[str, Any], slots: Mapping[str, _Slot]) -> None:  # Any: JSON
    """Name the type of every slot, also where it is the default."""
    for name, slot in slots.items():
        dumped.setdefault(name, {})["dataFlowType"] = slot.data_flow_type.value


def _carried(value: Any) -> Any:  # Any: JSON, as far as it is
    """Return what JSON can carry of a definition; a default of another kind becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _carried(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_carried(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else None


def _callable_required(definition: NodeDefinition) -> Any:  # Any: pydantic's nested IncEx
    def of(slots: Mapping[str, InputDefinition]) -> dict[str, set[str]]:
        return {name: {"required"} for name, slot in slots.items() if callable(slot.required)}

    modes = {name: {"inputs": of(mode.inputs)} for name, mode in definition.modes.items()}
    return {
        "inputs": of(definition.inputs),
        "config_schema": of(definition.config_schema),
        "modes": modes,
    }

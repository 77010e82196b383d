"""The effective shape of a node: its slots, code and defaults in the active mode.

A shape is made once per node type and mode and shared by all nodes of that kind, so
that compiling a large workflow does not look at a definition ten thousand times.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from .definitions import Execute, InputDefinition, NodeDefinition, OutputDefinition
from .replacements import ReplacedType
from .types import ABSENT, SlotType

if TYPE_CHECKING:
    from .workflow import RecordedPack

__all__ = ("CallKind", "NodeSource", "RegisteredLike", "Shape", "call_kind", "make_shape")


class CallKind(IntEnum):
    """How ``execute`` is called."""

    REFERENCE = 0  # a text; what it names is known once it is imported
    COROUTINE = 1
    GENERATOR = 2
    THREAD = 3


def call_kind(execute: Execute | str | None) -> CallKind:
    """Return how a node's code is called."""
    if execute is None or isinstance(execute, str):
        return CallKind.REFERENCE
    # What @node makes is a plain function around the author's; unwrap to see that one.
    inner = inspect.unwrap(execute)
    inner = inner if inspect.isroutine(inner) or inspect.isclass(inner) else inner.__call__
    if inspect.isasyncgenfunction(inner):
        return CallKind.GENERATOR
    if inspect.iscoroutinefunction(execute):
        return CallKind.COROUTINE
    called = getattr(execute, "__call__", execute)  # noqa: B004 - an object with an async __call__
    return CallKind.COROUTINE if inspect.iscoroutinefunction(called) else CallKind.THREAD


class RegisteredLike(Protocol):
    """A node definition and the pack it came from, as the registry holds it."""

    @property
    def full_type(self) -> str: ...
    @property
    def definition(self) -> NodeDefinition: ...
    @property
    def distribution(self) -> str: ...
    @property
    def version(self) -> str: ...


class NodeSource(Protocol):
    """Where definitions come from: the registry, or a test's own."""

    def get(self, full_type: str) -> RegisteredLike | None:
        """Return what is registered under a type or an alias of it."""
        ...

    def replacement(self, full_type: str) -> ReplacedType | None:
        """Return what became of an old type, or which names of a type are old ones."""
        ...

    def explain_missing(self, full_type: str, recorded: RecordedPack | None = None) -> str:
        """Return why a type is unknown and what to do, as one clause; may be empty.

        :param recorded: the pack that the workflow says the node is of
        """
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    """What every node of one type and mode has in common."""

    registered: RegisteredLike
    mode: str | None
    inputs: Mapping[str, InputDefinition]
    outputs: Mapping[str, OutputDefinition]
    input_types: Mapping[str, SlotType]
    output_types: Mapping[str, SlotType]
    defaults: Mapping[str, object]
    config_defaults: Mapping[str, object]
    required: tuple[str, ...]
    multi: frozenset[str]
    required_if: Mapping[str, Callable[[Mapping[str, object]], bool]]
    stream_outputs: tuple[str, ...]
    reads_streams: bool
    execute: Execute | str | None
    call_kind: CallKind

    @property
    def definition(self) -> NodeDefinition:
        """The definition that the shape was made of."""
        return self.registered.definition

    @property
    def full_type(self) -> str:
        """The full type, with the namespace of its pack."""
        return self.registered.full_type


def make_shape(registered: RegisteredLike, mode: str | None) -> Shape:
    """Return the shape of a node type in one of its modes, or without a mode."""
    definition = registered.definition
    active = definition.modes.get(mode) if mode is not None else None
    inputs = (active.inputs if active else None) or definition.inputs
    outputs = (active.outputs if active else None) or definition.outputs
    execute = (active.execute if active else None) or definition.execute
    return Shape(
        registered=registered,
        mode=mode,
        inputs=inputs,
        outputs=outputs,
        input_types={name: slot.slot_type for name, slot in inputs.items()},
        output_types={name: slot.slot_type for name, slot in outputs.items()},
        defaults=_defaults(inputs),
        config_defaults=_defaults(definition.config_schema),
        required=tuple(name for name, slot in inputs.items() if slot.required is True),
        multi=frozenset(name for name, slot in inputs.items() if slot.multi),
        required_if={n: slot.required for n, slot in inputs.items() if callable(slot.required)},
        stream_outputs=tuple(name for name, slot in outputs.items() if slot.is_stream),
        reads_streams=any(slot.is_stream for slot in inputs.values()),
        execute=execute,
        call_kind=call_kind(execute),
    )


def _defaults(slots: Mapping[str, InputDefinition]) -> dict[str, object]:
    found = ((name, slot.config.get("default", ABSENT)) for name, slot in slots.items())
    return {name: default for name, default in found if default is not ABSENT}

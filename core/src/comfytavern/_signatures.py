"""How the signature of a typed function reads as slots."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Mapping,
    MutableMapping,
    MutableSequence,
    Sequence,
)
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from .chunks import Stream
from .context import NodeContext
from .definitions import InputDefinition, OutputDefinition
from .types import ABSENT, DataFlowType, MatchCategory

__all__ = ("Config", "Input", "Output", "Signature", "read_signature")


# Markers stand in Annotated inside unions, which hash what they hold: identity will do.
@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """What a parameter's type does not say about its slot; use in ``Annotated``."""

    display_name: str | None = None
    description: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    multiline: bool | None = None
    suggestions: Sequence[object] | None = None
    placeholder: str | None = None
    categories: Sequence[str] = ()
    multi: bool = False
    flow: DataFlowType | None = None
    config: Mapping[str, object] = field(default_factory=dict)

    def definition(self, hint: object, default: object, *, stream: bool) -> InputDefinition:
        """Return the slot for a parameter of type ``hint``."""
        flow, categories, suggestions = _flow_of(hint)
        shown = {
            "min": self.minimum,
            "max": self.maximum,
            "step": self.step,
            "multiline": self.multiline,
            "suggestions": list(self.suggestions) if self.suggestions is not None else suggestions,
            "placeholder": self.placeholder,
        }
        config: dict[str, object] = {k: v for k, v in shown.items() if v is not None}
        if default is not ABSENT and default is not None:
            config["default"] = default
        return InputDefinition(
            display_name=self.display_name,
            description=self.description,
            data_flow_type=self.flow or flow,
            is_stream=stream,
            match_categories=(*self.categories, *categories),
            required=default is ABSENT,
            multi=self.multi,
            config=config | dict(self.config),
        )


class Config(Input):
    """Like ``Input``, for a value of the node's configuration instead of a slot."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """The name and look of an output slot; use in ``Annotated``."""

    name: str = "result"
    display_name: str | None = None
    description: str | None = None
    categories: Sequence[str] = ()
    flow: DataFlowType | None = None

    def definition(self, hint: object, *, stream: bool = False) -> OutputDefinition:
        """Return the slot for a value of type ``hint``."""
        flow, categories, _ = _flow_of(hint)
        return OutputDefinition(
            display_name=self.display_name,
            description=self.description,
            data_flow_type=self.flow or flow,
            is_stream=stream,
            match_categories=(*self.categories, *categories),
        )


class Signature(NamedTuple):
    """How a function's parameters and result map to slots."""

    inputs: dict[str, InputDefinition]
    config: dict[str, InputDefinition]
    context: str | None
    outputs: dict[str, OutputDefinition]
    # a name: the bare result; a tuple: as many results; None: a mapping
    result: str | tuple[str, ...] | None

    def arguments(self, inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
        """Return the keyword arguments of the function; what is absent keeps its default."""
        named = {name: inputs[name] for name in self.inputs if name in inputs}
        named |= {name: context.config[name] for name in self.config if name in context.config}
        return named if self.context is None else {**named, self.context: context}

    def outputs_of(self, result: Any) -> Any:  # Any: what a pack's function returned
        """Return the outputs by name."""
        if self.result is None:
            return result
        if isinstance(self.result, str):
            return {self.result: result}
        return dict(zip(self.result, result, strict=True))


def read_signature(target: Callable[..., Any], declared: dict[str, OutputDefinition]) -> Signature:
    hints = typing.get_type_hints(target, include_extras=True)
    inputs: dict[str, InputDefinition] = {}
    config: dict[str, InputDefinition] = {}
    context: str | None = None
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"{target.__name__}: '*{name}' cannot become a slot; name each input")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(
                f"{target.__name__}: {name!r} cannot be positional-only; inputs have names"
            )
        hint, marker = _unwrap(hints.get(name, object), Input)
        if hint is NodeContext:
            context = name
            continue
        default = ABSENT if parameter.default is parameter.empty else parameter.default
        slots = config if isinstance(marker, Config) else inputs
        slots[name] = (marker or Input()).definition(hint, default, stream=hint is Stream)
    streaming = inspect.isasyncgenfunction(target)
    returns = hints.get("return", object)
    outputs, result = _read_result(target, returns, streaming=streaming)
    if declared and get_origin(returns) is not Annotated and isinstance(result, str):
        outputs, result = {}, None  # a mapping with the declared outputs
    clash = sorted(set(outputs) & set(declared))
    if clash:
        raise TypeError(f"{target.__name__}: output {clash[0]!r} is declared twice")
    return Signature(inputs, config, context, outputs | declared, result)


def _read_result(
    target: Callable[..., Any], hint: Any, *, streaming: bool
) -> tuple[dict[str, OutputDefinition], str | tuple[str, ...] | None]:
    hint, marker = _unwrap(hint, Output)
    if streaming:
        inner = get_args(hint)[0] if get_origin(hint) in _ASYNC_ITERATORS else object
        inner, inner_marker = _unwrap(inner, Output)
        marker = inner_marker or marker or Output("stream")
        return {marker.name: marker.definition(_chunk_hint(inner), stream=True)}, None
    if hint is None or hint is types.NoneType:
        return {}, None
    if marker is None and get_origin(hint) is tuple and Ellipsis not in get_args(hint):
        named = [_unwrap(part, Output) for part in get_args(hint)]
        if any(part_marker is None for _, part_marker in named):
            raise TypeError(
                f"{target.__name__}: each part of a tuple result needs Annotated[..., Output(name)]"
            )
        slots: dict[str, OutputDefinition] = {}
        for part, part_marker in named:
            if part_marker.name in slots:
                name = part_marker.name
                raise TypeError(f"{target.__name__}: output {name!r} is declared twice")
            slots[part_marker.name] = part_marker.definition(part)
        return slots, tuple(slots)
    if marker is None and typing.is_typeddict(hint):
        fields = typing.get_type_hints(hint, include_extras=True)
        read = {name: _unwrap(field_hint, Output) for name, field_hint in fields.items()}
        return {n: (m or Output(n)).definition(h) for n, (h, m) in read.items()}, None
    marker = marker or Output()
    return {marker.name: marker.definition(hint)}, marker.name


_ASYNC_ITERATORS = (AsyncIterator, AsyncGenerator, typing.AsyncIterator, typing.AsyncGenerator)


def _chunk_hint(hint: object) -> object:
    # A generator is often annotated with everything that it yields; only text says something.
    return str if hint is str or str in get_args(hint) else object


def _unwrap(hint: Any, marker_type: type[Any]) -> tuple[Any, Any]:
    """Return a hint without Annotated, Optional and NotRequired around it, and the marker."""
    marker = None
    while True:
        origin = get_origin(hint)
        if origin is Annotated:
            hint, *extras = get_args(hint)
            found = next((extra for extra in extras if isinstance(extra, marker_type)), None)
            marker = marker or found
        elif origin in (typing.NotRequired, typing.Required):
            (hint,) = get_args(hint)
        elif origin in (Union, types.UnionType):
            members = [part for part in get_args(hint) if part is not types.NoneType]
            if len(members) != 1:
                return hint, marker
            (hint,) = members
        else:
            return hint, marker


_FLOWS: Mapping[Any, DataFlowType] = {
    str: DataFlowType.STRING,
    bool: DataFlowType.BOOLEAN,
    int: DataFlowType.INTEGER,
    float: DataFlowType.FLOAT,
    bytes: DataFlowType.BINARY,
    list: DataFlowType.ARRAY,
    tuple: DataFlowType.ARRAY,
    dict: DataFlowType.OBJECT,
    Sequence: DataFlowType.ARRAY,
    MutableSequence: DataFlowType.ARRAY,
    Mapping: DataFlowType.OBJECT,
    MutableMapping: DataFlowType.OBJECT,
}


def _flow_of(hint: Any) -> tuple[DataFlowType, tuple[str, ...], list[object] | None]:
    origin = get_origin(hint) or hint
    if origin is Literal:
        choices = list(get_args(hint))
        kinds = {_FLOWS.get(type(choice), DataFlowType.WILDCARD) for choice in choices}
        flow = kinds.pop() if len(kinds) == 1 else DataFlowType.WILDCARD
        return flow, (MatchCategory.COMBO_OPTION.value,), choices
    if inspect.isclass(origin) and typing.is_typeddict(origin):
        return DataFlowType.OBJECT, (), None
    return _FLOWS.get(origin, DataFlowType.WILDCARD), (), None

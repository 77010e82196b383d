"""The ``@node`` decorator: a node definition from a typed function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Literal, overload

from ._signatures import Config, Input, Output, Signature, read_signature
from .chunks import Chunk, Outputs
from .context import NodeContext
from .definitions import BypassBehavior, NodeDefinition, OutputDefinition

__all__ = ("Config", "Input", "Output", "node")


@overload
def node(function: Callable[..., Any], /) -> NodeDefinition: ...


@overload
def node(
    *,
    type: str | None = None,
    outputs: Mapping[str, OutputDefinition] | None = None,
    bypass: Literal["mute"] | BypassBehavior | None = None,
    **fields: Any,
) -> Callable[[Callable[..., Any]], NodeDefinition]: ...


@overload
def node(
    function: Callable[..., Any],
    /,
    *,
    type: str | None = None,
    outputs: Mapping[str, OutputDefinition] | None = None,
    bypass: Literal["mute"] | BypassBehavior | None = None,
    **fields: Any,
) -> NodeDefinition: ...


def node(
    function: Callable[..., Any] | None = None,
    /,
    *,
    type: str | None = None,
    outputs: Mapping[str, OutputDefinition] | None = None,
    bypass: Literal["mute"] | BypassBehavior | None = None,
    **fields: Any,  # the remaining fields of NodeDefinition, checked by it
) -> NodeDefinition | Callable[[Callable[..., Any]], NodeDefinition]:
    """Make a node definition from a typed function.

    Parameters become input slots (``Annotated[T, Input(...)]`` says more), a parameter
    annotated ``Config(...)`` becomes configuration, one of type ``NodeContext`` receives
    the context, one of type ``Stream`` a stream. The result becomes the output slots: one
    ``Annotated[T, Output("name")]``, a tuple of them, or the fields of a TypedDict. An
    async generator streams: it yields text or ``Chunk``s into the slot that its
    ``Output`` names, and may end with ``Outputs(...)`` for the slots of ``outputs``.

    :param outputs: further output slots, returned by name
    :raises TypeError: the signature cannot be read as slots
    """

    def decorate(target: Callable[..., Any]) -> NodeDefinition:
        read = read_signature(target, dict(outputs or {}))
        name = type or "".join(part.title() for part in target.__name__.split("_"))
        doc = inspect.getdoc(target) or ""
        merged: dict[str, Any] = {"description": doc.split("\n\n")[0].replace("\n", " ")} | fields
        return NodeDefinition(
            type=name,
            inputs=read.inputs,
            outputs=read.outputs,
            config_schema=read.config,
            bypass_behavior=bypass,
            execute=_adapter(target, read),
            **merged,
        )

    return decorate if function is None else decorate(function)


def _adapter(target: Callable[..., Any], read: Signature) -> Callable[..., Any]:
    """Return ``execute(inputs, context)`` around a function with named parameters."""
    if inspect.isasyncgenfunction(target):
        return _streaming_adapter(target, read)
    if inspect.iscoroutinefunction(target):

        @functools.wraps(target)
        async def run(inputs: Mapping[str, object], context: NodeContext) -> Any:
            return read.outputs_of(await target(**read.arguments(inputs, context)))

        return run

    @functools.wraps(target)
    def call(inputs: Mapping[str, object], context: NodeContext) -> Any:
        return read.outputs_of(target(**read.arguments(inputs, context)))

    return call


def _streaming_adapter(target: Callable[..., Any], read: Signature) -> Callable[..., Any]:
    # Returns the generator itself: one more generator around it would cost every chunk.
    @functools.wraps(target)
    def stream(
        inputs: Mapping[str, object], context: NodeContext
    ) -> AsyncGenerator[str | Chunk | Outputs, None]:
        generator: AsyncGenerator[str | Chunk | Outputs, None] = target(
            **read.arguments(inputs, context)
        )
        return generator

    return stream

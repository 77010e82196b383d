"""Node types made around a piece of code that a test gives."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from comfytavern.definitions import NodeDefinition

from .running import Observed
from .slots import give, take

Inputs = Mapping[str, Any]  # Any: a node knows its inputs
Chunks = AsyncGenerator[Any, None]  # Any: also what a node must not yield

__all__ = ("Chunks", "Inputs", "made", "reason")

LOOSE = {"out": give("W")}
STREAM = {"stream": give("W~"), "out": give("W")}


def made(execute: Callable[..., object], *, streams: bool = False) -> NodeDefinition:
    """Return a node type ``Made`` with this code; it reads a stream ``in`` if one is there."""
    return NodeDefinition(
        type="Made",
        inputs={"in": take("W~")} if streams else {"after": take("W")},
        outputs=STREAM,
        execute=execute,
    )


def reason(seen: Observed, node_id: str = "m") -> str:
    """Return why a node failed."""
    (message,) = [
        payload["errorDetails"]["message"]
        for payload in seen.events.of("NODE_ERROR")
        if payload["nodeId"] == node_id
    ]
    return str(message)

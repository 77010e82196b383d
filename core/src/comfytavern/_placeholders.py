"""What stands for a node whose pack is missing: it takes anything and fails when it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ._shapes import Shape, make_shape
from .definitions import NodeDefinition
from .errors import MissingPackError
from .workflow import WorkflowNode

__all__ = ("is_placeholder", "placeholder")


@dataclass(frozen=True, slots=True)
class _Missing:
    """Stands for what a registry would hold. Implements ``RegisteredLike``."""

    full_type: str
    definition: NodeDefinition
    distribution: str
    version: str


def is_placeholder(shape: Shape) -> bool:
    """Tell whether a shape is that of a missing node."""
    return isinstance(shape.registered, _Missing)


def placeholder(placed: WorkflowNode, reason: str) -> Shape:
    """Return the shape of a node that nobody knows.

    :param reason: why, and what to do; its error says it
    """

    async def execute(inputs: Mapping[str, object], context: object) -> dict[str, object]:
        raise MissingPackError(placed.full_type, reason)

    definition = NodeDefinition(type="Missing", dynamic_slots=True, execute=execute)
    recorded = placed.pack
    namespace = placed.full_type.partition(":")[0] if ":" in placed.full_type else ""
    missing = _Missing(
        placed.full_type,
        definition,
        recorded.distribution if recorded else namespace,
        recorded.version if recorded else "",
    )
    return make_shape(missing, None)

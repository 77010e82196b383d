"""What the testing kit puts around one node: feeders for its inputs, and a watch on them."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Iterable, Mapping
from types import ModuleType
from typing import Any

from .chunks import Outputs
from .context import NodeContext
from .definitions import Execute, InputDefinition, NodeDefinition, OutputDefinition
from .discovery import normalise
from .engine import import_reference
from .types import DataFlowType

__all__ = ("NODE", "borrowed", "content_of", "distribution_of", "feed")

# The id of the node that is tested.
NODE = "node"


def distribution_of(pack: object) -> str:
    """Return the distribution as which ``pack_host`` registers a pack."""
    if isinstance(pack, ModuleType):
        return normalise(pack.__name__)
    return normalise(getattr(pack, "distribution", None) or type(pack).__name__)


def borrowed(definition: NodeDefinition) -> NodeDefinition:
    """Return a definition that no pack owns: what it names by text is imported here and now."""

    def imported(execute: Execute | str | None) -> Execute | None:
        return import_reference(execute, "test") if isinstance(execute, str) else execute

    modes = {
        name: mode.model_copy(update={"execute": imported(mode.execute)})
        for name, mode in definition.modes.items()
    }
    changed = {"namespace": None, "execute": imported(definition.execute), "modes": modes}
    return definition.model_copy(update=changed)


def content_of(value: object, depth: int = 0) -> object:
    """Return what a value consists of, to be compared later; an object counts as itself."""
    if depth < 50:
        if isinstance(value, dict):
            return {key: content_of(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [content_of(item, depth + 1) for item in value]
        if isinstance(value, set | bytearray):
            return bytes(value) if isinstance(value, bytearray) else frozenset(value)
    if isinstance(value, str | int | float | bytes | None):
        return repr(value)  # NaN is not equal to itself
    return id(value) if type(value).__eq__ is object.__eq__ else _Snapshot(value)


class _Snapshot:
    """A copy of an object that has an equality of its own, as far as it can be copied."""

    __hash__ = None  # type: ignore[assignment]  # compared only

    def __init__(self, value: object) -> None:
        self._copy: object = None
        try:
            found = copy.deepcopy(value)
            self.is_watched = bool(found == value)  # else it holds what equals only itself
        except Exception:  # a lock, a connection; an array compares element by element
            self.is_watched = False
        else:
            self._copy = found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Snapshot):
            return False
        return not (self.is_watched and other.is_watched) or bool(self._copy == other._copy)


def feed(
    definition: NodeDefinition, given: Mapping[str, object]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[NodeDefinition]]:  # Any: JSON
    """Return nodes that bring the given inputs by edges, as a workflow would."""
    inputs = dict(definition.inputs)
    for mode in definition.modes.values():
        inputs |= mode.inputs
    nodes: list[dict[str, Any]] = []  # Any: JSON
    edges: list[dict[str, Any]] = []  # Any: JSON
    feeders: list[NodeDefinition] = []
    for slot, value in given.items():
        declared = inputs.get(slot)
        several = declared is not None and declared.multi and isinstance(value, list | tuple)
        items = list(value) if several and isinstance(value, list | tuple) else [value]
        for item in items:
            number = len(feeders)
            feeders.append(_feeder(f"_Feed{number}", declared, item))
            nodes.append({"id": f"feed{number}", "fullType": f"test:_Feed{number}"})
            ends = {"sourceNodeId": f"feed{number}", "sourceHandle": "value"}
            edges.append(ends | {"targetNodeId": NODE, "targetHandle": slot})
    return nodes, edges, feeders


def _feeder(name: str, declared: InputDefinition | None, value: object) -> NodeDefinition:
    is_stream = declared is not None and declared.is_stream
    flow = DataFlowType.WILDCARD

    async def stream(inputs: Mapping[str, object], context: NodeContext) -> AsyncIterator[Any]:
        assert isinstance(value, Iterable), "a stream input is given as a list of chunks"
        for item in value:
            yield item
        yield Outputs()

    async def constant(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
        return {"value": value}

    output = OutputDefinition(data_flow_type=flow, is_stream=is_stream)
    execute = stream if is_stream else constant
    return NodeDefinition(type=name, outputs={"value": output}, execute=execute)

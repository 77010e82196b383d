"""A node type as the registry holds it: read already, or when somebody asks for it."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .definitions import Execute, NodeDefinition

__all__ = ("DeferredNode", "RegisteredNode", "registered_nodes")


@dataclass(frozen=True, slots=True)
class RegisteredNode:
    """A node type, and the pack that it comes from."""

    full_type: str
    definition: NodeDefinition
    distribution: str
    version: str

    @property
    def replaces_others(self) -> bool:
        """Whether the definition takes over old types."""
        return bool(self.definition.replaces)


class DeferredNode(RegisteredNode):
    """A node type whose definition is read when somebody asks for it first.

    :param read: returns the definition; threads that ask at once may each call it
    :param replaces: whether the definition takes over old types
    """

    __slots__ = ("_read", "_replaces", "_was_read")

    _read: Callable[[], NodeDefinition]
    _replaces: bool
    _was_read: NodeDefinition | None

    def __init__(
        self,
        full_type: str,
        distribution: str,
        version: str,
        read: Callable[[], NodeDefinition],
        *,
        replaces: bool = False,
    ) -> None:
        fields = {"full_type": full_type, "distribution": distribution, "version": version}
        own = {"_read": read, "_replaces": replaces, "_was_read": None}
        for name, value in (fields | own).items():
            object.__setattr__(self, name, value)

    @property
    def replaces_others(self) -> bool:
        """Whether the definition takes over old types; known without reading it."""
        return self._replaces

    @property
    def definition(self) -> NodeDefinition:
        """The definition.

        :raises PackError: it could not be read, so the pack was imported, and that failed
        """
        definition = self._was_read
        if definition is None:
            definition = self._read()
            object.__setattr__(self, "_was_read", definition)
        return definition


def registered_nodes(
    distribution: str, version: str, definitions: Iterable[NodeDefinition]
) -> tuple[RegisteredNode, ...]:
    """Return the nodes of a pack, each definition with its namespace and the place of its code."""
    nodes = []
    for definition in definitions:
        namespace = definition.namespace or distribution
        own = {"namespace": namespace, "file_path": _file_path(definition)}
        full_type = f"{namespace}:{definition.type}"
        whole = definition.model_copy(update=own)
        nodes.append(RegisteredNode(full_type, whole, distribution, version))
    return tuple(nodes)


def _file_path(definition: NodeDefinition) -> str | None:
    """Return where a node's code is, relative to its distribution."""
    if definition.file_path is not None:
        return definition.file_path
    executes = (definition.execute, *(mode.execute for mode in definition.modes.values()))
    execute = next((execute for execute in executes if execute is not None), None)
    return None if execute is None else _path_of(execute)


def _path_of(execute: Execute | str) -> str | None:
    module = execute.partition(":")[0] if isinstance(execute, str) else _module_of(execute)
    if not module or module == "__main__":
        return None
    file = getattr(sys.modules.get(module), "__file__", None) or "x.py"
    parts = module.split(".")
    if Path(file).stem == "__init__":
        return "/".join((*parts, "__init__.py"))
    return "/".join(parts) + Path(file).suffix


def _module_of(execute: Execute) -> str:
    while isinstance(execute, functools.partial):
        execute = execute.func
    with suppress(ValueError):  # a wrapper that wraps itself
        execute = inspect.unwrap(execute)
    return str(getattr(execute, "__module__", "") or "")

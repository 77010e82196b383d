"""What pack authors and hosts import by name; every name lives in the module it comes from.

Importing the package loads nothing: a name is fetched from its module when it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .authoring import Config, Input, Output, node
    from .chunks import Chunk, Outputs, Stream
    from .context import NodeContext
    from .definitions import (
        BypassBehavior,
        GraphRole,
        InputDefinition,
        NodeAction,
        NodeDefinition,
        NodeMode,
        OutputDefinition,
        Replacement,
    )
    from .errors import ComfyTavernError, NodeFailedError, PackError, ResourceError, WorkflowError
    from .events import Status
    from .hookspecs import PackContext, hookimpl, hookspec
    from .host import PackHost
    from .types import DataFlowType, MatchCategory
    from .workflow import Workflow, parse_workflow, read_workflow

__all__ = (
    "BypassBehavior",
    "Chunk",
    "ComfyTavernError",
    "Config",
    "DataFlowType",
    "GraphRole",
    "Input",
    "InputDefinition",
    "MatchCategory",
    "NodeAction",
    "NodeContext",
    "NodeDefinition",
    "NodeFailedError",
    "NodeMode",
    "Output",
    "OutputDefinition",
    "Outputs",
    "PackContext",
    "PackError",
    "PackHost",
    "Replacement",
    "ResourceError",
    "Status",
    "Stream",
    "Workflow",
    "WorkflowError",
    "hookimpl",
    "hookspec",
    "node",
    "parse_workflow",
    "read_workflow",
)

_HOMES = {
    "authoring": ("Config", "Input", "Output", "node"),
    "chunks": ("Chunk", "Outputs", "Stream"),
    "context": ("NodeContext",),
    "definitions": (
        "BypassBehavior",
        "GraphRole",
        "InputDefinition",
        "NodeAction",
        "NodeDefinition",
        "NodeMode",
        "OutputDefinition",
        "Replacement",
    ),
    "errors": (
        "ComfyTavernError",
        "NodeFailedError",
        "PackError",
        "ResourceError",
        "WorkflowError",
    ),
    "events": ("Status",),
    "hookspecs": ("PackContext", "hookimpl", "hookspec"),
    "host": ("PackHost",),
    "types": ("DataFlowType", "MatchCategory"),
    "workflow": ("Workflow", "parse_workflow", "read_workflow"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The basic nodes of ComfyTavern: what this pack answers to the host's hooks."""

from __future__ import annotations

from collections.abc import Iterable

from comfytavern.definitions import NodeDefinition
from comfytavern.hookspecs import PackContext, hookimpl

from .catalog import definitions


@hookimpl
def register_nodes(pack: PackContext) -> Iterable[NodeDefinition]:
    """Contribute every node of the pack."""
    return definitions()

"""Which pack each node of a workflow is of, written into the workflow itself.

Whoever opens it without that pack is told what to install. A node is left as it is where its
pack is not loaded, for then the workflow knows more than this host does, and where its ``pack``
is somebody else's.
"""

from __future__ import annotations

from typing import Any

from comfytavern.migrations import node_now
from comfytavern.registry import NodeRegistry

__all__ = ("PACK", "with_packs")

# The key of a node; the original front end knows none of this name and leaves it alone.
PACK = "pack"

Json = dict[str, Any]  # Any: JSON


def with_packs(document: Json, registry: NodeRegistry) -> Json:
    """Return a document whose nodes name the distribution and version of their packs.

    What is no workflow is handed back as it is: it is refused elsewhere.
    """
    given: object = document  # of a client, so its shape is not known
    nodes = given.get("nodes") if isinstance(given, dict) else None
    if not isinstance(nodes, list):
        return document
    return document | {"nodes": [_with_pack(node, registry) for node in nodes]}


def _with_pack(node: object, registry: NodeRegistry) -> object:
    if not isinstance(node, dict):
        return node
    name = node.get("fullType", node.get("type"))
    registered = node_now(name, registry) if isinstance(name, str) else None
    if registered is None:
        return node
    before = node.get(PACK, {})
    if not isinstance(before, dict) or (before and not isinstance(before.get("distribution"), str)):
        return node
    own = {"distribution": registered.distribution, "version": registered.version}
    return node | {PACK: before | own}

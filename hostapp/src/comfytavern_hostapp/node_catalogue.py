"""The node types of a host as a page reads them, made once for as long as they are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import anyio
import orjson
from anyio import to_thread

from comfytavern.errors import UnknownNodeTypeError
from comfytavern.host import PackHost
from comfytavern.node_listing import definitions_for_wire

__all__ = ("NodeCatalogue", "NodeListing")

Wire = dict[str, Any]  # Any: JSON


@dataclass(frozen=True, slots=True)
class NodeListing:
    """All node types at one moment: as JSON, and each by its full type."""

    etag: str
    text: bytes
    by_type: Mapping[str, Wire]


class NodeCatalogue:
    """Lists the node types of a host.

    :param root_path: what stands before every path of the server
    """

    def __init__(self, host: PackHost, root_path: str) -> None:
        self._host = host
        self._root_path = root_path
        self._making = anyio.Lock()
        self._made: tuple[object, NodeListing] | None = None

    async def listing(self) -> NodeListing:
        """Return all node types; packs are asked again only when one has come or gone."""
        async with self._making:
            # Read first: another thread may be loading, and then this one is made again.
            state = (self._host.digest(), self._host.registry.revision)
            if self._made is None or self._made[0] != state:
                self._made = (state, await to_thread.run_sync(self._make))
            return self._made[1]

    async def entry(self, full_type: str) -> Wire:
        """Return one node type; its namespace may be an alias.

        :raises UnknownNodeTypeError: no loaded pack has it; the text says what to do
        """
        listing, registry = await self.listing(), self._host.registry
        node = registry.get(full_type)
        entry = None if node is None else listing.by_type.get(node.full_type)
        if entry is None:
            raise UnknownNodeTypeError(full_type, registry.explain_missing(full_type))
        return entry

    def _make(self) -> NodeListing:
        entries = definitions_for_wire(self._host.registry)
        for entry in entries:
            if "clientScriptUrl" in entry:
                entry["clientScriptUrl"] = self._script_path(entry)
        text = orjson.dumps(entries)
        etag = f'"{hashlib.sha256(text).hexdigest()}"'
        return NodeListing(etag, text, {entry["fullType"]: entry for entry in entries})

    def _script_path(self, entry: Wire) -> str:
        """Return where the page finds what the pack names relative to its package."""
        name = str(entry["clientScriptUrl"]).rpartition("/")[2]
        steps = ("api", "nodes", entry["namespace"], entry["type"], "client-script", name)
        return "/".join([self._root_path, *(quote(step, safe="") for step in steps)])

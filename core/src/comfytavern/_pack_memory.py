"""What a host remembers of packs from one start to the next, and when that is enough.

A pack that only offers nodes is missed by nobody until one of them runs. What others do
besides, listening or lending services, works only once they are imported. For a listing
that is no matter, but for hooks between packs: if one pack has to be imported after all,
those that specify hooks, or implement other packs' hooks, are imported with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ._contributions import Contributions
from ._pack import Pack
from ._pack_hooks import PackHooks
from .definition_cache import (
    CachedPack,
    DefinitionCache,
    EncodedNodes,
    PackTraits,
    encode_definitions,
)

__all__ = ("PackMemory",)

NODES_HOOK = "register_nodes"


@dataclass(frozen=True, slots=True)
class PackMemory:
    """Puts what is known of packs on them, and keeps what was learnt of them."""

    cache: DefinitionCache
    hooks: PackHooks
    services: Contributions
    runners: Contributions

    def recall(self, packs: Sequence[Pack], *, listing: bool) -> None:
        """Set ``known`` of every pack that need not be imported.

        :param packs: all that are about to be imported
        :param listing: whether nothing of them is going to run
        """
        entries = [self._read(pack) for pack in packs]
        may_wait = self._in_listings(entries) if listing else _only_offers_nodes
        for pack, entry in zip(packs, entries, strict=True):
            if entry is not None and may_wait(entry) and _is_readable(entry):
                pack.known = entry

    def keep(self, pack: Pack) -> None:
        """Remember a pack that was imported and works, if what it offers can be written down."""
        if pack.found is None:
            return
        definitions = pack.definitions.values()
        nodes = None if pack.nodes_depend_on_more else encode_definitions(definitions)
        if nodes is None:
            self.cache.drop(pack.distribution)
            return
        files_digest, warnings = pack.files_digest, tuple(pack.warnings)
        entry = CachedPack(nodes, self._traits(pack), files_digest, pack.import_ms, warnings)
        before = self._read(pack)
        # How long it took is another figure each time, which is no reason to write.
        if before is None or not _same(before, entry):
            self.cache.write(pack.found, pack.block, entry)

    def drift(self, pack: Pack, known: CachedPack) -> str:
        """Say in what an imported pack differs from what was known of it; empty if in nothing.

        What was known is forgotten then.
        """
        nodes = encode_definitions(pack.definitions.values()) or EncodedNodes((), ())
        names = nodes.differing(known.nodes)
        other = sorted(self._traits(pack).hooks ^ known.traits.hooks)
        if not (names or other):
            return ""
        self.cache.drop(pack.distribution)
        what = [f"node type {names[0]!r}"] if names else []
        what += [f"{len(names) - 1} more"] if len(names) > 1 else []
        what += [f"hook {other[0]!r}"] if other else []
        return f"it is not as it was at its last import ({', '.join(what)}); that was forgotten"

    def _read(self, pack: Pack) -> CachedPack | None:
        return None if pack.found is None else self.cache.read(pack.found, pack.block)

    def _traits(self, pack: Pack) -> PackTraits:
        name = pack.distribution
        hooks = {i.hook: i.optional for i in pack.implementations if i.hook != NODES_HOOK}
        return PackTraits(
            hooks=frozenset(hook for hook, optional in hooks.items() if not optional),
            optional=frozenset(hook for hook, optional in hooks.items() if optional),
            specs=self.hooks.specs_of(name),
            services=self.services.of(name),
            runners=self.runners.of(name),
        )

    def _in_listings(self, entries: Sequence[CachedPack | None]) -> Callable[[CachedPack], bool]:
        """Return what tells whether a listing can do without importing a pack.

        Where all are known, their hooks only need to be specified. Where one is imported, its
        hooks are held against the specs of others, and its specs against the hooks of others.
        """
        core = self.hooks.specs_of("")
        known = [entry.traits for entry in entries if entry is not None]
        specified = core.union(*(traits.specs for traits in known))
        are_all_known = len(known) == len(entries)
        fit_together = are_all_known and all(traits.hooks <= specified for traits in known)

        def may_wait(entry: CachedPack) -> bool:
            traits = entry.traits
            minds_no_pack = traits.hooks <= core and not (traits.specs or traits.optional)
            return fit_together or minds_no_pack

        return may_wait


def _only_offers_nodes(entry: CachedPack) -> bool:
    return entry.traits.only_nodes


def _is_readable(entry: CachedPack) -> bool:
    """Return whether the definitions that are read at once can be; the others have time."""
    try:
        for index in entry.nodes.replacing:
            entry.definition(index)
    except ValueError:
        return False
    return True


def _same(one: CachedPack, other: CachedPack) -> bool:
    return (one.nodes, one.traits, one.files_digest, one.warnings) == (
        other.nodes,
        other.traits,
        other.files_digest,
        other.warnings,
    )

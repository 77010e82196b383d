"""Getting packs loaded: step by step, each pack by itself, all or nothing."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ._contributions import Contributions
from ._crash_markers import CrashMarkers
from ._pack import Asking, Pack
from ._pack_catalogue import PackCatalogue
from ._pack_files import PackFiles, owner_of
from ._pack_hooks import PackHooks
from ._pack_import import check_metadata, import_pack
from ._pack_loading import PackLoader
from ._pack_memory import PackMemory
from .definition_cache import CachedPack, DefinitionCache
from .definitions import NodeDefinition
from .discovery import CORE_DISTRIBUTION, FoundPack
from .errors import PackConflictError, PackError, PackImportError
from .pack_records import PackState
from .registry import DeferredNode, NodeRegistry, RegisteredNode

__all__ = ("PackPipeline",)

_log = logging.getLogger(__name__)

_Step = Callable[[Pack], None]


@dataclass(slots=True, eq=False)
class PackPipeline:
    """Loads packs into a registry and holds what came of it.

    ``packs`` are the loaded ones, ``left`` those that were loaded once and are not any more.
    ``imported`` are all of which code is in this process, loaded or not, as they were then.
    A loaded pack with something ``known`` is not among them yet. Whoever loads or imports
    packs while others might holds the ``lock``.
    """

    catalogue: PackCatalogue
    registry: NodeRegistry
    hooks: PackHooks
    asking: Asking
    data_dir: Path | None
    packs: dict[str, Pack]
    left: dict[str, Pack]
    cache: DefinitionCache
    imported: dict[str, Pack] = field(default_factory=dict)
    services: Contributions = field(default_factory=lambda: Contributions("service"))
    runners: Contributions = field(
        default_factory=lambda: Contributions("runner", reserved=["local"])
    )
    lock: threading.RLock = field(default_factory=threading.RLock)
    markers: CrashMarkers = field(init=False)
    memory: PackMemory = field(init=False)
    _loader: PackLoader = field(init=False)
    _unfinished: list[Pack] = field(default_factory=list)
    _crashed: Mapping[str, str] = field(default_factory=dict)
    _strict: bool = False
    _revision: int = 0
    _digest: tuple[int, str] = (-1, "")

    def __post_init__(self) -> None:
        folder = None if self.data_dir is None else self.data_dir / "loading"
        self.markers = CrashMarkers(folder)
        self._loader = PackLoader(self.hooks)
        self.memory = PackMemory(self.cache, self.hooks, self.services, self.runners)

    def load(
        self,
        found: Iterable[FoundPack],
        api_version: str | None,
        *,
        strict: bool,
        listing: bool = False,
    ) -> None:
        """Load those of the installed packs that are enabled and not loaded yet.

        :param api_version: the version to hold against the packs' ranges; None skips that
        :param strict: whether the first pack that fails ends loading
        :param listing: whether nothing is going to run, so that little need be imported
        :raises PackError: one failed, and ``strict``
        """
        choice = self.catalogue.choice
        self._strict = strict
        self._crashed = self.markers.left_behind()
        owners = self._module_owners()
        packs = [
            self.new_pack(pack.distribution, pack.version, pack)
            for pack in found
            if pack.distribution not in self.packs and choice.enables(pack.distribution)
        ]
        check: _Step = lambda pack: self._check(pack, owners, api_version)  # noqa: E731 - a step
        packs = [pack for pack in packs if self._is_done(pack, "", check)]
        if listing or choice.lazy:
            self.memory.recall(packs, listing=listing)
        steps: tuple[tuple[str, _Step], ...] = (
            ("import", self._import),
            ("", self._loader.read_hooks),
            ("hooks", self._loader.add_specs),
            ("nodes", self._register),
            ("services", self._contribute),
        )
        # Each step for all packs: what one pack specifies or registers, another needs.
        for phase, step in steps:
            packs = [pack for pack in packs if self._is_done(pack, phase, step)]
        for pack in packs:
            if pack.known is None:
                self.memory.keep(pack)

    def awaken(self, pack: Pack) -> None:
        """Import a loaded pack of which only something is known, as at load time. Blocks.

        Threads that ask at once wait for the one that does it. What was known and is not so
        any more is told on the record.

        :raises PackError: it failed, now or when another thread tried; nothing of it stays
        """
        name = pack.distribution
        with self.lock:
            known, is_there = pack.known, self.packs.get(name) is pack
            if known is None and (is_there or self.left.get(name) is pack):
                return
            if known is None or not is_there:
                reason = "it was dropped before one of its nodes first ran"
                lost = PackError(name, reason, version=pack.version, phase="import")
                raise self.catalogue.errors.get(name) or lost
            pack.known = None
            steps: tuple[tuple[str, _Step], ...] = (
                ("import", self._import),
                ("", self._loader.read_hooks),
                ("hooks", self._loader.add_specs),
                ("nodes", lambda pack: self._replace(pack, known)),
                ("services", self._contribute),
            )
            try:
                for phase, step in steps:
                    self._take(pack, phase, step)
            except PackError as error:
                _log.warning("%s", error)
                self.cache.drop(name)
                raise

    def load_plugin(self, name: str, version: str, plugin: object, settings: object) -> None:
        """Load a pack that is in memory, except for its services and runners.

        :raises PackError: it failed, and nothing of it stays
        """
        pack = self.new_pack(name, version)
        pack.block = settings
        pack.plugins.append(plugin)
        self._take(pack, "hooks", self._loader.read_hooks)
        self._take(pack, "hooks", self._loader.add_specs)
        self._take(pack, "nodes", self._register)

    def finish(self) -> None:
        """Ask registered packs that were not asked yet for their services and runners.

        :raises PackError: one failed
        """
        while self._unfinished:
            self._take(self._unfinished[0], "services", self._contribute)

    def new_pack(self, name: str, version: str, found: FoundPack | None = None) -> Pack:
        """Return a pack of which nothing is loaded, with what the operator gives it."""
        folder = None if self.data_dir is None else self.data_dir / "packs" / name
        choice = self.catalogue.choice
        return Pack(
            name,
            version,
            self.asking,
            found=found,
            folder=folder,
            block=choice.settings.get(name),
            granted=choice.granted_to(name),
        )

    def let_go(self, name: str) -> None:
        """Discard a loaded pack, for new runs; those that go on still reach its code."""
        pack = self.packs.get(name)
        if pack is not None and pack.known is None:  # of others there is nothing to reach
            self.left[name] = pack
        self.discard(name)

    def digest(self, api_version: str | None) -> str:
        """Return a hash over the API version and every loaded pack: name, version, files."""
        revision, digest = self._digest
        if revision == self._revision:
            return digest
        revision = self._revision  # read first: another thread may be loading
        lines = [f"{CORE_DISTRIBUTION} {api_version}"]
        for name, pack in sorted(self.packs.items()):
            lines.append(f"{name} {pack.version} {pack.files_digest}")
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        self._digest = (revision, digest)
        return digest

    def discard(self, name: str) -> None:
        """Remove everything that a pack registered; nothing registered is no error."""
        pack = self.packs.pop(name, None)
        if pack in self._unfinished:
            self._unfinished.remove(pack)
        self.hooks.unregister(name)
        self.registry.remove_pack(name)
        self.services.remove(name)
        self.runners.remove(name)
        self._revision += 1

    def _is_done(self, pack: Pack, phase: str, step: _Step) -> bool:
        try:
            self._take(pack, phase, step)
        except PackError as error:
            _log.warning("%s", error)
            if self._strict:
                raise
            return False
        return True

    def _take(self, pack: Pack, phase: str, step: _Step) -> None:
        """Take one step with a pack; on failure nothing of the pack stays.

        :param phase: what a crash marker says; empty if the step calls nothing of the pack
        :raises PackError: the step failed; the record says so already
        """
        name = pack.distribution
        self.catalogue.errors.pop(name, None)
        try:
            if phase and pack.found is not None and pack.known is None:
                with self.markers.around(name, phase):
                    step(pack)
            else:
                step(pack)
        except PackError as error:
            self.discard(name)
            self.catalogue.fail(error)
            raise
        finally:
            if self.catalogue.records[name].import_ms != pack.import_ms:
                self.catalogue.update(name, import_ms=pack.import_ms)
            for warning in pack.warnings:
                self.catalogue.warn(name, warning)

    def _check(self, pack: Pack, owners: Mapping[str, str], api_version: str | None) -> None:
        found = pack.found
        assert found is not None  # packs in memory have no metadata to check
        name = pack.distribution
        if name in self._crashed:
            raise PackImportError(
                name,
                "it killed the process the last time it was loaded",
                version=pack.version,
                phase=self._crashed[name],
                remedy=f"try it again with: comfytavern packs enable {name}",
            )
        warning = check_metadata(found, api_version)
        if warning is not None:
            pack.warnings.append(warning)
        for entry in found.entry_points:
            owner = owners.get(entry.module, name)
            if owner != name:
                reason = (
                    f"its entry point {entry.name!r} names the module {entry.module!r},"
                    f" which belongs to pack {owner!r}"
                )
                raise PackConflictError(name, reason, version=pack.version, phase="import")

    def _module_owners(self) -> dict[str, str]:
        """Return whose a module is that several packs, enabled or not, name as theirs."""
        claimants: dict[str, list[FoundPack]] = {}
        for _, found in sorted(self.catalogue.found.items()):
            if found.problem is None:
                for module in {entry.module for entry in found.entry_points}:
                    claimants.setdefault(module, []).append(found)
        shared = {module: packs for module, packs in claimants.items() if len(packs) > 1}
        return {module: owner_of(module, packs).distribution for module, packs in shared.items()}

    def _import(self, pack: Pack) -> None:
        if pack.known is not None:
            pack.import_ms = pack.known.import_ms
            pack.warnings += pack.known.warnings
            return
        assert pack.found is not None  # packs in memory are imported already
        pack.files = PackFiles(pack.found)
        self.imported[pack.distribution] = pack
        try:
            import_pack(pack, pack.found, pack.files)
        except PackError as error:
            if error.phase == "import":  # of which nothing stays in memory
                del self.imported[pack.distribution]
            raise

    def _register(self, pack: Pack) -> None:
        """Register the pack with its settings and nodes; from here on it is loaded."""
        name = pack.distribution
        if pack.known is not None:
            types = self._register_known(pack, pack.known)
        else:
            definitions = self._definitions(pack)
            nodes = self.registry.add_pack(name, pack.version, definitions, pack.granted)
            types = self._take_definitions(pack, nodes)
        self.packs[name] = pack
        self._revision += 1
        self._unfinished.append(pack)
        lazy = pack.known is not None
        self.catalogue.update(name, state=PackState.LOADED, node_types=types, lazy=lazy)

    def _definitions(self, pack: Pack) -> list[NodeDefinition]:
        self._loader.register(pack)
        self._loader.validate_settings(pack)
        pack.looked_around = False
        definitions = self._loader.definitions(pack)
        pack.nodes_depend_on_more = pack.looked_around
        return definitions

    @staticmethod
    def _take_definitions(pack: Pack, nodes: Iterable[RegisteredNode]) -> tuple[str, ...]:
        pack.definitions = {node.full_type: node.definition for node in nodes}
        return tuple(pack.definitions)

    def _register_known(self, pack: Pack, known: CachedPack) -> tuple[str, ...]:
        nodes = [
            DeferredNode(
                full_type,
                pack.distribution,
                pack.version,
                partial(self._read_definition, pack, known, index),
                replaces=index in known.nodes.replacing,
            )
            for index, full_type in enumerate(known.full_types)
        ]
        self.registry.add_deferred(pack.distribution, pack.version, nodes, pack.granted)
        return known.full_types

    def _read_definition(self, pack: Pack, known: CachedPack, index: int) -> NodeDefinition:
        """Return a definition that is known; if it cannot be read, that of the pack itself.

        :raises PackError: the pack had to be imported for it, and that failed
        """
        try:
            return known.definition(index)
        except ValueError as error:  # written by another core of the same version, or forged
            _log.debug("pack %r is imported for its definitions: %s", pack.distribution, error)
        self.cache.drop(pack.distribution)
        self.awaken(pack)
        return pack.definition_of(known.full_types[index])

    def _replace(self, pack: Pack, known: CachedPack) -> None:
        """Put a pack that is imported at last in the place of what was known of it."""
        name = pack.distribution
        definitions = self._definitions(pack)
        for contributed in (self.services, self.runners):
            contributed.remove(name)
        nodes = self.registry.replace_pack(name, pack.version, definitions, pack.granted)
        types = self._take_definitions(pack, nodes)
        self._unfinished.append(pack)
        self._revision += 1
        self.catalogue.update(name, node_types=types, lazy=False)
        drift = self.memory.drift(pack, known)
        if drift:
            _log.warning("pack %r %s: %s", name, pack.version, drift)
            pack.warnings.append(drift)

    def _contribute(self, pack: Pack) -> None:
        """Take in the services and runners of a pack, after every pack is registered."""
        self._unfinished.remove(pack)
        identity = (pack.distribution, pack.version)
        if pack.known is not None:  # their names alone: two packs may claim one
            self.services.add(*identity, dict.fromkeys(pack.known.traits.services))
            self.runners.add(*identity, dict.fromkeys(pack.known.traits.runners))
            return
        self.services.add(*identity, self._loader.named(pack, "register_services", "services"))
        self.runners.add(*identity, self._loader.named(pack, "register_runners", "runners"))

"""The packs of a host: which are there, which are loaded, and what they answer.

One pack at a time and all or nothing: a pack that fails leaves nothing behind, and the
others go on. A pack that the operator did not enable is never imported, yet listed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pluggy

from ._client_scripts import ClientScript, read_client_script
from ._pack import Pack
from ._pack_asking import Answer, Listener, PackAsking
from ._pack_catalogue import PackCatalogue, PackCommand
from ._pack_files import PackFiles
from ._pack_hooks import PackHooks
from ._pack_import import import_reference
from ._pack_pipeline import PackPipeline
from ._pack_rescan import PackRescan
from ._pack_settings import SettingsProblem, check_block, describe_settings
from ._pack_waking import code_of
from .definition_cache import DefinitionCache, code_named
from .discovery import CORE_DISTRIBUTION, FoundPack, find_packs, normalise
from .errors import PackConflictError, PackError, UnknownNodeTypeError, UnknownPackError
from .pack_records import PackChoice, PackRecord, PackState
from .registry import NodeRegistry

__all__ = (
    "Answer",
    "ClientScript",
    "Listener",
    "PackChoice",
    "PackCommand",
    "PackManager",
    "PackRecord",
    "PackState",
    "core_version",
)


@cache
def core_version() -> str | None:
    """Return the version of the plugin API, which is the core's own; None if not installed.

    The first call reads a file; later ones do not.
    """
    try:
        return metadata.version(CORE_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return None


class PackManager:
    """Finds, loads and asks the packs of one host. Loading is not thread-safe.

    A host sets ``PYDANTIC_DISABLE_PLUGINS`` before it imports this module: pydantic looks
    for plugins of its own when its first class is made, and then one damaged
    ``entry_points.txt`` anywhere in the environment would end the host.

    :param choice: what the operator chose; by default every pack is enabled
    :param found: what is installed; None looks for it
    :param data_dir: where crash markers and the packs' own folders are; None for nowhere
    :param api_version: the version to hold against the packs' ranges; None for the core's
    """

    def __init__(
        self,
        choice: PackChoice | None = None,
        *,
        found: Sequence[FoundPack] | None = None,
        data_dir: Path | None = None,
        api_version: str | None = None,
    ) -> None:
        self._catalogue = PackCatalogue(
            choice or PackChoice(), [] if data_dir is None else [data_dir]
        )
        self._hooks = PackHooks()
        self._packs: dict[str, Pack] = {}
        self._left: dict[str, Pack] = {}
        self._asking = PackAsking(self._hooks, self._packs, self._left, self._catalogue)
        self.registry = NodeRegistry(
            aliases=self.choice.aliases,
            namespaces=self.choice.namespaces,
            records=lambda: self._catalogue.records,
        )
        self._api_version = api_version
        cache = None if data_dir is None else data_dir / "cache" / "definitions"
        self._cache = DefinitionCache(cache, lambda: self._api)
        self._pipeline = PackPipeline(
            self._catalogue,
            self.registry,
            self._hooks,
            self.ask,
            data_dir,
            self._packs,
            self._left,
            self._cache,
        )
        self._catalogue.take_in(find_packs() if found is None else found)

    @property
    def choice(self) -> PackChoice:
        """What the operator chose, as of the start or of the last rescan with a new choice."""
        return self._catalogue.choice

    @property
    def plugin_manager(self) -> pluggy.PluginManager:
        """Where the packs' plugins are registered, under their distribution names."""
        return self._hooks.plugins

    @property
    def records(self) -> tuple[PackRecord, ...]:
        """Every pack, sorted by distribution; readable before anything is loaded."""
        records = dict(self._catalogue.records)
        return tuple(records[name] for name in sorted(records))

    def record(self, name: str) -> PackRecord:
        """Return the record of one pack.

        :raises UnknownPackError: there is no such pack; the text offers the nearest name
        """
        return self._catalogue.record(name)

    def error_of(self, distribution: str) -> PackError | None:
        """Return why a pack is not loaded, as the exception; None if it did not fail."""
        return self._catalogue.errors.get(normalise(distribution))

    def unknown_names(self) -> tuple[UnknownPackError, ...]:
        """Return an error for each distribution that the choice names and nobody installed."""
        return self._catalogue.unknown_names()

    @property
    def commands(self) -> Mapping[str, PackCommand]:
        """The verbs of the enabled packs, by name, from their metadata."""
        return MappingProxyType(self._catalogue.commands)

    @property
    def services(self) -> Mapping[str, object]:
        """What packs offer to nodes, by name."""
        return self._pipeline.services.values

    @property
    def runners(self) -> Mapping[str, Any]:  # Any: a RunnerFactory, by the pack's word
        """The runners that packs offer, by name; ``local`` is the host's own."""
        return self._pipeline.runners.values

    def settings_of(self, distribution: str) -> object:
        """Return the validated settings of a loaded pack; None without a model.

        Those of a pack that was dropped stay, for the runs that go on with its nodes.
        """
        name = normalise(distribution)
        pack = self._packs.get(name) or self._left.get(name)
        return None if pack is None else pack.settings

    def takes_settings(self, distribution: str) -> bool:
        """Return whether a pack is loaded and has a model for its settings.

        :raises UnknownPackError: there is no such pack
        """
        pack = self._packs.get(self.record(distribution).distribution)
        return pack is not None and pack.settings_model is not None

    def settings_schema(self, distribution: str) -> dict[str, Any] | None:  # Any: JSON
        """Return the JSON Schema of a pack's block under ``packs.settings``, by alias.

        It is what the pack's own model says, and nothing of what the operator gave. None for
        a pack that is not loaded, or that has no model.

        :raises UnknownPackError: there is no such pack
        :raises PackHookError: its model cannot be described
        """
        pack = self._packs.get(self.record(distribution).distribution)
        return None if pack is None else describe_settings(pack)

    def check_settings(self, distribution: str, block: object) -> tuple[SettingsProblem, ...]:
        """Return what a pack's own model finds in a block: where, and what is wrong there.

        Empty if it fits, and for a pack that is not loaded or has no model. The texts hold
        nothing of the block, and nothing changes: settings take effect at the next start.

        :raises UnknownPackError: there is no such pack
        """
        pack = self._packs.get(self.record(distribution).distribution)
        if pack is None or pack.settings_model is None:
            return ()
        return check_block(pack.settings_model, block)

    def load(self, *, listing: bool = False) -> None:
        """Load every enabled pack; what fails is on its record.

        :param listing: whether nothing is going to run: a pack is then not imported if it
            was before and has not changed since
        :raises PackError: a pack failed, and the choice is strict
        """
        found = self._catalogue.found.values()
        with self._pipeline.lock:
            self._pipeline.load(found, self._api, strict=self.choice.strict, listing=listing)

    def recall(self) -> None:
        """Put on the records of enabled packs what is known from their last import.

        That is their node types and how long it took. Imports nothing, changes no state.
        """
        for name, found in self._catalogue.found.items():
            if name not in self._packs and self.choice.enables(name):
                known = self._cache.read(found, self.choice.settings.get(name))
                if known is not None:
                    types, took = known.full_types, known.import_ms
                    self._catalogue.update(name, node_types=types, import_ms=took)

    @property
    def _api(self) -> str | None:
        return self._api_version or core_version()

    def add(
        self,
        plugin: object,
        *,
        distribution: str,
        version: str = "0.0.0",
        settings: Mapping[str, object] | None = None,
        finish: bool = True,
    ) -> None:
        """Load a pack that is in memory, with the same checks.

        :param settings: its block; None takes the one of the choice
        :param finish: ask for its services and runners now; False leaves that to
            ``finish()``, so that it can ask packs that are added later
        :raises PackError: it failed, and nothing of it stays
        """
        name = normalise(distribution)
        if name in self._packs:
            reason = "a pack of this name is loaded already"
            raise PackConflictError(name, reason, version=version, phase="import")
        self._catalogue.records[name] = PackRecord(name, version)
        block = self.choice.settings.get(name) if settings is None else settings
        self._pipeline.load_plugin(name, version, plugin, block)
        if finish:
            self.finish()

    def finish(self) -> None:
        """Ask the packs that ``add`` left unfinished for their services and runners.

        :raises PackError: one failed
        """
        self._pipeline.finish()

    @property
    def crashed(self) -> Mapping[str, str]:
        """The distributions that killed the process last time, and in which phase."""
        return MappingProxyType(self._pipeline.markers.left_behind())

    def clear_crash_marker(self, distribution: str) -> bool:
        """Forget that a pack killed the process; return whether it had."""
        return self._pipeline.markers.clear(normalise(distribution))

    def rescan(
        self, found: Sequence[FoundPack] | None = None, *, choice: PackChoice | None = None
    ) -> tuple[PackRecord, ...]:
        """Look again at what is installed and return the records that changed.

        Without a choice, new packs that the present one enables are loaded, and those that
        could not be imported are tried again. With one, the operator's file has changed:

        - A pack is loaded, or tried again, only if ``choice.enabled`` names it. Under ``"*"``
          a new one becomes available and says that it takes a restart or its name in the list.
        - A loaded pack that is not enabled any more loses its nodes, services, runners and
          listeners; its record says that its code stays. Enabled again it is restart-required.
        - Aliases and ``bypass`` apply to runs that start from now on; the explanation of a
          missing type follows at once.
        - Settings and granted namespaces of a pack that was imported are never applied in
          place: it goes on with the old ones and is restart-required until they are back.

        Either way a pack that was imported and has changed is restart-required and goes on as
        it is, and one that was removed loses its nodes. Whatever fails is on its record, also
        under a strict choice. Packs in memory are left alone. Not thread-safe.

        :param found: what is installed now; None looks for it
        :param choice: what the operator chose now; None leaves it as it is
        """
        importlib.invalidate_caches()
        metadata.MetadataPathFinder().invalidate_caches()  # on an instance: needed before 3.13
        now = find_packs() if found is None else found
        with self._pipeline.lock:
            before = dict(self._catalogue.records)
            PackRescan(self._catalogue, self._pipeline).run(now, choice, self._api)
        return tuple(record for record in self.records if before.get(record.distribution) != record)

    def listeners(self, hook: str) -> list[Listener]:
        """Return who implements a hook, in the order in which they are to be called."""
        return self._asking.listeners(hook)

    def bypass_deciders(self, distribution: str) -> list[Listener]:
        """Return who may decide the pseudo-outputs of a pack's nodes, in order.

        That is the pack itself, then the packs that the operator lists for it.
        """
        return self.bypass_rule()(normalise(distribution))

    def bypass_rule(self) -> Callable[[str], list[Listener]]:
        """Return ``bypass_deciders`` as it is now, for a run that keeps what it began with."""
        return self._asking.bypass_rule(self.choice.bypass)

    def ask(self, hook: str, **arguments: object) -> list[Answer]:
        """Ask every pack for a hook, one at a time; None is no answer.

        Where the hook offers ``pack`` and the caller gives none, each pack gets its own
        context. One that raises is reported and costs nobody else's answer.

        :raises ValueError: there is no such hook
        :raises TypeError: the arguments are not those of the hook
        """
        return self._asking.ask(hook, arguments)

    async def started(self) -> None:
        """Tell packs that the host is up; those that were told are not told again."""
        await self._asking.started()

    async def stopping(self) -> None:
        """Tell the packs that were told of the start, in reverse order."""
        await self._asking.stopping()

    def import_reference(self, reference: str, distribution: str) -> Any:  # Any: what it names
        """Import what ``"package.module:attribute"`` names in a pack.

        It must belong to the distribution; of an editable one, to the top-level package of
        its entry points. A pack that is not imported yet is, as at load time; then the text
        may also be one of the host's own for the code of a node. All else runs outside the
        guard of load time: runs are going on meanwhile.
        A pack that was dropped still answers, for the runs that go on with its nodes.

        :raises UnknownPackError: there is no such pack
        :raises PackError: the pack is not enabled, or it has no such thing
        """
        name = normalise(distribution)
        pack = self._packs.get(name) or self._left.get(name)
        node = code_named(reference)
        if node is not None:
            return code_of(self._pipeline, name, *node)
        if pack is not None:
            self._pipeline.awaken(pack)
        return import_reference(pack or self._unloaded(name), reference)

    def _unloaded(self, name: str) -> Pack:
        found = self._catalogue.found.get(name)
        if found is None:
            raise UnknownPackError(name, self._catalogue.records)
        if not self.choice.enables(name):
            reason = "it is not enabled, so nothing of it is imported"
            remedy = f"enable it with: comfytavern packs enable {name}"
            raise PackError(name, reason, version=found.version, phase="import", remedy=remedy)
        pack = self._pipeline.new_pack(name, found.version, found)
        pack.files = PackFiles(found)
        return pack

    def client_script(self, full_type: str, name: str | None = None) -> ClientScript:
        """Read the script that a node type gives to the page, or what lies beside it.

        Reads a file: call it in a thread.

        :param name: a file in the folder of the node's own script, or below; None for that
            script itself
        :raises UnknownNodeTypeError: no loaded pack has the type
        :raises UnknownClientScriptError: there is no such file for the page, in the same
            words wherever the name leads; or it is larger than 2 MiB
        """
        node = self.registry.get(full_type)
        pack = None if node is None else self._packs.get(node.distribution)
        if node is None or pack is None:
            raise UnknownNodeTypeError(full_type, self.registry.explain_missing(full_type))
        return read_client_script(pack, node, full_type, name)

    def digest(self) -> str:
        """Return a hash over the API version and every loaded pack: name, version, files.

        It is another one whenever a pack is loaded or dropped, and cheap to ask for.
        """
        return self._pipeline.digest(self._api)

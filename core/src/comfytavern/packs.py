"""The packs of a host: which are there, which are loaded, and what they answer.

One pack at a time and all or nothing: a pack that fails leaves nothing behind, and the
others go on. A pack that the operator did not enable is never imported, yet listed.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pluggy

from ._pack import Pack
from ._pack_asking import Answer, Listener, PackAsking
from ._pack_catalogue import PackCatalogue, PackCommand
from ._pack_files import PackFiles
from ._pack_hooks import PackHooks
from ._pack_import import import_reference
from ._pack_pipeline import PackPipeline
from .discovery import CORE_DISTRIBUTION, FoundPack, find_packs, normalise
from .errors import PackConflictError, PackError, UnknownPackError
from .pack_records import PackChoice, PackRecord, PackState
from .registry import NodeRegistry

__all__ = (
    "Answer",
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
        self.choice = choice or PackChoice()
        self._catalogue = PackCatalogue(self.choice)
        self._hooks = PackHooks()
        self._packs: dict[str, Pack] = {}
        self._asking = PackAsking(self._hooks, self._packs, self._catalogue)
        self.registry = NodeRegistry(
            aliases=self.choice.aliases,
            namespaces=self.choice.namespaces,
            records=lambda: self._catalogue.records,
        )
        self._api_version = api_version
        self._pipeline = PackPipeline(
            self._catalogue,
            self.registry,
            self._hooks,
            self.ask,
            data_dir,
            self._packs,
        )
        self._catalogue.take_in(find_packs() if found is None else found)

    @property
    def plugin_manager(self) -> pluggy.PluginManager:
        """Where the packs' plugins are registered, under their distribution names."""
        return self._hooks.plugins

    @property
    def records(self) -> tuple[PackRecord, ...]:
        """Every pack, sorted by distribution; readable before anything is loaded."""
        records = self._catalogue.records
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
        """Return the validated settings of a loaded pack; None without a model."""
        pack = self._packs.get(normalise(distribution))
        return None if pack is None else pack.settings

    def load(self) -> None:
        """Load every enabled pack; what fails is on its record.

        :raises PackError: a pack failed, and the choice is strict
        """
        self._load(self._catalogue.found.values())

    def _load(self, found: Iterable[FoundPack]) -> None:
        self._pipeline.load(found, self._api_version or core_version())

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

    def rescan(self, found: Sequence[FoundPack] | None = None) -> tuple[PackRecord, ...]:
        """Look again at what is installed and return the records that changed.

        New packs are loaded, and those that could not be imported are tried again. A pack
        that was imported and has changed needs a restart; its nodes go on as they are. One
        that was removed loses its nodes.

        :param found: what is installed now; None looks for it
        """
        importlib.invalidate_caches()
        metadata.MetadataPathFinder().invalidate_caches()  # on an instance: needed before 3.13
        catalogue = self._catalogue
        before = dict(catalogue.records)
        now = {pack.distribution: pack for pack in (find_packs() if found is None else found)}
        for name in sorted(set(catalogue.found) - set(now)):
            was_loaded = name in self._packs
            self._pipeline.discard(name)
            catalogue.take_out(name, was_loaded=was_loaded)
        imported = set(self._pipeline.files) - self._unimported()
        for name in sorted(imported & set(now)):
            self._compare(now[name])
        fresh = [pack for name, pack in now.items() if name not in imported | set(self._packs)]
        catalogue.found = {name: pack for name, pack in now.items() if name in imported}
        catalogue.take_in(fresh)
        self._load(fresh)
        return tuple(record for record in self.records if before.get(record.distribution) != record)

    def _unimported(self) -> set[str]:
        """Return the packs that failed to import, of which nothing stayed in memory."""
        errors = self._catalogue.errors
        return {name for name, error in errors.items() if error.phase == "import"}

    def _compare(self, found: FoundPack) -> None:
        """Note that an imported pack differs from what is installed now."""
        name = found.distribution
        record = self._catalogue.records[name]
        if record.state is PackState.UNINSTALLED:
            why = f"version {found.version} was installed again"
        elif found.version != record.version:
            why = f"version {record.version} is in use, {found.version} is installed"
        elif PackFiles(found).digest != self._pipeline.files[name].digest:
            why = "its files have changed"
        else:
            return
        self._catalogue.update(
            name, state=PackState.RESTART_REQUIRED, error=why, remedy="restart the host"
        )

    def listeners(self, hook: str) -> list[Listener]:
        """Return who implements a hook, in the order in which they are to be called."""
        return self._asking.listeners(hook)

    def bypass_deciders(self, distribution: str) -> list[Listener]:
        """Return who may decide the pseudo-outputs of a pack's nodes, in order.

        That is the pack itself, then the packs that the operator lists for it.
        """
        order = (normalise(distribution), *self.choice.bypass)
        return self._asking.listeners_by_pack("bypass_outputs", order)

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
        its entry points. Runs outside the guard of load time: runs are going on meanwhile.

        :raises UnknownPackError: there is no such pack
        :raises PackError: the pack is not enabled, or it has no such thing
        """
        name = normalise(distribution)
        return import_reference(self._packs.get(name) or self._unloaded(name), reference)

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

    def digest(self) -> str:
        """Return a hash over the API version and every loaded pack: name, version, files."""
        lines = [f"{CORE_DISTRIBUTION} {self._api_version or core_version()}"]
        for name in sorted(self._packs):
            files = self._packs[name].files
            lines.append(f"{name} {self._packs[name].version} {files.digest if files else ''}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

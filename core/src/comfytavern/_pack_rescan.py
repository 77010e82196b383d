"""Taking in that what is installed, or what the operator chose, has changed meanwhile.

What was imported cannot be taken back: a pack that leaves loses its nodes, services and
listeners, and its code stays. So nothing is imported twice in one process; whatever would
need that is restart-required, and says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ._pack import Pack
from ._pack_catalogue import PackCatalogue
from ._pack_files import PackFiles
from ._pack_pipeline import PackPipeline
from .discovery import FoundPack
from .pack_records import PackChoice, PackRecord, PackState

__all__ = ("PackRescan",)

RESTART = "restart the host"
RESTART_OR_LIST = "restart the host to load it, or list it by name in packs.enabled"
CODE_STAYS = "its code stays in this process until the host restarts"
ENABLED_AGAIN = "it is enabled again, and what was imported before cannot be loaded a second time"


@dataclass(frozen=True, slots=True)
class PackRescan:
    """Brings a catalogue, and what a pipeline loaded, to what is so now."""

    catalogue: PackCatalogue
    pipeline: PackPipeline

    def run(
        self, found: Iterable[FoundPack], choice: PackChoice | None, api_version: str | None
    ) -> None:
        """Take in what is installed now, and the choice, if there is a new one.

        Packs in memory are left alone: whoever put them there did not ask the operator. A
        pack that fails is a record, also under a strict choice.

        :param choice: None leaves it as it is, and then whatever it enables is loaded;
            under a new one a pack is loaded only if it is listed by name
        :param api_version: the version to hold against the packs' ranges; None skips that
        """
        catalogue = self.catalogue
        in_memory = {name for name, pack in self.pipeline.packs.items() if pack.found is None}
        now = {p.distribution: p for p in found if p.distribution not in in_memory}
        earlier = {name: p for name, p in catalogue.found.items() if name not in in_memory}
        for name in sorted(set(earlier) - set(now)):
            self._take_out(name)
        if choice is not None:
            self._choose(choice)
        self._forget_changed(now)
        fresh = []
        for name, pack in now.items():
            if name in self.pipeline.imported or name in self.pipeline.packs:
                catalogue.records[name] = self._renewed(pack)
            elif choice is not None and choice.enabled == "*" and choice.enables(name):
                catalogue.records[name] = self._waiting(pack, earlier.get(name))
            else:
                fresh.append(pack)
        catalogue.found = now
        catalogue.take_in(fresh)
        self.pipeline.load(fresh, api_version, strict=False)

    def _take_out(self, name: str) -> None:
        was_loaded = name in self.pipeline.packs or name in self.pipeline.left
        self.pipeline.let_go(name)
        self.catalogue.take_out(name, was_loaded=was_loaded)

    def _forget_changed(self, now: Mapping[str, FoundPack]) -> None:
        """Discard what was only known of packs that have changed: they can be loaded anew."""
        for name, pack in sorted(self.pipeline.packs.items()):
            if pack.known is not None and name in now:
                digest = PackFiles(now[name]).digest
                if (now[name].version, digest) != (pack.version, pack.files_digest):
                    self.pipeline.discard(name)

    def _choose(self, choice: PackChoice) -> None:
        """Apply what can be applied to a running host: names at once, leaving packs too."""
        self.catalogue.choice = choice
        self.pipeline.registry.use(aliases=choice.aliases, namespaces=choice.namespaces)
        for name, pack in sorted(self.pipeline.packs.items()):
            if pack.found is not None and not choice.enables(name):
                self.pipeline.let_go(name)

    def _renewed(self, found: FoundPack) -> PackRecord:
        """Return the record of a pack of which something was imported before."""
        name, choice = found.distribution, self.catalogue.choice
        fresh = PackRecord.of(found, choice)
        if not choice.enables(name):
            self.catalogue.errors.pop(name, None)
            return replace(fresh, warnings=(*fresh.warnings, CODE_STAYS))
        error = self.catalogue.errors.get(name)
        record = self.catalogue.records.get(name)
        if record is not None and (name in self.pipeline.packs or error is not None):
            pack = self.pipeline.imported.get(name) or self.pipeline.packs[name]
            why = "; ".join(self._changes(pack, found))
            if why:
                return _restart_required(record, why)
            if record.state is not PackState.RESTART_REQUIRED:
                return record
            # What had changed was changed back.
            whole = replace(record, state=PackState.LOADED, error="", remedy="")
            return whole if error is None else self.catalogue.failed(whole, error)
        if record is None or record.state is PackState.UNINSTALLED:
            return _restart_required(fresh, f"version {found.version} was installed again")
        if record.state is PackState.RESTART_REQUIRED:
            return record
        return _restart_required(fresh, ENABLED_AGAIN)

    def _changes(self, pack: Pack, found: FoundPack) -> Iterator[str]:
        """Say in what a pack differs from how it was imported."""
        name, choice = pack.distribution, self.catalogue.choice
        if found.version != pack.version:
            yield f"version {pack.version} is in use, {found.version} is installed"
        elif PackFiles(found).digest != pack.files_digest:
            yield "its files have changed"
        given = choice.settings.get(name)
        if pack.settings_model is not None and (given or {}) != (pack.block or {}):
            yield "its settings have changed"
        if choice.granted_to(name) != pack.granted:
            yield "the namespaces granted to it have changed"

    def _waiting(self, found: FoundPack, earlier: FoundPack | None) -> PackRecord:
        """Return the record of a pack that is enabled, yet not named, and not loaded."""
        record = self.catalogue.records.get(found.distribution)
        if record is not None and record.enabled and earlier == found:
            return record  # it waits already, or it failed and is not tried again
        self.catalogue.errors.pop(found.distribution, None)
        fresh = PackRecord.of(found, self.catalogue.choice)
        since = "installed" if earlier != found else "enabled"
        warning = f"it was {since} while the host runs"
        return replace(fresh, remedy=RESTART_OR_LIST, warnings=(*fresh.warnings, warning))


def _restart_required(record: PackRecord, why: str) -> PackRecord:
    return replace(
        record,
        state=PackState.RESTART_REQUIRED,
        phase="",
        error=why,
        traceback="",
        remedy=RESTART,
    )

"""What is known of every pack: its metadata, its record, and why it failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .discovery import FoundPack, normalise
from .errors import PackError, UnknownPackError
from .pack_records import PackChoice, PackRecord, PackState
from .places import hiding_places

__all__ = ("PackCatalogue", "PackCommand")


@dataclass(frozen=True, slots=True)
class PackCommand:
    """A verb of the command line that a pack brings; ``target`` is imported when it runs."""

    name: str
    target: str
    distribution: str


class PackCatalogue:
    """The packs of a host, loaded or not, by normalised distribution name.

    :param places: folders of this machine that no record names, besides the usual ones
    """

    def __init__(self, choice: PackChoice, places: Sequence[Path] = ()) -> None:
        self.choice = choice
        self._places = places
        self.found: dict[str, FoundPack] = {}
        self.records: dict[str, PackRecord] = {}
        self.errors: dict[str, PackError] = {}
        self.commands: dict[str, PackCommand] = {}

    def record(self, name: str) -> PackRecord:
        """Return the record of one pack.

        :raises UnknownPackError: there is no such pack; the text offers the nearest name
        """
        record = self.records.get(normalise(name))
        if record is None:
            raise UnknownPackError(name, self.records)
        return record

    def unknown_names(self) -> tuple[UnknownPackError, ...]:
        """Return an error for each distribution that the choice names and nobody installed."""
        unknown = sorted(self.choice.names() - set(self.records))
        return tuple(UnknownPackError(name, self.records) for name in unknown)

    def take_in(self, found: Iterable[FoundPack]) -> None:
        """Make records of packs from their metadata."""
        for pack in found:
            self.found[pack.distribution] = pack
            self.errors.pop(pack.distribution, None)
            self.records[pack.distribution] = PackRecord.of(pack, self.choice)
        self.commands.clear()
        for name in sorted(self.found):
            if self.choice.enables(name):
                self._take_commands(self.found[name])

    def _take_commands(self, found: FoundPack) -> None:
        for entry in found.commands:
            command = PackCommand(entry.name, entry.value, found.distribution)
            taken = self.commands.setdefault(entry.name, command)
            if taken.distribution != found.distribution:
                text = f"its command {entry.name!r} is taken by pack {taken.distribution!r}"
                self.warn(found.distribution, text)

    def take_out(self, name: str, *, was_loaded: bool) -> None:
        """Note that a distribution is no longer installed."""
        del self.found[name]
        self.errors.pop(name, None)
        if not was_loaded:
            del self.records[name]
            return
        self.update(
            name,
            state=PackState.UNINSTALLED,
            node_types=(),
            error="it was uninstalled while the host runs",
            remedy=f'pip install "{name}"',
        )

    def fail(self, error: PackError) -> None:
        """Note that a pack failed."""
        self.errors[error.distribution] = error
        record = self.records[error.distribution]
        self.records[error.distribution] = self.failed(record, error)

    def failed(self, record: PackRecord, error: PackError) -> PackRecord:
        """Return the record of a pack after a failure, for anybody to see; the error says all."""
        failed, hide = record.failed(error), hiding_places(self._places)
        return replace(
            failed,
            error=hide(failed.error),
            remedy=hide(failed.remedy),
            traceback=hide(failed.traceback),
        )

    def warn(self, name: str, text: str) -> None:
        """Add a warning to a record, once."""
        warnings = self.records[name].warnings
        if text not in warnings:
            self.update(name, warnings=(*warnings, text))

    def update(self, name: str, **changes: object) -> None:
        """Change fields of a record."""
        fields: Mapping[str, object] = changes
        self.records[name] = replace(self.records[name], **fields)  # type: ignore[arg-type]  # by name

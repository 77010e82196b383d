"""Packs as clients see them: their records, and what settings they take.

No text holds a path of this machine or a value of the operator's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from comfytavern.errors import HostError, PackError
from comfytavern.packs import PackRecord, PackState
from comfytavern.places import hiding_places

from .config import key_text
from .hosting import ConfiguredHost, with_crash
from .wire_packs import PackEntry, SettingsCheck, SettingsProblem

__all__ = ("PackListing", "SettingsUnknownError")

WITHOUT_SAFE = "restart the host without --safe"


class SettingsUnknownError(HostError):
    """A pack takes no settings, or cannot say which."""

    code = "settings_unknown"
    status = 404

    def __init__(self, distribution: str, version: str, reason: str) -> None:
        self.distribution = distribution
        self.version = version
        self.reason = reason
        super().__init__(f"pack {distribution!r} {version} {reason}")


class PackListing:
    """Tells of the packs of a host. Reads files and asks packs: call it in a thread."""

    def __init__(self, host: ConfiguredHost) -> None:
        self._host = host
        self._packs = host.packs

    def all(self) -> tuple[PackEntry, ...]:
        """Return every pack, by name."""
        return self.entries(self._packs.records)

    def one(self, name: str) -> PackEntry:
        """Return one pack, however its name is spelt.

        :raises UnknownPackError: there is no such pack
        """
        [entry] = self.entries([self._packs.record(name)])
        return entry

    def entries(self, records: Iterable[PackRecord]) -> tuple[PackEntry, ...]:
        """Return these records as clients see them."""
        hide, crashed = self.hiding_places(), self._packs.crashed
        return tuple(self._entry(record, crashed, hide) for record in records)

    def hiding_places(self) -> Callable[[str], str]:
        """Return what takes the places of this machine out of a text."""
        config = self._host.config
        return hiding_places([config.data_dir, *([config.path.parent] if config.path else [])])

    def settings_schema(self, name: str) -> dict[str, Any]:  # Any: JSON
        """Return the JSON Schema of a pack's settings.

        :raises UnknownPackError: there is no such pack
        :raises SettingsUnknownError: it takes none, or it is not loaded
        """
        self._check_takes_settings(name)
        try:
            schema = self._packs.settings_schema(name)
        except PackError as exc:
            record, hide = self._packs.record(name), self.hiding_places()
            raise _unknown(record.distribution, record.version, hide(exc.reason)) from exc
        return schema or {}

    def check_settings(self, name: str, block: Mapping[str, object]) -> SettingsCheck:
        """Hold a block against a pack's own model; nothing changes.

        :raises UnknownPackError: there is no such pack
        :raises SettingsUnknownError: it takes no settings, or it is not loaded
        """
        self._check_takes_settings(name)
        hide = self.hiding_places()
        problems = tuple(
            SettingsProblem(path=key_text(where), message=hide(what))
            for where, what in self._packs.check_settings(name, block)
        )
        return SettingsCheck(valid=not problems, problems=problems)

    def _check_takes_settings(self, name: str) -> None:
        if self._packs.takes_settings(name):
            return
        entry = self.one(name)
        if entry.state is PackState.LOADED:
            raise SettingsUnknownError(entry.distribution, entry.version, "takes no settings")
        why = entry.error or ("it is not loaded" if entry.enabled else "it is not enabled")
        remedy = entry.remedy or entry.enable_command
        reason = f"{why}; {remedy}" if remedy else why
        raise _unknown(entry.distribution, entry.version, reason)

    def _entry(
        self, record: PackRecord, crashed: Mapping[str, str], hide: Callable[[str], str]
    ) -> PackEntry:
        name, choice = record.distribution, self._packs.choice
        record = with_crash(record, crashed)
        wanted = replace(choice, builtin_only=False).enables(name)
        if wanted and not record.enabled and not record.remedy:
            record = replace(record, remedy=WITHOUT_SAFE)
        has_crashed = record.state is PackState.FAILED and name in crashed
        helps = has_crashed or not (wanted or record.enabled)
        shown = replace(
            record,
            summary=hide(record.summary),
            error=hide(record.error),
            remedy=hide(record.remedy),
            traceback=hide(record.traceback),
            warnings=tuple(map(hide, record.warnings)),
        )
        command = f"comfytavern packs enable {name}" if helps else None
        return PackEntry.model_validate({**shown.to_wire(), "enableCommand": command})


def _unknown(distribution: str, version: str, why: str) -> SettingsUnknownError:
    reason = f"does not say which settings it takes: {why}"
    return SettingsUnknownError(distribution, version, reason)

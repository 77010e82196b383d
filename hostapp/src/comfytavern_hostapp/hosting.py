"""From the operator's configuration to a host that can compile and run workflows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio

from comfytavern.compiler import CompileLimits
from comfytavern.engine import EngineLimits
from comfytavern.errors import PackSettingsError
from comfytavern.host import PackHost
from comfytavern.packs import PackChoice, PackManager, PackRecord, PackState
from comfytavern.resources import ResourceStore
from comfytavern.secrets import SecretEntry, SecretError, SecretStore

from .config import Config, ConfigError, Problem, SecretReference, key_text

if TYPE_CHECKING:
    import httpx

__all__ = (
    "ConfiguredHost",
    "Imports",
    "open_host",
    "pack_choice",
    "pack_manager",
    "resource_store",
    "secret_store",
    "settings_problems",
    "unknown_pack_problems",
    "with_crash",
)

Imports: TypeAlias = Literal["configured", "all", "needed"]


class ConfiguredHost(PackHost):
    """A host as the operator configured it, with what it lends to nodes.

    ``resources`` and ``secrets`` are the doors that every run shares.
    """

    def __init__(self, config: Config, choice: PackChoice, *, keep: bool = True) -> None:
        """Make the host; nothing is loaded and no file touched.

        :param keep: whether it may leave anything in the data directory
        :raises ConfigError: an entry that only its user can judge does not fit
        """
        self.config = config
        self.resources = resource_store(config)
        self.secrets = secret_store(config)
        self._client: httpx.AsyncClient | None = None
        limits = config.limits
        super().__init__(
            choice,
            limits=EngineLimits(
                nodes_in_parallel=limits.nodes_in_parallel,
                threads=limits.threads,
                stream_buffer=limits.stream_buffer,
                stream_overflow=limits.stream_overflow,
                interrupt_grace=limits.interrupt_grace,
            ),
            compile_limits=CompileLimits(group_depth=limits.group_depth),
            data_dir=config.data_dir if keep else None,
            resources=self.resources,
            secret=self.secrets.get,
            http_of=self._lend_client,
        )

    def _lend_client(self, pack: str) -> httpx.AsyncClient:
        if self._client is None:
            # Here, because httpx and its certificates take longer to load than most runs last.
            from .outgoing import make_client

            self._client = make_client(self.config.http.allow)
        return self._client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await super().__aexit__(kind, error, traceback)
        finally:
            client, self._client = self._client, None
            if client is not None:
                with anyio.CancelScope(shield=True):
                    await client.aclose()


def pack_choice(
    config: Config, *, safe: bool = False, strict: bool = False, lazy: bool | None = None
) -> PackChoice:
    """Return which packs the operator lets run, and with what.

    :param safe: nothing but the built-in packs, whatever the configuration enables
    :param strict: the first pack that fails ends loading
    :param lazy: in place of what the configuration says
    """
    packs = config.packs
    return PackChoice(
        enabled="*" if packs.enabled == "*" else frozenset(packs.enabled),
        disabled=frozenset(packs.disabled),
        aliases=config.aliases,
        namespaces=packs.namespaces,
        bypass=packs.bypass,
        settings=packs.settings,
        strict=strict,
        builtin_only=safe,
        lazy=packs.lazy if lazy is None else lazy,
    )


def pack_manager(config: Config, *, safe: bool = False) -> PackManager:
    """Return the packs as their metadata describes them; nothing is imported."""
    return PackManager(pack_choice(config, safe=safe), data_dir=config.data_dir)


def open_host(
    config: Config,
    *,
    safe: bool = False,
    strict: bool = False,
    keep: bool = True,
    imports: Imports = "configured",
) -> ConfiguredHost:
    """Return the host that a configuration describes, its packs loaded.

    A pack that fails costs nobody else: it is on its record. What is wrong with packs'
    settings has a place in the file; ``settings_problems`` tells it.

    :param keep: whether anything may be left in the data directory
    :param imports: which packs are imported at once: as ``packs.lazy`` says, all, or those
        that a listing cannot do without because nothing is known of them
    :raises ConfigError: a secret or a resource root cannot be used
    :raises PackError: a pack failed, and ``strict``
    """
    lazy = None if imports == "configured" else False
    choice = pack_choice(config, safe=safe, strict=strict, lazy=lazy)
    host = ConfiguredHost(config, choice, keep=keep)
    host.load(listing=imports == "needed")
    return host


def resource_store(config: Config, base: Path | None = None) -> ResourceStore:
    """Return the door to files.

    :param base: the folder of the workflow file, where plain relative names start
    :raises ConfigError: a root has a name that is taken
    """
    try:
        return ResourceStore(config.data_dir, roots=config.resources.roots, base=base)
    except ValueError as exc:
        raise ConfigError([_problem(config, ("resources", "roots"), str(exc))]) from exc


def secret_store(config: Config) -> SecretStore:
    """Return the operator's secrets; each is fetched when a node asks for it.

    :raises ConfigError: an entry is bound to a URL that could be read in two ways
    """
    entries = {
        name: SecretEntry(_Fetch(entry.value), entry.base_urls)
        for name, entry in config.secrets.items()
    }
    try:
        return SecretStore(entries)
    except SecretError as exc:
        raise ConfigError([_problem(config, ("secrets", exc.name), str(exc))]) from exc


class _Fetch:
    """Fetches a secret when called; shows itself as the reference."""

    def __init__(self, reference: SecretReference) -> None:
        self._reference = reference

    def __call__(self) -> str:
        return self._reference.resolve().reveal()

    def __repr__(self) -> str:
        return str(self._reference)


def settings_problems(config: Config, packs: PackManager) -> list[Problem]:
    """Return what the loaded packs' own models say of their blocks, with its place."""
    problems: list[Problem] = []
    for record in packs.records:
        error = packs.error_of(record.distribution)
        if isinstance(error, PackSettingsError):
            block = ("packs", "settings", record.distribution)
            for where, what in error.problems:
                path = (*block, *where)
                message = f"key {key_text(path)!r}: {what[:1].lower()}{what[1:]}"
                problems.append(_problem(config, path, message))
    return problems


def unknown_pack_problems(config: Config, packs: PackManager) -> list[Problem]:
    """Return a problem for each distribution that the configuration names in vain."""
    return [
        _problem(config, _mention(config, error.name), str(error))
        for error in packs.unknown_names()
    ]


def with_crash(record: PackRecord, crashed: Mapping[str, str]) -> PackRecord:
    """Say of a pack that killed the process that it will not be loaded.

    :param crashed: those that did, and in which phase; ``PackManager.crashed``
    """
    name = record.distribution
    if name not in crashed or record.state not in (PackState.AVAILABLE, PackState.FAILED):
        return record
    return replace(
        record,
        state=PackState.FAILED,
        phase=crashed[name],
        error="it killed the process the last time it was loaded",
        remedy=f"to try it again: comfytavern packs enable {name}",
    )


def _mention(config: Config, name: str) -> tuple[str | int, ...]:
    """Return the key under which a distribution is named."""
    packs = config.packs
    lists: dict[str, tuple[str, ...]] = {"disabled": packs.disabled, "bypass": packs.bypass}
    if packs.enabled != "*":
        lists["enabled"] = packs.enabled
    for key, names in lists.items():
        if name in names:
            return ("packs", key, names.index(name))
    if name in packs.settings:
        return ("packs", "settings", name)
    granted = (space for space, pack in packs.namespaces.items() if pack == name)
    return ("packs", "namespaces", *list(granted)[:1])


def _problem(config: Config, path: tuple[str | int, ...], message: str) -> Problem:
    return Problem(message, config.provenance.nearest(path), key_text(path))

"""Taking in a changed configuration, and other packs, while the host runs.

What the operator's file says of packs and aliases applies to runs that are handed in from
then on. All else, and what a pack cannot do twice in one process, waits for a restart; the
answer says so. Runs that go on keep what they began with.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
from anyio import to_thread

from comfytavern.errors import HostError
from comfytavern.events import EventType
from comfytavern.packs import PackRecord, PackState

from .config import Config, ConfigError, changed_keys, key_text
from .hosting import (
    ConfiguredHost,
    pack_choice,
    resource_store,
    secret_store,
    unknown_pack_problems,
)
from .pack_listing import PackListing
from .wire_packs import Reloaded

__all__ = ("NodeReload", "ReloadRefusedError")

_log = logging.getLogger(__name__)

# What applies without a restart.
_AT_ONCE = ("packs", "aliases")
# The message of a notice names so many packs.
NAMED = 5


class ReloadRefusedError(HostError):
    """The configuration cannot be used, so nothing has changed; ``details`` says why."""

    code = "config_invalid"
    status = 422

    def __init__(self, problems: Sequence[tuple[str, str | None]]) -> None:
        self.details = [_detail(message, key) for message, key in problems]
        count = len(self.details)
        said = problems[0][0] if count == 1 else f"the configuration has {count} problems"
        super().__init__(f"nothing has changed: {said}")


class NodeReload:
    """Reloads the packs of a host when it is called; one call waits for another.

    :param tell: sends a notice to every client
    :param reread: reads the configuration anew; without it packs alone are looked for
    """

    def __init__(
        self,
        host: ConfiguredHost,
        listing: PackListing,
        tell: Callable[[EventType, Mapping[str, Any]], None],  # Any: JSON
        reread: Callable[[], Config] | None = None,
    ) -> None:
        self._host = host
        self._listing = listing
        self._tell = tell
        self._reread = reread
        self._reloading = anyio.Lock()

    async def __call__(self) -> Reloaded:
        """Reload, tell every client, and say what has changed.

        :raises ReloadRefusedError: the configuration cannot be used; nothing has changed
        """
        async with self._reloading:
            host = self._host
            config = await to_thread.run_sync(self._read)
            chosen = host.packs.choice
            choice = pack_choice(config, safe=chosen.builtin_only, strict=chosen.strict)
            changed = await host.rescan(choice)
            report = await to_thread.run_sync(partial(self._report, config, changed))
            _log.info("packs reloaded: %s", report.message)
            notice = {"success": True, "message": report.message, "count": report.count}
            self._tell(EventType.NODES_RELOADED, notice)
            return report

    def _read(self) -> Config:
        if self._reread is None:
            return self._host.config
        try:
            config = self._reread()
            # What a start would refuse is refused now.
            resource_store(config)
            secret_store(config)
        except ConfigError as exc:
            hide = self._listing.hiding_places()
            problems = [(hide(str(problem)), problem.key) for problem in exc.problems]
            raise ReloadRefusedError(problems) from exc
        return config

    def _report(self, config: Config, changed: Sequence[PackRecord]) -> Reloaded:
        count, hide = len(self._host.registry), self._listing.hiding_places()
        unknown = unknown_pack_problems(config, self._host.packs)
        return Reloaded(
            success=True,
            message=f"{_summary(changed)}; {count} node type{'' if count == 1 else 's'}",
            count=count,
            changed=self._listing.entries(changed),
            restart_required=tuple(map(hide, self._waiting(config))),
            warnings=tuple(map(hide, [*config.warnings, *map(str, unknown)])),
        )

    def _waiting(self, config: Config) -> Iterator[str]:
        """Yield what takes a restart, in plain words and without any value."""
        for path in changed_keys(self._host.config, config):
            if path[0] not in _AT_ONCE:
                yield f"{key_text(path)} has changed; restart the host to apply it"
        for record in self._host.records:
            pack = f"pack {record.distribution!r} {record.version}"
            if record.state is PackState.RESTART_REQUIRED:
                yield f"{pack}: {record.error}; {record.remedy}"
            elif record.state is PackState.AVAILABLE and record.enabled and record.remedy:
                yield f"{pack} is not loaded; {record.remedy}"


def _detail(message: str, key: str | None) -> dict[str, str]:
    detail = {"code": ReloadRefusedError.code, "message": message}
    return detail | ({"path": key} if key else {})


def _summary(changed: Sequence[PackRecord]) -> str:
    named = [f"{record.distribution} is {_state(record)}" for record in changed[:NAMED]]
    if len(changed) > NAMED:
        named.append(f"{len(changed) - NAMED} more have changed")
    return ", ".join(named) or "no pack has changed"


def _state(record: PackRecord) -> str:
    if record.state is PackState.AVAILABLE:
        return "not loaded yet" if record.enabled else "not enabled"
    return record.state.value

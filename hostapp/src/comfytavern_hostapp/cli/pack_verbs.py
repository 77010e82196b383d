"""Verbs that packs bring: entry points of the group ``comfytavern.commands``.

The entry point's name is the verb, its value a click command. It is imported when the verb
runs, and only if its pack is enabled; help knows it from metadata. Our own verbs come
first. The command gets a ``PackCommandContext`` as its ``obj`` (``@click.pass_obj``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .session import Session

if TYPE_CHECKING:
    from comfytavern.packs import PackManager

    from ..config import Config
    from ..hosting import ConfiguredHost

__all__ = ("PackCommandContext", "PackVerbs", "belonging_to")


@dataclass(frozen=True)
class PackCommandContext:
    """What a pack's command may ask of the host.

    ``config`` is the whole configuration, read only. ``settings`` is the pack's own block
    as it stands in the file, not validated.
    """

    distribution: str
    config: Config
    _session: Session

    @property
    def settings(self) -> Mapping[str, object]:
        """The pack's raw block; empty if there is none."""
        return self.config.packs.settings.get(self.distribution, {})

    @property
    def data_dir(self) -> Path:
        """Where the host keeps its data; it may not exist yet."""
        return self.config.data_dir

    def open_host(self) -> ConfiguredHost:
        """Return the host with every enabled pack loaded: ``async with`` starts it."""
        return self._session.open_host()


class PackVerbs:
    """The verbs of the enabled packs."""

    def __init__(self, context: click.Context) -> None:
        self._context = context
        self._session = context.find_object(Session) or Session()

    def names(self) -> dict[str, str]:
        """Return the verbs and their packs. A configuration that cannot be read offers none."""
        from comfytavern.errors import ComfyTavernError

        if not _anybody_offers():
            return {}
        try:
            commands = self._session.packs().commands
        except ComfyTavernError:
            return {}  # help must work; the verb itself tells what is wrong
        own = getattr(self._context.command, "commands", {})
        return {name: c.distribution for name, c in commands.items() if name not in own}

    def load(self, name: str) -> click.Command | None:
        """Import the command of a verb; None if no enabled pack has it.

        :raises ConfigError: the configuration does not say which packs are enabled
        :raises PackError: it cannot be imported, or is no command
        """
        if not _anybody_offers():
            return None
        session = self._session
        packs: PackManager = session.packs()
        verb = packs.commands.get(name)
        if verb is None:
            return None
        with session.console.kept():
            found: object = packs.import_reference(verb.target, verb.distribution)
        if not isinstance(found, click.Command):
            from comfytavern.errors import PackError

            reason = f"its command {name!r} is no click command but of type {type(found).__name__}"
            raise PackError(verb.distribution, reason, phase="commands")
        self._context.obj = PackCommandContext(verb.distribution, session.config, session)
        return found


def _anybody_offers() -> bool:
    # Reading metadata takes milliseconds, the configuration behind it a tenth of a second.
    from comfytavern.discovery import find_packs

    return any(pack.commands for pack in find_packs())


def belonging_to(context: click.Context, name: str) -> str:
    """Say which pack would have a verb if it were enabled; empty if none."""
    from comfytavern.discovery import find_packs

    for pack in find_packs():
        if name in {command.name for command in pack.commands}:
            session = context.find_object(Session)
            if session is not None and session.safe:
                return f"pack {pack.distribution!r} has it, and --safe leaves that out"
            enable = f"comfytavern packs enable {pack.distribution}"
            return f"pack {pack.distribution!r} has it but is not enabled: {enable}"
    return ""

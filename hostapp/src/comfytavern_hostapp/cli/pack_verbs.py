"""Verbs that packs bring: entry points of the group ``comfytavern.commands``.

The entry point's name is the verb, its value a click command. It is imported when the verb
runs, and only if its pack is enabled; help knows it from metadata. Our own verbs come
first. The command gets a ``PackCommandContext`` as its ``obj`` (``@click.pass_obj``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ..console import Console
from .failures import BadInputError
from .session import Session

if TYPE_CHECKING:
    from comfytavern.discovery import FoundPack
    from comfytavern.packs import PackManager

    from ..config import Config
    from ..hosting import ConfiguredHost
    from .pack_runs import PackRunOutcome
    from .upto import Wanted

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
    def console(self) -> Console:
        """Where to write: ``line`` and ``json`` for results, ``warning`` and ``error``.

        Control characters of strangers' files never reach a terminal this way, nor do secrets.
        """
        return self._session.console

    def answer_in_json(self) -> None:
        """Have failures answered on stdout in JSON too; for a command's ``--json``."""
        self._session.as_json = True

    def refuse(self, code: str, message: str) -> NoReturn:
        """End the command with exit code 2: what it was given cannot be used.

        :param code: stable, for programs
        """
        raise BadInputError(code, message)

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

    def run_workflow(
        self,
        path: str,
        inputs: Sequence[str] = (),
        sets: Sequence[str] = (),
        *,
        upto: Wanted | None = None,
    ) -> PackRunOutcome:
        """Run a workflow file as ``comfytavern run`` does, and return what its nodes gave.

        Call it without an event loop. No run log is written.

        :param inputs: ``KEY=VALUE`` texts, as of ``-i``
        :param sets: ``NODE.KEY=VALUE`` texts, as of ``--set``
        :param upto: says which nodes are wanted; only those and what they need are checked and
            run, also inside groups. Nothing runs if it names none
        :raises WorkflowError: every problem of the workflow and of what it is given
        """
        from .pack_runs import run_for_pack  # the engine: not for a pack's help

        return run_for_pack(self._session, path, inputs, sets, upto)


class PackVerbs:
    """The verbs of the enabled packs."""

    def __init__(self, context: click.Context) -> None:
        self._context = context
        self._session = context.find_object(Session) or Session()

    def names(self) -> dict[str, str]:
        """Return the verbs and their packs. A configuration that cannot be read offers none."""
        own = getattr(self._context.command, "commands", {})
        return {name: pack for name, pack in self._offered().items() if name not in own}

    def _offered(self) -> dict[str, str]:
        # None of this is needed to find a verb of ours.
        from comfytavern.errors import ComfyTavernError
        from comfytavern.pack_records import PackChoice

        from ..config_places import may_choose_packs

        found = _packs_with_verbs()
        if not found:
            return {}
        session = self._session
        if session.config_path is None and not may_choose_packs():
            # Nobody chose, so metadata is all there is to know; help need not wait for more.
            enabled = PackChoice(builtin_only=session.safe).enables
            verbs = [(c.name, p.distribution) for p in found for c in p.commands]
            # The first pack that brings a verb has it.
            offered = {name: pack for name, pack in reversed(verbs) if enabled(pack)}
            return dict(sorted(offered.items()))
        try:
            commands = session.packs().commands
        except ComfyTavernError:
            return {}  # help must work; the verb itself tells what is wrong
        return {name: command.distribution for name, command in commands.items()}

    def load(self, name: str) -> click.Command | None:
        """Import the command of a verb; None if no enabled pack has it.

        :raises ConfigError: the configuration does not say which packs are enabled
        :raises PackError: it cannot be imported, or is no command
        """
        if not any(name == each.name for pack in _packs_with_verbs() for each in pack.commands):
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


def _packs_with_verbs() -> list[FoundPack]:
    # Reading metadata takes milliseconds, the configuration behind it a tenth of a second.
    from comfytavern.discovery import find_packs

    return [pack for pack in find_packs() if pack.commands]


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

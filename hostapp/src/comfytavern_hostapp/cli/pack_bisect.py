"""``comfytavern packs bisect``: which pack makes something fail.

Nothing of a pack runs in this process, and no configuration is changed: each try is a process
of its own that sees fewer packs through ``COMFYTAVERN_PACKS``.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .failures import BadInputError
from .session import Session, json_option, pass_session

if TYPE_CHECKING:
    from comfytavern.packs import PackManager

    from ..pack_checks.environment import Environment

__all__ = ("bisect_packs",)


@click.command("bisect")
@click.argument("command", nargs=-1, metavar="[-- COMMAND...]")
@click.option("--keep", multiple=True, metavar="NAME", help="A pack that it cannot do without.")
@click.option(
    "--timeout", type=click.FloatRange(min=0.1), help="Seconds after which it has failed."
)
@click.option("-v", "--verbose", is_flag=True, help="Show on stderr what the command writes.")
@json_option("Print one JSON document: packs, tries, remedy.")
@pass_session
def bisect_packs(
    session: Session,
    command: tuple[str, ...],
    keep: tuple[str, ...],
    timeout: float | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Find the pack that makes a command fail, by enabling ever fewer of them.

    A command fails if it ends with another code than 0. Without one you are told what to try,
    and asked each time whether it fails. The built-in packs are always enabled.
    """
    from ..pack_checks.bisecting import find_culprits, in_order  # packaging: not for help
    from ..pack_checks.environment import read_environment

    search = _Search(session, read_environment(), command, timeout, verbose)
    suspects = in_order(search.environment, search.split(keep))
    if not suspects:
        raise BadInputError("nothing_to_bisect", "no pack is enabled that could be left out")
    if not search(frozenset(suspects)):
        text = f"it does not fail with all {len(suspects)} packs enabled, so none is to blame"
        raise BadInputError("does_not_fail", text)
    if search(frozenset()):
        text = "it fails without these packs, too; name with --keep those that it cannot do without"
        raise BadInputError("fails_without", f"{text}: {', '.join(suspects)}")
    culprits = find_culprits(suspects, search)
    remedy = f"comfytavern packs disable {culprits[-1]}"
    if as_json:
        packs = [{"name": name, "version": search.version(name)} for name in culprits]
        session.console.json({"packs": packs, "tries": search.tries, "remedy": remedy})
        return
    shown = " and ".join(f"{name!r} {search.version(name)}" for name in culprits)
    verb = "makes it fail" if len(culprits) == 1 else "make it fail together"
    session.console.line(f"{shown} {verb} ({search.tries} tries); {remedy}")


class _Search:
    """Tries the command, or asks, with some of the packs enabled; each choice once."""

    def __init__(
        self,
        session: Session,
        environment: Environment,
        command: Sequence[str],
        timeout: float | None,
        verbose: bool,
    ) -> None:
        self.environment = environment
        self.tries = 0
        self._session = session
        self._packs: PackManager = session.packs()
        self._command = command
        self._timeout = timeout
        self._verbose = verbose
        self._kept: frozenset[str] = frozenset()
        self._enabled: frozenset[str] = frozenset()
        self._known: dict[frozenset[str], bool] = {}

    def version(self, name: str) -> str:
        """Return the version of a pack."""
        return self._packs.record(name).version

    def split(self, keep: Sequence[str]) -> frozenset[str]:
        """Return the packs that may be to blame: enabled ones that are not kept.

        :raises UnknownPackError: a pack to keep is none
        """
        from comfytavern.pack_records import BUILT_IN_PACKS

        from ..pack_checks.bisecting import with_required

        kept = [self._packs.record(name).distribution for name in keep]
        records = self._packs.records
        self._enabled = frozenset(record.distribution for record in records if record.enabled)
        needed = with_required(self.environment, {*kept, *BUILT_IN_PACKS})
        self._kept = needed & self._enabled
        return self._enabled - self._kept

    def __call__(self, suspects: frozenset[str]) -> bool:
        """Return whether it fails with these packs and what they require."""
        from ..pack_checks.bisecting import with_required

        chosen = with_required(self.environment, suspects | self._kept) & self._enabled
        if chosen not in self._known:
            self.tries += 1
            for name in self._enabled:
                # A pack that killed a try would be left out of the next ones.
                self._packs.clear_crash_marker(name)
            self._known[chosen] = self._run(chosen) if self._command else self._ask(chosen)
        return self._known[chosen]

    def _ask(self, chosen: frozenset[str]) -> bool:
        from ..config_places import PACKS_VARIABLE

        listed = ",".join(sorted(chosen))
        self._session.console.say(f"try it with: {PACKS_VARIABLE}={shlex.quote(listed)}")
        return click.confirm("does it fail?", err=True)

    def _run(self, chosen: frozenset[str]) -> bool:
        import subprocess
        import sys

        output = sys.stderr if self._verbose else subprocess.DEVNULL
        try:
            done = subprocess.run(
                self._command,
                env=self._environment(chosen),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=self._timeout,
                check=False,
            )
            how = f"ends with code {done.returncode}"
            fails = done.returncode != 0
        except subprocess.TimeoutExpired:
            how, fails = f"does not end within {self._timeout:g} s", True
        except OSError as exc:
            reason = (exc.strerror or str(exc)).lower()
            text = f"the command {self._command[0]!r} cannot be started: {reason}"
            raise BadInputError("bad_command", text) from exc
        optional = sorted(chosen - self._kept)
        shown = ", ".join(optional) or "none of the packs"
        self._session.console.say(f"try {self.tries}: it {how} with {shown}", "dim")
        return fails

    def _environment(self, chosen: frozenset[str]) -> dict[str, str]:
        """Return the variables of a try: our own flags hold for it as well."""
        from ..config_places import CONFIG_VARIABLE, PACKS_VARIABLE

        flags = {CONFIG_VARIABLE: self._session.config_path}
        flags["COMFYTAVERN_DATA_DIR"] = self._session.data_dir
        given = {name: os.path.abspath(path) for name, path in flags.items() if path is not None}
        return {**os.environ, **given, PACKS_VARIABLE: ",".join(sorted(chosen))}

"""The ``comfytavern`` command itself: its options, its verbs, and the verbs of packs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import click

from ..console import Console
from .config import config
from .demo import demo
from .failures import report
from .logs import logging_to
from .nodes import nodes
from .pack_verbs import PackVerbs, belonging_to
from .packs import packs
from .run import run
from .runs import runs
from .serve import serve
from .session import Session
from .validate import validate
from .workflows import workflows

__all__ = ("cli",)


class Verbs(click.Group):
    """Our verbs, then those of the enabled packs; every failure is one clear message."""

    def main(self, args: Sequence[str] | None = None, **options: Any) -> NoReturn:  # type: ignore[override]  # Any: click's own
        """Run a command and leave with its exit code."""
        session = Session(Console())
        options |= {"standalone_mode": False, "obj": session}
        with logging_to(session.console):
            try:
                code = super().main(None if args is None else list(args), **options)
                session.console.out.flush()
            except SystemExit:
                raise
            except BaseException as exc:  # the last place: a user reads no traceback
                code = report(session, exc)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:  # Any: click's own
        """Call the verb. Click would answer a closed pipe and Ctrl-C itself, in its own way."""
        try:
            return super().invoke(ctx)
        except (OSError, KeyboardInterrupt) as exc:
            raise BaseExceptionGroup("while a verb ran", [exc]) from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb of ours, or import that of a pack."""
        own = super().get_command(ctx, cmd_name)
        return own or PackVerbs(ctx).load(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one may have been meant.

        :raises click.UsageError: there is no such verb
        """
        name = args[0]
        command = None if name.startswith("-") else self.get_command(ctx, name)
        if command is not None:
            return name, command, args[1:]
        from comfytavern.errors import did_you_mean

        reason = belonging_to(ctx, name)
        known = [*self.list_commands(ctx), *PackVerbs(ctx).names()]
        hint = f"; {reason}" if reason else did_you_mean(name, known)
        raise click.UsageError(f"there is no verb {name!r}{hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List our verbs, then those of packs by their metadata; nothing is imported."""
        super().format_commands(ctx, formatter)
        offered: Mapping[str, str] = PackVerbs(ctx).names()
        if offered:
            with formatter.section("Commands of packs"):
                formatter.write_dl([(name, f"from {pack}") for name, pack in offered.items()])


def _remember(context: click.Context, parameter: click.Parameter, value: object) -> None:
    """Keep a global option. Verbs of packs are looked up, and help listed, before click calls
    the group's own function, so that would be too late.
    """
    session = context.find_object(Session)
    if session is not None and parameter.name is not None:
        setattr(session, parameter.name, value)


_kept: dict[str, Any] = {  # Any: arguments of click's own
    "expose_value": False,
    "is_eager": True,
    "callback": _remember,
}


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", "config_path", metavar="PATH", help="The configuration file.", **_kept)
@click.option("--data-dir", metavar="PATH", help="In place of data_dir in the file.", **_kept)
@click.option("--safe", is_flag=True, help="Load the built-in packs only.", **_kept)
@click.option("--strict", is_flag=True, help="Leave with code 3 if a pack fails to load.", **_kept)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="How much to log.",
    **_kept,
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.", **_kept)
@click.version_option(package_name="comfytavern-hostapp", prog_name="comfytavern")
def cli() -> None:
    """Run node workflows whose nodes come from installed packs."""


for _verb in (serve, run, runs, validate, workflows, demo, nodes, packs, config):
    cli.add_command(_verb)

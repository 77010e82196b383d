"""What these commands ask of the host app, which gives it to them as click's ``obj``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, Protocol

import click

from comfytavern.definitions import NodeDefinition

__all__ = ("CommandHost", "Console", "RunOutcome", "json_option")


class Console(Protocol):
    """Where to write; control characters of strangers' texts do not reach a terminal."""

    def line(self, text: str = "") -> None:
        """Write one line of a result."""
        ...

    def json(self, document: object) -> None:
        """Write the one document that a program reads."""
        ...

    def warning(self, text: str) -> None:
        """Say what is worth knowing."""
        ...


class RunOutcome(Protocol):
    """How a run ended, by the ids of nodes."""

    @property
    def wanted(self) -> Sequence[str]:
        """The nodes that were asked for."""
        ...

    @property
    def outputs(self) -> Mapping[str, Mapping[str, object]]:
        """What each completed node gave."""
        ...

    @property
    def states(self) -> Mapping[str, str]:
        """How each node ended."""
        ...

    @property
    def error(self) -> str:
        """What failed; empty if nothing did."""
        ...


class CommandHost(Protocol):
    """The host app, as far as these commands need it."""

    @property
    def console(self) -> Console:
        """Where to write."""
        ...

    def answer_in_json(self) -> None:
        """Have failures answered in JSON too."""
        ...

    def refuse(self, code: str, message: str) -> NoReturn:
        """End the command: what it was given cannot be used."""
        ...

    def run_workflow(
        self,
        path: str,
        inputs: Sequence[str] = (),
        sets: Sequence[str] = (),
        *,
        upto: Callable[[NodeDefinition], bool] | None = None,
    ) -> RunOutcome:
        """Run the part of a workflow that the nodes named by ``upto`` need."""
        ...


def json_option(help_text: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Give a command ``--json``; known before anything else can fail."""

    def remember(context: click.Context, parameter: click.Parameter, value: bool) -> bool:
        if value:
            host: CommandHost = context.obj
            host.answer_in_json()
        return value

    return click.option(
        "--json", "as_json", is_flag=True, is_eager=True, callback=remember, help=help_text
    )

"""A runner that writes down what it is asked to run: the hooks, and a node that reads it.

One journal per host. It is made while the host loads, because the services and the runner share
it, opened when the host has started, and closed when it stops.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from comfytavern import (
    Config,
    Input,
    NodeContext,
    NodeDefinition,
    Output,
    PackContext,
    hookimpl,
    node,
)
from comfytavern.runner import RunnerFactory

from .journal import Journal
from .runner import JournalingRunner

__all__ = ("Input", "JournalPack", "JournalSettings", "plugin", "recent_runs")


class JournalSettings(BaseModel):
    """The pack's block under ``packs.settings``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep: int = Field(1000, ge=1, description="how many runs are kept; counted when a host starts")


@node(category="Runs", display_name="Recent Runs")
async def recent_runs(
    context: NodeContext, count: Annotated[int, Config(minimum=1, maximum=1000)] = 10
) -> Annotated[list[object], Output("runs")]:
    """List the runs that were last asked for, the latest first: id, user and time."""
    journal: Journal = context.services["run_journal"]
    return [entry.summary() for entry in await journal.latest(count)]


class JournalPack:
    """One object serves one host; see ``plugin``."""

    distribution = "comfytavern-run-journal"

    def __init__(self) -> None:
        self._journal = Journal(None)

    @hookimpl
    def settings_model(self) -> type[BaseModel]:
        """Give the model of this pack's settings."""
        return JournalSettings

    @hookimpl
    def register_nodes(self) -> Iterable[NodeDefinition]:
        """Contribute the node."""
        return [recent_runs]

    @hookimpl
    def register_services(self, pack: PackContext) -> Mapping[str, object]:
        """Contribute ``run_journal``."""
        settings = pack.settings if isinstance(pack.settings, JournalSettings) else None
        folder = pack.data_dir
        path = None if folder is None else folder / "runs.jsonl"
        self._journal = Journal(path, keep=(settings or JournalSettings()).keep)
        return {"run_journal": self._journal}

    @hookimpl
    def register_runners(self) -> Mapping[str, RunnerFactory]:
        """Contribute ``journaling``; asked right after the services."""
        return {"journaling": partial(JournalingRunner, journal=self._journal)}

    @hookimpl
    def host_started(self) -> Callable[[], Awaitable[None]]:
        """Open the journal, and let go of what is too old."""
        return self._journal.open

    @hookimpl
    def host_stopping(self) -> Callable[[], Awaitable[None]]:
        """Close the journal."""
        return self._journal.close


plugin = JournalPack()

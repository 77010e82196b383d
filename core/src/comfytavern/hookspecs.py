"""Every hook that the host asks packs, and the markers to implement them.

All are synchronous. Those that contribute something are called while the host loads,
one pack at a time; the event hooks are called while workflows run (see ``docs/hooks.md``).
"""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pluggy
from pydantic import BaseModel

from .definitions import NodeDefinition
from .events import (
    BypassRequest,
    InterfaceChunk,
    NodeBypassed,
    NodeChunk,
    NodeCompleted,
    NodeFailed,
    NodeInterrupted,
    NodeProgress,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    RunStarted,
)
from .runner import RunnerFactory

__all__ = ("EVENT_HOOKS", "PackAnswer", "PackContext", "hookimpl", "hookspec")

PROJECT = "comfytavern"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class PackAnswer(Protocol):
    """What one pack answered to a hook of another pack."""

    @property
    def distribution(self) -> str: ...
    @property
    def value(self) -> object: ...


class PackContext(Protocol):
    """The pack that is being asked: who it is, and what the operator gave it."""

    @property
    def distribution(self) -> str:
        """The normalised distribution name, which is also its namespace."""
        ...

    @property
    def version(self) -> str: ...

    @property
    def settings(self) -> object:
        """The validated settings of the pack; None without a model."""
        ...

    @property
    def data_dir(self) -> Path | None:
        """A folder that the pack may write to; None where the host keeps nothing."""
        ...

    def warn(self, message: str) -> None:
        """Put a warning on the pack's record, where every listing of packs shows it."""
        ...

    def ask(self, hook: str, **arguments: object) -> Sequence[PackAnswer]:
        """Ask every pack for a hook that this pack defined, one pack at a time."""
        ...


@hookspec
def register_hookspecs(pack: PackContext) -> object:
    """Contribute hookspecs that other packs may implement.

    :return: a module or object that carries functions marked with ``hookspec``
    """


@hookspec
def register_nodes(pack: PackContext) -> Iterable[NodeDefinition]:
    """Contribute node definitions.

    Called once per pack while the host loads, before any run. Do not open connections
    or import heavy libraries here; do that in ``execute``.

    :return: definitions; each ``type`` becomes ``<distribution>:<type>``
    """


@hookspec
def settings_model(pack: PackContext) -> type[BaseModel]:
    """Contribute the model of the pack's block under ``packs.settings``.

    The block is validated before the pack's nodes are asked for; one that does not fit
    disables this pack only.
    """


@hookspec
def register_services(pack: PackContext) -> Mapping[str, object]:
    """Contribute services that nodes reach as ``context.services[name]``.

    Called after every pack has registered, so hooks of other packs may be asked. A name
    that another pack has taken is a conflict that names both.
    """


@hookspec
def register_runners(pack: PackContext) -> Mapping[str, RunnerFactory]:
    """Contribute runners; the operator chooses one with ``runner: NAME``."""


@hookspec
def bypass_outputs(request: BypassRequest) -> Mapping[str, object] | None:
    """Decide the pseudo-outputs of a bypassed node; None leaves it to the next.

    A pack is asked for its own nodes, and for others' only if the operator lists it
    under ``packs.bypass``. An output that is left out is absent.
    """


@hookspec
def host_started(pack: PackContext) -> Callable[[], Awaitable[None]] | None:
    """Return a coroutine function that is awaited once the host is up."""


@hookspec
def host_stopping(pack: PackContext) -> Callable[[], Awaitable[None]] | None:
    """Return a coroutine function that is awaited before the host goes down."""


@hookspec
def run_started(event: RunStarted) -> None:
    """Hear that a run has started."""


@hookspec
def run_finished(event: RunFinished) -> None:
    """Hear that a run has ended, and how."""


@hookspec
def node_started(event: NodeStarted) -> None:
    """Hear that a node has started."""


@hookspec
def node_completed(event: NodeCompleted) -> None:
    """Hear that a node has completed, with its batch outputs."""


@hookspec
def node_failed(event: NodeFailed) -> None:
    """Hear that a node has failed."""


@hookspec
def node_skipped(event: NodeSkipped) -> None:
    """Hear that a node is skipped because an earlier one failed."""


@hookspec
def node_bypassed(event: NodeBypassed) -> None:
    """Hear that a node was bypassed, with its pseudo-outputs."""


@hookspec
def node_interrupted(event: NodeInterrupted) -> None:
    """Hear that a node did not finish because the run was interrupted."""


@hookspec
def node_progress(event: NodeProgress) -> None:
    """Hear how far a node is."""


@hookspec
def node_chunks(events: Sequence[NodeChunk]) -> None:
    """Hear what nodes streamed since the last turn of the event loop, in order."""


@hookspec
def interface_chunks(events: Sequence[InterfaceChunk]) -> None:
    """Hear what the workflow's own stream outputs brought, in order, by turns of the loop."""


EVENT_HOOKS = (
    "run_started",
    "run_finished",
    "node_started",
    "node_completed",
    "node_failed",
    "node_skipped",
    "node_bypassed",
    "node_interrupted",
    "node_progress",
    "node_chunks",
    "interface_chunks",
)

"""A runner that does what a test says, right or wrong."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import anyio

from comfytavern.runner import AbandonedNode, Envelope, RunSpec

__all__ = ("Script", "ScriptedRunner", "event", "status")

# Called for each run with its spec; yields what the runner yields.
Script = Callable[[RunSpec], AsyncGenerator[list[Envelope], None]]


class ScriptedRunner:
    """Implements ``Runner``: each run is a call of the script.

    ``cancelled`` holds the ids that it was told to cancel, ``told`` is set with each.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.cancelled: list[str] = []
        self.told = anyio.Event()
        self.cancel_error: Exception | None = None

    async def start(self) -> None:
        """Do nothing."""

    def run(self, spec: RunSpec) -> AsyncGenerator[list[Envelope], None]:
        """Follow the script."""
        return self.script(spec)

    async def cancel(self, run_id: str) -> None:
        """Note it, and raise if a test says so."""
        self.cancelled.append(run_id)
        self.told.set()
        if self.cancel_error is not None:
            raise self.cancel_error

    async def press(
        self, run_id: str, node_id: str, button: str, message: Mapping[str, Any]
    ) -> None:
        """Have no buttons."""
        raise LookupError

    def abandoned(self) -> Mapping[str, Sequence[AbandonedNode]]:
        """Hold nothing up."""
        return {}

    async def close(self) -> None:
        """Do nothing."""


def event(spec: RunSpec, kind: str, **payload: object) -> Envelope:
    """Return an event of a run."""
    return {"type": kind, "payload": {"promptId": spec.run_id, **payload}}


def status(spec: RunSpec, name: str) -> Envelope:
    """Return the event that says what has become of a run."""
    return event(spec, "EXECUTION_STATUS_UPDATE", status=name)

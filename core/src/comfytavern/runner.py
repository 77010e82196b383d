"""The seam between a host's scheduler and what executes runs.

A runner is told to run a *spec*, plain data, and answers with batches of events that
end in exactly one final ``EXECUTION_STATUS_UPDATE``. It assigns no ``seq``, stores
nothing and knows no clients: the host does that once, for every runner.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ("AbandonedNode", "Envelope", "RunSpec", "Runner", "RunnerFactory")

# {"type": ..., "payload": {...}, "ts": ...}; JSON values only, plus "seq" once the host has it
Envelope = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Everything that a runner needs to know of one run; JSON values only.

    ``workflows`` embeds the workflows that groups refer to, by id. ``packs_digest``
    names the set of packs the run was validated against; empty means any.
    ``admitted`` lists files outside the resource roots that the operator allowed.
    With ``allow_missing`` nodes of unknown types fail one by one, not the whole run.
    """

    run_id: str
    workflow: Mapping[str, Any]
    inputs: Mapping[str, Any] = field(default_factory=dict)
    workflows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    user_id: str | None = None
    packs_digest: str = ""
    admitted: tuple[str, ...] = ()
    allow_missing: bool = False


@dataclass(frozen=True, slots=True)
class AbandonedNode:
    """A node that goes on although its run has ended, and whose it is."""

    node_id: str
    node_type: str
    pack: str
    version: str


class Runner(Protocol):
    """Executes runs; chosen by the operator with ``runner: NAME``."""

    async def start(self) -> None:
        """Get ready. Called once, before the first run."""
        ...

    def run(self, spec: RunSpec) -> AsyncGenerator[list[Envelope], None]:
        """Execute one run and yield its events in batches, in order.

        The last event of the last batch is the only one with a final status. After it
        the iterator ends once the work has really stopped. Closing it early interrupts
        the run.
        """
        ...

    async def cancel(self, run_id: str) -> None:
        """Interrupt a run. An unknown id is no error; calling twice changes nothing."""
        ...

    async def press(
        self, run_id: str, node_id: str, button: str, message: Mapping[str, Any]
    ) -> None:
        """Press a button of a running node.

        :param message: JSON values for the node's handler
        :raises LookupError: no such run runs here, or its node listens to no such button
        :raises NodeFailedError: what the node does about the button raised
        """
        ...

    def abandoned(self) -> Mapping[str, Sequence[AbandonedNode]]:
        """Return what goes on after the end of its run, by run id."""
        ...

    async def close(self) -> None:
        """Stop what still runs and let go of everything."""
        ...


# Called with the host that the runner belongs to (``comfytavern.host.PackHost``).
RunnerFactory = Callable[[Any], Runner]

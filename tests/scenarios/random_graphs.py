"""What random graphs share: how many are tried, and what holds for every run."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings

from comfytavern.events import FINAL_STATUSES, INTERFACE_OUTPUTS_NODE

from .comparing import TERMINAL, check_order
from .running import Observed, OnEvent, RunInProgress

__all__ = ("PROPERTY", "check_ends", "check_interrupt", "interrupting")

Json = dict[str, Any]  # Any: JSON

PROPERTY = settings(
    deadline=None,
    database=None,
    max_examples=50,
    # the event loop of a test serves all of its examples
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def check_ends(payload: Json, seen: Observed) -> None:
    """Check that every node ended once and is final, and that order holds along edges."""
    check_order(payload, seen)
    ids = {node["id"] for node in payload["nodes"]}
    assert seen.states.keys() == ids
    assert set(seen.states.values()) <= FINAL_STATUSES
    ended = [p["nodeId"] for p in seen.events.of(*TERMINAL)]
    ended = [node for node in ended if node != INTERFACE_OUTPUTS_NODE]
    assert sorted(ended) == sorted(ids)
    assert len(seen.order()) == len(set(seen.order()))


def interrupting(after: int) -> OnEvent:
    """Return what interrupts a run at its event of this number."""
    heard = 0

    def on_event(progress: RunInProgress, kind: str, about: str) -> None:
        nonlocal heard
        if heard == after:
            progress.interrupt()
        heard += 1

    return on_event


def check_interrupt(seen: Observed) -> None:
    """Check that nothing but the interrupted nodes is told after an interrupt."""
    interrupted = {p["nodeId"] for p in seen.events.of("NODE_INTERRUPTED")}
    states = {node for node, state in seen.states.items() if state == "interrupted"}
    assert interrupted == states
    if interrupted:
        assert seen.status == "interrupted"

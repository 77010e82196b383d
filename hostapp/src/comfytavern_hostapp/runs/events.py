"""The events that the host itself adds to a run's log: accepted, queued, ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfytavern.events import FINAL_STATUSES, EventType, Status
from comfytavern.runner import Envelope

__all__ = ("accepted_event", "final_status", "node_interrupted_event", "status_event")


def accepted_event(run_id: str) -> Envelope:
    """Say that a run was accepted; the first event of its log."""
    return _event(EventType.PROMPT_ACCEPTED_RESPONSE, promptId=run_id)


def status_event(run_id: str, status: Status, **more: object) -> Envelope:
    """Say what has become of a run; with a final status the last event of its log.

    :param more: ``errorInfo``, ``queuePosition``
    """
    return _event(EventType.EXECUTION_STATUS_UPDATE, promptId=run_id, status=status.value, **more)


def node_interrupted_event(run_id: str, node_id: str, *, partial: bool) -> Envelope:
    """Say that a node did not finish."""
    more = {"partial": True} if partial else {}
    return _event(EventType.NODE_INTERRUPTED, promptId=run_id, nodeId=node_id, **more)


def final_status(event: Mapping[str, Any]) -> Status | None:  # Any: JSON
    """Return the final status that an event brings; None for every other event."""
    if event["type"] != EventType.EXECUTION_STATUS_UPDATE:
        return None
    status = Status(event["payload"]["status"])
    return status if status in FINAL_STATUSES else None


def _event(kind: EventType, **payload: object) -> Envelope:
    return {"type": kind.value, "payload": payload}

"""What happens during a run: statuses, event classes for listeners, envelopes for the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from .chunks import Chunk
from .definitions import NodeDefinition
from .types import SlotType

__all__ = (
    "FINAL_STATUSES",
    "INTERFACE_OUTPUTS_NODE",
    "BypassRequest",
    "EventType",
    "InterfaceChunk",
    "NodeBypassed",
    "NodeChunk",
    "NodeCompleted",
    "NodeFailed",
    "NodeInterrupted",
    "NodeProgress",
    "NodeSkipped",
    "NodeStarted",
    "RunFinished",
    "RunStarted",
    "Status",
)

# The node id under which a workflow's own outputs are reported.
INTERFACE_OUTPUTS_NODE = "__WORKFLOW_INTERFACE_OUTPUTS__"


class Status(StrEnum):
    """The status of a run or of one of its nodes."""

    IDLE = "idle"
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    ERROR = "error"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"


FINAL_STATUSES = frozenset({Status.COMPLETE, Status.ERROR, Status.INTERRUPTED, Status.SKIPPED})


class EventType(StrEnum):
    """The ``type`` of an envelope, as ComfyTavern names it."""

    PROMPT_ACCEPTED_RESPONSE = "PROMPT_ACCEPTED_RESPONSE"
    EXECUTION_STATUS_UPDATE = "EXECUTION_STATUS_UPDATE"
    NODE_EXECUTING = "NODE_EXECUTING"
    NODE_PROGRESS = "NODE_PROGRESS"
    NODE_COMPLETE = "NODE_COMPLETE"
    NODE_ERROR = "NODE_ERROR"
    NODE_SKIPPED = "NODE_SKIPPED"
    NODE_BYPASSED = "NODE_BYPASSED"
    NODE_INTERRUPTED = "NODE_INTERRUPTED"
    NODE_YIELD = "NODE_YIELD"
    WORKFLOW_INTERFACE_YIELD = "WORKFLOW_INTERFACE_YIELD"
    SYSTEM_QUEUE_UPDATE = "SYSTEM_QUEUE_UPDATE"
    NODES_RELOADED = "NODES_RELOADED"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run has started."""

    run_id: str
    node_count: int


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run has ended. ``error`` is the first failure, if it ended in one."""

    run_id: str
    status: Status
    error: str | None
    duration_ms: float


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A node has started."""

    run_id: str
    node_id: str
    node_type: str


@dataclass(frozen=True, slots=True)
class NodeCompleted:
    """A node has completed. ``outputs`` are shared with other nodes: read only."""

    run_id: str
    node_id: str
    node_type: str
    outputs: Mapping[str, object]
    duration_ms: float


@dataclass(frozen=True, slots=True)
class NodeFailed:
    """A node has failed; ``partial`` tells that it had streamed something before."""

    run_id: str
    node_id: str
    node_type: str
    pack: str
    code: str
    message: str
    traceback: str
    partial: bool


@dataclass(frozen=True, slots=True)
class NodeSkipped:
    """A node is skipped; ``caused_by`` is the id of the node that failed."""

    run_id: str
    node_id: str
    node_type: str
    reason: str
    caused_by: str


@dataclass(frozen=True, slots=True)
class NodeBypassed:
    """A node was bypassed."""

    run_id: str
    node_id: str
    node_type: str
    pseudo_outputs: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class NodeInterrupted:
    """A node did not finish; ``partial`` tells that it had streamed something before."""

    run_id: str
    node_id: str
    node_type: str
    partial: bool


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """A node is at ``value`` of ``maximum``."""

    run_id: str
    node_id: str
    node_type: str
    value: float
    maximum: float
    text: str | None


@dataclass(frozen=True, slots=True)
class NodeChunk:
    """A node has streamed one chunk."""

    run_id: str
    node_id: str
    chunk: Chunk
    is_last: bool


@dataclass(frozen=True, slots=True)
class InterfaceChunk:
    """A stream output of the workflow has brought one chunk."""

    run_id: str
    key: str
    display_name: str | None
    chunk: Chunk
    is_last: bool


@dataclass(frozen=True, slots=True)
class BypassRequest:
    """A bypassed node, as a pack may decide its pseudo-outputs."""

    run_id: str
    node_id: str
    definition: NodeDefinition
    inputs: Mapping[str, object]
    input_types: Mapping[str, SlotType]
    output_types: Mapping[str, SlotType]
    multi_inputs: frozenset[str] = frozenset()

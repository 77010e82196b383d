"""The bodies of requests and answers, as models; ``/api/openapi.json`` is made from them.

Names on the wire are camelCase. Times are ISO 8601 in UTC, durations milliseconds.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from comfytavern.events import Status

__all__ = (
    "AbandonedWork",
    "Body",
    "ErrorBody",
    "ErrorDetail",
    "ErrorInfo",
    "Executions",
    "Health",
    "HistoryDeleteQuery",
    "HistoryPage",
    "HistoryQuery",
    "Interrupted",
    "ListenerTrouble",
    "LoginBody",
    "LoginState",
    "NodeState",
    "PriorityBody",
    "PromptAccepted",
    "PromptBody",
    "QueueState",
    "Removed",
    "RunDetail",
    "RunEntry",
    "RunError",
    "RunQuery",
    "SinceQuery",
    "StoredRunDetail",
    "SystemStats",
)

Json = dict[str, Any]  # Any: a JSON value
Priority = Annotated[int, Field(ge=-1000, le=1000, description="higher ones are started first")]


class Body(BaseModel):
    """A body or query as it is on the wire."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        hide_input_in_errors=True,
    )


class ErrorDetail(Body):
    """One problem, and where it is."""

    code: str
    message: str
    node: str | None = None
    slot: str | None = None
    path: str | None = None


class ErrorInfo(Body):
    """What went wrong; ``code`` is stable."""

    code: str
    message: str
    details: tuple[ErrorDetail, ...] = ()


class ErrorBody(Body):
    """The body of every refusal."""

    error: ErrorInfo


# --- runs ---------------------------------------------------------------------------------


class PromptBody(Body):
    """What is to be run: an execution payload by itself (``nodes``, ``edges`` ...), or a
    ``workflow`` of either format, or the ``workflowId`` of a stored one."""

    model_config = ConfigDict(extra="allow")

    workflow: Json | None = None
    workflow_id: str | None = Field(default=None, max_length=1024)
    nodes: list[Any] | None = Field(default=None, description="of an execution payload by itself")
    inputs: Json = Field(default_factory=dict, description="values of the workflow's inputs")
    priority: Priority = 0
    allow_missing: bool = Field(
        default=False,
        description="run what does not need the nodes of unknown types; those fail",
    )

    @model_validator(mode="after")
    def _has_a_workflow(self) -> PromptBody:
        if self.nodes is None and self.workflow is None and self.workflow_id is None:
            raise ValueError("expected one of 'workflow', 'workflowId' and 'nodes'")
        return self


class PromptAccepted(Body):
    """The run that was queued, or found again by its idempotency key."""

    prompt_id: str
    status: Status
    queue_position: int | None = None
    warnings: tuple[ErrorDetail, ...] = ()


class RunError(Body):
    """Why a run has failed."""

    model_config = ConfigDict(extra="allow")

    code: str | None = None
    message: str | None = None
    node_id: str | None = None


class RunEntry(Body):
    """One run, as lists show it."""

    prompt_id: str
    status: Status
    workflow_id: str | None = None
    workflow_name: str | None = None
    priority: int = 0
    queue_position: int | None = None
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None
    duration_ms: float | None = None
    last_seq: int = 0


class NodeState(Body):
    """Where a node stands."""

    model_config = ConfigDict(extra="allow")

    status: Status
    duration_ms: float | None = None
    progress: Json | None = None
    error: Json | None = None
    reason: str | None = None
    caused_by: str | None = None
    bypassed: bool = False
    partial: bool = False


class RunDetail(RunEntry):
    """One run with its nodes, its outputs so far and its error.

    A stream output is the text so far; ``cutOutputs`` names those that are longer than what
    is shown here and whole in the events. ``nodeOutputs`` is there when it was asked for.
    """

    nodes: dict[str, NodeState] = Field(default_factory=dict)
    outputs: Json = Field(default_factory=dict)
    cut_outputs: tuple[str, ...] = ()
    node_outputs: dict[str, Json] | None = None
    error: RunError | None = None


class StoredRunDetail(RunDetail):
    """One run with the workflow and the inputs it was handed in with."""

    workflow: Json
    inputs: Json


class RunQuery(Body):
    """What to tell of a run."""

    node_outputs: bool = Field(default=False, description="also the outputs of every node")


class SinceQuery(Body):
    """Where to go on in the log of a run."""

    since: Annotated[int, Field(ge=0, le=2**53)] | None = Field(
        default=None, description="the last seq that was seen; Last-Event-ID does the same"
    )


class Interrupted(Body):
    """What becomes of a run that was to be interrupted: ``interrupting`` while it still runs."""

    prompt_id: str
    status: Status | Literal["interrupting"]


class PriorityBody(Body):
    """Another priority for a run that waits."""

    priority: Priority


class QueueState(Body):
    """Whether runs are started."""

    paused: bool
    running: int
    pending: int


class Executions(Body):
    """What runs and what waits, in order."""

    running_executions: tuple[RunEntry, ...]
    pending_executions: tuple[RunEntry, ...]
    paused: bool
    slots: int


class HistoryQuery(Body):
    """Which runs to list, newest first."""

    status: tuple[Status, ...] = Field(default=(), max_length=10)
    workflow_id: str | None = Field(default=None, max_length=1024)
    text: str | None = Field(default=None, max_length=200, description="part of an id or name")
    since: Annotated[float, Field(ge=0, le=1e11)] | None = Field(
        default=None, description="seconds since 1970"
    )
    until: Annotated[float, Field(ge=0, le=1e11)] | None = None
    before: Annotated[int, Field(ge=0, le=2**53)] | None = Field(
        default=None, description="the nextBefore of the page before"
    )
    limit: Annotated[int, Field(ge=1, le=500)] = 50


class HistoryDeleteQuery(Body):
    """Which finished runs to delete; at least one condition, or ``all``."""

    status: tuple[Status, ...] = Field(default=(), max_length=10)
    workflow_id: str | None = Field(default=None, max_length=1024)
    text: str | None = Field(default=None, max_length=200, description="part of an id or name")
    since: Annotated[float, Field(ge=0, le=1e11)] | None = None
    until: Annotated[float, Field(ge=0, le=1e11)] | None = Field(
        default=None, description="seconds since 1970"
    )
    all: bool = False

    @model_validator(mode="after")
    def _says_which(self) -> HistoryDeleteQuery:
        conditions = (self.workflow_id, self.text, self.since, self.until)
        if not (self.all or self.status or any(c is not None for c in conditions)):
            raise ValueError("expected a condition, or all=true to delete every finished run")
        return self


class HistoryPage(Body):
    """Some runs; ``nextBefore`` asks for the next page, ``total`` counts all pages."""

    runs: tuple[RunEntry, ...]
    next_before: int | None = None
    total: int


class Removed(Body):
    """How many were removed."""

    removed: int


# --- the host -----------------------------------------------------------------------------


class LoginBody(Body):
    """The token of the server."""

    token: str = Field(min_length=1, max_length=4096)


class LoginState(Body):
    """Whether this browser may go on, and whether it needs a token for that."""

    logged_in: bool
    token_needed: bool


class Health(Body):
    """Whether the host can take runs. ``packsDigest`` is equal on hosts with equal packs."""

    status: Literal["ok", "degraded"]
    problems: tuple[str, ...] = ()
    version: str
    packs_digest: str


class AbandonedWork(Body):
    """A node that does not stop although its run has ended; it holds a slot."""

    prompt_id: str
    node_id: str
    node_type: str
    pack: str
    version: str


class ListenerTrouble(Body):
    """What went wrong in a pack that listens to events."""

    pack: str
    version: str
    hook: str
    kind: str
    message: str
    count: int


class SystemStats(Body):
    """What the host is doing, and with what."""

    version: str
    python: str
    platform: str
    uptime_seconds: float
    memory_bytes: int | None = None
    slots: int
    running: int
    pending: int
    paused: bool
    clients: int
    threads_busy: int
    abandoned: tuple[AbandonedWork, ...]
    packs: dict[str, int]
    node_types: int
    stored_runs: int
    store_bytes: int
    listener_troubles: tuple[ListenerTrouble, ...] = ()

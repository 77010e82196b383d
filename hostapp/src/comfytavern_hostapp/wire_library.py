"""The bodies of requests and answers about what is stored: workflows and resources."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from .wire import Body

__all__ = (
    "RenameBody",
    "Renamed",
    "ResourceDetail",
    "ResourceList",
    "ResourceListQuery",
    "RestoreBody",
    "SavedWorkflow",
    "StoredResources",
    "UploadForm",
    "UploadQuery",
    "WorkflowDocument",
    "WorkflowList",
    "WorkflowQuery",
    "WorkflowSummary",
    "WorkflowVersion",
    "WorkflowVersions",
    "moment",
)

_Version = Annotated[str, Field(max_length=64, description="as the list of versions names it")]
_Replace = Annotated[bool, Field(description="whether it may take the place of another content")]

_LAST_MOMENT = datetime.max.replace(tzinfo=UTC).timestamp() - 1


def moment(seconds: float) -> str:
    """Return the time of a file as it is on the wire; a file system may hold odd ones."""
    found = datetime.fromtimestamp(min(max(seconds, 0), _LAST_MOMENT), UTC)
    return found.isoformat(timespec="milliseconds")


# --- workflows ----------------------------------------------------------------------------


class WorkflowSummary(Body):
    """One stored workflow. ``problem`` says why its file is none; it has no etag if it cannot
    be read."""

    id: str
    name: str
    description: str | None = None
    modified: str
    size: int
    etag: str | None = None
    versions: int = Field(description="how many earlier contents can be had")
    problem: str | None = None


class WorkflowList(Body):
    """All stored workflows, sorted by id."""

    workflows: tuple[WorkflowSummary, ...]


class WorkflowDocument(Body):
    """A saved canvas or an execution payload. It is kept as it is, whatever else it holds."""

    model_config = ConfigDict(extra="allow")

    nodes: list[dict[str, Any]]  # Any: JSON


class WorkflowQuery(Body):
    """Which content of a workflow to give."""

    version: _Version | None = None


class SavedWorkflow(Body):
    """What is stored now; ``etag`` is what If-Match takes."""

    id: str
    etag: str
    modified: str


class WorkflowVersion(Body):
    """An earlier content of a workflow, and when that was saved."""

    version: str
    modified: str
    size: int
    etag: str


class WorkflowVersions(Body):
    """The earlier contents of a workflow, the newest first."""

    versions: tuple[WorkflowVersion, ...]


class RestoreBody(Body):
    """Which earlier content to bring back."""

    version: _Version


class RenameBody(Body):
    """The id that a workflow has, and the one that it gets."""

    old: str = Field(alias="from", max_length=1024)
    new: str = Field(alias="to", max_length=1024)


class Renamed(Body):
    """The id that a workflow has from now on."""

    id: str


# --- resources ----------------------------------------------------------------------------


class ResourceDetail(Body):
    """One file. ``name`` is what a node takes; ``mediaType`` is guessed from it."""

    name: str
    root: str
    path: str
    size: int
    modified: str
    media_type: str


class ResourceListQuery(Body):
    """Which files to list, sorted by name."""

    root: str | None = Field(default=None, max_length=100, description="only those of this root")
    prefix: str = Field(default="", max_length=1024, description="only those below this folder")
    limit: Annotated[int, Field(ge=1, le=1000)] = 200
    after: str | None = Field(
        default=None, max_length=2048, description="the nextAfter of the page before"
    )


class ResourceList(Body):
    """Some files; ``nextAfter`` asks for the next page."""

    resources: tuple[ResourceDetail, ...]
    next_after: str | None = None


class UploadQuery(Body):
    """How to store a file."""

    replace: _Replace = False


class UploadForm(Body):
    """Where to store the files of a form, and how."""

    root: str = Field(default="shared", max_length=100, description="shared, or user for oneself")
    folder: str = Field(default="", max_length=1024, description="below the root; it is made")
    replace: _Replace = False


class StoredResources(Body):
    """The files that were stored, in the order of the form."""

    resources: tuple[ResourceDetail, ...]

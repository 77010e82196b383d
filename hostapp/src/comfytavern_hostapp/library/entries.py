"""What the library of workflows answers, and how it refuses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from comfytavern.errors import HostError, did_you_mean

__all__ = (
    "StoredWorkflow",
    "UnknownWorkflowError",
    "VersionEntry",
    "VersionList",
    "WorkflowConflictError",
    "WorkflowEntry",
    "WorkflowExistsError",
    "WorkflowList",
    "WorkflowNameError",
)


class WorkflowNameError(HostError):
    """No stored workflow can have this id."""

    code = "bad_workflow_name"

    def __init__(self, workflow_id: object) -> None:
        self.workflow_id = workflow_id
        text = workflow_id if isinstance(workflow_id, str) else f"<{type(workflow_id).__name__}>"
        shown = text if len(text) <= 200 else f"{text[:80]}..."
        super().__init__(
            f"a workflow cannot have the id {shown!r}; expected a path such as 'chat/tavern', with"
            " no '.json', no '..', no backslash, no colon, no hidden part and no link on the way"
        )


class UnknownWorkflowError(HostError):
    """No workflow has this id, or it has no such version."""

    code = "unknown_workflow"

    def __init__(
        self,
        workflow_id: str,
        known: Iterable[str] = (),
        *,
        version: str | None = None,
        versions: int = 0,
    ) -> None:
        self.workflow_id = workflow_id
        self.version = version
        if version is not None:
            text = f"workflow {workflow_id!r} has no version {version!r}"
        elif versions:
            text = f"workflow {workflow_id!r} was deleted; {versions} of its versions can come back"
        else:
            text = f"no workflow has the id {workflow_id!r}{did_you_mean(workflow_id, known)}"
        super().__init__(text)


class WorkflowExistsError(HostError):
    """The id is taken, or another name on the way differs from it only in case."""

    code = "workflow_exists"

    def __init__(self, workflow_id: str, existing: str) -> None:
        self.workflow_id = workflow_id
        self.existing = existing
        super().__init__(
            f"a workflow has the id {workflow_id!r} already; choose another"
            if existing == workflow_id
            else f"workflow {workflow_id!r} cannot be kept beside {existing!r}; choose another id"
        )


class WorkflowConflictError(HostError):
    """The workflow is not the one that the caller has seen. ``etag`` is what it is now."""

    code = "workflow_changed"

    def __init__(self, workflow_id: str, etag: str | None) -> None:
        self.workflow_id = workflow_id
        self.etag = etag
        happened = "was deleted" if etag is None else "has changed"
        super().__init__(f"workflow {workflow_id!r} {happened} meanwhile; read it again first")


@dataclass(frozen=True, slots=True)
class WorkflowEntry:
    """One line of the list. ``problem`` says why the file is no workflow; None if it is one."""

    id: str
    name: str
    description: str | None
    modified: float
    size: int
    etag: str | None  # None if it cannot be read
    versions: int
    problem: str | None


@dataclass(frozen=True, slots=True)
class VersionEntry:
    """An earlier content; ``modified`` is when that content was saved."""

    version: str
    modified: float
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class StoredWorkflow:
    """A document as it was saved; ``version`` is None for the one that counts."""

    id: str
    document: dict[str, object]
    etag: str
    modified: float
    version: str | None = None


# By these names, because a class with a method ``list`` cannot spell them.
WorkflowList = list[WorkflowEntry]
VersionList = list[VersionEntry]

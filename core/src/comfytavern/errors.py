"""Every exception of the core, and the findings that some of them carry.

```text
ComfyTavernError            .code is stable and goes on the wire
  PackError                 a pack failed; never ends the host
    PackImportError         its module could not be imported
    PackHookError           a hook is misspelt, takes a wrong argument, or raised
    PackConflictError       two packs claim one name
    PackSettingsError       its block in the configuration does not fit its model
    UnknownPackError        no such distribution offers nodes
  UnknownNodeTypeError      no loaded pack has this node type; also a LookupError
  MissingPackError          a node was run although nobody has its type
  UnknownClientScriptError  a node type has no such script for the page
  WorkflowError             the workflow cannot run; carries every finding at once
  RunError                  something failed while running
    NodeFailedError         a node raised
    StreamBrokenError       the writer of a stream failed; raised in its readers
    StreamOverflowError     a stream's reader cannot take, and too much is waiting for it
    RunInterruptedError     raised in node code that asks whether to go on
  ResourceError             a resource cannot be opened
  HostError                 the host refused
    UnknownRunError         no run has this id
    QueueFullError          too many runs are waiting
```

Constructors build the text from the attributes, so that no caller words it again.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

__all__ = (
    "ComfyTavernError",
    "Finding",
    "HostError",
    "MissingPackError",
    "NodeFailedError",
    "PackConflictError",
    "PackError",
    "PackHookError",
    "PackImportError",
    "PackSettingsError",
    "QueueFullError",
    "ResourceError",
    "RunError",
    "RunInterruptedError",
    "StreamBrokenError",
    "StreamOverflowError",
    "UnknownClientScriptError",
    "UnknownNodeTypeError",
    "UnknownPackError",
    "UnknownRunError",
    "WorkflowError",
    "did_you_mean",
)


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return `` ; did you mean 'x'?`` for the closest candidate, or an empty text."""
    known = list(candidates)
    # Comparing is slow; among thousands of names a close one would hardly be the one meant.
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.6) if len(known) < 500 else []
    return f"; did you mean {matches[0]!r}?" if matches else ""


class ComfyTavernError(Exception):
    """Anything this project raises on purpose."""

    code: ClassVar[str] = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a workflow, or worth a warning.

    ``code`` is stable; ``message`` is complete by itself. ``node``, ``slot`` and
    ``path`` say where, as far as there is a where.
    """

    code: str
    message: str
    node: str | None = None
    slot: str | None = None
    path: str | None = None
    severity: str = "error"

    def __post_init__(self) -> None:
        # Names come from files, where half of a surrogate pair may stand; UTF-8 has none.
        for field in ("message", "node", "slot", "path"):
            text = getattr(self, field)
            if text is not None and not text.isascii():
                clean = text.encode("utf-8", "replace").decode()
                object.__setattr__(self, field, clean)

    def to_wire(self) -> dict[str, str]:
        """Return the finding as the ``details`` entry of an error body."""
        shown = {"code": self.code, "message": self.message}
        optional = {"node": self.node, "slot": self.slot, "path": self.path}
        return shown | {key: value for key, value in optional.items() if value is not None}


class PackError(ComfyTavernError):
    """A pack failed. ``distribution``, ``version`` and ``phase`` say which and when."""

    code = "pack_failed"
    verb: ClassVar[str] = "failed"

    def __init__(
        self,
        distribution: str,
        reason: str,
        *,
        version: str = "",
        phase: str = "",
        remedy: str = "",
    ) -> None:
        self.distribution = distribution
        self.version = version
        self.phase = phase
        self.reason = reason
        self.remedy = remedy
        name = f"pack {distribution!r}" + (f" {version}" if version else "")
        super().__init__(f"{name} {self.verb}: {reason}" + (f"; {remedy}" if remedy else ""))


class PackImportError(PackError):
    """The module or the attribute that an entry point names cannot be had."""

    code = "pack_import_failed"
    verb = "failed to import"


class PackHookError(PackError):
    """A hook implementation is misspelt, asks for an unknown argument, or raised."""

    code = "pack_hook_failed"
    verb = "has a broken hook"


class PackConflictError(PackError):
    """Two packs claim one name: a node type, a namespace, a service, a command."""

    code = "pack_conflict"
    verb = "is in conflict"


class PackSettingsError(PackError):
    """A pack's settings do not fit the pack's own model; ``problems`` lists why."""

    code = "pack_settings"
    verb = "has settings that do not fit"

    def __init__(
        self, distribution: str, problems: Sequence[tuple[tuple[str | int, ...], str]]
    ) -> None:
        self.problems = tuple(problems)
        listed = "; ".join(
            f"{'.'.join(map(str, where)) or 'the block'}: {what}" for where, what in problems
        )
        super().__init__(distribution, listed, phase="settings")


class UnknownPackError(ComfyTavernError):
    """No installed distribution of this name offers nodes."""

    code = "unknown_pack"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        super().__init__(f"no installed pack is named {name!r}{did_you_mean(name, known)}")


class UnknownNodeTypeError(ComfyTavernError, LookupError):
    """No loaded pack has a node of this type; the text says why and what to do."""

    code = "unknown_node_type"

    def __init__(self, full_type: str, explanation: str = "") -> None:
        self.full_type = full_type
        why = f"; {explanation}" if explanation else ""
        super().__init__(f"unknown node type {full_type!r}{why}")


class MissingPackError(ComfyTavernError):
    """A node runs in the place of one whose pack is missing; the text says what to do."""

    code = "missing_pack"

    def __init__(self, full_type: str, explanation: str = "") -> None:
        self.full_type = full_type
        why = f"; {explanation}" if explanation else ""
        super().__init__(f"no loaded pack has the type {full_type!r}{why}")


class UnknownClientScriptError(ComfyTavernError):
    """A node type has no such script for the page, or one that is larger than ``limit``.

    Which of the two is said; why a name leads nowhere is not, so that nobody can ask for
    what else lies on the disk.
    """

    code = "unknown_client_script"

    def __init__(self, full_type: str, name: str | None, *, limit: int | None = None) -> None:
        self.full_type = full_type
        self.name = name
        script = "client script" if name is None else f"client script {name!r}"
        if limit is None:
            super().__init__(f"node type {full_type!r} has no {script}")
        else:
            size = f"{limit / 2**20:g} MiB"
            super().__init__(f"the {script} of node type {full_type!r} is larger than {size}")


class WorkflowError(ComfyTavernError):
    """The workflow cannot run. ``findings`` holds every problem, in document order."""

    code = "workflow_invalid"

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        lines = [finding.message for finding in self.findings]
        head = lines[0] if len(lines) == 1 else f"the workflow has {len(lines)} problems"
        super().__init__("\n  ".join([head, *lines]) if len(lines) > 1 else head)


class RunError(ComfyTavernError):
    """Something failed while a workflow ran."""

    code = "run_failed"


class NodeFailedError(RunError):
    """A node raised. The cause is chained; ``pack`` names the distribution to blame."""

    code = "node_failed"

    def __init__(
        self,
        node_id: str,
        node_type: str,
        reason: str,
        *,
        pack: str = "",
        code: str | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        self.node_id = node_id
        self.node_type = node_type
        self.reason = reason
        self.pack = pack
        self.error_code = code or self.code
        self.details = dict(details or {})
        super().__init__(f"node {node_id!r} ({node_type}) failed: {reason}")


class StreamBrokenError(RunError):
    """The writer of a stream failed before its end."""

    code = "stream_broken"

    def __init__(self, node_id: str, slot: str, reason: str) -> None:
        self.node_id = node_id
        self.slot = slot
        self.reason = reason
        super().__init__(f"the stream {node_id}.{slot} broke: {reason}")


class StreamOverflowError(RunError):
    """A reader cannot take before the writer ends, and too many chunks wait for it."""

    code = "stream_overflow"

    def __init__(self, node_id: str, slot: str, reader: str, limit: int) -> None:
        self.node_id = node_id
        self.slot = slot
        self.reader = reader
        self.limit = limit
        super().__init__(
            f"the stream {node_id}.{slot} has {limit} chunks waiting for {reader}, which cannot"
            " take them before the stream ends; read the stream first, or raise"
            " limits.stream_overflow"
        )


class RunInterruptedError(RunError):
    """The run was interrupted; raised by ``NodeContext.check_interrupted``."""

    code = "interrupted"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"run {run_id!r} was interrupted")


class ResourceError(ComfyTavernError):
    """A resource cannot be opened. The text is the same whether or not it exists."""

    code = "resource_refused"

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"resource {name!r}: {reason}")


class HostError(ComfyTavernError):
    """The host refused."""

    code = "host_error"


class UnknownRunError(HostError):
    """No run has this id."""

    code = "unknown_run"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(f"no run has the id {run_id!r}")


class QueueFullError(HostError):
    """Too many runs are waiting; try again in ``retry_after`` seconds."""

    code = "queue_full"

    def __init__(self, limit: int, retry_after: float) -> None:
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(f"{limit} runs are waiting already; try again in {retry_after:g} s")

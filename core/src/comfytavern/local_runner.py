"""The runner that executes runs in this process; the default."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import anyio
from pydantic_core import to_json

from .context import ResourceReader
from .encoding import BlobSink
from .engine import Run
from .errors import WorkflowError
from .events import EventType, Status
from .host import PackHost
from .plan import Plan
from .recorder import EventRecorder
from .runner import AbandonedNode, Envelope, RunSpec
from .workflow import Workflow, parse_workflow

__all__ = ("LocalRunner",)


class LocalRunner:
    """Executes specs with the engine of a running host. Implements ``Runner``.

    :param resources: gives the door to files for a spec; None uses the host's own
    :param blobs: gives what keeps the bytes that a run's events refer to
    """

    def __init__(
        self,
        host: PackHost,
        *,
        resources: Callable[[RunSpec], ResourceReader] | None = None,
        blobs: Callable[[RunSpec], BlobSink] | None = None,
    ) -> None:
        self._host = host
        self._resources = resources
        self._blobs = blobs
        self._runs: dict[str, Run] = {}
        # what is being compiled, and whether it was cancelled meanwhile
        self._starting: dict[str, bool] = {}

    async def start(self) -> None:
        """Get ready; the host's engine runs already."""

    async def run(self, spec: RunSpec) -> AsyncGenerator[list[Envelope], None]:
        """Execute one run; see ``Runner.run``."""
        recorder = EventRecorder(spec.run_id, blobs=self._blobs(spec) if self._blobs else None)
        try:
            run = await self._start(spec, recorder)
        except WorkflowError as exc:
            yield [_final(spec.run_id, Status.ERROR, exc)]
            return
        if run is None:
            yield [_final(spec.run_id, Status.INTERRUPTED)]
            return
        self._runs[spec.run_id] = run
        try:
            while batch := await recorder.next_batch():
                yield batch
            await run.released.wait()
        finally:
            self._runs.pop(spec.run_id, None)
            if run.result is None:
                run.interrupt()
                with anyio.CancelScope(shield=True):
                    await run.done.wait()

    async def _start(self, spec: RunSpec, recorder: EventRecorder) -> Run | None:
        """Start a run; None if it was cancelled before it could begin.

        :raises WorkflowError: the workflow or its inputs do not fit this host
        """
        self._starting[spec.run_id] = False
        try:
            plan = await self._compile(spec)
        finally:
            cancelled = self._starting.pop(spec.run_id)
        if cancelled:
            return None
        return self._host.start(
            plan,
            inputs=spec.inputs,
            run_id=spec.run_id,
            sink=recorder.sink,
            user_id=spec.user_id,
            resources=self._resources(spec) if self._resources else None,
        )

    async def cancel(self, run_id: str) -> None:
        """Interrupt a run; see ``Runner.cancel``."""
        if run_id in self._starting:
            self._starting[run_id] = True
        elif run_id in self._runs:
            self._runs[run_id].interrupt()

    async def press(
        self, run_id: str, node_id: str, button: str, message: Mapping[str, Any]
    ) -> None:
        """Press a button of a running node; see ``Runner.press``."""
        run = self._runs.get(run_id)
        if run is None or run.result is not None:
            raise LookupError(f"run {run_id!r} is not running")
        await run.services.press(node_id, button, message)

    def abandoned(self) -> Mapping[str, Sequence[AbandonedNode]]:
        """Return what goes on after the end of its run; see ``Runner.abandoned``."""
        return {
            run_id: [AbandonedNode(n.id, n.full_type, n.pack, n.version) for n in nodes]
            for run_id, nodes in self._host.engine.abandoned.items()
        }

    async def close(self) -> None:
        """Interrupt what still runs."""
        for run in list(self._runs.values()):
            run.interrupt()

    async def _compile(self, spec: RunSpec) -> Plan:
        def resolve(workflow_id: str) -> Workflow | None:
            document = spec.workflows.get(workflow_id)
            if document is None:
                return None
            return parse_workflow(document, source=f"workflow {workflow_id!r}")

        allow = spec.allow_missing
        if spec.workflows:
            return await self._host.compile(spec.workflow, resolve, allow_missing=allow)
        key = to_json(spec.workflow)
        return await self._host.compile(spec.workflow, key=key, allow_missing=allow)


def _final(run_id: str, status: Status, error: WorkflowError | None = None) -> Envelope:
    payload: Mapping[str, Any] = {"promptId": run_id, "status": status.value}  # Any: JSON
    if error is not None:
        info = {"message": str(error), "code": error.code}
        info["details"] = [finding.to_wire() for finding in error.findings]  # type: ignore[assignment]  # JSON
        payload = {**payload, "errorInfo": info}
    return {"type": EventType.EXECUTION_STATUS_UPDATE.value, "payload": dict(payload)}

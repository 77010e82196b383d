"""The runner that executes runs in this process; the default."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import anyio

from .context import ResourceReader
from .encoding import BlobSink
from .engine import Run
from .errors import WorkflowError
from .events import EventType, Status
from .host import PackHost
from .plan import Plan
from .recorder import EventRecorder
from .runner import Envelope, RunSpec
from .workflow import Workflow, parse_workflow

__all__ = ("LocalRunner",)


class LocalRunner:
    """Executes specs with the engine of a running host. Implements ``Runner``.

    :param resources: gives the door to files for a spec; None uses the host's own
    :param blobs: keeps bytes that events refer to
    """

    def __init__(
        self,
        host: PackHost,
        *,
        resources: Callable[[RunSpec], ResourceReader] | None = None,
        blobs: BlobSink | None = None,
    ) -> None:
        self._host = host
        self._resources = resources
        self._blobs = blobs
        self._runs: dict[str, Run] = {}
        self._cancelled: set[str] = set()

    async def start(self) -> None:
        """Get ready; the host's engine runs already."""

    async def run(self, spec: RunSpec) -> AsyncGenerator[list[Envelope], None]:
        """Execute one run; see ``Runner.run``."""
        recorder = EventRecorder(spec.run_id, blobs=self._blobs)
        try:
            plan = await self._compile(spec)
            if spec.run_id in self._cancelled:
                yield [_final(spec.run_id, Status.INTERRUPTED)]
                return
            run = self._host.start(
                plan,
                inputs=spec.inputs,
                run_id=spec.run_id,
                sink=recorder.sink,
                user_id=spec.user_id,
                resources=self._resources(spec) if self._resources else None,
            )
        except WorkflowError as exc:
            yield [_final(spec.run_id, Status.ERROR, exc)]
            return
        self._runs[spec.run_id] = run
        try:
            while batch := await recorder.next_batch():
                yield batch
        finally:
            self._runs.pop(spec.run_id, None)
            self._cancelled.discard(spec.run_id)
            if run.result is None:
                run.interrupt()
                with anyio.CancelScope(shield=True):
                    await run.done.wait()

    async def cancel(self, run_id: str) -> None:
        """Interrupt a run; see ``Runner.cancel``."""
        run = self._runs.get(run_id)
        if run is not None:
            run.interrupt()
        else:
            self._cancelled.add(run_id)

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

        return await self._host.compile(spec.workflow, resolve if spec.workflows else None)


def _final(run_id: str, status: Status, error: WorkflowError | None = None) -> Envelope:
    payload: Mapping[str, Any] = {"promptId": run_id, "status": status.value}  # Any: JSON
    if error is not None:
        info = {"message": str(error), "code": error.code}
        info["details"] = [finding.to_wire() for finding in error.findings]  # type: ignore[assignment]  # JSON
        payload = {**payload, "errorInfo": info}
    return {"type": EventType.EXECUTION_STATUS_UPDATE.value, "payload": dict(payload)}

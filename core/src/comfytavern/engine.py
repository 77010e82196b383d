"""The engine: starts runs of plans, bounds what they use, and survives what they do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Any, Protocol
from uuid import uuid4

import anyio
from anyio.abc import TaskGroup

from ._run import Run, RunResult
from ._shapes import CallKind, call_kind
from .bypass import standard_outputs
from .context import ResourceReader
from .definitions import Execute
from .errors import ResourceError, UnknownRunError
from .events import BypassRequest
from .plan import Plan, PlanNode
from .sinks import EventSink

__all__ = (
    "Engine",
    "EngineLimits",
    "Facilities",
    "Imports",
    "Run",
    "RunResult",
    "import_reference",
)


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """Bounds on what runs use; see ``limits`` in the configuration.

    ``interrupt_grace`` is in seconds, ``stream_buffer`` and ``stream_overflow`` in chunks.
    """

    nodes_in_parallel: int = 256
    threads: int = 16
    stream_buffer: int = 256
    stream_overflow: int = 65_536
    interrupt_grace: float = 5.0


class _NoResources:
    async def read(self, name: str, *, limit: int | None = None) -> bytes:
        raise ResourceError(name, "this host has no resources")


class Imports(Protocol):
    """Imports what an ``execute`` text names, in the name of a pack."""

    def __call__(self, reference: str, pack: str, /) -> Any: ...


def _no_secret(name: str, url: str | None) -> str:
    raise LookupError(f"no secret is named {name!r}")


def _no_http(pack: str) -> object:
    raise RuntimeError("this host lends no HTTP client")


def import_reference(reference: str, pack: str) -> Any:  # Any: what it names
    """Import what ``"package.module:attribute"`` names, whoever it belongs to."""
    module_name, _, attribute = reference.partition(":")
    found: Any = __import__(module_name, fromlist=["_"])
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


@dataclass(frozen=True, slots=True)
class Facilities:
    """What the host lends to the nodes of its runs."""

    services: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    resources: ResourceReader = field(default_factory=_NoResources)
    settings_of: Callable[[str], object] = lambda pack: None
    http_of: Callable[[str], object] = _no_http
    secret: Callable[[str, str | None], str] = _no_secret
    bypass: Callable[[BypassRequest, PlanNode], Mapping[str, object]] = lambda request, node: (
        standard_outputs(request)
    )
    import_reference: Imports = import_reference


class Engine:
    """Runs plans. An async context manager: leaving it interrupts what still runs.

    Runs are tasks of the engine, not of their starter, so that a node which refuses to
    stop holds up neither the end of its run nor its caller.
    """

    def __init__(
        self, limits: EngineLimits | None = None, facilities: Facilities | None = None
    ) -> None:
        self.limits = limits or EngineLimits()
        self.facilities = facilities or Facilities()
        # run id -> the nodes that did not stop within the grace period
        self.abandoned: dict[str, list[PlanNode]] = {}
        self._runs: dict[str, Run] = {}
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup | None = None
        self._resolved: dict[tuple[str, str], tuple[Execute, CallKind]] = {}
        self._importing: dict[str, anyio.Lock] = {}

    async def __aenter__(self) -> Engine:
        self.threads = anyio.CapacityLimiter(self.limits.threads)
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.stop_runs()
        finally:
            if self._tasks is not None:
                self._tasks.cancel_scope.cancel()
            # Not told of the caller's error: it would come back wrapped in a group.
            await self._stack.__aexit__(None, None, None)
            self._tasks = None

    async def stop_runs(self) -> None:
        """Interrupt every run and wait until all have ended; the grace period bounds it."""
        for run in list(self._runs.values()):
            run.interrupt()
        with anyio.CancelScope(shield=True):
            for run in list(self._runs.values()):
                await run.done.wait()

    def start(
        self,
        plan: Plan,
        *,
        inputs: Mapping[str, object] | None = None,
        run_id: str | None = None,
        sink: EventSink | None = None,
        user_id: str | None = None,
        facilities: Facilities | None = None,
    ) -> Run:
        """Start a run; it goes on in the background until ``await run.wait()`` returns.

        :param inputs: values of interface inputs by name; the rest takes its defaults
        :param facilities: what this run lends to nodes, in place of the engine's own
        :raises WorkflowError: inputs that are unknown, missing or wrongly typed
        """
        if self._tasks is None:
            raise RuntimeError("the engine is not running: use 'async with engine:'")
        bound = plan.bind_inputs(inputs or {})
        run = Run(
            plan,
            run_id=run_id or uuid4().hex,
            inputs=bound,
            sink=sink or EventSink(),
            user_id=user_id,
            limits=self.limits,
            facilities=facilities or self.facilities,
            engine=self,
        )
        self._runs[run.run_id] = run
        self._tasks.start_soon(run.supervise, name=f"run {run.run_id}")
        return run

    def get(self, run_id: str) -> Run:
        """Return a run that has not been let go of yet.

        :raises UnknownRunError: there is none of this id
        """
        run = self._runs.get(run_id)
        if run is None:
            raise UnknownRunError(run_id)
        return run

    def in_background(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine function as a task of the engine."""
        if self._tasks is not None:
            self._tasks.start_soon(call)

    def abandon(self, run: Run, nodes: list[PlanNode]) -> None:
        """Remember a run that has ended while nodes of it go on, and say whose they are."""
        self.abandoned[run.run_id] = nodes
        for node in nodes:
            run.note(node, f"did not stop within {self.limits.interrupt_grace:g} s")

    def let_go(self, run: Run) -> None:
        """Forget a run whose work has really stopped."""
        self._runs.pop(run.run_id, None)
        self.abandoned.pop(run.run_id, None)

    async def resolve(self, node: PlanNode, run: Run) -> tuple[Execute, CallKind]:
        """Import the code that a node's ``execute`` text names, once.

        The import happens in a worker thread, so that a heavy pack does not hold up the loop.
        Of each pack one thing is imported at a time: any number of nodes that wait for it
        take one thread and no more.
        """
        reference = str(node.execute)
        key = (node.pack, reference)
        found = self._resolved.get(key)
        if found is not None:
            return found
        async with self._importing.setdefault(node.pack, anyio.Lock()):
            found = self._resolved.get(key)
            if found is None:
                load = run.facilities.import_reference
                execute = await anyio.to_thread.run_sync(load, reference, node.pack)
                if not callable(execute):
                    raise TypeError(f"{reference!r} is {type(execute).__name__}, not callable")
                found = self._resolved[key] = (execute, call_kind(execute))
        return found

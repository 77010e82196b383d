"""The host of packs: which nodes there are, and a running engine for their workflows.

```python
host = PackHost()
host.load()
async with host:
    plan = await host.compile(workflow)
    result = await host.run(plan)
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import MappingProxyType, TracebackType
from uuid import uuid4

import anyio
import anyio.to_thread

from ._plan_cache import PlanCache
from .bypass import standard_outputs
from .compiler import CompileLimits, WorkflowResolver, compile_workflow
from .context import ResourceReader
from .discovery import FoundPack
from .engine import Engine, EngineLimits, Facilities, Run, RunResult
from .errors import PackHookError
from .events import BypassRequest
from .hookspecs import EVENT_HOOKS
from .listeners import ListenerHub, ListenerReport
from .packs import Listener, PackChoice, PackManager, PackRecord
from .plan import Plan, PlanNode
from .registry import NodeRegistry
from .sinks import EventSink, merge_sinks
from .workflow import Workflow, parse_workflow

__all__ = ("PackHost",)

# Compiling costs some ten microseconds per node; from here on that happens in a thread.
LARGE = 400


class PackHost:
    """Packs, their nodes, and an engine that runs workflows of them.

    ``load()`` reads the packs; that is enough to list and to compile. Running needs
    ``async with``, which starts the engine and tells the packs.

    :param choice: what the operator chose; by default every installed pack is enabled
    :param found: the installed packs; None looks for them, empty leaves all out
    :param resources: the door to files; without one nodes have none
    :param secret: gives a secret by name for a URL
    :param http_of: gives an HTTP client for a pack's nodes
    """

    def __init__(
        self,
        choice: PackChoice | None = None,
        *,
        limits: EngineLimits | None = None,
        compile_limits: CompileLimits | None = None,
        data_dir: Path | None = None,
        found: Sequence[FoundPack] | None = None,
        resources: ResourceReader | None = None,
        secret: Callable[[str, str | None], str] | None = None,
        http_of: Callable[[str], object] | None = None,
    ) -> None:
        self.packs = PackManager(choice, found=found, data_dir=data_dir)
        self.limits = limits or EngineLimits()
        self.compile_limits = compile_limits or CompileLimits()
        self._resources = resources
        self._secret = secret
        self._http_of = http_of
        self._plans = PlanCache()
        self._stack = AsyncExitStack()
        self._engine: Engine | None = None
        self._hub: ListenerHub | None = None
        self._rescanning = anyio.Lock()

    @property
    def registry(self) -> NodeRegistry:
        """The node definitions of every loaded pack."""
        return self.packs.registry

    @property
    def records(self) -> tuple[PackRecord, ...]:
        """What became of each pack."""
        return self.packs.records

    @property
    def engine(self) -> Engine:
        """The running engine.

        :raises RuntimeError: outside ``async with``
        """
        if self._engine is None:
            raise RuntimeError("the host is not running: use 'async with host:'")
        return self._engine

    def digest(self) -> str:
        """Return a hash over the API version and every loaded pack; cheap to ask for."""
        return self.packs.digest()

    def load(self, *, listing: bool = False) -> None:
        """Load every enabled pack; what fails is on its record and costs nobody else.

        :param listing: whether nothing is going to run: packs are then known from their last
            import, as far as they have not changed since
        :raises PackError: a pack failed, and the choice is strict
        """
        self.packs.load(listing=listing)

    async def __aenter__(self) -> PackHost:
        async with AsyncExitStack() as stack:
            listeners = {hook: self.packs.listeners(hook) for hook in EVENT_HOOKS}
            self._hub = await stack.enter_async_context(ListenerHub(listeners))
            self._engine = Engine(self.limits, self.facilities())
            await stack.enter_async_context(self._engine)
            stack.push_async_callback(self._stopping)  # first: a start may be cut off
            await self.packs.started()
            self._stack = stack.pop_all()
        return self

    async def _stopping(self) -> None:
        with anyio.CancelScope(shield=True):
            await self.engine.stop_runs()  # before the packs let go of what nodes use
            await self.packs.stopping()

    async def rescan(self, choice: PackChoice | None = None) -> tuple[PackRecord, ...]:
        """Look again at what is installed; return the records that changed.

        Runs that go on keep the nodes, services and listeners that they began with. One
        rescan waits for another. See ``PackManager.rescan`` for what a choice changes.

        :param choice: what the operator chose now; None leaves it as it is
        """
        async with self._rescanning:
            changed = await anyio.to_thread.run_sync(partial(self.packs.rescan, choice=choice))
            if self._hub is not None and self._engine is not None:
                self._hub.use({hook: self.packs.listeners(hook) for hook in EVENT_HOOKS})
                self._engine.facilities = self.facilities()
                await self.packs.started()
        return changed

    @property
    def listener_reports(self) -> Sequence[ListenerReport]:
        """What went wrong in packs that listen: raised, cut off, slow, dropped."""
        return self._hub.reports if self._hub is not None else ()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)
        self._engine = None
        self._hub = None

    def facilities(self, resources: ResourceReader | None = None) -> Facilities:
        """Return what this host lends to nodes, with other resources if given.

        Services, and who decides about bypassed nodes, stay as they are now, whichever packs
        come and go while a run uses them.
        """
        lent: dict[str, object] = {
            "resources": resources or self._resources,
            "secret": self._secret,
            "http_of": self._http_of,
        }
        return Facilities(
            services=MappingProxyType(dict(self.packs.services)),
            settings_of=self.packs.settings_of,
            bypass=partial(_bypass, self.packs.bypass_rule()),
            import_reference=self.packs.import_reference,
            **{name: value for name, value in lent.items() if value is not None},  # type: ignore[arg-type]  # the fields of the same names
        )

    def compile_now(
        self,
        workflow: Workflow | Mapping[str, object],
        resolver: WorkflowResolver | None = None,
        *,
        allow_missing: bool = False,
    ) -> Plan:
        """Return the plan of a workflow; for callers without an event loop.

        :param allow_missing: see ``compile_workflow``
        :raises WorkflowError: with every finding at once
        """
        parsed = workflow if isinstance(workflow, Workflow) else parse_workflow(workflow)
        return compile_workflow(
            parsed,
            self.registry,
            resolver=resolver,
            limits=self.compile_limits,
            allow_missing=allow_missing,
        )

    async def compile(
        self,
        workflow: Workflow | Mapping[str, object],
        resolver: WorkflowResolver | None = None,
        *,
        key: bytes | None = None,
        allow_missing: bool = False,
    ) -> Plan:
        """Return the plan of a workflow; a large one is compiled in a worker thread.

        :param key: the text of a workflow that refers to no other: its plan is kept and
            given out again, for as long as no pack comes or goes
        :param allow_missing: see ``compile_workflow``
        :raises WorkflowError: with every finding at once
        """
        if key is None or resolver is not None:
            return await self._compile(workflow, resolver, allow_missing)
        key = b"?" + key if allow_missing else key  # no JSON text begins so
        revision = self.registry.revision
        plan = self._plans.get(key, revision)
        if plan is None:
            plan = await self._compile(workflow, None, allow_missing)
            self._plans.put(key, plan, revision)
        return plan

    async def _compile(
        self,
        workflow: Workflow | Mapping[str, object],
        resolver: WorkflowResolver | None,
        allow_missing: bool,
    ) -> Plan:
        compile_now = partial(self.compile_now, workflow, resolver, allow_missing=allow_missing)
        if resolver is None and _size(workflow) < LARGE:
            return compile_now()
        return await anyio.to_thread.run_sync(compile_now)

    def start(
        self,
        plan: Plan,
        *,
        inputs: Mapping[str, object] | None = None,
        run_id: str | None = None,
        sink: EventSink | None = None,
        user_id: str | None = None,
        resources: ResourceReader | None = None,
    ) -> Run:
        """Start a run in the background; packs that listen hear of it.

        :param inputs: values of the workflow's inputs by name
        :raises WorkflowError: inputs that are unknown, missing or wrongly typed
        """
        assert self._hub is not None or self._engine is None
        run_id = run_id or uuid4().hex
        heard = self._hub.sink(run_id) if self._hub is not None else EventSink()
        return self.engine.start(
            plan,
            inputs=inputs,
            run_id=run_id,
            sink=merge_sinks([sink, heard] if sink is not None else [heard]),
            user_id=user_id,
            facilities=self.facilities(resources),
        )

    async def run(
        self,
        workflow: Plan | Workflow | Mapping[str, object],
        inputs: Mapping[str, object] | None = None,
        *,
        resolver: WorkflowResolver | None = None,
        sink: EventSink | None = None,
    ) -> RunResult:
        """Run a workflow to its end. If the caller is cancelled, so is the run.

        :raises WorkflowError: the workflow or its inputs do not fit; nothing has run
        """
        plan = workflow if isinstance(workflow, Plan) else await self.compile(workflow, resolver)
        run = self.start(plan, inputs=inputs, sink=sink)
        try:
            return await run.wait()
        finally:
            if run.result is None:
                run.interrupt()
                with anyio.CancelScope(shield=True):
                    await run.done.wait()


def _bypass(
    deciders_of: Callable[[str], Sequence[Listener]], request: BypassRequest, node: PlanNode
) -> Mapping[str, object]:
    """Ask the packs that may decide; the standard rules are the last to be tried."""
    for decider in deciders_of(node.pack):
        try:
            arguments = {"request": request} if "request" in decider.argument_names else {}
            answer = decider.function(**arguments)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as exc:
            reason = f"bypass_outputs raised {type(exc).__name__}: {exc}"
            raise PackHookError(
                decider.distribution, reason, version=decider.version, phase="bypass"
            ) from exc
        if answer is None:
            continue
        if not isinstance(answer, Mapping):
            kind = type(answer).__name__
            reason = f"bypass_outputs returned a {kind}; expected a mapping or None"
            raise PackHookError(
                decider.distribution, reason, version=decider.version, phase="bypass"
            )
        return answer
    return standard_outputs(request)


def _size(workflow: Workflow | Mapping[str, object]) -> int:
    """Return how many nodes and edges a workflow has, as far as it has a shape."""
    if isinstance(workflow, Workflow):
        return len(workflow.nodes) + len(workflow.edges)
    parts = (workflow.get("nodes"), workflow.get("edges"))
    return sum(len(part) for part in parts if isinstance(part, list | tuple))

"""A running host: everything that routes need, opened and closed in order.

```text
data directory ─ store ─ feeds ─┬─ scheduler ─ runner ─ engine and packs
                                └─ clients (WebSocket, SSE)
```
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib import metadata
from time import monotonic
from types import TracebackType

import anyio
from anyio import to_thread

from comfytavern.local_runner import LocalRunner
from comfytavern.resources import ResourceStore
from comfytavern.runlog import RunLogs
from comfytavern.runner import AbandonedNode, Runner, RunSpec

from .config import Config, ConfigError, Problem
from .hosting import ConfiguredHost
from .library.resources import ResourceLibrary
from .library.seeding import seed
from .library.workflows import WorkflowLibrary
from .listening import url
from .node_catalogue import NodeCatalogue
from .node_reload import NodeReload
from .pack_listing import PackListing
from .runs import Clients, Feeds, RunLogWriter, Scheduler, Submissions, queue_payload
from .security import LoginCookies
from .store import BlobIntake, Retention, RunStore, StoreDamagedError, StoreError, set_aside

__all__ = ("Access", "Service")

_log = logging.getLogger(__name__)

# Finished runs between two looks at what is kept too long, and seconds without any.
PRUNE_RUNS = 50
PRUNE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Access:
    """Where the host listens, and what lets clients in."""

    host: str
    port: int
    token: str | None = field(default=None, repr=False)
    logins: LoginCookies | None = None

    @property
    def url(self) -> str:
        """Where this machine's own commands reach the host."""
        return url(self.host, self.port)


class Service:
    """A host that takes runs. An async context manager; may be entered once.

    :param host: its packs are loaded already
    :param store: where runs are kept; by default below the data directory
    :param paused: begin without starting what waits
    :param set_aside: if the file of runs is damaged, give it another name and begin without
    :param reread: reads the configuration anew, for a reload of the packs; without it a
        reload goes by the present one
    :param on_stuck: called at the very end if nodes do not stop, which would hold up the
        end of the process for ever; everything is stored by then
    """

    def __init__(
        self,
        host: ConfiguredHost,
        *,
        access: Access,
        store: RunStore | None = None,
        paused: bool = False,
        set_aside: bool = False,
        reread: Callable[[], Config] | None = None,
        on_stuck: Callable[[Sequence[AbandonedNode]], None] | None = None,
    ) -> None:
        self.host = host
        self.config = config = host.config
        self.access = access
        self.version = metadata.version("comfytavern-hostapp")
        self.store = store or RunStore(config.data_dir)
        self.feeds = Feeds(self.store, host.secrets.redact)
        self.workflows = WorkflowLibrary(config.data_dir / "workflows")
        self.resources = ResourceLibrary(host.resources, config.limits.body)
        self.submissions = Submissions(host, self.workflows)
        self.clients = Clients(self.feeds, lambda: queue_payload(self.scheduler))
        self.packs = PackListing(host)
        self.nodes = NodeCatalogue(host, config.server.root_path)
        self.reload = NodeReload(host, self.packs, self.clients.tell, reread)
        self._blobs = BlobIntake()
        self.runner = self._make_runner()
        history = config.history
        self._logs = RunLogWriter(
            RunLogs(
                config.data_dir / "logs" / "runs",
                history.keep_runs,
                history.keep_bytes,
                redact=host.secrets.redact,
                keep_days=history.keep_days,
            )
        )
        self._retention = Retention(history.keep_runs, history.keep_days, history.keep_bytes)
        self.scheduler = Scheduler(
            self.store,
            self.feeds,
            self.runner,
            slots=config.limits.concurrent_runs,
            capacity=config.limits.queued_runs,
            grace=config.limits.interrupt_grace,
            logs=self._logs,
            blobs=self._blobs,
            on_change=self.clients.queue_changed,
            on_finished=self._count_finished,
        )
        self._paused = paused
        self._set_aside = set_aside
        self._on_stuck = on_stuck
        self._began = monotonic()
        self._stack = AsyncExitStack()
        self._stopping = anyio.Event()
        self._finished = 0
        self._prune_due = anyio.Event()

    @property
    def uptime(self) -> float:
        """Seconds since the host was made."""
        return monotonic() - self._began

    @property
    def problems(self) -> list[str]:
        """What is wrong with the host as a whole, as long as it is."""
        trouble = self.store.database.trouble
        return [] if trouble is None else [str(trouble)]

    async def __aenter__(self) -> Service:
        try:
            async with AsyncExitStack() as stack:
                await self._open(stack)
                self._stack = stack.pop_all()
        except BaseExceptionGroup as group:
            # The task group wraps whatever kept the host from starting.
            raise _innermost(group) from None
        return self

    async def _open(self, stack: AsyncExitStack) -> None:
        tasks = await stack.enter_async_context(anyio.create_task_group())
        await self._open_store()
        stack.push_async_callback(self.store.close)
        await to_thread.run_sync(self.store.lock.announce, self.access.url)
        await to_thread.run_sync(seed, self.config.data_dir)
        await stack.enter_async_context(self.host)
        await self.runner.start()
        stack.push_async_callback(self.runner.close)
        tasks.start_soon(self._logs.run)
        tasks.start_soon(self.clients.run)
        tasks.start_soon(self._prune)
        stack.push_async_callback(self._stop)
        await self.scheduler.start(tasks, paused=self._paused)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    async def _stop(self) -> None:
        with anyio.CancelScope(shield=True):
            self._stopping.set()
            self._prune_due.set()
            self.clients.stop()
            await self.scheduler.stop()
            await self._logs.close()
            if self._on_stuck is not None and (stuck := self.scheduler.abandoned):
                await self.store.close()
                self._on_stuck([node for nodes in stuck.values() for node in nodes])

    # Parts ---------------------------------------------------------------------------

    def _make_runner(self) -> Runner:
        chosen, offered = self.config.runner, self.host.packs.runners
        if chosen == "local":
            return LocalRunner(
                self.host,
                resources=self._resources_of,
                blobs=lambda spec: self._blobs.sink(spec.run_id),
            )
        if chosen not in offered:
            known = ", ".join(sorted({"local", *offered}))
            message = f"no loaded pack offers the runner {chosen!r}; expected one of: {known}"
            origin = self.config.provenance.nearest(("runner",))
            raise ConfigError([Problem(message, origin, "runner")])
        runner: Runner = offered[chosen](self.host)
        return runner

    def _resources_of(self, spec: RunSpec) -> ResourceStore:
        return self.host.resources.for_user(spec.user_id)

    async def _open_store(self) -> None:
        try:
            await self.store.start()
        except StoreDamagedError:
            if not self._set_aside:
                raise
            await to_thread.run_sync(self._put_aside)
            await self.store.start()

    def _put_aside(self) -> None:
        """Give the file of runs another name; only while nobody else uses it."""
        lock = self.store.lock
        lock.acquire()
        try:
            target = set_aside(self.config.data_dir)
        finally:
            lock.release()
        if target is not None:
            _log.warning("the file of runs is now %s; beginning without history", target.name)

    # Housekeeping --------------------------------------------------------------------

    def _count_finished(self) -> None:
        self._finished += 1
        if self._finished >= PRUNE_RUNS:
            self._finished = 0
            self._prune_due.set()

    async def _prune(self) -> None:
        """Remove what is kept too long: at the start, after some runs, and every hour."""
        while not self._stopping.is_set():
            try:
                await self.store.prune(self._retention)
                await self._logs.prune()
            except StoreError as exc:
                if not self._stopping.is_set():
                    _log.error("old runs stay for now: %s", exc)
            with anyio.move_on_after(PRUNE_SECONDS):
                await self._prune_due.wait()
            self._prune_due = anyio.Event()


def _innermost(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error

"""A host with a data directory but without HTTP, opened and opened again, and its store."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import orjson
from anyio import from_thread, to_thread
from anyio.lowlevel import current_token

import comfytavern_core_nodes
from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition
from comfytavern.events import FINAL_STATUSES, EventType, Status
from comfytavern.hookspecs import hookimpl
from comfytavern.runner import AbandonedNode, RunnerFactory
from comfytavern.testing import EventLog
from comfytavern_hostapp.config import Config
from comfytavern_hostapp.hosting import ConfiguredHost, pack_choice
from comfytavern_hostapp.runs import Request, Subscriber
from comfytavern_hostapp.service import Access, Service
from comfytavern_hostapp.store import RunStore

from .stage_nodes import Stage, stage_pack

__all__ = (
    "Bench",
    "Diary",
    "Held",
    "Json",
    "check_log",
    "crashed_copy",
    "events_of",
    "locked_out",
    "open_store",
    "stored_events",
    "stored_frames",
    "submit",
)

Json = dict[str, Any]  # Any: JSON


class Bench:
    """A data directory, and what the hosts on it have: nodes, runners, configuration.

    The nodes of the stage are the pack ``test``, those of ``nodes`` the pack ``bench``; the
    core pack is there as well, no other.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.stage = Stage()
        self.nodes: list[NodeDefinition] = []
        self.runners: dict[str, RunnerFactory] = {}

    def host(self, **blocks: object) -> ConfiguredHost:
        """Return a host whose packs are loaded. Blocking.

        :param blocks: of the configuration, as in its file
        """
        config = Config.model_validate({"data_dir": self.data_dir, **blocks})
        host = ConfiguredHost(config, pack_choice(config))
        packs = {
            "comfytavern-core-nodes": comfytavern_core_nodes,
            "test": stage_pack(self.stage),
            "bench": self._pack(),
        }
        for name, pack in packs.items():
            host.packs.add(pack, distribution=name, version="1.0", finish=False)
        host.packs.finish()
        host.digest()  # reads a file the first time, as loading installed packs would
        return host

    @asynccontextmanager
    async def service(
        self,
        *,
        paused: bool = False,
        set_aside: bool = False,
        on_stuck: Callable[[Sequence[AbandonedNode]], None] | None = None,
        **blocks: object,
    ) -> AsyncIterator[Service]:
        """Open a host on the data directory; leaving it stops it as the server would.

        :param blocks: of the configuration, as in its file
        """

        def make() -> Service:
            return Service(
                self.host(**blocks),
                access=Access("127.0.0.1", 8321),
                paused=paused,
                set_aside=set_aside,
                on_stuck=on_stuck,
            )

        # It reads a file or two, as the server does before it has a loop.
        service = await to_thread.run_sync(make)
        try:
            async with service:
                try:
                    yield service
                except BaseException:
                    self.stage.released.set()  # else a failed test would wait for its thread
                    raise
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None  # what a test has raised, as it is

    def _pack(self) -> object:
        @hookimpl
        def register_nodes() -> list[NodeDefinition]:
            return self.nodes

        @hookimpl
        def register_runners() -> Mapping[str, RunnerFactory]:
            return self.runners

        return SimpleNamespace(register_nodes=register_nodes, register_runners=register_runners)


class Diary:
    """Notes which runs are executed, in order: those with a node ``bench:Note``."""

    def __init__(self, *benches: Bench) -> None:
        self.runs: list[str] = []
        for bench in benches:
            bench.nodes.append(NodeDefinition(type="Note", execute=self._note))

    async def _note(self, inputs: object, context: NodeContext) -> dict[str, object]:
        self.runs.append(context.run_id)
        return {}


async def submit(service: Service, workflow: Json | None = None, **asked: Any) -> str:
    """Hand a run in and return its id.

    :param asked: further fields of ``Request``
    """
    checked = await service.submissions.check(Request(workflow=workflow, **asked))
    return (await service.scheduler.submit(checked.submission)).run.run_id


async def events_of(service: Service, run_id: str) -> EventLog:
    """Follow a run to its end and return its events, as a client would see them."""
    client = Subscriber()
    client.follow(await service.feeds.open(run_id))
    events = EventLog()
    while (frames := await client.next()) is not None:
        events += map(orjson.loads, frames.texts)
        if frames.ends:
            break
    return events


async def stored_frames(store: RunStore, run_id: str) -> list[bytes]:
    """Return the whole stored log of a run as it lies in the file."""
    number = (await store.find(run_id)).number
    found: list[bytes] = []
    while page := (await store.events(number, len(found)))[1]:
        found += page
    return found


async def stored_events(store: RunStore, run_id: str) -> EventLog:
    """Return the stored events of a run, checked as ``check_log`` does."""
    return check_log(await stored_frames(store, run_id))


def check_log(frames: list[bytes], *, ended: bool | None = None) -> EventLog:
    """Return the events of a log; it has no gap, and at most one terminal event, the last.

    :param ended: whether the terminal event must be there; None if it may
    """
    events = EventLog(map(orjson.loads, frames))
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    final = [
        number
        for number, event in enumerate(events, 1)
        if event["type"] == EventType.EXECUTION_STATUS_UPDATE
        and Status(event["payload"]["status"]) in FINAL_STATUSES
    ]
    assert final in ([], [len(events)])
    assert ended is None or bool(final) is ended
    return events


@asynccontextmanager
async def open_store(data_dir: Path) -> AsyncIterator[RunStore]:
    """Open the store of a data directory, without a host."""
    store = RunStore(data_dir)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


def crashed_copy(data_dir: Path, target: Path) -> Path:
    """Copy a data directory as the end of the power would leave it; return the copy. Blocking.

    What SQLite and the lock keep for the moment stays behind, as a new process would find it.
    """
    shutil.copytree(data_dir, target, ignore=shutil.ignore_patterns("*-shm", "host.*"))
    return target


class Held:
    """Keeps the writer busy, so that what is handed in meanwhile is committed together."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.reached = anyio.Event()
        self.loop = current_token()
        self.go = threading.Event()

    async def hold(self) -> None:
        """Let the writer wait in the middle of a change until ``go``."""
        await self.store.database.write(self._wait)

    def _wait(self, writer: sqlite3.Connection) -> None:
        writer.execute("INSERT INTO settings VALUES ('held', 'yes')")
        from_thread.run_sync(self.reached.set, token=self.loop)
        self.go.wait(10)


@asynccontextmanager
async def locked_out(store: RunStore) -> AsyncIterator[None]:
    """Let every change of the store fail, as another program would that holds the file."""
    await store.database.write(lambda writer: writer.execute("PRAGMA busy_timeout = 0"))
    other = await to_thread.run_sync(_hold, store.database.path)
    try:
        yield
    finally:
        await to_thread.run_sync(other.close)


def _hold(path: Path) -> sqlite3.Connection:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other

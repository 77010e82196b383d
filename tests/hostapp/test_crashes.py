"""A host that may end after any change that it makes: nothing is lost, nothing runs twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from comfytavern.events import FINAL_STATUSES, Status
from comfytavern_hostapp.service import Service
from comfytavern_hostapp.store import RunStore

from ..scenarios.building import flow, place
from .service_bench import (
    Bench,
    Diary,
    check_log,
    crashed_copy,
    events_of,
    open_store,
    stored_frames,
    submit,
)

ONE = {"concurrent_runs": 1, "interrupt_grace": "10ms"}


class Snapshots:
    """Copies a data directory after every change that runs bring about."""

    def __init__(self, service: Service, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.taken: list[Path] = []
        self._folder = folder
        self._store = service.store
        for name in ("create", "begin", "append"):
            monkeypatch.setattr(service.store, name, self._then_copy(getattr(self._store, name)))

    def _then_copy(self, change: Callable[..., Awaitable[object]]) -> Callable[..., object]:
        async def changed(*given: Any, **more: Any) -> object:  # Any: passed on
            result = await change(*given, **more)
            await self._copy()
            return result

        return changed

    async def _copy(self) -> None:
        target = self._folder / str(len(self.taken))
        self.taken.append(target)
        await to_thread.run_sync(crashed_copy, self._store.database.path.parent, target)


async def check_recovered(
    folder: Path, run_ids: Sequence[str], logs: dict[str, list[bytes]]
) -> set[str]:
    """Open what a crash has left, let it end, and check what became of each run.

    :return: the statuses in which the crash has found them
    """
    after = Bench(folder)
    diary = Diary(after)
    async with open_store(folder) as store:
        left = {run.run_id: run for run in await store.unfinished()}
        known = [run_id for run_id in run_ids if await _is_stored(store, run_id)]
        found = {(await store.find(run_id)).status for run_id in known}
        before = {run_id: await stored_frames(store, run_id) for run_id in known}
    waiting = [run_id for run_id in known if run_id in left and left[run_id].started is None]
    async with after.service(limits=ONE) as service:
        for run_id in known:
            after.stage.end("w")
            await events_of(service, run_id)
            frames = await stored_frames(service.store, run_id)
            check_log(frames, ended=True)
            assert frames[: len(before[run_id])] == before[run_id]
            if run_id not in left:
                assert frames == logs[run_id]
            status = (await service.store.find(run_id)).status
            assert status in FINAL_STATUSES
            assert (status == Status.COMPLETE) is (run_id not in left or run_id in waiting)
    after.stage.close()
    assert diary.runs == waiting
    assert known == run_ids[: len(known)]
    return found


async def _is_stored(store: RunStore, run_id: str) -> bool:
    query = "SELECT count(*) FROM runs WHERE run_id = ?"
    found = await store.database.read(lambda r: r.execute(query, (run_id,)).fetchone())
    return bool(found[0])


async def test_a_crash_after_any_change_loses_nothing(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Diary(bench)
    document = flow(place("n", "bench:Note"), place("c", "Count"), place("w", "Wait"))
    async with bench.service(limits=ONE) as service:
        snapshots = Snapshots(service, tmp_path / "copies", monkeypatch)
        ids = [await submit(service, document) for _ in range(3)]
        for run_id in ids:
            bench.stage.end("w")
            await events_of(service, run_id)
        logs = {run_id: await stored_frames(service.store, run_id) for run_id in ids}
    assert len(snapshots.taken) >= 3 * 4
    found: set[str] = set()
    for folder in snapshots.taken:
        found |= await check_recovered(folder, ids, logs)
    assert found == {"queued", "running", "complete"}

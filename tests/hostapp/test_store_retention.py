"""How long runs stay, what goes with them, and that the disk gets its room back."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest

from comfytavern.events import Status
from comfytavern_hostapp.store import Retention, RunFilter, RunStore, StoreError, StoreFullError
from comfytavern_hostapp.store.retention import DAY, prune

from .service_bench import open_store
from .store_records import NOW, add_run, batch, blob, finish

MANY = 10**9
EVERYTHING = Retention(runs=MANY, days=MANY, bytes=MANY)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def store(data_dir: Path) -> AsyncIterator[RunStore]:
    async with open_store(data_dir) as store:
        yield store


async def left(store: RunStore) -> str:
    """Return the runs that are stored, the oldest first, each a letter."""
    page = await store.page(RunFilter(limit=1000))
    return "".join(run.run_id for run in reversed(page.runs))


async def files(data_dir: Path) -> list[str]:
    """Return the names of the blobs on the disk."""
    found = [path.name async for path in anyio.Path(data_dir / "blobs").glob("*/*")]
    return sorted(found)


async def prune_at(store: RunStore, now: float, retention: Retention) -> int:
    """Prune as if it were another time; return how many runs were removed."""
    removed, _ = await store.database.write(partial(prune, retention=retention, now=now))
    return removed


# --- bounds ---------------------------------------------------------------------------------


async def test_nothing_within_the_bounds_is_removed(store: RunStore) -> None:
    for name in "abc":
        await finish(store, name)
    size = (await store.size())[1]
    assert await store.prune(Retention(runs=3, days=1, bytes=size)) == 0
    assert await left(store) == "abc"


async def test_the_oldest_go_when_there_are_too_many(store: RunStore) -> None:
    # By their end, not by the order of submission.
    for name, ended in {"a": 30, "b": 10, "c": 20, "d": 40}.items():
        await finish(store, name, finished=time.time() - DAY + ended)
    assert await store.prune(Retention(runs=2, days=MANY, bytes=MANY)) == 2
    assert await left(store) == "ad"


async def test_those_that_ended_too_long_ago_go(store: RunStore) -> None:
    for days, name in enumerate("abcd"):
        await finish(store, name, finished=NOW + days * DAY)
    retention = Retention(runs=MANY, days=10, bytes=MANY)
    assert await prune_at(store, NOW + 10 * DAY, retention) == 0
    assert await prune_at(store, NOW + 10 * DAY + 1, retention) == 1
    assert await left(store) == "bcd"
    assert await prune_at(store, NOW + 12.5 * DAY, retention) == 2
    assert await left(store) == "d"


async def test_the_oldest_go_until_the_rest_is_small_enough(store: RunStore) -> None:
    for number, name in enumerate("abcd"):
        await finish(store, name, "x" * 1000, finished=NOW + number)
    total = (await store.size())[1]
    each = total // 4
    assert await store.prune(Retention(runs=MANY, days=MANY, bytes=total - 1)) == 1
    assert await left(store) == "bcd"
    assert await store.prune(Retention(runs=MANY, days=MANY, bytes=each)) == 2
    assert await left(store) == "d"


async def test_the_size_of_a_run_counts_its_blobs_and_its_spec(store: RunStore) -> None:
    spec, data, report = b"s" * 300, bytes(5000), b"r" * 70
    first, second = batch(1, "accepted"), batch(2, "over", blobs=(blob(data),))
    run = await add_run(store, "a", spec=spec, batch=first)
    assert run.size == len(spec) + len(first.frames[0])
    await store.append(run.number, second, status=Status.COMPLETE, report=report)
    whole = run.size + len(second.frames[0]) + len(data) + len(report)
    assert (await store.find("a")).size == whole
    assert await store.size() == (1, whole)


async def test_what_waits_or_runs_always_stays(store: RunStore) -> None:
    await add_run(store, "w")
    await store.begin((await add_run(store, "r")).number, NOW)
    await finish(store, "f", finished=NOW)
    assert await store.prune(Retention(runs=1, days=0.001, bytes=1)) == 1
    assert await left(store) == "wr"


async def test_many_runs_are_removed_step_by_step(store: RunStore) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(450):
            tasks.start_soon(partial(finish, store, f"run-{number:03}"))
    assert await store.prune(Retention(runs=7, days=MANY, bytes=MANY)) == 443
    assert (await store.size())[0] == 7


@pytest.mark.parametrize("way", ["prune", "delete"])
async def test_the_file_shrinks(data_dir: Path, way: str) -> None:
    file = anyio.Path(data_dir / "runs.sqlite3")
    names = [f"run-{number}" for number in range(40)]
    async with open_store(data_dir) as store:
        for name in names:
            await finish(store, name, "x" * 300_000)
    full = (await file.stat()).st_size
    assert full > 40 * 300_000
    async with open_store(data_dir) as store:
        if way == "prune":
            assert await store.prune(Retention(runs=2, days=MANY, bytes=MANY)) == 38
        else:
            assert await store.delete(names[:38]) == 38
            assert await store.prune(EVERYTHING) == 0
    assert (await file.stat()).st_size < full / 4


# --- blobs ----------------------------------------------------------------------------------


async def test_a_blob_is_a_file_named_by_its_hash(data_dir: Path, store: RunStore) -> None:
    image = blob(b"a picture")
    await finish(store, "a", blobs=(image,))
    found = await store.blob(image.sha256)
    assert found == (data_dir / "blobs" / image.sha256[:2] / image.sha256, image.mime)
    assert await anyio.Path(found[0]).read_bytes() == b"a picture"


@pytest.mark.parametrize("name", ["0" * 64, "../../runs.sqlite3", "A" * 64, ""])
async def test_a_blob_that_no_run_has_is_not_found(store: RunStore, name: str) -> None:
    assert await store.blob(name) is None


async def test_a_blob_goes_when_the_last_run_that_has_it_goes(
    data_dir: Path, store: RunStore
) -> None:
    shared, own = blob(b"shared"), blob(b"own")
    await finish(store, "a", blobs=(shared, own), finished=NOW)
    await finish(store, "b", blobs=(shared,), finished=NOW + 1)
    assert await files(data_dir) == sorted([shared.sha256, own.sha256])
    await store.prune(Retention(runs=1, days=MANY, bytes=MANY))
    assert await left(store) == "b"
    assert await files(data_dir) == [shared.sha256]
    await store.delete(["b"])
    assert await files(data_dir) == []
    assert await store.blob(shared.sha256) is None


async def test_runs_removed_together_leave_none_of_their_blobs(
    data_dir: Path, store: RunStore
) -> None:
    for number, name in enumerate("abc"):
        both = (blob(b"shared"), blob(name.encode()))
        await finish(store, name, blobs=both, finished=NOW + number)
    await store.prune(Retention(runs=1, days=MANY, bytes=MANY))
    assert await files(data_dir) == sorted([blob(b"shared").sha256, blob(b"c").sha256])
    await store.delete(["c"])
    assert await files(data_dir) == []


async def test_a_blob_stays_for_a_run_that_brings_it_while_it_is_removed(
    data_dir: Path, store: RunStore
) -> None:
    shared = blob(b"shared")
    await finish(store, "old", blobs=(shared,))
    number = (await add_run(store, "new")).number
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.delete, ["old"])
        tasks.start_soon(store.append, number, batch(2, "has it too", blobs=(shared,)))
    assert await store.blob(shared.sha256) is not None
    assert await files(data_dir) == [shared.sha256]


async def test_blobs_that_cannot_be_written_keep_their_events_out(
    data_dir: Path, store: RunStore
) -> None:
    in_the_way = anyio.Path(data_dir / "blobs")
    await in_the_way.write_bytes(b"")
    number = (await add_run(store, "a")).number
    added = batch(2, "with a picture", blobs=(blob(b"picture"),))
    with pytest.raises(StoreError) as caught:
        await store.append(number, added)
    assert str(caught.value) == (
        "the file of runs 'runs.sqlite3' has blobs beside it that cannot be written:"
        " not a directory"
    )
    assert (await store.find("a")).last_seq == 1
    await in_the_way.unlink()
    await store.append(number, added)
    assert await store.events(number, 1) == (2, added.frames)
    assert await files(data_dir) == [blob(b"picture").sha256]


async def test_no_room_for_a_blob_is_told_as_a_full_disk(
    data_dir: Path, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = (await add_run(store, "a")).number

    def refuse(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        with pytest.raises(StoreFullError):
            await store.append(number, batch(2, "lost", blobs=(blob(b"picture"),)))
    assert await files(data_dir) == []
    await store.append(number, batch(2, "kept", blobs=(blob(b"picture"),)))
    assert await files(data_dir) == [blob(b"picture").sha256]

"""The store of runs: what it is told is there when the call returns, whole and in order."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from comfytavern.errors import UnknownRunError
from comfytavern.events import Status
from comfytavern_hostapp.store import RunFilter, RunStore, StoreError

from .service_bench import Held, open_store
from .store_records import NOW, add_run, batch, finish, new_run

# The log of one run: how many events each batch holds.
BATCHES = (1, 3, 1, 5, 2)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[RunStore]:
    async with open_store(tmp_path / "data") as store:
        yield store


async def store_log(store: RunStore, run_id: str = "long") -> tuple[int, list[bytes]]:
    """Store a run with several batches; return its number and its whole log."""
    first = batch(1, f"{run_id} accepted")
    number = (await add_run(store, run_id, batch=first)).number
    frames = list(first.frames)
    for size in BATCHES[1:]:
        added = batch(len(frames) + 1, *("x" * (seq + 1) for seq in range(size)))
        await store.append(number, added)
        frames += added.frames
    return number, frames


# --- runs and their events ------------------------------------------------------------------


async def test_a_run_is_found_as_it_was_handed_in(store: RunStore) -> None:
    created = await store.create(
        new_run("a", spec=b'{"x":1}', priority=3, workflow_id="w", workflow_name="W", user_id="u")
    )
    run = await store.find("a")
    assert created == (run, True, "")
    assert (run.status, run.priority, run.created, run.last_seq) == (Status.QUEUED, 3, NOW, 1)
    assert (run.workflow_id, run.workflow_name, run.user_id) == ("w", "W", "u")
    assert (run.started, run.finished, run.report) == (None, None, None)
    assert await store.spec("a") == b'{"x":1}'


async def test_a_run_goes_from_waiting_to_its_end(store: RunStore) -> None:
    number = (await add_run(store, "a", spec=b"{}")).number
    assert await store.begin(number, NOW + 1) == b"{}"
    running = await store.find("a")
    assert (running.status, running.started, running.finished) == (Status.RUNNING, NOW + 1, None)
    assert [run.run_id for run in await store.unfinished()] == ["a"]
    await store.append(number, batch(2, "over"), status=Status.ERROR, report=b'{"why":1}')
    ended = await store.find("a")
    assert (ended.status, ended.last_seq, ended.report) == (Status.ERROR, 2, b'{"why":1}')
    assert ended.finished is not None
    assert await store.unfinished() == []


async def test_an_unknown_run_is_said_to_be_unknown(store: RunStore) -> None:
    with pytest.raises(UnknownRunError):
        await store.find("nobody")
    with pytest.raises(UnknownRunError):
        await store.spec("nobody")


@pytest.mark.parametrize("page", [1, 60, 1 << 20])
async def test_a_log_is_read_on_from_every_event(store: RunStore, page: int) -> None:
    number, log = await store_log(store)
    await store_log(store, "beside it")
    for after in range(len(log) + 1):
        first, found = await store.events(number, after, page)
        assert first == after + 1
        while found and after + len(found) < len(log):
            begins, more = await store.events(number, after + len(found), page)
            assert begins == after + len(found) + 1
            assert more
            found += more
        assert found == log[after:]


async def test_a_page_ends_with_the_batch_that_fills_it(store: RunStore) -> None:
    number, log = await store_log(store)
    assert await store.events(number, 0, 1) == (1, log[:1])
    assert await store.events(number, 1, 1) == (2, log[1:4])
    assert await store.events(number, 2, 1) == (3, log[2:4])
    assert await store.events(number, 0, len(log[0]) + 1) == (1, log[:4])
    assert await store.events(number, len(log)) == (len(log) + 1, [])
    assert await store.events(number, len(log) + 7) == (len(log) + 8, [])


async def test_everything_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        number, log = await store_log(store)
        await finish(store, "done")
        before = await store.find("long"), await store.find("done")
    async with open_store(tmp_path) as store:
        assert (await store.find("long"), await store.find("done")) == before
        assert await store.events(number, 0) == (1, log)
        assert [run.run_id for run in await store.unfinished()] == ["long"]


async def test_runs_are_listed_newest_first_and_in_pages(store: RunStore) -> None:
    for name in "abcde":
        await finish(store, name)
    await add_run(store, "waits")
    page = await store.page(RunFilter(limit=2, finished=True))
    assert ([run.run_id for run in page.runs], page.total) == (["e", "d"], 5)
    page = await store.page(RunFilter(limit=3, finished=True, before=page.next_before))
    assert ([run.run_id for run in page.runs], page.next_before) == (["c", "b", "a"], None)
    assert [run.run_id for run in (await store.page(RunFilter(limit=1))).runs] == ["waits"]


async def test_runs_are_found_by_what_is_asked_for(store: RunStore) -> None:
    await add_run(store, "100%", workflow_id="chat/tavern", workflow_name="Tavern_1")
    await add_run(store, "1000", workflow_id="other", workflow_name="Tavern 1", created=NOW + 10)
    await finish(store, "done")

    async def found(**wanted: object) -> list[str]:
        page = await store.page(RunFilter(**wanted))  # type: ignore[arg-type]  # its fields
        return [run.run_id for run in page.runs]

    assert await found(text="100%") == ["100%"]
    assert await found(text="tavern_") == ["100%"]
    assert await found(text="TAVERN") == ["1000", "100%"]
    assert await found(workflow_id="other") == ["1000"]
    assert await found(since=NOW + 10) == ["1000"]
    assert await found(until=NOW + 10) == ["done", "100%"]
    assert await found(statuses=("complete", "error")) == ["done"]
    assert await found(finished=False) == ["1000", "100%"]


async def test_priorities_and_settings_are_kept(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        run = await add_run(store, "a")
        await store.set_priority(run.number, -7)
        assert await store.get("mood") is None
        await store.set("mood", "good")
        await store.set("mood", "better")
    async with open_store(tmp_path) as store:
        assert (await store.find("a")).priority == -7
        assert await store.get("mood") == "better"


async def test_only_finished_runs_are_deleted_and_each_with_all_that_it_has(
    store: RunStore,
) -> None:
    done, waits = await finish(store, "done"), await add_run(store, "waits")
    assert await store.delete(["done", "waits", "nobody", "done"]) == 1
    with pytest.raises(UnknownRunError):
        await store.find("done")
    assert await store.events(done.number, 0) == (1, [])
    assert (await store.events(waits.number, 0))[1] != []
    assert await store.size() == (1, waits.size)


# --- idempotency keys -----------------------------------------------------------------------


async def test_a_key_gives_the_run_of_its_first_use(store: RunStore) -> None:
    first = await store.create(new_run("a", idempotency_key="k", fingerprint="asked"))
    again = await store.create(new_run("b", idempotency_key="k", fingerprint="other"))
    assert first.is_new
    assert again == (first.run, False, "asked")
    assert await store.find_key("k") == (first.run, False, "asked")
    assert await store.find_key("new") is None
    with pytest.raises(UnknownRunError):
        await store.find("b")


async def test_a_key_is_used_once_by_requests_at_the_same_time(store: RunStore) -> None:
    found: list[tuple[str, bool]] = []

    async def create(run_id: str) -> None:
        created = await store.create(new_run(run_id, idempotency_key="k"))
        found.append((created.run.run_id, created.is_new))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(create, f"run-{number}")
    assert len({run_id for run_id, _ in found}) == 1
    assert [is_new for _, is_new in found].count(True) == 1


async def test_a_key_is_free_again_when_its_run_is_deleted(store: RunStore) -> None:
    number = (await add_run(store, "a", idempotency_key="k")).number
    await store.append(number, batch(2, "over"), status=Status.COMPLETE)
    await store.delete(["a"])
    assert await store.find_key("k") is None
    assert (await store.create(new_run("b", idempotency_key="k"))).is_new


# --- the writer -----------------------------------------------------------------------------


async def test_what_comes_meanwhile_is_committed_together(store: RunStore) -> None:
    statements: list[str] = []
    await store.database.write(lambda writer: writer.set_trace_callback(statements.append))
    held = Held(store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(held.hold)
        await held.reached.wait()
        for number in range(50):
            tasks.start_soon(store.set, f"key-{number}", "value")
        await anyio.wait_all_tasks_blocked()
        held.go.set()
    # The one that was being made when the trace began, the one that held on, and the rest.
    assert statements.count("COMMIT") == 3
    assert await store.get("key-49") == "value"


async def test_a_change_that_fails_takes_no_other_with_it(store: RunStore) -> None:
    failures: list[BaseException] = []

    def refuse(writer: sqlite3.Connection) -> None:
        writer.execute("INSERT INTO settings VALUES ('half', 'done')")
        raise ValueError("not like this")

    async def fail() -> None:
        try:
            await store.database.write(refuse)
        except ValueError as exc:
            failures.append(exc)

    async def collide() -> None:
        try:
            await store.create(new_run("taken"))
        except StoreError as exc:
            failures.append(exc)

    await add_run(store, "taken")
    held = Held(store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(held.hold)
        await held.reached.wait()
        tasks.start_soon(store.set, "before", "1")
        tasks.start_soon(fail)
        tasks.start_soon(collide)
        tasks.start_soon(store.set, "after", "2")
        await anyio.wait_all_tasks_blocked()
        held.go.set()
    assert [await store.get(key) for key in ("before", "half", "after")] == ["1", None, "2"]
    assert sorted(map(str, failures)) == [
        "not like this",
        "the file of runs 'runs.sqlite3' cannot be used: unique constraint failed: runs.run_id",
    ]


async def test_readers_see_what_is_committed_while_the_writer_works(store: RunStore) -> None:
    await store.set("told", "before")
    held = Held(store)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(held.hold)
        await held.reached.wait()
        tasks.start_soon(store.set, "told", "after")
        async with anyio.create_task_group() as readers:
            for _ in range(20):
                readers.start_soon(store.get, "told")
        assert (await store.get("told"), await store.get("held")) == ("before", None)
        held.go.set()
    assert (await store.get("told"), await store.get("held")) == ("after", "yes")


async def test_readers_cannot_write(store: RunStore) -> None:
    with pytest.raises(StoreError, match="attempt to write a readonly database"):
        await store.database.read(lambda reader: reader.execute("DELETE FROM runs"))


async def test_what_was_handed_in_is_committed_before_the_file_is_closed(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        held = Held(store)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(held.hold)
            await held.reached.wait()
            tasks.start_soon(store.set, "last", "word")
            tasks.start_soon(add_run, store, "late")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(store.close)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(StoreError) as caught:
                await store.set("too", "late")
            held.go.set()
        assert str(caught.value) == (
            "the file of runs 'runs.sqlite3' is closed, the host is stopping"
        )
        with pytest.raises(StoreError):
            await store.get("last")
    async with open_store(tmp_path) as store:
        assert await store.get("last") == "word"
        assert await store.get("too") is None
        assert (await store.find("late")).status == Status.QUEUED


async def test_a_change_is_made_although_its_caller_is_cancelled(store: RunStore) -> None:
    held, returned = Held(store), list[object]()

    async def create() -> None:
        returned.append(await store.create(new_run("a")))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(held.hold)
        await held.reached.wait()
        async with anyio.create_task_group() as callers:
            callers.start_soon(create)
            await anyio.wait_all_tasks_blocked()
            callers.cancel_scope.cancel()
            held.go.set()
    assert (await store.find("a")).status == Status.QUEUED
    assert len(returned) == 1  # the caller knows

"""The file of runs over time: older layouts, newer ones, damage, a full disk."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from anyio import to_thread

from comfytavern.events import Status
from comfytavern_hostapp.store import (
    FILE_NAME,
    RunStore,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreVersionError,
    set_aside,
)
from comfytavern_hostapp.store.database import Database
from comfytavern_hostapp.store.schema import MIGRATIONS

from .service_bench import crashed_copy, open_store
from .store_records import add_run, batch, finish

# The text of StoreDamagedError around its reason.
_DAMAGED = (
    "the file of runs 'runs.sqlite3' is damaged ({}); it was left as it is: put a copy of it back,"
    " or start with --set-aside-damaged to keep it under another name and begin without history"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give the place of the file, in a folder that is there."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / FILE_NAME


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, but what SQLite and the lock make for the moment."""
    found = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    return {
        name: data
        for name, data in found.items()
        if not re.search("-shm$|^host", name) and (data or not name.endswith("-wal"))
    }


async def ask(file: Path, sql: str) -> list[tuple[object, ...]]:
    """Ask a file, past the store."""

    def query() -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(file)) as connection:
            return connection.execute(sql).fetchall()

    return await to_thread.run_sync(query)


async def refused(file: Path, *migrations: str) -> StoreError:
    """Return why a file cannot be opened; asserts that nothing of it was changed."""
    before = await to_thread.run_sync(contents, file.parent)
    database = Database(file, migrations or MIGRATIONS)
    with pytest.raises(StoreError) as caught:
        await database.start()
    assert await to_thread.run_sync(contents, file.parent) == before
    return caught.value


async def some_runs(data_dir: Path, count: int = 30) -> None:
    """Store runs of a few pages each."""
    async with open_store(data_dir) as store:
        for number in range(count):
            await finish(store, f"run-{number}", f"{number} " * 4000)


# --- layouts --------------------------------------------------------------------------------

FIRST = "CREATE TABLE things (name TEXT);"
SECOND = "ALTER TABLE things ADD COLUMN size INTEGER; UPDATE things SET size = length(name);"


async def with_a_thing(file: Path, *migrations: str) -> None:
    """Make a file of some layout with a row in it."""
    database = Database(file, migrations)
    await database.start()
    await database.write(lambda w: w.execute("INSERT INTO things (name) VALUES ('kettle')"))
    await database.close()


async def test_an_older_file_is_brought_up_to_date_and_a_copy_is_kept(file: Path) -> None:
    await with_a_thing(file, FIRST)
    database = Database(file, (FIRST, SECOND))
    await database.start()
    found = await database.read(lambda r: r.execute("SELECT name, size FROM things").fetchall())
    await database.close()
    assert found == [("kettle", 6)]
    copy = file.with_name("runs.layout-1.sqlite3")
    assert await ask(copy, "SELECT * FROM things") == [("kettle",)]
    assert await ask(copy, "PRAGMA user_version") == [(1,)]
    assert await ask(file, "PRAGMA user_version") == [(2,)]
    assert await ask(file, "PRAGMA journal_mode") == [("wal",)]


async def test_a_file_takes_every_step_that_it_lacks(file: Path) -> None:
    await with_a_thing(file, FIRST)
    third = "INSERT INTO things VALUES ('cup', 3);"
    database = Database(file, (FIRST, SECOND, third))
    await database.start()
    found = await database.read(lambda r: r.execute("SELECT size FROM things").fetchall())
    await database.close()
    assert found == [(6,), (3,)]


async def test_a_step_that_fails_leaves_the_older_layout(file: Path) -> None:
    await with_a_thing(file, FIRST)
    database = Database(file, (FIRST, "DELETE FROM things; DELETE FROM kitchen;"))
    with pytest.raises(StoreError) as caught:
        await database.start()
    assert str(caught.value) == (
        "the file of runs 'runs.sqlite3' cannot be used: no such table: kitchen"
    )
    assert await ask(file, "SELECT * FROM things") == [("kettle",)]
    assert await ask(file, "PRAGMA user_version") == [(1,)]
    await with_a_thing(file, FIRST, SECOND)  # mended: it is migrated after all
    assert await ask(file, "SELECT count(*), max(size) FROM things") == [(2, 6)]


async def test_a_newer_file_is_refused(file: Path) -> None:
    await with_a_thing(file, FIRST, SECOND)
    error = await refused(file, FIRST)
    assert type(error) is StoreVersionError
    assert str(error) == (
        "the file of runs 'runs.sqlite3' has layout 2, and this host knows up to 1;"
        " use the newer host, or another data_dir"
    )


def _somebody_elses(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()


async def test_the_database_of_another_program_is_refused(file: Path) -> None:
    await to_thread.run_sync(_somebody_elses, file)
    error = await refused(file)
    assert type(error) is StoreDamagedError
    assert str(error) == _DAMAGED.format("it is the database of another program")
    assert await ask(file, "SELECT * FROM recipes") == []


# --- damage ---------------------------------------------------------------------------------


def _garbage(file: Path) -> None:
    file.write_bytes(b"This is not a database, but somebody's shopping list. " * 100)


def _truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 3)


def _cut_short(file: Path) -> None:
    os.truncate(file, 60)


def _overwritten(file: Path) -> None:
    size = file.stat().st_size
    with file.open("r+b") as stream:
        for place in range(4096, size - 4096, 4096 * 3):
            stream.seek(place)
            stream.write(bytes(range(256)) * 16)


def _headless(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.write(bytes(100))


@pytest.mark.parametrize("crashed", [False, True], ids=["closed", "killed"])
@pytest.mark.parametrize(
    ("damage", "reasons"),
    [
        (_garbage, "file is not a database"),
        (_truncated, "database disk image is malformed|.* failed to read ptrmap .*"),
        (_cut_short, "database disk image is malformed"),
        (_overwritten, "[^A-Z()]+"),
        (_headless, "file is not a database"),
    ],
)
async def test_a_damaged_file_is_refused_and_left_as_it_is(
    tmp_path: Path, damage: Callable[[Path], None], reasons: str, crashed: bool
) -> None:
    data_dir = tmp_path / "data"
    await some_runs(data_dir)
    if crashed:  # then there is a log beside the file that was not taken into it yet
        async with open_store(data_dir) as store:
            await finish(store, "last")
            data_dir = await to_thread.run_sync(crashed_copy, data_dir, tmp_path / "copy")
        assert f"{FILE_NAME}-wal" in await to_thread.run_sync(contents, data_dir)
    await to_thread.run_sync(damage, data_dir / FILE_NAME)
    error = await refused(data_dir / FILE_NAME)
    assert type(error) is StoreDamagedError
    told = re.fullmatch(re.escape(_DAMAGED).replace(r"\{\}", "(.+)"), str(error))
    assert told is not None
    assert re.fullmatch(reasons, told[1])


async def test_the_directory_is_free_after_a_damaged_file_was_refused(file: Path) -> None:
    await to_thread.run_sync(_garbage, file)
    with pytest.raises(StoreDamagedError):
        await RunStore(file.parent).start()
    await to_thread.run_sync(file.unlink)
    async with open_store(file.parent) as store:
        assert await store.size() == (0, 0)


async def test_an_empty_file_is_as_good_as_none(file: Path) -> None:
    await to_thread.run_sync(file.touch)
    async with open_store(file.parent) as store:
        await add_run(store, "a")


def test_nothing_is_set_aside_where_nothing_is(tmp_path: Path) -> None:
    assert set_aside(tmp_path) is None


def test_a_file_is_set_aside_under_names_of_their_own(file: Path) -> None:
    kept = {}
    for text in (b"first", b"second", b"third"):
        file.write_bytes(text)
        target = set_aside(file.parent)
        assert target is not None
        assert re.fullmatch(r"runs\.\d{8}T\d{6}Z(-\d)?\.sqlite3", target.name)
        kept[target.name] = text
    assert contents(file.parent) == kept


async def test_what_was_not_taken_into_the_file_is_set_aside_with_it(tmp_path: Path) -> None:
    async with open_store(tmp_path / "data") as store:
        await finish(store, "in the log only")
        copy = await to_thread.run_sync(crashed_copy, tmp_path / "data", tmp_path / "copy")
    target = await to_thread.run_sync(set_aside, copy)
    assert target is not None
    assert sorted(await to_thread.run_sync(contents, copy)) == [
        target.name,
        f"{target.name}-wal",
    ]
    async with open_store(copy) as store:
        assert await store.size() == (0, 0)
    found = await ask(target, "SELECT run_id FROM runs")
    assert found == [("in the log only",)]


# --- a full disk ----------------------------------------------------------------------------


async def test_a_full_disk_is_told_and_costs_nothing_that_is_there(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        limit = store.database.write
        number = (await add_run(store, "a")).number
        await store.append(number, batch(2, "before"))
        added = batch(3, "x" * 100_000)
        # SQLite takes this for a disk that is full: it raises the same error.
        await limit(lambda writer: writer.execute("PRAGMA max_page_count = 1").fetchall())
        for _ in range(3):
            with pytest.raises(StoreFullError) as caught:
                await store.append(number, added)
            assert str(caught.value) == (
                "the file of runs 'runs.sqlite3' cannot grow, the disk is full;"
                " make room, the host goes on by then"
            )
            assert store.database.trouble is caught.value
        assert len((await store.events(number, 0))[1]) == 2
        assert (await store.find("a")).last_seq == 2
        await limit(lambda writer: writer.execute("PRAGMA max_page_count = 1000000").fetchall())
        await store.append(number, added, status=Status.COMPLETE)
        assert store.database.trouble is None
        assert (await store.events(number, 2))[1] == added.frames
    assert await ask(tmp_path / FILE_NAME, "PRAGMA integrity_check") == [("ok",)]

"""A data directory has one host at a time, and who it is can be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from comfytavern.events import Status
from comfytavern_hostapp.store import (
    FILE_NAME,
    DataDirectoryInUseError,
    Holder,
    RunStore,
    StoreDamagedError,
    read_holder,
)
from comfytavern_hostapp.store.lock import DataDirectoryLock

from ..scenarios.building import flow, place
from .service_bench import Bench, open_store, submit
from .store_records import NOW, add_run

HOLDER = """
import sys
from pathlib import Path
from comfytavern_hostapp.store.lock import DataDirectoryLock
lock = DataDirectoryLock(Path(sys.argv[1]))
try:
    lock.acquire()
except Exception as exc:
    print(f"{exc.code}: {exc}")
else:
    lock.announce("http://127.0.0.1:7")
    print("held", flush=True)
    sys.stdin.read()
    lock.release()
"""


def start_holder(data_dir: Path) -> subprocess.Popen[str]:
    """Start a process that takes a data directory until its stdin ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    """Return what a process says first."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_is_told_who_has_the_directory(tmp_path: Path) -> None:
    lock = DataDirectoryLock(tmp_path)
    lock.acquire()
    lock.announce("http://127.0.0.1:8321/tavern")
    with start_holder(tmp_path) as process:
        assert first_line(process) == (
            f"data_dir_in_use: the data directory {str(tmp_path)!r} is in use by another host"
            f" (process {os.getpid()}, http://127.0.0.1:8321/tavern);"
            " stop that one, or give this one its own with --data-dir"
        )
    assert read_holder(tmp_path) == Holder(os.getpid(), "http://127.0.0.1:8321/tavern")
    lock.release()
    assert read_holder(tmp_path) is None


def test_the_directory_is_free_when_its_holder_was_killed(tmp_path: Path) -> None:
    lock = DataDirectoryLock(tmp_path)
    with start_holder(tmp_path) as process:
        assert first_line(process) == "held"
        with pytest.raises(DataDirectoryInUseError) as caught:
            lock.acquire()
        assert f"(process {process.pid}, http://127.0.0.1:7)" in str(caught.value)
        process.kill()
        process.wait()
    lock.acquire()
    lock.release()


async def test_one_process_cannot_open_a_directory_twice(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await add_run(store, "a")
        with pytest.raises(DataDirectoryInUseError) as caught:
            await RunStore(tmp_path).start()
        assert str(caught.value) == (
            f"the data directory {str(tmp_path)!r} is in use by another host;"
            " stop that one, or give this one its own with --data-dir"
        )
        await store.begin(1, NOW)  # the first goes on as before
    async with open_store(tmp_path) as store:
        assert (await store.find("a")).status == Status.RUNNING


async def test_the_directory_is_free_when_its_user_was_cancelled(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with open_store(tmp_path) as store:
            await add_run(store, "a")
            scope.cancel()
            await anyio.sleep_forever()
    async with open_store(tmp_path) as store:
        assert (await store.find("a")).run_id == "a"


def test_an_unreadable_note_of_the_holder_is_no_trouble(tmp_path: Path) -> None:
    lock = DataDirectoryLock(tmp_path)
    lock.acquire()
    (tmp_path / "host.json").write_text("{")
    with pytest.raises(DataDirectoryInUseError):
        DataDirectoryLock(tmp_path).acquire()
    lock.release()
    shutil.rmtree(tmp_path)


# --- a file that cannot be used -------------------------------------------------------------


async def test_a_damaged_file_keeps_a_host_from_starting_until_it_is_set_aside(
    bench: Bench,
) -> None:
    file = anyio.Path(bench.data_dir / FILE_NAME)
    await file.parent.mkdir()
    await file.write_bytes(b"not a database " * 500)
    with pytest.raises(StoreDamagedError):
        async with bench.service():
            raise AssertionError("it has started")
    async with bench.service(set_aside=True) as service:
        assert await service.store.size() == (0, 0)
    kept = [path async for path in file.parent.glob("runs.*T*Z.sqlite3")]
    assert [await path.read_bytes() for path in kept] == [b"not a database " * 500]


async def test_a_file_that_can_be_used_is_never_set_aside(bench: Bench) -> None:
    async with bench.service(paused=True) as service:
        run_id = await submit(service, flow(place("a", "Wait")))
    async with bench.service(paused=True, set_aside=True) as service:
        assert (await service.store.find(run_id)).status == Status.QUEUED

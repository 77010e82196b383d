"""What a killed server has left on the disk, held against what its clients were told."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson

from .kill_clients import FINAL, Told

__all__ = ("Left", "check")

FILE = "runs.sqlite3"


@dataclass(frozen=True, slots=True)
class _Run:
    number: int
    run_id: str
    name: str
    status: str
    started: float | None
    last_seq: int


@dataclass(frozen=True, slots=True)
class Left:
    """What a kill has left: the runs that were going on, by their status."""

    running: frozenset[str]
    waiting: tuple[str, ...]
    ended: frozenset[str]


def check(data_dir: Path, executed: Path, told: Told, before: Left | None) -> Left:
    """Check everything that is stored; the server is not running.

    :param executed: the file into which each execution writes the id of its run
    :param before: what the last kill has left, if a server has been ready since
    """
    copy = data_dir.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in data_dir.glob(f"{FILE}*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, copy)
    with closing(sqlite3.connect(copy / FILE)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert file.execute("PRAGMA foreign_key_check").fetchall() == []
        sql = "SELECT number, run_id, workflow_name, status, started, last_seq FROM runs"
        runs = [_Run(*row) for row in file.execute(f"{sql} ORDER BY number")]
        logs = {run.run_id: _log(file, run) for run in runs}
    _check_logs(runs, logs)
    _check_told(runs, logs, told)
    _check_executions(runs, executed)
    if before is not None:
        _check_since(runs, logs, before)
    return Left(
        frozenset(run.run_id for run in runs if run.status == "running"),
        tuple(run.run_id for run in runs if run.status == "queued"),
        frozenset(run.run_id for run in runs if run.status in FINAL),
    )


def _log(file: sqlite3.Connection, run: _Run) -> list[bytes]:
    sql = "SELECT first, last, body FROM events WHERE run = ? ORDER BY first"
    frames: list[bytes] = []
    for first, last, body in file.execute(sql, (run.number,)):
        assert first == len(frames) + 1, f"a gap in the log of {run}"
        frames += bytes(body).split(b"\n")
        assert last == len(frames), f"a batch of another length in the log of {run}"
    return frames


def _check_logs(runs: list[_Run], logs: dict[str, list[bytes]]) -> None:
    """Each log is gapless, and has one terminal event, last, once its run has ended."""
    for run in runs:
        frames = logs[run.run_id]
        assert run.last_seq == len(frames), run
        ends = []
        for seq, frame in enumerate(frames, 1):
            assert b'"seq":%d' % seq in frame, (run, frame)
            if b'"EXECUTION_STATUS_UPDATE"' in frame:
                status = orjson.loads(frame)["payload"]["status"]
                ends += [(seq, status)] if status in FINAL else []
        expected = [(len(frames), run.status)] if run.status in FINAL else []
        assert ends == expected, run


def _check_told(runs: list[_Run], logs: dict[str, list[bytes]], told: Told) -> None:
    """Whatever a client has heard is stored, byte for byte; no request was taken twice."""
    names = {run.run_id: run.name for run in runs}
    for run_id, name in told.accepted.items():
        assert names.get(run_id) == name, f"run {run_id} was accepted and is lost"
    for run_id, events in told.events.items():
        frames = logs[run_id]
        for seq, text in events.items():
            assert frames[seq - 1 : seq] == [text], f"event {seq} of run {run_id} is lost"
    with_key = {request["workflow"]["name"] for request in told.requests.values()}
    taken = Counter(run.name for run in runs)
    assert [name for name in with_key if taken[name] > 1] == []


def _check_executions(runs: list[_Run], executed: Path) -> None:
    """Nothing is executed twice, or before its turn, or without being noted as running."""
    times = Counter(executed.read_text().split() if executed.exists() else ())
    for run in runs:
        expected = {"queued": {0}, "running": {0, 1}, "interrupted": {0, 1}, "complete": {1}}
        assert times[run.run_id] in expected[run.status], (run, times[run.run_id])
    begun = [run for run in runs if run.started is not None]
    in_order = sorted(begun, key=lambda run: (run.started, run.number))
    assert in_order == begun, "runs were not started in the order of submission"
    waiting = [run.number for run in runs if run.status == "queued"]
    assert not waiting or not begun or begun[-1].number < min(waiting)


def _check_since(runs: list[_Run], logs: dict[str, list[bytes]], before: Left) -> None:
    """What was running has been interrupted, and what had ended is as it was."""
    statuses = {run.run_id: run.status for run in runs}
    for run_id in before.running:
        assert statuses[run_id] == "interrupted"
        last = orjson.loads(logs[run_id][-1])
        assert last["payload"]["errorInfo"]["code"] == "host_stopped"
        ended = [orjson.loads(frame) for frame in logs[run_id] if b"NODE_INTERRUPTED" in frame]
        completed = [frame for frame in logs[run_id] if b'"NODE_COMPLETE"' in frame]
        assert len(ended) + len(completed) == 2, run_id
    for run_id in (*before.waiting, *before.ended):
        assert run_id in statuses

"""The run log: always closed, never mixed, without secrets, and never in the way of a run."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from comfytavern import _log_lines
from comfytavern.events import EventType, Status
from comfytavern.runlog import RunLog, RunLogs

Lines = list[dict[str, Any]]  # Any: a JSON value


def ts(milliseconds: int) -> str:
    return f"2030-01-02T03:04:{milliseconds // 1000:02}.{milliseconds % 1000:03}+00:00"


def event(kind: str, at: int = 0, /, run: str | None = "r", **payload: object) -> dict[str, object]:
    return {"type": kind, "payload": {"promptId": run, **payload}, "ts": ts(at)}


def status(name: str, at: int = 0, /, run: str | None = "r", **more: object) -> dict[str, object]:
    return event(EventType.EXECUTION_STATUS_UPDATE, at, run, status=name, **more)


def chunk(text: object, kind: str = "text_chunk", *, last: bool = False) -> dict[str, object]:
    content = {"type": kind, "content": text}
    return event(EventType.NODE_YIELD, sourceNodeId="n1", yieldedContent=content, isLastChunk=last)


def lines_of(source: Path | io.StringIO) -> Lines:
    text = source.read_text("utf-8") if isinstance(source, Path) else source.getvalue()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def logged(*batch: dict[str, object], **options: Any) -> Lines:  # Any: those of ``RunLog``
    stream = io.StringIO()
    log = RunLog(stream, **options)
    log.write(batch)
    log.close()
    return lines_of(stream)


def events_of(lines: Lines) -> list[str]:
    return [line["event"] for line in lines]


# --- what is in it ----------------------------------------------------------------------------


def test_a_whole_run(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "run.jsonl"
    log = RunLog(path, run_id="r")
    log.start(
        {"nodes": [{"fullType": "core:A"}, {"type": "core:A"}, {"type": "b:B"}], "edges": [{}]},
        {"name": "Anna"},
    )
    log.write([status("queued", 0, queuePosition=2), status("running", 1000)])
    log.write(
        [
            event(EventType.NODE_EXECUTING, 1001, nodeId="n1"),
            event(EventType.NODE_PROGRESS, 1002, nodeId="n1", value=1, max=2),
            chunk("Grüße"),
            event(EventType.WORKFLOW_INTERFACE_YIELD, 1003, interfaceOutputKey="reply"),
            chunk("boom", "error_chunk", last=True),
            event(EventType.NODE_COMPLETE, 1004, nodeId="n1", output={"x": 1}, durationMs=3.5),
        ]
    )
    log.write(
        [
            event(EventType.NODE_ERROR, 1005, nodeId="n2", errorDetails={"message": "boom"}),
            event(EventType.NODE_SKIPPED, 1005, nodeId="n3", reason="n2 failed", causedBy="n2"),
            event(EventType.NODE_BYPASSED, 1006, nodeId="n4", pseudoOutputs={"y": ""}),
            status("error", 1250, errorInfo={"message": "boom", "code": "node_failed"}),
        ]
    )
    log.close()
    start, *lines = lines_of(path)
    del start["ts"]
    assert start == {
        "event": "run_start",
        "runId": "r",
        "workflow": {"nodes": 3, "edges": 1, "types": {"core:A": 2, "b:B": 1}},
        "inputs": {"name": "Anna"},
    }
    assert lines == [
        {"ts": ts(0), "event": "run_status", "status": "queued", "queuePosition": 2},
        {"ts": ts(1000), "event": "run_status", "status": "running"},
        {"ts": ts(1001), "event": "node_start", "nodeId": "n1"},
        {
            "ts": ts(0),
            "event": "stream_chunk",
            "nodeId": "n1",
            "type": "text_chunk",
            "content": "Grüße",
        },
        {
            "ts": ts(0),
            "event": "stream_error",
            "nodeId": "n1",
            "type": "error_chunk",
            "content": "boom",
            "isLastChunk": True,
        },
        {
            "ts": ts(1004),
            "event": "node_complete",
            "nodeId": "n1",
            "output": {"x": 1},
            "durationMs": 3.5,
        },
        {
            "ts": ts(1005),
            "event": "node_error",
            "nodeId": "n2",
            "errorDetails": {"message": "boom"},
        },
        {
            "ts": ts(1005),
            "event": "node_skipped",
            "nodeId": "n3",
            "reason": "n2 failed",
            "causedBy": "n2",
        },
        {"ts": ts(1006), "event": "node_bypassed", "nodeId": "n4", "pseudoOutputs": {"y": ""}},
        {
            "ts": ts(1250),
            "event": "run_end",
            "runId": "r",
            "status": "error",
            "errorInfo": {"message": "boom", "code": "node_failed"},
            "durationMs": 250.0,
        },
    ]
    assert "Grüße" in path.read_text("utf-8")
    assert not log.incomplete


def test_an_interrupt_is_a_line_before_what_it_interrupts() -> None:
    lines = logged(
        status("running"),
        event(EventType.NODE_INTERRUPTED, nodeId="n1", partial=True),
        event(EventType.NODE_INTERRUPTED, nodeId="n2"),
        status("interrupted"),
    )
    assert events_of(lines) == [
        "run_start",
        "run_status",
        "interrupt",
        "node_interrupted",
        "node_interrupted",
        "run_end",
    ]
    assert lines[3]["partial"] is True


@pytest.mark.parametrize(
    ("given", "ends"),
    [(None, "interrupted"), (Status.ERROR, "error"), ("complete", "complete")],
)
def test_a_log_without_a_final_event_is_closed_all_the_same(
    given: Status | str | None, ends: str
) -> None:
    stream = io.StringIO()
    log = RunLog(stream)
    log.write([event(EventType.NODE_EXECUTING, nodeId="n1")])
    log.close(given)
    log.close(Status.COMPLETE)
    log.write([event(EventType.NODE_EXECUTING, nodeId="n2")])
    log.start({})
    lines = lines_of(stream)
    assert lines[-1]["status"] == ends
    assert events_of(lines).count("run_end") == 1
    assert not stream.closed


def test_an_event_decides_how_a_run_has_ended() -> None:
    stream = io.StringIO()
    log = RunLog(stream)
    log.write([status("complete"), status("error"), event(EventType.NODE_EXECUTING, nodeId="n1")])
    log.close(Status.ERROR)
    lines = lines_of(stream)
    assert events_of(lines) == ["run_start", "run_end"]
    assert lines[-1]["status"] == "complete"


def test_a_log_in_which_nothing_happened_has_a_beginning_and_an_end() -> None:
    assert events_of(logged(run_id="r")) == ["run_start", "interrupt", "run_end"]


def test_events_of_other_runs_and_of_none_are_left_out() -> None:
    lines = logged(
        event(EventType.SYSTEM_QUEUE_UPDATE, 0, None),
        event("SOMETHING_NEW"),
        {"type": EventType.NODE_EXECUTING, "payload": "odd"},
        event(EventType.NODE_EXECUTING, nodeId="mine"),
        event(EventType.NODE_EXECUTING, 0, "other", nodeId="theirs"),
        status("complete", 0, "other"),
        status("complete"),
    )
    assert events_of(lines) == ["run_start", "node_start", "run_end"]
    assert [line["runId"] for line in lines[::2]] == ["r", "r"]


def test_events_without_a_usable_time_still_make_lines() -> None:
    bare: dict[str, object] = {"type": "NODE_EXECUTING", "payload": {"nodeId": "n1"}}
    lines = logged(bare, {**bare, "ts": "later"}, {**status("complete"), "ts": "later"})
    assert lines[0]["ts"][:2] == "20"
    assert lines[2]["ts"] == "later"
    assert "durationMs" not in lines[-1]


def test_a_payload_cannot_forge_the_head_of_a_line() -> None:
    odd = event(EventType.NODE_YIELD, sourceNodeId="n1", yieldedContent={"event": "x", "ts": 0})
    plain = event(EventType.NODE_YIELD, sourceNodeId="n1", yieldedContent="text")
    lines = logged(odd, plain)
    assert lines[1] == {"ts": ts(0), "event": "stream_chunk", "nodeId": "n1"}
    assert lines[2]["content"] == "text"


@pytest.mark.parametrize("workflow", [{}, {"nodes": 3, "edges": None}, {"nodes": [3, {}]}])
def test_a_workflow_of_any_shape_can_be_summarised(workflow: dict[str, object]) -> None:
    stream = io.StringIO()
    RunLog(stream).start(workflow)
    (line,) = lines_of(stream)
    assert line["workflow"]["edges"] == 0


# --- values -----------------------------------------------------------------------------------


def shown(value: object, **options: Any) -> Any:  # Any: JSON, and options of ``RunLog``
    lines = logged(event(EventType.NODE_COMPLETE, nodeId="n1", output=value), **options)
    return lines[1]["output"]


def test_secrets_are_replaced_longest_first() -> None:
    secrets = ["", "key", "key-long", "a+b"]
    value = {"key-long": ["my key-long, my key", "a+b?"], "n": "keys"}
    assert shown(value, secrets=secrets) == {
        "<secret>": ["my <secret>, my <secret>", "<secret>?"],
        "n": "<secret>s",
    }


def test_a_number_can_be_a_secret() -> None:
    assert shown([1234, 12345, 1.5, True], secrets=["1234", "True"]) == [
        "<secret>",
        12345,
        1.5,
        True,
    ]


def test_secrets_that_become_known_later_are_taken_out_too() -> None:
    def redact(text: str) -> str:
        return text.replace("late", "***")

    assert shown("too late, early", secrets=["early"], redact=redact) == "too ***, <secret>"


def test_no_part_of_a_secret_is_left_where_a_value_is_cut() -> None:
    text = "x" * 85 + "secret-token" + "y" * 100
    cut = shown(text, secrets=["secret-token"], cut=100)
    assert cut == "x" * 85 + "<secret" + "… (101 more characters)"
    assert "token" not in cut


def test_secrets_are_nowhere_in_a_log() -> None:
    stream = io.StringIO()
    log = RunLog(stream, secrets=["hunter2"], run_id="hunter2")
    log.start({"nodes": [{"type": "hunter2"}]}, {"hunter2": "hunter2"})
    log.write([event(EventType.NODE_ERROR, 0, None, nodeId="hunter2", errorDetails=["hunter2"])])
    log.write([status("error", 0, None, errorInfo={"message": "hunter2 hunter2"})])
    log.close()
    assert "hunter2" not in stream.getvalue()
    assert len(lines_of(stream)) == 3


def test_long_values_are_cut() -> None:
    assert shown("x" * 2000) == "x" * 2000
    assert shown("x" * 2001) == "x" * 1992 + "… (9 more characters)"
    assert shown("x" * 50, cut=20) == "x" * 12 + "… (38 more characters)"
    assert shown(list(range(100)), cut=40) == [0, 1, 2, 3, "… (96 more)"]
    assert shown({str(n): n for n in range(9)}, cut=28) == {"0": 0, "1": 1, "2": 2, "…": "6 more"}
    long = shown({"a" * 99: "b", "c": "d"}, cut=50)
    assert long == {"a" * 42 + "… (57 more characters)": "b", "…": "1 more"}


def test_no_value_makes_an_endless_line() -> None:
    nested: list[object] = []
    nested.append(nested)
    wide = {str(n): [["x" * 500] * 50] * 50 for n in range(50)}
    assert len(json.dumps(shown(nested))) < 100
    assert len(json.dumps(shown(wide))) < 4000


def test_what_json_cannot_hold_is_described() -> None:
    value = (float("nan"), 2**80, b"raw", "\udc80", None)
    assert shown(value) == [None, "<integer of 81 bits>", "<bytes>", "\udc80", None]


# --- the file ---------------------------------------------------------------------------------


def test_half_a_surrogate_can_be_written(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "a.jsonl")
    log.write([event(EventType.NODE_COMPLETE, nodeId="\udc80é")])
    log.close()
    assert lines_of(tmp_path / "a.jsonl")[1]["nodeId"] == "\udc80é"
    assert not log.incomplete


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_log_is_for_the_eyes_of_its_owner(tmp_path: Path) -> None:
    RunLog(tmp_path / "logs" / "a.jsonl").close()
    assert (tmp_path / "logs" / "a.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_log_that_a_crash_left_open_can_be_closed_later(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    crashed = RunLog(path)
    crashed.write([status("running")])
    assert crashed._file is not None
    crashed._file.close()
    with path.open("a") as file:
        file.write('{"ts": "half a li')
    RunLog(path, run_id="r").close()
    lines = lines_of(path)
    assert events_of(lines) == ["run_start", "run_status", "interrupt", "run_end"]
    assert "durationMs" not in lines[-1]
    RunLog(path, run_id="r").close()
    assert len(lines_of(path)) == 4  # it has its end already


@pytest.mark.parametrize("begins", ["event", "start"])
def test_another_attempt_continues_the_log_of_a_run(tmp_path: Path, begins: str) -> None:
    path = tmp_path / "a.jsonl"
    for _ in range(2):
        log = RunLog(path, run_id="r")
        if begins == "start":
            log.start({})
        log.write([status("queued", attempt=2), status("interrupted")])
        log.close()
    attempt = ["run_start", "run_status", "interrupt", "run_end"]
    assert events_of(lines_of(path)) == attempt * 2


def test_a_torn_end_of_any_length_spoils_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_log_lines, "TAIL", 20)
    path = tmp_path / "a.jsonl"
    path.write_text('{"event": "run_start"}\n{"event": "' + "x" * 50)
    RunLog(path).close()
    lines = path.read_text().split("\n")
    assert lines[1] == '{"event": "' + "x" * 50
    assert [json.loads(line)["event"] for line in lines[2:-1]] == [
        "run_start",
        "interrupt",
        "run_end",
    ]


@pytest.mark.parametrize("text", ["[1]\n", "odd\n", "half"])
def test_a_file_that_is_no_log_is_continued(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    RunLog(path).close()
    assert path.read_text().count("run_end") == 1


class FullDisk:
    """Lets the file of a log take so many bytes and no more."""

    def __init__(self, log: RunLog, room: int) -> None:
        self.room = room
        self.truncates = True
        assert isinstance(log._file, _log_lines.LogFile)
        self._raw = log._file._raw
        log._file._raw = self  # type: ignore[assignment]  # what the file of a log calls

    def write(self, data: memoryview) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._raw.write(data[: self.room])
        self.room -= written
        return written

    def truncate(self, size: int) -> int:
        if not self.truncates:
            raise OSError(errno.EIO, "Input/output error")
        return self._raw.truncate(size)

    def close(self) -> None:
        self._raw.close()
        raise OSError(errno.EIO, "Input/output error")


def test_a_full_disk_is_said_once_and_marked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jsonl"
    log = RunLog(path, run_id="r")
    log.write([status("running", 5)])
    before = path.read_bytes()
    disk = FullDisk(log, room=30)
    log.write([event(EventType.NODE_EXECUTING, nodeId=f"n{n}") for n in range(3)])
    assert path.read_bytes() == before  # no half a line
    log.write([event(EventType.NODE_EXECUTING, nodeId="n4")])
    assert log.incomplete
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        "the log of run 'r' is incomplete: [Errno 28] No space left on device"
    )
    disk.room = 10_000
    log.write([event(EventType.NODE_EXECUTING, 7, nodeId="n5")])
    log.write([status("complete", 9)])
    log.close()
    incomplete, started, end = lines_of(path)[2:]
    assert incomplete == {"ts": ts(7), "event": "incomplete", "linesLost": 4}
    assert started["nodeId"] == "n5"
    assert end["incomplete"] is True
    assert len(caplog.records) == 1


def test_an_end_that_found_no_room_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    log = RunLog(path)
    disk = FullDisk(log, room=0)
    disk.truncates = False
    log.write([event(EventType.NODE_EXECUTING, nodeId="n1"), status("complete")])
    disk.room = 10_000
    log.close()
    incomplete, end = lines_of(path)
    assert incomplete["linesLost"] == 2
    assert (end["event"], end["status"]) == ("run_end", "complete")


def test_a_log_that_cannot_be_opened_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").write_text("in the way")
    log = RunLog(tmp_path / "logs" / "a.jsonl")
    log.start({})
    log.write([chunk("a"), status("complete")])
    log.close()
    assert log.incomplete
    assert log.closed
    assert len(caplog.records) == 1


def test_a_stream_that_somebody_closed_does_not_disturb() -> None:
    stream = io.StringIO()
    log = RunLog(stream)
    stream.close()
    log.write([status("complete")])
    log.close()
    assert log.incomplete


def test_chunks_beyond_the_limit_are_counted() -> None:
    lines = logged(limit=1)
    assert "chunksLeftOut" not in lines[-1]
    stream = io.StringIO()
    log = RunLog(stream, limit=1)
    log.write([chunk("a")])
    log.write([chunk("b"), chunk("c"), chunk("boom", "error_chunk"), status("error")])
    log.close()
    lines = lines_of(stream)
    assert events_of(lines) == ["run_start", "stream_chunk", "stream_error", "run_end"]
    assert lines[-1]["chunksLeftOut"] == 2


async def test_logs_are_written_in_worker_threads(tmp_path: Path) -> None:
    log = await anyio.to_thread.run_sync(RunLog, tmp_path / "a.jsonl")

    async def write(number: int) -> None:
        batch = [event(EventType.NODE_EXECUTING, nodeId=f"{number}-{n}") for n in range(50)]
        await anyio.to_thread.run_sync(log.write, batch)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(write, number)
    await anyio.to_thread.run_sync(log.close)
    lines = await anyio.to_thread.run_sync(lines_of, tmp_path / "a.jsonl")
    assert len(lines) == 1 + 400 + 2


# --- a folder of logs -------------------------------------------------------------------------


def test_logs_of_several_runs_are_never_mixed(tmp_path: Path) -> None:
    logs = RunLogs(tmp_path)
    one, two = logs.open("one"), logs.open("two")
    both = [status("complete", 0, "one"), status("error", 0, "two")]
    one.write(both)
    two.write(both)
    for log in (one, two):
        log.close()
    assert lines_of(logs.path("one"))[-1]["status"] == "complete"
    assert lines_of(logs.path("two"))[-1]["status"] == "error"


def test_an_open_log_is_handed_out_again(tmp_path: Path) -> None:
    logs = RunLogs(tmp_path)
    log = logs.open("one")
    assert logs.open("one") is log
    log.close()
    again = logs.open("one")
    assert again is not log
    again.close()


@pytest.mark.parametrize(
    "run_id",
    [
        "../../etc/passwd",
        "/abs",
        "a" * 300,
        "",
        ".",
        "A",
        "CON",
        "nul:",
        "名",
        "\udc80",
        "a\0b",
        "x y",
    ],
)
def test_any_run_id_gives_a_safe_file_name(tmp_path: Path, run_id: str) -> None:
    logs = RunLogs(tmp_path)
    path = logs.path(run_id)
    assert path.parent == tmp_path
    assert path.name.startswith("run-")
    assert len(path.name) < 100
    assert path.name.isascii()
    logs.open(run_id).close()
    assert lines_of(path)[0]["runId"] == run_id
    assert path != logs.path(run_id.lower() + "x")


def test_run_ids_that_differ_in_case_have_files_of_their_own(tmp_path: Path) -> None:
    logs = RunLogs(tmp_path)
    names = {logs.path(run_id).name.casefold() for run_id in ("ab", "AB", "aB", "a b", "a-b")}
    assert len(names) == 5


def fill(logs: RunLogs, count: int) -> list[Path]:
    paths = []
    for number in range(count):
        logs.open(f"r{number}").close()
        path = logs.path(f"r{number}")
        os.utime(path, (1000 + number, 1000 + number))
        paths.append(path)
    return paths


def test_the_oldest_logs_go_first(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    paths = fill(RunLogs(tmp_path, 10), 6)
    logs = RunLogs(tmp_path, 3)
    kept = logs.open("new")
    assert [path.exists() for path in paths] == [False] * 4 + [True] * 2
    assert (tmp_path / "notes.txt").exists()
    kept.close()
    logs.prune()
    assert paths[-1].exists()


def test_logs_are_bounded_in_bytes(tmp_path: Path) -> None:
    paths = fill(RunLogs(tmp_path), 4)
    size = sum(path.stat().st_size for path in paths)
    RunLogs(tmp_path, 100, size - 1).prune()
    assert [path.exists() for path in paths] == [False, True, True, True]


def test_a_log_stops_noting_chunks_at_a_quarter_of_the_bytes(tmp_path: Path) -> None:
    logs = RunLogs(tmp_path, 100, 2000)
    log = logs.open("r")
    for _ in range(100):
        log.write([chunk("abc")])
    log.close()
    assert logs.path("r").stat().st_size < 1000
    assert lines_of(logs.path("r"))[-1]["chunksLeftOut"] > 90


def test_an_open_log_is_never_pruned(tmp_path: Path) -> None:
    logs = RunLogs(tmp_path, 1)
    old = logs.open("old")
    old.write([status("running", 0, "old")])
    os.utime(logs.path("old"), (1, 1))
    logs.open("new").close()
    logs.open("newer").close()
    old.close()
    assert [logs.path(name).exists() for name in ("old", "new", "newer")] == [True, False, True]


@pytest.mark.parametrize("method", ["stat", "unlink"])
def test_what_cannot_be_pruned_stays(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
) -> None:
    first, _ = fill(RunLogs(tmp_path), 2)
    original: Callable[..., Any] = getattr(Path, method)  # Any: whatever it returns

    def refuse(self: Path, *arguments: object, **options: object) -> Any:  # Any: as above
        if self == first:
            raise PermissionError(errno.EACCES, "Permission denied")
        return original(self, *arguments, **options)

    monkeypatch.setattr(Path, method, refuse)
    RunLogs(tmp_path, 0).prune()
    monkeypatch.undo()
    assert first.exists()
    said = [record.getMessage() for record in caplog.records]
    expected = ["an old run log stays: [Errno 13] Permission denied"] if method == "unlink" else []
    assert said == expected


def test_logs_go_when_they_are_too_old(tmp_path: Path) -> None:
    first, second = fill(RunLogs(tmp_path), 2)
    for path, age in ((first, 90_000), (second, 80_000)):
        os.utime(path, (time.time() - age, time.time() - age))
    RunLogs(tmp_path, keep_days=1).prune()
    assert not first.exists()
    assert second.exists()


def test_a_full_folder_is_looked_through_when_the_first_log_is_opened(tmp_path: Path) -> None:
    paths = fill(RunLogs(tmp_path), 30)
    RunLogs(tmp_path, 25).open("new").close()
    assert sum(path.exists() for path in paths) == 24


def test_logs_that_are_open_at_the_end_are_closed(tmp_path: Path) -> None:
    logs = RunLogs(tmp_path)
    cut_off, ended = logs.open("cut-off"), logs.open("ended")
    cut_off.write([status("running", run="cut-off")])
    ended.write([status("complete", run="ended")])
    ended.close()
    for _ in range(2):  # closing again changes nothing
        logs.close()
    ends = {run: lines_of(logs.path(run))[-1] for run in ("cut-off", "ended")}
    assert {run: (line["event"], line["status"]) for run, line in ends.items()} == {
        "cut-off": ("run_end", "interrupted"),
        "ended": ("run_end", "complete"),
    }

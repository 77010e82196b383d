"""The run log: what happened in a run, one JSON object per line, for an operator to read.

One file per run. The first line of a run is ``run_start``, the last is ``run_end`` with
the final status, whatever happened in between. Secrets are replaced and long values cut.
Writing never raises: what could not be written is said once, counted and marked. All of
this is file work that blocks, to be called in a worker thread.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from math import inf
from pathlib import Path
from time import time
from typing import IO, Any

from ._log_lines import LogFile, LogStream, LogValues, event_of, moment_of, summary_of, timestamp
from .events import FINAL_STATUSES, EventType, Status

__all__ = ("RunLog", "RunLogs")

_log = logging.getLogger(__name__)

CUT = 2000  # characters that a logged value may have
_SLACK = 20  # looking through a folder takes long: it is done once per twentieth that is added

# What becomes a line. Progress is left out, and so are the chunks of interface outputs,
# each of which repeats the chunk of a node.
_LINES: Mapping[str, str] = {
    EventType.EXECUTION_STATUS_UPDATE: "run_status",
    EventType.NODE_EXECUTING: "node_start",
    EventType.NODE_COMPLETE: "node_complete",
    EventType.NODE_BYPASSED: "node_bypassed",
    EventType.NODE_ERROR: "node_error",
    EventType.NODE_SKIPPED: "node_skipped",
    EventType.NODE_INTERRUPTED: "node_interrupted",
    EventType.NODE_YIELD: "stream_chunk",
}

_PLAIN = re.compile("[a-z0-9][a-z0-9_-]{0,63}")

_Line = dict[str, Any]  # Any: a JSON value


class RunLog:
    """The log of one run. Safe to use from several threads; nothing in it raises.

    :param path: a file, which is continued if there is one, or an open text file
    :param secrets: texts that must not appear
    :param cut: how many characters a logged value may have
    :param redact: takes out further secrets, those that nodes were given meanwhile
    :param limit: bytes from which on chunks are counted instead of written
    """

    def __init__(
        self,
        path: Path | IO[str],
        *,
        secrets: Sequence[str] = (),
        cut: int = CUT,
        run_id: str | None = None,
        redact: Callable[[str], str] | None = None,
        limit: int | None = None,
    ) -> None:
        self.run_id = run_id
        self.incomplete = False
        self.closed = False
        self._show = LogValues(secrets, cut, redact).show
        self._limit = limit
        self._lock = threading.Lock()
        self._began = self._ended = self._interrupted = False
        self._since: datetime | None = None
        self._lost = self._left_out = 0
        self._last: _Line = {}
        self._file: LogFile | LogStream | None = None
        try:
            self._file = LogFile(path) if isinstance(path, Path) else LogStream(path)
            last = event_of(self._file.last_line())
            self._began, self._ended = last is not None, last == "run_end"
        except (OSError, ValueError) as exc:
            self._failed(exc)

    def start(
        self, workflow: Mapping[str, object], inputs: Mapping[str, object] | None = None
    ) -> None:
        """Write the beginning, with a summary of what is about to run; before any event."""
        with self._lock:
            if not self.closed:
                self._forget_the_end()
                summary = {"workflow": summary_of(workflow), "inputs": inputs or {}}
                self._put(self._begin(timestamp(), summary))

    def write(self, batch: Iterable[Mapping[str, object]]) -> None:
        """Write the events of a batch; those of another run are ignored."""
        with self._lock:
            if not self.closed:
                self._put([line for envelope in batch for line in self._lines(envelope)])

    def close(self, status: Status | str | None = None) -> None:
        """Write the end, unless an event has brought it, and close the file.

        :param status: how the run ended; without one it counts as interrupted
        """
        with self._lock:
            if self.closed:
                return
            if not self._ended:
                end = {"status": str(status or Status.INTERRUPTED)}
                self._put([*self._begin(timestamp()), *self._end(timestamp(), end)])
            elif self._lost:
                self._lost -= 1
                self._put([self._last])  # perhaps there is room for the end now
            self.closed = True
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()

    # Lines ---------------------------------------------------------------------------

    def _lines(self, envelope: Mapping[str, object]) -> list[_Line]:
        name, payload = _LINES.get(str(envelope.get("type"))), envelope.get("payload")
        if name is None or not isinstance(payload, Mapping):
            return []
        run_id = payload.get("promptId")
        if self.run_id is None and run_id is not None:
            self.run_id = str(run_id)
        if run_id not in (None, self.run_id):
            return []
        ts = str(envelope.get("ts") or timestamp())
        rest = {key: value for key, value in payload.items() if key != "promptId"}
        if name == "run_status":
            return self._status(ts, rest)
        if self._ended:
            return []
        begin = self._begin(ts)
        if name == "stream_chunk":
            return begin + self._chunk(ts, rest)
        if name == "node_interrupted":
            begin += self._interrupt(ts)
        return [*begin, self._line(ts, name, rest)]

    def _line(self, ts: str, event: str, rest: Mapping[str, object]) -> _Line:
        head = {"ts": ts, "event": event}
        return head | {key: self._show(value) for key, value in rest.items()} | head

    def _status(self, ts: str, rest: _Line) -> list[_Line]:
        final = str(rest.get("status")) in FINAL_STATUSES
        if self._ended and final:
            return []
        self._forget_the_end()
        begin = self._begin(ts)
        if final:
            return begin + self._end(ts, rest)
        if rest.get("status") == Status.RUNNING:
            self._since = moment_of(ts)
        return [*begin, self._line(ts, "run_status", rest)]

    def _forget_the_end(self) -> None:
        """Let another attempt of the same run begin, where one has ended."""
        if self._ended:
            self._began = self._ended = self._interrupted = False

    def _begin(self, ts: str, summary: Mapping[str, object] | None = None) -> list[_Line]:
        if self._began:
            return []
        self._began = True
        self._since = moment_of(ts)
        return [self._line(ts, "run_start", {"runId": self.run_id, **(summary or {})})]

    def _interrupt(self, ts: str) -> list[_Line]:
        if self._interrupted:
            return []
        self._interrupted = True
        return [self._line(ts, "interrupt", {})]

    def _end(self, ts: str, rest: Mapping[str, object]) -> list[_Line]:
        self._ended = True
        before = self._interrupt(ts) if rest.get("status") == Status.INTERRUPTED else []
        line = self._last = self._line(ts, "run_end", {"runId": self.run_id, **rest})
        until = moment_of(ts)
        if self._since is not None and until is not None:
            line["durationMs"] = round((until - self._since).total_seconds() * 1000, 3)
        if self._left_out:
            line["chunksLeftOut"] = self._left_out
        if self.incomplete:
            line["incomplete"] = True
        return [*before, line]

    def _chunk(self, ts: str, rest: Mapping[str, object]) -> list[_Line]:
        content = rest.get("yieldedContent")
        chunk = dict(content) if isinstance(content, Mapping) else {"content": content}
        is_error = chunk.get("type") == "error_chunk"
        size = self._file.size if self._file is not None else 0
        if not is_error and self._limit is not None and size >= self._limit:
            self._left_out += 1
            return []
        shown = {"nodeId": rest.get("sourceNodeId"), **chunk}
        if rest.get("isLastChunk"):
            shown["isLastChunk"] = True
        return [self._line(ts, "stream_error" if is_error else "stream_chunk", shown)]

    # The file ------------------------------------------------------------------------

    def _put(self, lines: list[_Line]) -> None:
        if not lines:
            return
        shown = lines
        if self._lost:
            shown = [self._line(lines[0]["ts"], "incomplete", {"linesLost": self._lost}), *lines]
        try:
            if self._file is None:
                raise OSError("it could not be opened")
            self._file.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in shown))
        except (OSError, ValueError) as exc:
            self._lost += len(lines)
            self._failed(exc)
        else:
            self._lost = 0

    def _failed(self, exc: Exception) -> None:
        if not self.incomplete:
            _log.error("the log of run %r is incomplete: %s", self.run_id, exc)
        self.incomplete = True


class RunLogs:
    """A folder of run logs. The oldest go when there are too many, never one that is open.

    :param keep_runs: how many logs stay, and up to a twentieth more for a while
    :param keep_bytes: how many bytes they may have together; one log stops noting chunks
        at a quarter of that
    :param keep_days: how long one stays after its last line
    """

    def __init__(
        self,
        folder: Path,
        keep_runs: int = 1000,
        keep_bytes: int = 1 << 30,
        *,
        secrets: Sequence[str] = (),
        cut: int = CUT,
        redact: Callable[[str], str] | None = None,
        keep_days: float = inf,
    ) -> None:
        self._folder = folder
        self._keep_runs = keep_runs
        self._keep_bytes = keep_bytes
        self._keep_seconds = keep_days * 86_400
        self._log_of = partial(
            RunLog, secrets=secrets, cut=cut, redact=redact, limit=keep_bytes // 4
        )
        self._open: dict[Path, RunLog] = {}
        # since the folder was last looked through, which it was not yet
        self._opened = keep_runs
        self._lock = threading.Lock()

    def path(self, run_id: str) -> Path:
        """Return the file of a run, whether there is one or not."""
        if _PLAIN.fullmatch(run_id):
            return self._folder / f"run-{run_id}.jsonl"
        # Two ids never share a file, also where case or length does not count.
        digest = hashlib.sha256(run_id.encode("utf-8", "backslashreplace")).hexdigest()
        readable = re.sub("[^a-z0-9_-]+", "-", run_id.lower())[:40].strip("-")
        return self._folder / f"run-{readable}.{digest[:32]}.jsonl"

    def open(self, run_id: str) -> RunLog:
        """Return the log of a run: the open one, else its file, continued or new."""
        path = self.path(run_id)
        with self._lock:
            log = self._open.get(path)
            if log is None or log.closed:
                log = self._open[path] = self._log_of(path, run_id=run_id)
                self._opened += 1
                if self._opened * _SLACK >= self._keep_runs:
                    self._prune()
        return log

    def prune(self) -> None:
        """Remove the oldest logs until the rest is within the bounds."""
        with self._lock:
            self._prune()

    def close(self) -> None:
        """Close the logs that are still open; their runs count as interrupted."""
        with self._lock:
            logs = list(self._open.values())
        for log in logs:
            log.close()

    def _prune(self) -> None:
        self._opened = 0
        self._open = {path: log for path, log in self._open.items() if not log.closed}
        found: list[tuple[float, Path, int]] = []
        for path in self._folder.glob("run-*.jsonl"):
            with suppress(OSError):  # gone meanwhile
                status = path.stat()
                found.append((status.st_mtime_ns / 1e9, path, status.st_size))
        oldest = time() - self._keep_seconds
        count, size = len(found), sum(entry[2] for entry in found)
        for written, path, bytes_ in sorted(found):
            within = count <= self._keep_runs and size <= self._keep_bytes
            if within and written >= oldest:
                break
            if path in self._open:
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as exc:
                _log.warning("an old run log stays: %s", exc)
            else:
                count, size = count - 1, size - bytes_

"""What a pack may not change by being loaded, and putting it back.

A pack that is imported runs code of its own in this process. What it prints goes to the
log, so that a command's output stays what it is; the working directory, the import path,
signal handlers, the root logger and the warning filters are put back afterwards. Not
thread-safe: these belong to the whole process.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

__all__ = ("forget_modules", "guarded")

_STDOUT = 1
_STDERR = 2
_MOST_LINES = 1000

_Handler = Callable[[int, FrameType | None], Any] | int | None  # Any: as typeshed has it


@contextmanager
def guarded(distribution: str) -> Iterator[list[str]]:
    """Run the body, which is a pack's code, and put back what it changed.

    :return: a list that afterwards tells what the pack had changed
    """
    changes: list[str] = []
    printed = _Printed(logging.getLogger(f"comfytavern.packs.{distribution}"))
    with warnings.catch_warnings():
        before = _ProcessState()
        try:
            with _stdout_into(printed):
                yield changes
        finally:
            changes += before.put_back()
    if count := printed.release():
        changes.append(f"printed {count} line{'s' if count > 1 else ''} to stdout while loading")


def forget_modules(known: set[str], belongs: Callable[[str], bool]) -> None:
    """Remove from ``sys.modules`` what a failed import left there of the pack itself."""
    for name in [name for name in sys.modules if name not in known and belongs(name)]:
        del sys.modules[name]


class _ProcessState:
    """The process-wide state that a pack must leave as it was."""

    def __init__(self) -> None:
        self._directory = _working_directory()
        self._path = sys.path
        self._path_entries = list(sys.path)
        self._handlers = _signal_handlers()
        self._root_handlers = list(logging.root.handlers)
        self._root_level = logging.root.level
        self._disabled = logging.root.manager.disable
        self._filters = list(warnings.filters)

    def put_back(self) -> list[str]:
        """Undo what changed and say what it was."""
        checks = {
            "changed the working directory": self._put_back_directory,
            "changed sys.path": self._put_back_path,
            "changed signal handlers": self._put_back_signals,
            "changed the root logger": self._put_back_logging,
            "changed the warning filters": self._put_back_filters,
        }
        return [f"{change}; it was put back" for change, check in checks.items() if check()]

    def _put_back_directory(self) -> bool:
        if self._directory is None or _working_directory() == self._directory:
            return False
        with suppress(OSError):  # removed meanwhile
            os.chdir(self._directory)
        return True

    def _put_back_path(self) -> bool:
        if sys.path is self._path and sys.path == self._path_entries:
            return False
        self._path[:] = self._path_entries
        sys.path = self._path
        return True

    def _put_back_signals(self) -> bool:
        changed = False
        for number, handler in _signal_handlers().items():
            earlier = self._handlers.get(number)
            if handler != earlier and earlier is not None:  # None: not installed from Python
                signal.signal(number, earlier)
                changed = True
        return changed

    def _put_back_filters(self) -> bool:
        # catch_warnings around the caller is what puts them back
        return list(warnings.filters) != self._filters

    def _put_back_logging(self) -> bool:
        root = logging.root
        state = (root.handlers, root.level, root.manager.disable)
        if state == (self._root_handlers, self._root_level, self._disabled):
            return False
        root.handlers[:] = self._root_handlers
        root.setLevel(self._root_level)
        logging.disable(self._disabled)
        return True


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _signal_handlers() -> dict[signal.Signals, _Handler]:
    if threading.current_thread() is not threading.main_thread():
        return {}  # no other thread can change them
    return {number: signal.getsignal(number) for number in signal.Signals}


class _Printed(io.RawIOBase):
    """What a pack writes to stdout, line by line into its log.

    Lines are held until ``release``: the pack may have given the root logger a handler
    that writes here. A pack may keep the stream beyond that; it stays usable.
    """

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        self._log = log
        self._rest = b""
        self._held: list[str] | None = []
        self._logging = False
        self.stream = io.TextIOWrapper(
            io.BufferedWriter(self), encoding="utf-8", errors="replace", line_buffering=True
        )

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return _STDERR

    def write(self, data: Any, /) -> int:  # Any: whatever supports the buffer protocol
        content = bytes(data)
        *lines, self._rest = (self._rest + content).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace").rstrip("\r"))
        return len(content)

    def release(self) -> int:
        """Log what was held, and from now on at once; return how many lines it was."""
        with suppress(ValueError):  # the pack closed or detached it
            self.stream.flush()
        if self._rest:
            self.write(b"\n")
        held, self._held = self._held or [], None
        for line in held[:_MOST_LINES]:
            self._take(line)
        return len(held)

    def _take(self, line: str) -> None:
        if self._held is not None:
            self._held.append(line)
        elif not self._logging:
            self._logging = True
            try:
                self._log.info("stdout: %s", line)
            finally:
                self._logging = False


@contextmanager
def _stdout_into(printed: _Printed) -> Iterator[None]:
    """Send ``sys.stdout`` to the log, and to stderr what goes past it (C code, children)."""
    original = sys.stdout
    _flush(original)
    saved = _redirect_descriptor()
    sys.stdout = printed.stream
    try:
        yield
    finally:
        _flush(original)  # what was printed to sys.__stdout__ goes where it belongs too
        sys.stdout = original
        if saved is not None:
            os.dup2(saved, _STDOUT)
            os.close(saved)


def _redirect_descriptor() -> int | None:
    saved = None
    try:
        saved = os.dup(_STDOUT)
        os.dup2(_STDERR, _STDOUT)
    except OSError:  # a process without stdout or stderr
        if saved is not None:
            os.close(saved)
        return None
    return saved


def _flush(stream: TextIO | None) -> None:
    with suppress(OSError, ValueError, AttributeError):  # closed, or none at all
        stream.flush()  # type: ignore[union-attr]  # sys.stdout may be None

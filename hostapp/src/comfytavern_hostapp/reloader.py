"""``serve --reload``: a supervisor that starts the server anew when sources change.

The supervisor holds the listening socket and lends it to one server after the other, so nobody
is refused in between. It imports no pack. What must outlive a server is in its store. POSIX
only, as lending a socket is.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import Process, TaskStatus
from anyio.lowlevel import checkpoint
from watchfiles import Change, DefaultFilter, awatch

from .pack_sources import PackSources

__all__ = ("Reloader",)

SUFFIXES = (".js", ".json", ".mjs", ".py", ".yaml", ".yml")


class Reloader:
    """Runs a server in a process of its own, and another one after each change.

    :param arguments: of our command; what the server inherits is put behind them
    :param sources: where the change of a file with one of ``SUFFIXES`` counts
    :param config_file: counts as well; it need not exist
    :param ignored: folders that the server writes to, unless sources are inside
    :param patience: seconds that a server may take to end
    :param say: tells the user what happens
    """

    def __init__(
        self,
        arguments: Sequence[str],
        listener: socket.socket,
        sources: PackSources,
        config_file: Path,
        *,
        ignored: Collection[Path] = (),
        patience: float,
        say: Callable[[str], None],
    ) -> None:
        self._arguments = arguments
        self._listener = listener
        self._sources = sources
        # It may be a link, and then what it leads to is what somebody edits.
        self._config_files = frozenset((config_file.absolute(), config_file.resolve()))
        folders = [path.resolve() for path in ignored]
        self._is_source = _SourceFilter(
            ignore_paths=[
                f"{folder}{os.sep}"
                for folder in folders
                if not any(place.is_relative_to(folder) for place in sources.places)
            ]
        )
        self._patience = patience
        self._say = say
        self._changed: set[Path] = set()
        self._wakened = anyio.Event()  # something has changed, or a signal has come
        self._over = anyio.Event()
        self._signal = 0
        self._process: Process | None = None

    def __call__(self) -> int:
        """Keep a server running until a signal comes, and return the exit code."""
        logging.getLogger("watchfiles").setLevel(logging.WARNING)  # we say it ourselves
        return anyio.run(self._main)

    async def _main(self) -> int:
        # A server ends when nobody holds the other end any more: even if we are killed.
        lifeline, held = os.pipe()
        try:
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._listen_for_signals)
                folders = self._sources.folders | {file.parent for file in self._config_files}
                tasks.start_soon(self._watch, self._sources.packages, True)
                tasks.start_soon(self._watch, folders, False)
                await checkpoint()  # both watch before the first server reads a file
                try:
                    code = await self._serve_again_and_again(lifeline)
                finally:
                    self._over.set()  # their threads look for that, not for a cancellation
                tasks.cancel_scope.cancel()
        finally:
            os.close(lifeline)
            os.close(held)
        return code

    async def _serve_again_and_again(self, lifeline: int) -> int:
        while True:
            self._changed = set()
            self._wakened = anyio.Event()
            code = await self._serve(lifeline)
            if not (self._signal or self._changed):
                if code == 0:  # somebody ended the server itself
                    return 0
                how = f"ended with code {code}" if code > 0 else f"was ended by signal {-code}"
                self._say(f"the server {how}; waiting for a change")
                await self._wakened.wait()
                self._tell_change()
            if self._signal:
                return code if code >= 0 else 128 + self._signal

    async def _serve(self, lifeline: int) -> int:
        """Run one server to its end, which a change or a signal brings about."""
        descriptors = (self._listener.fileno(), lifeline)
        # In a session of its own: Ctrl-C is for us, and the server hears of it once.
        process = await anyio.open_process(
            [*_python(), *self._arguments, "--inherit", ",".join(map(str, descriptors))],
            stdin=subprocess.DEVNULL,
            stdout=None,
            stderr=None,
            pass_fds=descriptors,
            start_new_session=True,
        )
        async with process, anyio.create_task_group() as tasks:
            self._process = process
            tasks.start_soon(self._end_when_wakened, process)
            code = await process.wait()
            self._process = None
            tasks.cancel_scope.cancel()
        return code

    async def _end_when_wakened(self, process: Process) -> None:
        await self._wakened.wait()
        self._tell_change()
        _send(process, self._signal or signal.SIGTERM)
        with anyio.move_on_after(self._patience):
            await anyio.sleep_forever()
        self._say("the server does not end; ending it the hard way")
        _send(process, signal.SIGKILL)

    def _tell_change(self) -> None:
        if self._changed and not self._signal:
            self._say(f"{_shown(self._changed)} changed; starting anew")

    async def _listen_for_signals(
        self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for number in signals:
                if self._signal and self._process is not None:
                    _send(self._process, signal.SIGKILL)
                self._signal = number
                self._wakened.set()

    async def _watch(self, places: Iterable[Path], deep: bool) -> None:
        """Note what changes in folders, and in the folders inside them if ``deep``."""
        there = [place for place in places if place.is_dir()]
        if not there:
            return
        async for changes in awatch(
            *there, watch_filter=self._counts, recursive=deep, stop_event=self._over
        ):
            self._changed.update(Path(path) for _, path in changes)
            self._wakened.set()

    def _counts(self, change: Change, path: str) -> bool:
        file = Path(path)
        if file in self._config_files:
            return True
        # The folder of the configuration file may hold anything.
        ours = file.parent in self._sources.folders or any(
            file.is_relative_to(package) for package in self._sources.packages
        )
        return ours and self._is_source(change, path)


class _SourceFilter(DefaultFilter):
    """Leaves out what editors, caches and version control write."""

    def __call__(self, change: Change, path: str) -> bool:
        return path.endswith(SUFFIXES) and super().__call__(change, path)


def _send(process: Process, number: int) -> None:
    with suppress(ProcessLookupError):  # it has ended, and we are about to hear of it
        process.send_signal(signal.Signals(number))


def _python() -> list[str]:
    """Return how our command is started as we were: same interpreter, same places to import."""
    folder = os.getcwd()
    safe = [] if folder in sys.path or "" in sys.path else ["-P"]
    return [sys.executable, *safe, "-m", __name__.partition(".")[0]]


def _shown(files: Collection[Path]) -> str:
    first = min(files)
    here = Path.cwd()
    name = str(first.relative_to(here) if first.is_relative_to(here) else first)
    more = len(files) - 1
    return f"{name} and {more} more" if more else name

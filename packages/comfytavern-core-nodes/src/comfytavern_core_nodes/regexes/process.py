"""One worker process as the host sees it: talked to from a thread, killed from anywhere."""

from __future__ import annotations

import io
import subprocess
import sys
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from .frames import packed, read_frame

__all__ = ("WorkerProcess",)

# Through the pack's own `__init__` the start would import the host's libraries and take half a
# second; the worker needs none of them, so its packages are made up from their folders.
_BOOT = """
import sys, types
for name, folder in zip(sys.argv[1::2], sys.argv[2::2]):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from comfytavern_core_nodes.regexes import worker
worker.main()
"""
_FOLDER = Path(__file__).parent
_PACKAGES = (
    ("comfytavern_core_nodes", _FOLDER.parent),
    ("comfytavern_core_nodes.regexes", _FOLDER),
)


class WorkerProcess:
    """A process that starts with its first conversation. Nobody needs to close it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: BinaryIO | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the process is of no more use."""
        return self._ended

    def talk(self, request: object, hear: Callable[[object], bool]) -> bool:
        """Send a request and hand every answer to ``hear`` until that returns true.

        Blocks, so it runs in a thread, one at a time. Whoever wants it to end kills the process.

        :return: whether it came to its end; false if the process is gone
        """
        try:
            process = self._process or self._start()
            assert process.stdin is not None
            assert self._answers is not None
            _send(process.stdin, packed(request))
            while not hear(read_frame(self._answers)):
                pass
        except (OSError, EOFError):
            self.kill()
            if self._process is not None:
                _reap(self._process)
            return False
        return True

    def kill(self) -> None:
        """End the process at once, whatever it does; a thread that talks to it comes back."""
        self._ended = True
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process and wait until it is gone; for a thread, when nobody talks to it."""
        self.kill()
        if self._process is not None:
            _reap(self._process)

    def _start(self) -> subprocess.Popen[bytes]:
        names = [text for name, folder in _PACKAGES for text in (name, str(folder))]
        process = subprocess.Popen(
            # -P: what lies in the working directory is never imported.
            [sys.executable, "-P", "-c", _BOOT, *names],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            # Ctrl-C at the terminal is for the host alone.
            start_new_session=True,
        )
        weakref.finalize(self, _reap, process)
        self._answers = io.BufferedReader(cast("io.FileIO", process.stdout))
        self._process = process
        if self._ended:  # killed while it started
            process.kill()
        return process


def _send(stream: object, data: bytes) -> None:
    raw, rest = cast("io.FileIO", stream), memoryview(data)
    while rest:
        rest = rest[raw.write(rest) :]


def _reap(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()

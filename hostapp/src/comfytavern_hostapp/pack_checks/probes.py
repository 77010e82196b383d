"""Importing a pack in scratch processes: what it prints, how long it takes, what becomes of it.

Two processes, because a host catches what a pack prints. Both have a temporary directory and a
home of their own, no data directory and nothing of the operator's configuration. What is
installed is as here, with the subject's files first on the path.
"""

from __future__ import annotations

import json
import os
import signal
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from .environment import Environment
from .import_times import ImportTime, read_import_times
from .subjects import Kind, Subject

__all__ = ("Imported", "Loaded", "probe_import", "probe_load")

_MARK = "comfytavern-scratch"
# A module that prints without end must not fill the memory of whoever checks it.
_MOST_OUTPUT = 2**20


@dataclass(frozen=True, slots=True)
class Ended:
    """How a scratch process ended: with a code, or not within the time that it had."""

    code: int | None
    stdout: str = ""
    stderr: str = ""

    @property
    def how(self) -> str:
        """The same in words."""
        if self.code is None:
            return "it did not end in time"
        if self.code < 0:
            return f"it was ended by {_signal_name(-self.code)}"
        return f"it ended with code {self.code}"


@dataclass(frozen=True, slots=True)
class Imported:
    """What a bare import did; ``printed`` is the first of what it wrote to stdout."""

    ended: Ended
    printed: str
    times: tuple[ImportTime, ...]

    @property
    def total_ms(self) -> float:
        """How long it took; 0 if the process does not say."""
        return sum(time.total_ms for time in self.times if not time.depth)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of the pack in a host; everything is empty if ``killed`` says why.

    ``scripts``, ``files`` and ``broken`` pair who names something with what is named.
    """

    killed: str = ""
    record: Mapping[str, Any] | None = None  # Any: JSON
    scripts: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    broken: tuple[tuple[str, str], ...] = ()


def probe_import(subject: Subject, scratch: Path, timeout: float) -> Imported:
    """Import the modules that the entry points name, and nothing else of the pack.

    :param scratch: an empty folder
    """
    mark = f"{_MARK} {uuid4().hex}"
    if subject.kind is Kind.WHEEL:
        # An installer would have done so: what Python compiles is no part of an import.
        compiler = ("-m", "compileall", "-qq", *map(str, subject.roots))
        _run(subject, scratch, compiler, timeout)
    marked = f"os.write(2, b'\\n{mark}\\n')"
    imports = (f"import {module}" for module in subject.modules)
    program = "\n".join(["import os", "import comfytavern.host", marked, *imports, marked])
    ended = _run(subject, scratch, ("-X", "importtime", "-c", program), timeout)
    _, _, own = ended.stderr.partition(f"\n{mark}\n")
    times = read_import_times(own.partition(f"\n{mark}\n")[0].splitlines())
    printed = next((line for line in ended.stdout.splitlines() if line.strip()), "")
    return Imported(ended, printed.strip(), tuple(times))


def probe_load(subject: Subject, environment: Environment, scratch: Path, timeout: float) -> Loaded:
    """Load the pack in a host that has only it and the packs that it requires.

    :param scratch: an empty folder
    """
    beside = sorted(environment.closure(subject.requires))
    report = scratch / "report.json"
    name = subject.pack.distribution
    arguments = ("-m", f"{__package__}._scratch", name, ",".join(beside), str(report))
    ended = _run(subject, scratch, arguments, timeout)
    try:
        told = json.loads(report.read_text("utf-8"))
    except (OSError, ValueError):
        return Loaded(killed=ended.how)
    return Loaded(
        record=told["record"],
        scripts=_pairs(told["scripts"]),
        files=_pairs(told["files"]),
        broken=_pairs(told["broken"]),
    )


def _pairs(listed: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((who, what) for who, what in listed)


def _run(subject: Subject, scratch: Path, arguments: Sequence[str], timeout: float) -> Ended:
    scratch.mkdir(exist_ok=True)
    out, err = scratch / "stdout", scratch / "stderr"
    # Into files: a pipe would stay open for as long as a child of the pack has it.
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-P", *arguments],
            cwd=scratch,
            env=_environment(subject, scratch),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            code: int | None = process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    return Ended(code, _text(out), _text(err))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process, and on POSIX what it has started."""
    if os.name == "posix":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _text(file: Path) -> str:
    with file.open("rb") as stream:
        return stream.read(_MOST_OUTPUT).decode("utf-8", "replace")


def _environment(subject: Subject, scratch: Path) -> dict[str, str]:
    """Return the variables of a scratch process: its own places, our packages."""
    own = ("COMFYTAVERN_", "XDG_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    path = [*subject.roots, *(Path(folder).resolve() for folder in given)]
    places = dict.fromkeys(("HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP"), str(scratch))
    return {
        **kept,
        **places,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
        "PYDANTIC_DISABLE_PLUGINS": "__all__",
    }


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

"""Measure what it takes to find and load packs, beside the obvious way to do it.

    python benchmarks/startup.py [--rounds N] [--packs N]

Whole processes, started in turn; medians of wall time. The obvious way is
``entry_points(group=...)`` and ``load()`` for each, which isolates nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from measure import Table

OBVIOUS = """
import anyio, pluggy, pydantic
from importlib.metadata import entry_points
manager = pluggy.PluginManager("comfytavern")
for entry_point in entry_points(group="comfytavern.packs"):
    manager.register(entry_point.load())
"""
OURS = """
from comfytavern.host import PackHost
PackHost().load()
"""
OBVIOUS_SCAN = """
from importlib.metadata import entry_points
assert len(entry_points(group="comfytavern.packs")) > 2
"""
OUR_SCAN = """
from comfytavern.discovery import find_packs
assert len(find_packs()) > 2
"""
NOTHING = "pass"


def make_packs(folder: Path, count: int) -> None:
    """Write distributions that each offer one pack, which is never imported here."""
    for number in range(count):
        info = folder / f"bench_pack_{number}-1.0.dist-info"
        info.mkdir()
        name = f"bench-pack-{number}"
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nSummary: A pack\n"
        (info / "METADATA").write_text(text + "Requires-Dist: comfytavern-core>=0.1,<1\n")
        point = f"[comfytavern.packs]\n{name} = bench_pack_{number}\n"
        (info / "entry_points.txt").write_text(point)
        (info / "RECORD").write_text("")


def seconds(source: str, path: Path | None) -> float:
    """Return the wall time of a process that runs some source."""
    environment = {**os.environ, "PYDANTIC_DISABLE_PLUGINS": "__all__"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    began = perf_counter()
    subprocess.run([sys.executable, "-c", source], check=True, env=environment)
    return perf_counter() - began


def compare(ours: str, obvious: str, rounds: int, path: Path | None = None) -> tuple[float, ...]:
    """Return the medians of ours, the obvious way, and an empty process, measured in turn."""
    taken: list[list[float]] = [[], [], []]
    for _ in range(rounds):
        for source, times in zip((ours, obvious, NOTHING), taken, strict=True):
            times.append(seconds(source, path))
    return tuple(median(times) for times in taken)


def main() -> int:
    """Run everything and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--packs", type=int, default=500)
    options = parser.parse_args()
    table = Table()
    note: Callable[[float, float, float], str] = lambda a, b, idle: (  # noqa: E731 - one line
        f"{a * 1000:.0f} against {b * 1000:.0f} ms, an empty process {idle * 1000:.0f}"
    )
    a, b, idle = compare(OURS, OBVIOUS, options.rounds)
    table.row("loading the installed packs", a / b, 2.0, note(a, b, idle))
    with tempfile.TemporaryDirectory() as folder:
        make_packs(Path(folder), options.packs)
        a, b, idle = compare(OUR_SCAN, OBVIOUS_SCAN, options.rounds, Path(folder))
        table.row(f"finding {options.packs} packs", a / b, 2.0, note(a, b, idle))
    return int(table.failed)


if __name__ == "__main__":
    sys.exit(main())

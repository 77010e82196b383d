"""Measure what installed packs cost a start that imports none of them.

    python benchmarks/lazy_startup.py [--rounds N] [--packs N] [--nodes N] [--import-ms N]

Whole processes, started in turn with all packs and with none; medians of wall time until
``packs list`` has ended, and until ``serve`` with ``packs.lazy`` says that it is ready. What
is known of the packs is written by one start before, which imports them all.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from measure import Table

COMMAND = (sys.executable, "-m", "comfytavern_hostapp")
CONFIG = "packs: {lazy: true}\nserver: {port: 0}\n"
READY = "is ready at"
BOUND = 1.5
SOURCE = """
import time
time.sleep(MS / 1000)

from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.hookspecs import hookimpl


async def execute(inputs, context):
    return {"text": inputs.get("text", "")}


@hookimpl
def register_nodes(pack):
    text = InputDefinition(data_flow_type="STRING", config={"default": "", "multiline": True})
    times = InputDefinition(data_flow_type="INTEGER", config={"default": 1, "min": 1, "max": 9})
    return [
        NodeDefinition(
            type=f"Node{number}",
            category="Text",
            display_name=f"Node {number}",
            description="Repeats a text as often as it is told.",
            inputs={"text": text, "times": times},
            outputs={"text": OutputDefinition(data_flow_type="STRING")},
            execute=execute,
        )
        for number in range(COUNT)
    ]
"""


def make_packs(folder: Path, count: int, nodes: int, milliseconds: int) -> None:
    """Write distributions as an installer leaves them; importing one takes its time."""
    source = SOURCE.replace("COUNT", str(nodes)).replace("MS", str(milliseconds))
    digest = base64.urlsafe_b64encode(hashlib.sha256(source.encode()).digest()).rstrip(b"=")
    for number in range(count):
        name, module = f"lazy-pack-{number}", f"lazy_pack_{number}"
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (folder / f"{module}.py").write_text(source)
        header = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nSummary: A pack\n"
        (info / "METADATA").write_text(header + "Requires-Dist: comfytavern-core>=0.1,<1\n")
        (info / "entry_points.txt").write_text(f"[comfytavern.packs]\n{name} = {module}\n")
        rows = [f"{module}.py,sha256={digest.decode()},{len(source)}", f"{info.name}/RECORD,,"]
        (info / "RECORD").write_text("\n".join([*rows, ""]))


class Place:
    """A folder for packs, and a data directory of its own for whoever runs with them."""

    def __init__(self, root: Path) -> None:
        self.site = root / "site"
        self.site.mkdir(parents=True)
        config = root / "comfytavern.yaml"
        config.write_text(CONFIG)
        earlier = os.environ.get("PYTHONPATH")
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.site), *([earlier] if earlier else [])]),
            "COMFYTAVERN_CONFIG": str(config),
            "COMFYTAVERN_DATA_DIR": str(root / "data"),
        }

    def list_packs(self, *options: str) -> float:
        """Return how long ``packs list`` takes."""
        began = perf_counter()
        command = [*COMMAND, "packs", "list", *options]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)
        return perf_counter() - began

    def serve(self) -> float:
        """Return how long ``serve`` takes until it is ready."""
        began = perf_counter()
        command = [*COMMAND, "serve"]
        with subprocess.Popen(
            command, env=self.environment, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None  # it is a pipe
            lines = []
            for line in process.stderr:
                lines.append(line)
                if READY in line:
                    break
            taken = perf_counter() - began
            process.terminate()
            process.communicate()
        if not lines or READY not in lines[-1]:
            raise RuntimeError("the server did not start:\n" + "".join(lines))
        return taken


def compare(
    run: Callable[[Place], float], many: Place, none: Place, rounds: int
) -> tuple[float, float]:
    """Return the medians with packs and without, measured in turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for place, times in zip((many, none), taken, strict=True):
            times.append(run(place))
    return median(taken[0]), median(taken[1])


def main() -> int:
    """Run everything and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--packs", type=int, default=500)
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--import-ms", type=int, default=50)
    options = parser.parse_args()
    table = Table()
    with tempfile.TemporaryDirectory() as folder:
        many, none = Place(Path(folder) / "many"), Place(Path(folder) / "none")
        make_packs(many.site, options.packs, options.nodes, options.import_ms)
        cold = many.list_packs("--load")
        none.list_packs("--load")
        print(f"the start before, which imports {options.packs} packs, took {cold:.1f} s")
        measured: dict[str, Callable[[Place], float]] = {
            f"packs list, {options.packs} packs": Place.list_packs,
            f"serve with packs.lazy, {options.packs} packs": Place.serve,
        }
        for name, run in measured.items():
            ours, idle = compare(run, many, none, options.rounds)
            table.row(name, ours / idle, BOUND, f"{ours * 1000:.0f} against {idle * 1000:.0f} ms")
    return int(table.failed)


if __name__ == "__main__":
    sys.exit(main())

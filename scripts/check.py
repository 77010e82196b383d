"""Run every static check, or the named ones; end with a table, exit 1 when one fails."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import docs_site
import surface

ROOT = Path(__file__).resolve().parent.parent
PACKS = ("packages/comfytavern-core-nodes", "packages/comfytavern-llm-nodes")
SOURCES = ("core", "hostapp", *PACKS)
SECTIONS = ("Incompatible", "Added", "Changed", "Fixed")
RELEASE = re.compile(
    r"^## (?:UNRELEASED \((?P<next>[^)]+)\)|(?P<past>\S+) \(\d{4}-\d\d-\d\d\))$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Result:
    """One step: whether it passed, what it printed, how long it took."""

    step: str
    passed: bool
    output: str
    seconds: float


def tool(*command: str, mypy_path: str = "") -> Callable[[], tuple[bool, str]]:
    """Make a step of a command line tool."""

    def run() -> tuple[bool, str]:
        environment = {**os.environ, "MYPYPATH": mypy_path} if mypy_path else None
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        return done.returncode == 0, done.stdout + done.stderr

    return run


def mypy(*targets: str, base: str = "") -> Callable[[], tuple[bool, str]]:
    """Make a mypy step; ``base`` is where module names begin, if that is not the checkout."""
    return tool(sys.executable, "-m", "mypy", "--strict", *targets, mypy_path=base)


def changelogs() -> tuple[bool, str]:
    """Check each distribution's changelog against its version and the order of sections."""
    problems = [problem for folder in (".", *SOURCES) for problem in changelog_problems(folder)]
    return not problems, "\n".join(problems)


def changelog_problems(folder: str) -> list[str]:
    """List what is wrong with one changelog."""
    path = ROOT / folder / "CHANGELOG.md"
    name = path.relative_to(ROOT).as_posix()
    settings = tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))
    version = settings["project"]["version"]
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    releases = list(RELEASE.finditer(text))
    if not releases or len(releases) != len(re.findall(r"^## ", text, re.MULTILINE)):
        return [
            f"{name}: a release starts with '## UNRELEASED (VERSION)' or '## VERSION (YYYY-MM-DD)'"
        ]
    problems = []
    top = releases[0]["next"] or releases[0]["past"]
    if top != version:
        problems.append(f"{name}: the top release is {top}, pyproject.toml says {version}")
    if any(release["next"] for release in releases[1:]):
        problems.append(f"{name}: only the first release can be UNRELEASED")
    ends = [release.start() for release in releases[1:]] + [len(text)]
    for release, end in zip(releases, ends, strict=True):
        problems += section_problems(name, text[release.end() : end])
    return problems


def section_problems(name: str, release: str) -> list[str]:
    """Check one release: known sections, in order, none empty."""
    parts = re.split(r"^### (.+)$", release, flags=re.MULTILINE)[1:]
    headings, bodies = parts[::2], parts[1::2]
    problems = [
        f"{name}: section {h!r} is empty"
        for h, body in zip(headings, bodies, strict=True)
        if not body.strip()
    ]
    if headings != [section for section in SECTIONS if section in headings]:
        problems.append(
            f"{name}: sections are {headings}; expected, in this order: {', '.join(SECTIONS)}"
        )
    return problems


def steps() -> dict[str, Callable[[], tuple[bool, str]]]:
    """Give every step by name, quick ones first."""
    lint_imports = str(Path(sysconfig.get_path("scripts")) / "lint-imports")
    table: dict[str, Callable[[], tuple[bool, str]]] = {
        "changelogs": changelogs,
        "surface": surface.check,
        "ruff": tool(sys.executable, "-m", "ruff", "check"),
        "format": tool(sys.executable, "-m", "ruff", "format", "--check"),
        "imports": tool(lint_imports, "--no-cache"),
        "docs": docs_site.check,
    }
    # One mypy run per distribution and per folder of tests: in one, two conftest.py clash.
    for folder in SOURCES:
        table[f"mypy {Path(folder).name}"] = mypy(f"{folder}/src")
    table["mypy tests"] = mypy("tests", "conftest.py")
    for folder in PACKS:
        if next((ROOT / folder / "tests").rglob("*.py"), None):
            table[f"mypy {Path(folder).name} tests"] = mypy(f"{folder}/tests", base=folder)
    for settings in sorted((ROOT / "examples/packs").glob("*/pyproject.toml")):
        folder = settings.parent.relative_to(ROOT).as_posix()
        table[f"mypy {settings.parent.name}"] = mypy(
            f"{folder}/src", f"{folder}/tests", base=f"{folder}/src"
        )
    for folder in ("scripts", "benchmarks"):
        if next((ROOT / folder).rglob("*.py"), None):
            table[f"mypy {folder}"] = mypy(folder, base=folder)
    return table


def run(step: str, action: Callable[[], tuple[bool, str]]) -> Result:
    """Run one step, showing its name first and its output only if it failed."""
    print(f"  {step} ...", end="", flush=True)
    started = time.perf_counter()
    passed, output = action()
    seconds = time.perf_counter() - started
    print(f" {'ok' if passed else 'FAILED'} {seconds:.1f} s", flush=True)
    if not passed:
        print(output.rstrip() + "\n", flush=True)
    return Result(step, passed, output, seconds)


def report(results: list[Result]) -> None:
    """Print the table of all steps."""
    width = max(len(result.step) for result in results)
    print(f"\n{'step':{width}}  result  seconds")
    for result in results:
        print(
            f"{result.step:{width}}  {'ok' if result.passed else 'FAILED':6}  {result.seconds:7.1f}"
        )
    failed = [result.step for result in results if not result.passed]
    print(
        f"\n{len(failed)} of {len(results)} checks failed: {', '.join(failed)}"
        if failed
        else "\nall checks passed"
    )


def main() -> int:
    """Run the named steps, or all."""
    table = steps()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", nargs="*", help=f"one of: {', '.join(table)}")
    names = parser.parse_args().step or list(table)
    unknown = [name for name in names if name not in table]
    if unknown:
        parser.error(f"no step {unknown[0]!r}; the steps are: {', '.join(table)}")
    results = [run(name, table[name]) for name in names]
    report(results)
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Set up this checkout on a machine that has only Python and pip, then run a command in it.

    python3 scripts/bootstrap.py demo            the example chat
    python3 scripts/bootstrap.py check           every check, then the tests
    python3 scripts/bootstrap.py -- COMMAND...   any command, inside the environment

Standard library only. The environment is ``.venv``; a stamp inside it remembers what was
installed, so that a second start costs next to nothing. For the same reason heavy modules are
imported where they are used.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from progress import Progress, SetupError, run_logged

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "comfytavern-bootstrap.json"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
FOLDERS = (
    "core",
    "hostapp",
    "packages/comfytavern-core-nodes",
    "packages/comfytavern-llm-nodes",
    ".",
)
OLDEST = (3, 11)
# What decides whether an environment still fits; tool settings in the same files do not.
INSTALLED_FROM = ("build-system", "project", "dependency-groups")


def check_python() -> None:
    """Refuse a Python that is too old, naming a newer one if the machine has it.

    :raises SetupError: this interpreter is older than 3.11
    """
    if sys.version_info >= OLDEST:
        return
    newer = [name for name in ("python3.13", "python3.12", "python3.11") if shutil.which(name)]
    remedy = f"start it with {newer[0]}" if newer else "install one, then start this again with it"
    raise SetupError(
        f"Python {dotted(OLDEST)} or newer is needed, "
        f"this is {dotted(sys.version_info[:3])}; {remedy}"
    )


def dotted(version: tuple[int, ...]) -> str:
    """Write a version as text."""
    return ".".join(str(part) for part in version)


def read_project(folder: str) -> dict[str, Any]:  # Any: TOML tables
    """Read what the ``pyproject.toml`` of one distribution says about installing it."""
    import tomllib

    data = tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))
    return {table: data[table] for table in INSTALLED_FROM if table in data}


def fingerprint() -> str:
    """Digest everything that decides what the environment holds."""
    import hashlib

    projects = {folder: read_project(folder) for folder in FOLDERS}
    return hashlib.sha256(json.dumps(projects, sort_keys=True).encode()).hexdigest()


def read_stamp() -> dict[str, object]:
    """Read what was installed; an absent or damaged stamp counts as nothing."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def ensure(dev: bool) -> None:
    """Make the environment fit, or return at once if it already does.

    :raises SetupError: it cannot be made; the text says why
    """
    stamp = read_stamp()
    wanted: dict[str, object] = {
        "fingerprint": fingerprint(),
        "python": dotted(sys.version_info[:2]),
        "root": str(ROOT),
        "dev": dev or bool(stamp.get("dev")),
    }
    if stamp == wanted and PYTHON.exists():
        return
    progress = Progress()
    progress.say(f"setting up .venv with Python {dotted(sys.version_info[:3])}")
    # Only an environment of our own is ever thrown away, and only when it cannot be mended: a
    # moved checkout has scripts with the old path, another Python has another site-packages.
    ours_but_unfit = bool(stamp) and any(
        stamp.get(key) != wanted[key] for key in ("python", "root")
    )
    make_environment(progress, clear=ours_but_unfit)
    STAMP.unlink(missing_ok=True)  # an interrupted installation must not look finished
    install(progress, dev=bool(wanted["dev"]))
    STAMP.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
    progress.say(f"ready in {progress.total():.1f} s\n")


def make_environment(progress: Progress, *, clear: bool) -> None:
    """Create ``.venv`` with pip in it, unless it is there.

    :raises SetupError: this Python cannot make virtual environments
    """
    from importlib.util import find_spec

    if not clear and PYTHON.exists() and (VENV / "pyvenv.cfg").exists() and has_pip():
        return
    if find_spec("venv") is None:
        raise SetupError(
            "this Python has no venv module; install it (Debian, Ubuntu: apt install python3-venv)"
        )
    bundled = find_spec("ensurepip") is not None
    if not bundled and find_spec("pip") is None:
        raise SetupError(
            "this Python has neither ensurepip nor pip; install pip (Debian, Ubuntu: python3-pip)"
        )
    # Started from inside a virtual environment, the interpreter behind it must make the new one.
    maker = getattr(sys, "_base_executable", None) or sys.executable
    options = ([] if bundled else ["--without-pip"]) + (["--clear"] if clear else [])
    progress.begin(
        "making the virtual environment anew, the old one is of another Python or place"
        if clear
        else "creating the virtual environment"
    )
    run_logged(progress, [maker, "-m", "venv", *options, str(VENV)])
    if not bundled:
        run_logged(
            progress, [sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "pip"]
        )
    progress.end()


def has_pip() -> bool:
    """Tell whether the environment has a pip of its own; one made by uv has none."""
    return any(BIN.glob("pip*"))


def install(progress: Progress, *, dev: bool) -> None:
    """Install the distributions of this checkout so that edits take effect at once.

    :raises SetupError: pip failed
    """
    pip = [str(PYTHON), "-m", "pip", "install", "--retries", "2"]
    progress.begin("installing the requirements" + (" and the developer tools" if dev else ""))
    run_logged(progress, [*pip, *requirements(dev=dev)])
    progress.end()
    # The build backend stands among the requirements: five isolated builds would each download it.
    editable = [part for folder in FOLDERS for part in ("-e", str(ROOT / folder))]
    progress.begin("installing ComfyTavern")
    run_logged(progress, [*pip, "--no-build-isolation", "--no-deps", *editable])
    progress.end()


def requirements(*, dev: bool) -> list[str]:
    """List what other people's distributions the five need, with the build backend.

    The dependency group ``dev`` is read here because the pip of Python 3.11 cannot read groups.
    """
    projects = [read_project(folder) for folder in FOLDERS]
    own = {project["project"]["name"] for project in projects}
    needed = {"editables>=0.5"}
    for project in projects:
        needed.update(project["build-system"]["requires"])
        needed.update(project["project"]["dependencies"])
        needed.update(project.get("dependency-groups", {}).get("dev", []) if dev else [])
    return sorted(need for need in needed if need.partition(">")[0] not in own)


def activated() -> dict[str, str]:
    """Give the variables that activating the environment would set."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
    environment["VIRTUAL_ENV"] = str(VENV)
    environment["PATH"] = os.pathsep.join((str(BIN), os.environ.get("PATH", os.defpath)))
    return environment


def run_command(command: list[str]) -> int:
    """Run a command inside the environment; on POSIX it replaces this process.

    :raises SetupError: there is no such command
    """
    environment = activated()
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise SetupError(f"no command {command[0]!r} in .venv or on PATH")
    if os.name != "nt":
        os.execve(program, command, environment)
    return call([program, *command[1:]], environment)


def call(command: list[str], environment: dict[str, str], cwd: Path | None = None) -> int:
    """Run a command and give its exit code."""
    import subprocess

    return subprocess.call(command, env=environment, cwd=cwd)


def run_checks(arguments: list[str]) -> int:
    """Run the static checks and, whatever they say, the tests; fail if either did."""
    environment = activated()
    checks = call([str(PYTHON), str(ROOT / "scripts/check.py")], environment, ROOT)
    tests = call([str(PYTHON), str(ROOT / "scripts/test.py"), *arguments], environment, ROOT)
    return checks or tests


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Part the command line into our options and the command, or what goes on to the verb."""
    cut = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(
        prog="bootstrap.py",
        description="Set up .venv in this checkout, then run a command in it.",
        usage="bootstrap.py [--dev] [demo ... | check ... | -- COMMAND ...]",
        epilog="What follows demo goes on to 'comfytavern demo', what follows check to pytest.",
    )
    parser.add_argument(
        "verb", nargs="?", choices=("demo", "check"), help="the example chat | all checks and tests"
    )
    parser.add_argument(
        "--dev", action="store_true", help="install the developer tools too (implied by check)"
    )
    options, extra = parser.parse_known_args(argv[:cut])
    if extra and not options.verb:
        parser.error(f"unknown option {extra[0]!r}; a command stands after --")
    return options, extra + argv[cut + 1 :]


def main(argv: list[str]) -> int:
    """Do what the command line says and give the exit code."""
    options, rest = parse(argv)
    try:
        check_python()
        ensure(dev=options.dev or options.verb == "check")
        if options.verb == "check":
            return run_checks(rest)
        command = ["comfytavern", "demo", *rest] if options.verb == "demo" else rest
        if command:
            return run_command(command)
        print(f"the environment is ready: {BIN}")
    except SetupError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbootstrap: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A shell without a network: this checkout as wheels, and the libraries that are installed here.

An environment made in it is fresh, and what ``pip install`` finds there is what is lent here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

PROJECTS = (
    ".",
    "core",
    "hostapp",
    "packages/comfytavern-core-nodes",
    "packages/comfytavern-llm-nodes",
)
# An environment has these itself, or is to be given them.
_NOT_LENT = ("comfytavern", "pip", "setuptools", "pkg_resources", "_distutils_hack")
# What a fresh environment would get as scripts together with the libraries.
_TOOLS = ("mypy", "pytest")


@dataclass(frozen=True)
class Offline:
    """Where the wheels, the libraries and the tools are."""

    wheels: Path
    libraries: Path
    tools: Path

    def environment(self, home: Path) -> dict[str, str]:
        """Return the variables of a shell whose home is this folder."""
        return {
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PATH": os.pathsep.join([str(self.tools), "/usr/local/bin", "/usr/bin", "/bin"]),
            "PYTHONPATH": str(self.libraries),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this as "not isolated"
            "PIP_NO_CACHE_DIR": "1",
            "PIP_NO_INDEX": "1",
            # Nobody listens there: whatever asks for a network all the same fails.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "HTTP_PROXY": "http://127.0.0.1:9",
        }


def make_offline(repository: Path, root: Path) -> Offline:
    """Build the wheels of a checkout, and lend what else there is."""
    made = Offline(root / "wheels", root / "libraries", root / "tools")
    _lend(made.libraries)
    _write_tools(made.tools)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda folder: _build(repository / folder, made.wheels), PROJECTS))
    return made


def _lend(folder: Path) -> None:
    folder.mkdir()
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(place).iterdir():
            is_lent = not entry.name.startswith(_NOT_LENT) and entry.suffix != ".pth"
            if is_lent and entry.name != "__pycache__":
                (folder / entry.name).symlink_to(entry)


def _write_tools(folder: Path) -> None:
    folder.mkdir()
    (folder / "python3").symlink_to(sys.executable)
    ruff = shutil.which("ruff", path=os.pathsep.join([sysconfig.get_path("scripts"), os.defpath]))
    assert ruff is not None
    (folder / "ruff").symlink_to(ruff)
    for name in _TOOLS:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec python -m {name} "$@"\n', "utf-8")
        script.chmod(0o755)


def _build(project: Path, wheels: Path) -> None:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels)]
    done = subprocess.run([*command, str(project)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

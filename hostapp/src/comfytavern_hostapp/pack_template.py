"""A new pack from the template in the folder beside this module.

A pack is written whole or not at all, nothing that is there is overwritten, and nothing
outside its folder is touched. The files end in ``.in``, so that no tool takes them for
code of ours, and lack the leading dot of their names, so that none is overlooked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from string import Template

from .library.workflow_files import FileError

__all__ = ("PackFacts", "core_range", "write_pack")

_TEMPLATE = Path(__file__).resolve().parent / "pack_template"
# Where each file goes; what the template has in ``package`` is the package of the pack.
_FILES = (
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "pyproject.toml",
    ".gitignore",
    ".github/workflows/ci.yml",
    "src/package/__init__.py",
    "src/package/nodes.py",
    "src/package/py.typed",
    "tests/conftest.py",
    "tests/test_nodes.py",
    "tests/test_pack.py",
    "examples/hello.json",
)
_MOST_SHOWN = 5
_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.\d+)*(?P<unfinished>(?:a|b|rc|\.dev)\d+)?")


@dataclass(frozen=True, slots=True)
class PackFacts:
    """What is filled in. ``name`` and ``package`` have been checked; ``author`` is one line."""

    name: str
    package: str
    author: str
    year: int
    core_range: str

    def values(self) -> dict[str, object]:
        """Return them by the names that the template has for them."""
        return {
            "name": self.name,
            "package": self.package,
            "author": self.author,
            # A text of one line reads the same in TOML as in JSON.
            "author_toml": json.dumps(self.author, ensure_ascii=False),
            "year": self.year,
            "core_range": self.core_range,
        }


def core_range(version: str) -> str:
    """Return the range of comfytavern-core for a pack that is written with this version.

    It begins with a version that is not released yet only where that is all there is.

    :raises ValueError: this is no version
    """
    release = _RELEASE.match(version)
    if release is None:
        raise ValueError(f"{version!r} is no version; expected one such as '0.1.0'")
    major, minor = release[1], release[2]
    lowest = release[0] if release["unfinished"] else f"{major}.{minor}"
    return f">={lowest},<{int(major) + 1}"


def write_pack(target: Path, facts: PackFacts) -> list[Path]:
    """Write a pack into a folder that is new or empty, and return its files.

    :raises FileError: there is something in the way
    :raises OSError: it cannot be written; what was written is removed
    """
    _refuse_what_is_there(target)
    values = facts.values()
    texts = {path: Template(_read(path)).substitute(values) for path in _FILES}
    with _undone_on_failure() as made:
        return [_write(target / _placed(path, facts), texts[path], made) for path in _FILES]


def _refuse_what_is_there(target: Path) -> None:
    try:
        there = sorted(entry.name for entry in target.iterdir())
    except FileNotFoundError:
        return
    except NotADirectoryError:
        reason = "is a file, or below one; name another one"
        raise FileError("folder", str(target), reason) from None
    if there:
        # A name may hold anything, even what is no text.
        shown = [name if name.isprintable() else ascii(name) for name in there[:_MOST_SHOWN]]
        more = len(there) - len(shown)
        shown += [f"{more} more"] if more else []
        reason = f"is not empty; name another one, or move what is in it: {', '.join(shown)}"
        raise FileError("folder", str(target), reason)


def _read(path: str) -> str:
    undotted = "/".join(part.lstrip(".") for part in path.split("/"))
    return (_TEMPLATE / f"{undotted}.in").read_text("utf-8")


def _placed(path: str, facts: PackFacts) -> str:
    return path.replace("/package/", f"/{facts.package}/")


def _write(file: Path, text: str, made: list[Path]) -> Path:
    _make_folder(file.parent, made)
    with file.open("x", encoding="utf-8", newline="\n") as stream:
        made.append(file)
        stream.write(text)
    return file


def _make_folder(folder: Path, made: list[Path]) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent, made)
        folder.mkdir()
        made.append(folder)


@contextmanager
def _undone_on_failure() -> Iterator[list[Path]]:
    """Remove the files and folders that are named while this is open, if it fails."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise

"""A project folder, read as its ``pyproject.toml`` and its sources stand; nothing is built."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from comfytavern.discovery import COMMANDS_GROUP, PACKS_GROUP, normalise

from .wheels import UnreadableError

__all__ = ("Project", "describe", "files_below", "read_project")

_BUILD = "build a wheel and check that: python -m build --wheel"
# What is never shipped, however large it is.
_SKIPPED = frozenset({"__pycache__", "node_modules"})

Table = Mapping[str, Any]  # Any: TOML


class Project:
    """What ``pyproject.toml`` says, and the folders where its modules may be.

    :param settings: the whole file, with a table ``project`` that has a name
    """

    def __init__(self, folder: Path, settings: Table) -> None:
        self.folder = folder
        self.table: Table = settings["project"]
        self.name = str(self.table["name"])
        self.roots = tuple(_roots(folder, settings.get("tool", {})))

    def roots_of(self, modules: Iterable[str]) -> list[Path]:
        """Return the folders that hold any of these top-level modules."""
        names = [name for module in modules for name in (module, f"{module}.py")]
        return [root for root in self.roots if any((root / name).exists() for name in names)]

    def files(self, modules: Iterable[str]) -> Iterator[str]:
        """Yield the sources, relative to where they would be installed.

        Beside its modules the project's own folder holds much else: of that only the given
        top-level modules count.
        """
        for root in self.roots:
            if root != self.folder:
                yield from files_below(root, root)
                continue
            for top in modules:
                if (root / f"{top}.py").is_file():
                    yield f"{top}.py"
                yield from files_below(root / top, root)


def files_below(folder: Path, root: Path) -> Iterator[str]:
    """Yield the files below a folder, relative to ``root``; none if it is not there."""
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(root)
        if file.is_file() and not _SKIPPED.intersection(path.parts):
            yield path.as_posix()


def read_project(folder: Path) -> Project:
    """Read a project.

    :raises UnreadableError: its metadata are missing, damaged, or left to the build
    """
    try:
        settings = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    except FileNotFoundError:
        remedy = "give the folder of a project, a wheel, or an installed distribution's name"
        raise UnreadableError("it has no pyproject.toml", remedy) from None
    except (OSError, ValueError) as error:
        raise UnreadableError(f"pyproject.toml: {error}", "mend the file") from error
    table = settings.get("project")
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise UnreadableError("its pyproject.toml has no table 'project' with a name", _BUILD)
    left = {"dependencies", "entry-points"} & set(table.get("dynamic", ()))
    if left:
        raise UnreadableError(f"its pyproject.toml leaves {min(left)!r} to the build", _BUILD)
    return Project(folder, settings)


def _roots(folder: Path, tool: Table) -> Iterator[Path]:
    """Yield the folders that hold top-level modules: ours to guess, the build's to know."""
    wheel = tool.get("hatch", {}).get("build", {}).get("targets", {}).get("wheel", {})
    packages = [folder / str(package) for package in wheel.get("packages", ())]
    where = tool.get("setuptools", {}).get("packages", {})
    where = where.get("find", {}).get("where", ()) if isinstance(where, dict) else ()
    places = [folder / "src", *(package.parent for package in packages)]
    places += [folder / str(place) for place in where]
    yield from dict.fromkeys(place for place in [*places, folder] if place.is_dir())


def describe(project: Project, scratch: Path) -> Path:
    """Write the ``.dist-info`` that an editable installation of a project would have.

    :return: that folder, inside ``scratch``
    """
    table, version = project.table, str(project.table.get("version", "0"))
    fields = [("Metadata-Version", "2.1"), ("Name", project.name), ("Version", version)]
    fields += [("Requires-Dist", str(each)) for each in table.get("dependencies", ())]
    fields += [("Requires-Python", str(table[key])) for key in table if key == "requires-python"]
    optional = table.get("optional-dependencies", {})
    for extra, requirements in optional.items():
        fields.append(("Provides-Extra", str(extra)))
        fields += [("Requires-Dist", _only_for(str(each), extra)) for each in requirements]
    groups = table.get("entry-points", {})
    lines: list[str] = []
    for group in (PACKS_GROUP, COMMANDS_GROUP):
        lines += [f"[{group}]", *(f"{name} = {at}" for name, at in groups.get(group, {}).items())]
    info = scratch / f"{normalise(project.name).replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    header = "".join(f"{name}: {' '.join(text.split())}\n" for name, text in fields)
    (info / "METADATA").write_text(f"{header}\n", "utf-8")
    (info / "entry_points.txt").write_text("\n".join([*lines, ""]), "utf-8")
    direct = {"url": project.folder.as_uri(), "dir_info": {"editable": True}}
    (info / "direct_url.json").write_text(json.dumps(direct), "utf-8")
    return info


def _only_for(requirement: str, extra: str) -> str:
    wanted, semicolon, marker = requirement.partition(";")
    both = f"({marker.strip()}) and " if semicolon else ""
    return f"{wanted.strip()} ; {both}extra == '{extra}'"

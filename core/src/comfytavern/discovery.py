"""Which installed distributions offer packs: read from metadata, importing nothing.

The scan walks the distributions on the path once. Of each it reads ``entry_points.txt``,
and of those that have something for us the header of ``METADATA``. Both are parsed here
and each in its own ``try``: a damaged file is a pack with a ``problem``, never an error
that hides the others (``importlib.metadata.entry_points()`` raises for everybody when one
file anywhere is damaged). pydantic asks for entry points too, when its first class is
made; a host therefore sets ``PYDANTIC_DISABLE_PLUGINS=__all__`` in its environment before
it imports anything of ours.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Final, NamedTuple

__all__ = (
    "COMMANDS_GROUP",
    "CORE_DISTRIBUTION",
    "PACKS_GROUP",
    "FoundPack",
    "PackEntryPoint",
    "find_packs",
    "normalise",
)

PACKS_GROUP: Final = "comfytavern.packs"
COMMANDS_GROUP: Final = "comfytavern.commands"
CORE_DISTRIBUTION: Final = "comfytavern-core"

_MARK: Final = b"comfytavern."
_HEADERS: Final = frozenset({"name", "version", "summary", "requires-dist"})
_REFERENCE = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*)\s*(?::\s*([\w.]+)\s*)?(?:\[.*\])?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^]]*\])?\s*"
    r"(?P<range>\([^)]*\)|[^;@]*)(?:@[^;]*)?(?:;(?P<marker>.*))?"
)


def normalise(name: str) -> str:
    """Return a distribution name in the one spelling that PEP 503 gives it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class PackEntryPoint(NamedTuple):
    """A label, and the module or ``module:attribute`` that it stands for."""

    name: str
    value: str

    @property
    def module(self) -> str:
        """The module to import."""
        return self.value.partition(":")[0]

    @property
    def attribute(self) -> str:
        """The attribute inside the module; empty for the module itself."""
        return self.value.partition(":")[2]


@dataclass(frozen=True, slots=True)
class FoundPack:
    """A distribution that offers nodes or commands, as its metadata describes it.

    ``requires`` is the range of comfytavern-core that it was built for: empty if it
    requires the core in no particular version, None if not at all. ``shadowed`` are
    copies of the same distribution later on the path. With a ``problem`` the metadata is
    damaged and the other fields hold what could be read.
    """

    distribution: str
    version: str
    summary: str = ""
    entry_points: tuple[PackEntryPoint, ...] = ()
    commands: tuple[PackEntryPoint, ...] = ()
    requires: str | None = None
    location: Path | None = None
    editable: bool = False
    problem: str | None = None
    shadowed: tuple[Path, ...] = ()


def find_packs(path: Iterable[str | os.PathLike[str]] | None = None) -> list[FoundPack]:
    """Return what the installed distributions offer, sorted by distribution name.

    The first distribution of a name on the path owns it. What pip leaves behind when an
    uninstall is cut short (``~name``) is skipped. Nothing is imported.

    :param path: the folders to look in; ``sys.path`` if None
    """
    owners: dict[str, Path] = {}
    packs: dict[str, FoundPack] = {}
    for directory in _metadata_directories(path):
        pack = _read_pack(directory)
        name = _name_of(directory) if pack is None else pack.distribution
        owner = owners.setdefault(name, directory)
        if pack is None or (owner is not directory and _is_same(owner, directory)):
            continue
        if owner is directory:
            packs[name] = pack
        elif name in packs:
            packs[name] = replace(packs[name], shadowed=(*packs[name].shadowed, directory))
        else:
            problem = f"a copy without entry points comes first on the path: {owner}"
            packs[name] = replace(pack, problem=problem)
    return [packs[name] for name in sorted(packs)]


def _metadata_directories(path: Iterable[str | os.PathLike[str]] | None) -> Iterator[Path]:
    """Yield the ``.dist-info`` folders by place on the path, then by name."""
    listed = distributions() if path is None else distributions(path=[os.fspath(p) for p in path])
    places: dict[Path, int] = {}
    found: dict[Path, tuple[int, str]] = {}
    for distribution in listed:
        # There is no public name for the folder; a finder without folders has nothing to read.
        directory = getattr(distribution, "_path", None)
        if directory is not None and not directory.name.startswith("~"):
            place = places.setdefault(directory.parent, len(places))
            found[directory] = (place, directory.name)
    return iter(sorted(found, key=found.__getitem__))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return str(one) == str(other)


def _name_of(directory: Path) -> str:
    return normalise(directory.name.rpartition(".")[0].partition("-")[0])


def _read_pack(directory: Path) -> FoundPack | None:
    raw = _read_bytes(directory / "entry_points.txt")
    if raw is None or _MARK not in raw:
        return None
    try:
        entry_points = _parse_entry_points(raw)
    except ValueError as error:
        return _damaged(directory, f"entry_points.txt: {error}")
    if not any(entry_points.values()):
        return None
    try:
        fields = _parse_header(directory)
        name, version = _identity(fields)
        requires = _core_range(fields.get("requires-dist", ()))
    except ValueError as error:
        pack = _damaged(directory, f"METADATA: {error}")
    else:
        summary = next(iter(fields.get("summary", ())), "")
        pack = FoundPack(name, version, summary, requires=requires, location=directory)
    return replace(
        pack,
        entry_points=entry_points[PACKS_GROUP],
        commands=entry_points[COMMANDS_GROUP],
        editable=_is_editable(directory),
    )


def _damaged(directory: Path, problem: str) -> FoundPack:
    version = directory.name.rpartition(".")[0].partition("-")[2]
    return FoundPack(_name_of(directory), version, location=directory, problem=problem)


def _read_bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except (OSError, KeyError):  # KeyError: inside a zip file
        return None


def _parse_entry_points(raw: bytes) -> dict[str, tuple[PackEntryPoint, ...]]:
    """Return the entry points of our two groups; what stands elsewhere may be anything."""
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError("this is not UTF-8 text") from None
    groups: dict[str, list[PackEntryPoint]] = {PACKS_GROUP: [], COMMANDS_GROUP: []}
    current: list[PackEntryPoint] | None = None
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line[0] in "#;":
            continue
        if line.startswith("["):
            if not line.endswith("]"):
                raise ValueError(f"line {number} is {line!r}; expected '[section]'")
            current = groups.get(line[1:-1].strip())
        elif current is not None:
            current.append(_parse_entry_point(line, number))
    return {group: tuple(entries) for group, entries in groups.items()}


def _parse_entry_point(line: str, number: int) -> PackEntryPoint:
    name, equals, value = (part.strip() for part in line.partition("="))
    match = _REFERENCE.fullmatch(value)
    if not (name and equals and match):
        raise ValueError(f"line {number} is {line!r}; expected 'name = module:attribute'")
    module, attribute = match.groups()
    return PackEntryPoint(name, f"{module}:{attribute}" if attribute else module)


def _parse_header(directory: Path) -> Mapping[str, list[str]]:
    for file in ("METADATA", "PKG-INFO"):
        try:
            with (directory / file).open("rb") as stream:
                return _parse_fields(stream)
        except (OSError, KeyError):
            continue
    raise ValueError("there is no such file")


def _parse_fields(lines: Iterable[bytes]) -> Mapping[str, list[str]]:
    """Return the wanted fields before the first empty line, where the README begins."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        if not line.strip():
            break
        key, colon, value = line.partition(b":")
        name = key.decode("ascii", "replace").lower()
        if colon and name in _HEADERS:
            fields.setdefault(name, []).append(value.decode("utf-8", "replace").strip())
    return fields


def _identity(fields: Mapping[str, list[str]]) -> tuple[str, str]:
    for field in ("name", "version"):
        if not fields.get(field):
            raise ValueError(f"it has no {field.title()}")
    name, version = fields["name"][0], fields["version"][0]
    if not _NAME.fullmatch(name):
        raise ValueError(f"its Name is {name!r}, which no distribution can have")
    if not version or not version.isascii() or not version.isprintable() or " " in version:
        raise ValueError(f"its Version is {version!r}, which is no version")
    return normalise(name), version


def _core_range(requirements: Iterable[str]) -> str | None:
    """Return the range of the core that these requirements ask for; None for no such line."""
    ranges: list[str] | None = None
    for requirement in requirements:
        # A cheap look first: packs require many things, and one of them is the core.
        if not requirement[:11].lower() == "comfytavern":
            continue
        match = _REQUIREMENT.fullmatch(requirement)
        if match is None or normalise(match["name"]) != CORE_DISTRIBUTION:
            continue
        if match["marker"] and not _applies(match["marker"]):
            continue
        ranges = [] if ranges is None else ranges
        ranges.append(match["range"].strip().strip("()").replace(" ", ""))
    return None if ranges is None else ",".join(filter(None, ranges))


def _applies(marker: str) -> bool:
    # Not at the top: a marker at the core's own line is rare, and a listing should stay fast.
    from packaging.markers import InvalidMarker, Marker

    try:
        return Marker(marker).evaluate({"extra": ""})
    except InvalidMarker:
        raise ValueError(f"the marker {marker.strip()!r} cannot be read") from None


def _is_editable(directory: Path) -> bool:
    raw = _read_bytes(directory / "direct_url.json")
    if raw is None:
        return directory.suffix == ".egg-info"
    try:
        return bool(json.loads(raw)["dir_info"]["editable"])
    except (ValueError, KeyError, TypeError):
        return False

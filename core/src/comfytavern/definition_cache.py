"""What packs were when they were last imported, so that a listing need not import them.

One file per distribution, JSON and nothing else: a header, then a node definition per line,
each read when somebody asks for it. What a file says holds only under its key: the name,
version and RECORD of the distribution, the plugin API, the Python, and the settings that
the pack was given. A file that is damaged, or is for something else, is as if it were not
there. Nothing here imports a pack, and no file that cannot be written is an error.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .definitions import NodeDefinition
from .discovery import FoundPack

__all__ = (
    "CachedPack",
    "DefinitionCache",
    "EncodedNodes",
    "PackTraits",
    "code_named",
    "encode_definitions",
)

FORMAT: Final = 1
# No text of a pack's own can begin like this.
_CODE: Final = "@"
_PYTHON: Final = f"{sys.implementation.cache_tag} {sys.version} {sys.platform}"

# What comes of JSON that somebody else wrote.
_UNREADABLE = (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)

_log = logging.getLogger(__name__)

Json = dict[str, Any]  # Any: a JSON object


@dataclass(frozen=True, slots=True)
class PackTraits:
    """What a pack does besides offering nodes, by the names of things.

    ``hooks`` are those that it implements, ``optional`` ones and ``register_nodes`` left
    out; ``specs``, ``services`` and ``runners`` are what it brings under names.
    """

    hooks: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    specs: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    runners: frozenset[str] = frozenset()

    @property
    def only_nodes(self) -> bool:
        """Whether nothing is missed as long as the pack is not imported."""
        return not (self.hooks or self.optional)

    def to_json(self) -> Json:
        """Return the traits as JSON values."""
        return {name: sorted(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def from_json(cls, read: Mapping[str, Iterable[str]]) -> PackTraits:
        """Return the traits that ``to_json`` wrote."""
        return cls(**{name: frozenset(read[name]) for name in cls.__slots__})


@dataclass(frozen=True, slots=True)
class EncodedNodes:
    """Node definitions as lines of JSON, and the namespace and type of each.

    ``replacing`` are the places of those that take over old types.
    """

    types: tuple[tuple[str, str], ...]
    lines: tuple[bytes, ...]
    replacing: frozenset[int] = frozenset()

    def differing(self, other: EncodedNodes) -> list[str]:
        """Return the types that only one of both has, or that differ, sorted."""
        one, two = (dict(zip(nodes.types, nodes.lines, strict=True)) for nodes in (self, other))
        return sorted(name for _, name in one.keys() | two.keys() if _differs(one, two, name))


def _differs(
    one: Mapping[tuple[str, str], bytes], two: Mapping[tuple[str, str], bytes], name: str
) -> bool:
    return any(one.get(key) != two.get(key) for key in one.keys() | two.keys() if key[1] == name)


@dataclass(frozen=True, slots=True)
class CachedPack:
    """A pack as it was when it was last imported. ``files_digest`` is that of ``PackFiles``."""

    nodes: EncodedNodes
    traits: PackTraits
    files_digest: str
    import_ms: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def full_types(self) -> tuple[str, ...]:
        """The full types of its nodes."""
        return tuple(f"{namespace}:{name}" for namespace, name in self.nodes.types)

    def definition(self, index: int) -> NodeDefinition:
        """Return one definition; its code is a text that ``code_named`` reads.

        :raises ValueError: the line is no definition
        """
        try:
            read = json.loads(self.nodes.lines[index])
            definition = NodeDefinition.model_validate(read["definition"])
            full_type = f"{definition.namespace}:{definition.type}"
            update: dict[str, object] = {"execute": f"{_CODE}{full_type}" if read["code"] else None}
            if definition.modes:
                update["modes"] = {
                    name: mode.model_copy(update={"execute": f"{_CODE}{full_type}{_CODE}{name}"})
                    if name in read["modes"]
                    else mode
                    for name, mode in definition.modes.items()
                }
        except _UNREADABLE as error:
            raise ValueError(f"line {index} is no definition: {error!r}") from error
        return definition.model_copy(update=update)


def code_named(reference: str) -> tuple[str, str | None] | None:
    """Return the full type and the mode whose code a text stands for; None for other texts."""
    if not reference.startswith(_CODE):
        return None
    full_type, found, mode = reference[len(_CODE) :].partition(_CODE)
    return full_type, mode if found else None


def encode_definitions(definitions: Iterable[NodeDefinition]) -> EncodedNodes | None:
    """Return definitions as JSON; None if one of them is not the same when it is read again.

    That is so where ``required`` is a function, or a default is nothing that JSON holds.
    What ``execute`` is makes no difference: the code is found again by its full type.
    """
    types, lines, replacing = [], [], set()
    for index, definition in enumerate(definitions):
        try:
            line = _encode(definition)
        except Exception as error:  # values of the pack: comparing them may do anything
            _log.debug("node type %r is not cached: %s", definition.type, error)
            return None
        types.append((str(definition.namespace), definition.type))
        lines.append(line)
        replacing.update([index] if definition.replaces else [])
    return EncodedNodes(tuple(types), tuple(lines), frozenset(replacing))


def _encode(definition: NodeDefinition) -> bytes:
    modes = {
        name: mode.model_copy(update={"execute": None}) for name, mode in definition.modes.items()
    }
    bare = definition.model_copy(update={"execute": None, "modes": modes})
    if any(callable(slot.required) for slot in _inputs_of(bare)):
        raise ValueError("a function says whether an input is required")
    dumped = bare.model_dump(by_alias=True, exclude_defaults=True)
    text = json.dumps(dumped, allow_nan=False)
    if NodeDefinition.model_validate(json.loads(text)) != bare:
        raise ValueError("it reads differently from JSON")
    entry = {
        "definition": dumped,
        "code": definition.execute is not None,
        "modes": [name for name, mode in definition.modes.items() if mode.execute is not None],
    }
    return json.dumps(entry, allow_nan=False, separators=(",", ":")).encode("ascii")


def _inputs_of(definition: NodeDefinition) -> list[Any]:  # Any: InputDefinition, also a subclass
    shapes = [definition.inputs, definition.config_schema]
    shapes += [mode.inputs for mode in definition.modes.values()]
    return [slot for slots in shapes for slot in slots.values()]


class DefinitionCache:
    """What is known of packs, in one folder; without a folder nothing is.

    :param api_version: the version of the plugin API of this host; a function is asked when
        it is needed first, as telling the version may read a file
    """

    def __init__(
        self, folder: Path | None, api_version: str | Callable[[], str | None] | None = None
    ) -> None:
        self._folder = folder
        self._api_version = api_version

    def read(self, found: FoundPack, block: object = None) -> CachedPack | None:
        """Return what is known of a pack; None if that is nothing, or of another one.

        :param block: the settings that the operator gives it
        """
        if self._folder is None or not _may_be_cached(found):
            return None
        try:
            raw = (self._folder / f"{found.distribution}.json").read_bytes()
            key = self._key(found, block)
            return None if key is None else _parse(raw, key)
        except (OSError, *_UNREADABLE):
            return None  # not there, or not what was written

    def write(self, found: FoundPack, block: object, pack: CachedPack) -> None:
        """Keep what is known of a pack, if that may be; best effort, and atomic."""
        if self._folder is None or not _may_be_cached(found):
            return
        key = self._key(found, block)
        if key is None:
            return
        file = self._folder / f"{found.distribution}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write_whole(file, _compose(pack, key))
        except OSError as error:
            _log.debug("nothing is cached of pack %r: %s", found.distribution, error)

    def drop(self, distribution: str) -> None:
        """Forget a pack; nothing known of it is no error."""
        if self._folder is not None:
            with suppress(OSError):  # a folder that nobody may write to
                (self._folder / f"{distribution}.json").unlink(missing_ok=True)

    def _key(self, found: FoundPack, block: object) -> str | None:
        assert found.location is not None  # see _may_be_cached
        try:
            record = (found.location / "RECORD").read_bytes()
        except (OSError, KeyError):  # KeyError: inside a zip file
            return None
        if not record.strip():
            return None  # it says nothing of the files, so nothing would tell that they changed
        api_version = self._api_version() if callable(self._api_version) else self._api_version
        given = "" if block is None else json.dumps(block, sort_keys=True, default=repr)
        parts = (
            str(FORMAT),
            found.distribution,
            found.version,
            repr(found.entry_points),
            str(api_version),
            _PYTHON,
            given,
        )
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
        digest.update(record)
        return digest.hexdigest()


def _may_be_cached(found: FoundPack) -> bool:
    return found.location is not None and not found.editable and found.problem is None


def _compose(pack: CachedPack, key: str) -> bytes:
    """Return the file: one JSON array, laid out so that each item has a line of its own."""
    body = b",\n".join(pack.nodes.lines)
    header = {
        "key": key,
        "body": hashlib.sha256(body).hexdigest(),
        "filesDigest": pack.files_digest,
        "importMs": pack.import_ms,
        "warnings": list(pack.warnings),
        "traits": pack.traits.to_json(),
        "types": list(pack.nodes.types),
        "replacing": sorted(pack.nodes.replacing),
    }
    first = json.dumps(header, separators=(",", ":")).encode("ascii")
    return b"[\n" + b",\n".join([first, *pack.nodes.lines]) + b"\n]\n"


def _parse(raw: bytes, key: str) -> CachedPack | None:
    """Return what a file says, if it is whole and has this key; see ``_compose``."""
    opening, first, rest = raw.split(b"\n", 2)
    header = json.loads(first.removesuffix(b","))
    body = rest.removesuffix(b"]\n").removesuffix(b"\n")
    if opening != b"[" or header["key"] != key:
        return None
    if hashlib.sha256(body).hexdigest() != header["body"]:
        return None
    types = tuple((str(namespace), str(name)) for namespace, name in header["types"])
    lines = _lines_of(body)
    import_ms = header["importMs"]
    if len(lines) != len(types):
        return None
    return CachedPack(
        EncodedNodes(types, lines, frozenset(map(int, header["replacing"]))),
        PackTraits.from_json(header["traits"]),
        str(header["filesDigest"]),
        None if import_ms is None else float(import_ms),
        tuple(map(str, header["warnings"])),
    )


def _lines_of(body: bytes) -> tuple[bytes, ...]:
    lines: Sequence[bytes] = body.split(b",\n") if body else ()
    return tuple(lines)


def _write_whole(file: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old one or the new one.

    :raises OSError: it cannot be written; the old one stays
    """
    descriptor, name = tempfile.mkstemp(prefix=".", suffix=".new", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        os.replace(name, file)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise

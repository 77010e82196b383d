"""Where a value of the configuration came from, and how its key is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

KeyPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[^\s.\[\]\"']+")
_KEY_PART = re.compile(r'\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|\.?([^.\[\]]+)')


@dataclass(frozen=True, slots=True)
class Origin:
    """Who gave a value: a flag, a variable, a line of the file, or nobody."""

    kind: Literal["flag", "environment", "file", "default"]
    name: str = ""
    line: int = 0
    column: int = 0

    @property
    def place(self) -> str:
        """The origin as an error message begins: a file with its line stands bare."""
        return f"{self.name}:{self.line}" if self.kind == "file" else str(self)

    def __str__(self) -> str:
        if self.kind == "file":
            return f"file {self.name}:{self.line}"
        return f"{self.kind} {self.name}" if self.name else self.kind


DEFAULT = Origin("default")
FLAG = Origin("flag")


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of each value that somebody gave; what is absent is a default."""

    path: Path | None = None
    origins: Mapping[KeyPath, Origin] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()

    def exact(self, path: KeyPath) -> Origin:
        """Return the origin of the value itself, ``default`` if nobody gave it."""
        return self.origins.get(path, DEFAULT)

    def nearest(self, path: Iterable[str | int]) -> Origin:
        """Return the origin of the value, or of what stands closest around it.

        Parts that lead nowhere are passed over: pydantic puts the tags of unions
        into its locations, and a missing key is looked for in its mapping.
        """
        return nearest_origin(self.origins, path)[1]


def nearest_origin(
    origins: Mapping[KeyPath, Origin], path: Iterable[str | int]
) -> tuple[KeyPath, Origin]:
    """Follow ``path`` as far as ``origins`` goes; return where that is and its origin."""
    parts = tuple(path)
    # A flag gives 'server.port' an origin although nobody wrote the block 'server'.
    lengths = range(len(parts), 0, -1)
    given = next((length for length in lengths if parts[:length] in origins), 0)
    reached = parts[:given]
    for part in parts[given:]:
        steps = [step for step in _readings(part) if (*reached, step) in origins]
        reached = (*reached, *steps[:1])
    return reached, origins.get(reached, DEFAULT)


def _readings(part: str | int) -> tuple[str | int, ...]:
    """``channels.0`` and ``channels[0]`` mean the same."""
    return (part, int(part)) if isinstance(part, str) and part.isdecimal() else (part,)


def key_text(path: Sequence[str | int]) -> str:
    """Write a path as users read it: ``packs.settings.name.channels[0].label``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=False)}]"
    return text


def parse_key(text: str) -> KeyPath:
    """Read what :func:`key_text` writes.

    :raises ValueError: the text is not such a key; the caller wrote it, not the operator
    """
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        match = _KEY_PART.match(text, position)
        if match is None:
            raise ValueError(f"not a dotted key: {text!r}")
        index, quoted, plain = match.groups()
        parts.append(int(index) if index else json.loads(quoted) if quoted else plain)
        position = match.end()
    return tuple(parts)

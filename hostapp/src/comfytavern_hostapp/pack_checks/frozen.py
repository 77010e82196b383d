"""The file of ``packs freeze``: requirements that pip and uv read as they are, and file digests.

```text
some-pack==1.0 \
    --hash=sha256:<the wheel that it was installed from, where the installer noted that>
# files of some-pack: sha256:<all of its files, as RECORD lists them>
```

Comments are ours, the rest is pip's. A file that another tool wrote (``uv pip compile
--generate-hashes``) is read the same way, as long as each line pins one version.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from comfytavern.discovery import normalise

from .environment import Environment, applies
from .recorded_files import files_digest

__all__ = (
    "FROZEN_HEADER",
    "FrozenFileError",
    "FrozenPack",
    "freeze",
    "read_frozen",
    "write_frozen",
)

FROZEN_HEADER: Final = "# packs of a ComfyTavern host, written by: comfytavern packs freeze"

_FILES = re.compile(r"#\s*files of (\S+): sha256:([0-9a-f]{64})\s*")
_HASH = re.compile(r"\s--hash[= ](\w+:[0-9a-f]+)")
_COMMENT = re.compile(r"(^|\s)#.*$")


class FrozenFileError(ValueError):
    """A line cannot be understood. Never leaves the command line."""

    def __init__(self, line: int, text: str) -> None:
        self.line = line
        super().__init__(f"line {line} is {text!r}; expected 'name==version'")


@dataclass(frozen=True, slots=True)
class FrozenPack:
    """A distribution in one version.

    :param archives: hashes of the files that pip may install, ``sha256:...``; may be empty
    :param files: the digest of its installed files; empty if nobody knows it
    """

    name: str
    version: str
    archives: tuple[str, ...] = ()
    files: str = ""

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    def to_wire(self) -> dict[str, object]:
        """Return the same as JSON values."""
        hashes = list(self.archives)
        return {"name": self.name, "version": self.version, "hashes": hashes, "files": self.files}


def freeze(environment: Environment, names: Iterable[str]) -> tuple[FrozenPack, ...]:
    """Return these distributions as they are installed.

    Left out are those that are not, editable ones, which nobody can bring back, and those
    whose metadata cannot be read.
    """
    packs = (environment.by_name[name] for name in sorted(names) if name in environment.by_name)
    return tuple(
        FrozenPack(
            pack.name,
            pack.version,
            (f"sha256:{pack.archive}",) if pack.archive else (),
            files_digest(pack),
        )
        for pack in packs
        if not (pack.editable or pack.problem)
    )


def write_frozen(packs: Iterable[FrozenPack]) -> str:
    """Return the text of the file."""
    lines = [FROZEN_HEADER]
    for pack in packs:
        lines.append(" \\\n".join([str(pack), *(f"    --hash={h}" for h in pack.archives)]))
        if pack.files:
            lines.append(f"# files of {pack.name}: sha256:{pack.files}")
    return "\n".join([*lines, ""])


def read_frozen(text: str) -> tuple[FrozenPack, ...]:
    """Read such a file; lines whose marker does not fit this environment are left out.

    :raises FrozenFileError: a line is something else
    """
    lines = text.removeprefix("\ufeff").splitlines()
    matches = (_FILES.fullmatch(line) for line in lines)
    files = {normalise(match[1]): match[2] for match in matches if match}
    found: dict[str, FrozenPack] = {}
    for number, line in _logical_lines(lines):
        pack = _read_line(number, line, files)
        if pack is not None:
            found[pack.name] = pack
    return tuple(found[name] for name in sorted(found))


def _logical_lines(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines without comments, those that end with a backslash joined."""
    joined, begun = "", 1
    for number, line in enumerate(lines, start=1):
        begun = begun if joined else number
        text = _COMMENT.sub("", line).rstrip()
        joined += f"{text.removesuffix(chr(92))} "
        if not text.endswith("\\"):
            if joined.strip():
                yield begun, joined.strip()
            joined = ""
    if joined.strip():
        yield begun, joined.strip()


def _read_line(number: int, line: str, files: dict[str, str]) -> FrozenPack | None:
    try:
        requirement = Requirement(_HASH.sub("", line))
    except InvalidRequirement:
        raise FrozenFileError(number, line) from None
    specifiers = list(requirement.specifier)
    if len(specifiers) != 1 or specifiers[0].operator not in ("==", "==="):
        raise FrozenFileError(number, line)
    version, name = specifiers[0].version, normalise(requirement.name)
    if requirement.url or version.endswith("*"):
        raise FrozenFileError(number, line)
    if not applies(requirement, {""}):
        return None
    return FrozenPack(name, version, tuple(_HASH.findall(line)), files.get(name, ""))

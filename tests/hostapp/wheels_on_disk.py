"""Wheels as a build makes them, and folders as an installer leaves them; no build, no network."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent

from ..packs_on_disk import GOOD, forget_caches, record_hash

CORE = "comfytavern-core<1,>=0.1"


def error(code: str, message: str, remedy: str) -> str:
    """Return the line that tells an error."""
    return f"error [{code}] {message}; {remedy}"


def warning(code: str, message: str, remedy: str) -> str:
    """Return the line that tells a warning."""
    return f"warning [{code}] {message}; {remedy}"


class FakeWheel:
    """A distribution in memory: its files, the metadata included, by path.

    :param files: modules and data; by default a package whose module is a sound pack
    :param entry_points: the whole entry_points.txt; by default one that names the package
    :param requires: the lines of Requires-Dist
    :param header: further lines of METADATA
    """

    def __init__(
        self,
        name: str = "some-pack",
        files: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        entry_points: str | None = None,
        requires: Iterable[str] = (CORE,),
        header: str = "",
        tag: str = "py3-none-any",
    ) -> None:
        self.name, self.version, self.tag = name, version, tag
        module = name.replace("-", "_")
        self.info = f"{module}-{version}.dist-info"
        sources = {f"{module}/__init__.py": GOOD} if files is None else files
        lines = [f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n", header]
        lines += [f"Requires-Dist: {requirement}\n" for requirement in requires]
        points = entry_points
        if points is None:
            points = f"[comfytavern.packs]\n{name} = {module}\n"
        self.files = {path: dedent(text).lstrip("\n") for path, text in sources.items()}
        self.files[f"{self.info}/METADATA"] = "".join(lines)
        self.files[f"{self.info}/WHEEL"] = (
            f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
        )
        if points:
            self.files[f"{self.info}/entry_points.txt"] = points
        self.files[f"{self.info}/RECORD"] = self._record()

    def _record(self) -> str:
        rows = [f"{p},{record_hash(text)},{len(text)}" for p, text in self.files.items()]
        return "\n".join([*rows, f"{self.info}/RECORD,,", ""])

    def build(self, folder: Path) -> str:
        """Write the ``.whl`` file and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.info.removesuffix('.dist-info')}-{self.tag}.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in self.files.items():
                archive.writestr(name, text)
        return str(path)

    def install(self, site: Path) -> Path:
        """Put the files into a folder that is, or may be, on the path; return its .dist-info."""
        for name, text in self.files.items():
            file = site / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        forget_caches()
        return site / self.info

"""Fake distributions on disk: a module and its ``.dist-info``, in a folder on the path."""

from __future__ import annotations

import base64
import hashlib
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import MetadataPathFinder
from pathlib import Path
from textwrap import dedent

import pytest

from comfytavern.discovery import FoundPack, find_packs

GOOD = """
    from comfytavern.definitions import NodeDefinition
    from comfytavern.hookspecs import hookimpl

    @hookimpl
    def register_nodes(pack):
        return [NodeDefinition(type="Hello", execute=lambda inputs, context: {})]
"""


class PacksOnDisk:
    """A folder that looks like site-packages."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def write(
        self,
        distribution: str,
        source: str | None = GOOD,
        *,
        version: str = "1.0",
        module: str | None = None,
        entry_points: str | None = None,
        requires: str | None = "comfytavern-core<1,>=0.1",
        files: Mapping[str, str] | None = None,
        editable: Path | None = None,
    ) -> Path:
        """Write a distribution whose entry point is its module, and return its .dist-info.

        :param source: the module's text; None writes no module
        :param entry_points: the whole entry_points.txt; by default one entry point
        :param files: further modules, by path
        :param editable: where the sources are, if they are not in this folder
        """
        name = module or distribution.replace("-", "_")
        written = {} if source is None else {f"{name}.py": source}
        sources = {path: dedent(text) for path, text in (written | dict(files or {})).items()}
        for path, text in sources.items():
            file = (editable or self.root) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        info = self.root / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        metadata = f"Metadata-Version: 2.4\nName: {distribution}\nVersion: {version}\n"
        metadata += f"Summary: The pack {distribution}.\n"
        metadata += f"Requires-Dist: {requires}\n" if requires is not None else ""
        (info / "METADATA").write_text(f"{metadata}\nName: what stands in a README\n", "utf-8")
        (info / "entry_points.txt").write_text(
            entry_points or f"[comfytavern.packs]\n{distribution} = {name}\n", "utf-8"
        )
        if editable is None:
            self.write_record(info, sources)
        else:
            self.write_record(info, {})
            url = {"url": editable.as_uri(), "dir_info": {"editable": True}}
            (info / "direct_url.json").write_text(json.dumps(url), "utf-8")
        forget_caches()
        return info

    def write_record(self, info: Path, sources: Mapping[str, str]) -> None:
        """Write the RECORD that lists these sources."""
        hashes = {path: record_hash(text) for path, text in sources.items()}
        lines = [f"{path},{hashed},1" for path, hashed in hashes.items()]
        lines += [f"{info.name}/METADATA,,", "../../../bin/tool,sha256=x,1"]
        (info / "RECORD").write_text("\n".join([*lines, ""]), "utf-8")

    def found(self) -> list[FoundPack]:
        """Scan this folder, and only this."""
        return find_packs([self.root])


def record_hash(text: str) -> str:
    """Return the hash of a file as RECORD writes it."""
    encoded = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256={encoded.rstrip(b'=').decode()}"


def forget_caches() -> None:
    """Forget what the import system remembers of folders."""
    importlib.invalidate_caches()
    MetadataPathFinder().invalidate_caches()


@contextmanager
def packs_on_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PacksOnDisk]:
    """Put a folder for fake distributions on the path, and forget their modules afterwards."""
    packs = PacksOnDisk(root)
    monkeypatch.syspath_prepend(root)
    # A module that a test rewrites within the same second must not come from the cache.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    known = set(sys.modules)
    yield packs
    for name in [name for name in sys.modules if name not in known]:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(root.parent)):
            del sys.modules[name]
    forget_caches()

"""From the paths of installed files to the names of modules, without a look at the disk."""

from __future__ import annotations

import importlib.machinery
from collections.abc import Iterable

__all__ = ("has_module", "module_of", "top_levels")

_SUFFIXES = (
    *importlib.machinery.SOURCE_SUFFIXES,
    *importlib.machinery.BYTECODE_SUFFIXES,
    *importlib.machinery.EXTENSION_SUFFIXES,
)


def module_of(path: str) -> str:
    """Return the module that a file is, relative to where it is installed; empty if none."""
    suffix = next((suffix for suffix in _SUFFIXES if path.endswith(suffix)), None)
    if suffix is None or path.startswith(("/", "..")):
        return ""
    parts = path.removesuffix(suffix).removesuffix("/__init__").split("/")
    return ".".join(parts) if all(part.isidentifier() for part in parts) else ""


def has_module(files: Iterable[str], module: str) -> bool:
    """Return whether the files hold a module: its own file, or as a namespace one below it."""
    return any(each == module or each.startswith(f"{module}.") for each in map(module_of, files))


def top_levels(files: Iterable[str]) -> dict[str, bool]:
    """Return the top-level modules, and whether each is more than a namespace package."""
    found: dict[str, bool] = {}
    for path in files:
        module = module_of(path)
        if module:
            top, dot, _ = module.partition(".")
            found[top] = found.get(top, False) or not dot
    return found

"""What a new pack may be called.

Its name becomes a distribution, a namespace of nodes and a top-level module, and must hide
nothing that is there. To find out, nothing is imported.
"""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from comfytavern.discovery import normalise
from comfytavern.errors import ComfyTavernError
from comfytavern.pack_records import DEFAULT_ALIASES

__all__ = ("MAX_NAME", "PackName", "PackNameError", "check_name")

# The files of the template stay within the line length of their own checks up to here.
MAX_NAME = 50

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_OURS = "comfytavern"
# What projects call folders and files of their own; a module of this name clashes with them.
_COMMON = frozenset({"conftest", "docs", "examples", "scripts", "setup", "src", "tests"})
_WINDOWS = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]")


class PackNameError(ComfyTavernError):
    """A name that no new pack can have. ``suggestion`` is one that it could."""

    code = "bad_pack_name"

    def __init__(self, name: str, reason: str, suggestion: str | None = None) -> None:
        self.name = name
        self.reason = reason
        self.suggestion = suggestion
        hint = f"; try {suggestion!r}" if suggestion else ""
        super().__init__(f"a pack cannot be named {name!r}: {reason}{hint}")


class PackName(NamedTuple):
    """The normalised name of a distribution, and the package to import."""

    distribution: str
    package: str


def check_name(name: str) -> PackName:
    """Return the names that follow from the one that an author chose.

    :raises PackNameError: it is no distribution name, or it would hide something
    """
    reason = _problem(name)
    if reason is not None:
        raise PackNameError(name, reason, _suggestion(name))
    return _names(name)


def _names(name: str) -> PackName:
    return PackName(normalise(name), normalise(name).replace("-", "_"))


def _problem(name: str) -> str | None:
    """Say why a pack cannot have this name; None if it can."""
    if not _NAME.fullmatch(name):
        return (
            "expected ASCII letters, digits, '-', '_' and '.', with a letter or digit at both ends"
        )
    if len(name) > MAX_NAME:
        return f"it has {len(name)} characters, more than {MAX_NAME}"
    names = _names(name)
    return _reserved(names) or _taken(names)


def _reserved(names: PackName) -> str | None:
    name, package = names
    if not package.isidentifier():
        return f"its module would be {package!r}, and no module begins with a digit"
    if keyword.iskeyword(package):
        return "it is a keyword of Python, so nothing could import it"
    if name.startswith(_OURS):
        return f"names that begin with {_OURS!r} are for ComfyTavern's own distributions"
    if name in DEFAULT_ALIASES:
        return f"workflows name built-in nodes by '{name}:'"
    if package in _COMMON:
        return "many projects have a folder or file of this name, and it would hide them"
    if _WINDOWS.fullmatch(package):
        return "Windows can have no file of this name"
    return None


def _taken(names: PackName) -> str | None:
    name, package = names
    if package in sys.stdlib_module_names:
        return f"it would hide the module {package!r} of Python's own library"
    try:
        distribution(name)
    except PackageNotFoundError:
        pass
    else:
        return "a distribution of this name is installed"
    if _is_installed(package):
        return f"it would hide the installed module {package!r}"
    return None


def _is_installed(package: str) -> bool:
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):  # ValueError: a module without a spec is loaded
        return True
    if spec is None:
        return False
    # The working directory may be on the path, and the new folder may stand in it.
    places = spec.submodule_search_locations or [spec.origin or ""]
    here = Path.cwd()
    return any(Path(place).resolve().parent != here for place in places)


def _suggestion(name: str) -> str | None:
    """Return a name like this one that a pack can have, if one comes to mind."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    base = base.removeprefix(_OURS).strip("-")[: MAX_NAME - 10].strip("-")
    candidates = [base, f"{base}-nodes", f"my-{base}", f"my-{base}-nodes"] if base else ["my-nodes"]
    return next((candidate for candidate in candidates if _problem(candidate) is None), None)

"""Importing what a pack's entry points name, if its metadata says that it may be."""

from __future__ import annotations

import importlib
import sys
import time
from functools import partial
from types import ModuleType

from ._import_guard import forget_modules
from ._pack import Pack, calling, describe_error, disable_remedy
from ._pack_files import PackFiles
from .definitions import NodeDefinition
from .discovery import CORE_DISTRIBUTION, FoundPack
from .errors import PackError, PackImportError, did_you_mean

__all__ = ("check_metadata", "import_pack", "import_reference")

# Importing takes longer than this only where something heavy comes along.
SLOW_IMPORT_MS = 500.0

_NO_PLUGINS = (str, bytes, int, float, list, tuple, dict, set, frozenset, NodeDefinition)


def check_metadata(found: FoundPack, core_version: str | None) -> str | None:
    """Check what can be known without importing; return a warning, if there is one.

    :param core_version: the version to hold against the pack's range; None skips that
    :raises PackError: the metadata is damaged, or the pack is built for another core
    """
    if found.problem is not None:
        raise _damaged(found, found.problem)
    if not found.requires:
        return (
            f"no range of {CORE_DISTRIBUTION} is stated; its Requires-Dist should hold one,"
            f" such as {CORE_DISTRIBUTION}>=0.1,<1"
        )
    if core_version is not None:
        _check_range(found, found.requires, core_version)
    return None


def _damaged(found: FoundPack, problem: str) -> PackError:
    remedy = f'reinstall it: pip install --force-reinstall "{found.distribution}"'
    return PackError(
        found.distribution, problem, version=found.version, phase="metadata", remedy=remedy
    )


def _check_range(found: FoundPack, wanted: str, core_version: str) -> None:
    # Not at the top: a listing needs no version arithmetic.
    from packaging.specifiers import InvalidSpecifier, SpecifierSet
    from packaging.version import Version

    base = Version(core_version).base_version
    try:
        fits = SpecifierSet(wanted).contains(base, prereleases=True)
    except InvalidSpecifier:
        problem = f"METADATA: the range {wanted!r} of {CORE_DISTRIBUTION} cannot be read"
        raise _damaged(found, problem) from None
    if not fits:
        raise PackError(
            found.distribution,
            f"it is built for {CORE_DISTRIBUTION} {wanted}, and this is {base}",
            version=found.version,
            phase="api",
            remedy=f'look for a release that fits: pip install --upgrade "{found.distribution}"',
        )


def import_pack(pack: Pack, found: FoundPack, files: PackFiles) -> None:
    """Import what the entry points name and put it on the pack as its plugins.

    :raises PackImportError: that failed; what it left half-loaded is forgotten
    """
    known = set(sys.modules)
    started = time.perf_counter()
    try:
        modules = [_import(pack, entry.module, files.tops) for entry in found.entry_points]
    except BaseException:
        forget_modules(known, files.owns)
        raise
    pack.import_ms = round((time.perf_counter() - started) * 1000, 1)
    if pack.import_ms > SLOW_IMPORT_MS:
        pack.warnings.append(
            f"it took {pack.import_ms:.0f} ms to import; let its nodes import what is heavy"
        )
    for entry, module in zip(found.entry_points, modules, strict=True):
        plugin = _attribute(pack, module, entry.attribute)
        if not any(plugin is other for other in pack.plugins):
            pack.plugins.append(plugin)


def _import(pack: Pack, module: str, tops: frozenset[str]) -> ModuleType:
    blame = partial(
        PackImportError,
        pack.distribution,
        version=pack.version,
        phase="import",
        remedy=disable_remedy(pack.distribution),
    )
    try:
        with calling(pack, blame):
            return importlib.import_module(module)
    except PackImportError as error:
        cause = error.__cause__
        missing = (cause.name or "") if isinstance(cause, ModuleNotFoundError) else ""
        if missing and missing.partition(".")[0] not in tops:
            raise blame(error.reason, remedy="install it or disable the pack") from cause
        raise


def _attribute(pack: Pack, module: ModuleType, path: str) -> object:
    blame = partial(PackImportError, pack.distribution, version=pack.version, phase="attribute")
    with calling(pack, blame):
        plugin = _attribute_of(module, path)
    if plugin is None or isinstance(plugin, _NO_PLUGINS):
        what = f"{module.__name__}:{path} is a {type(plugin).__name__}"
        raise blame(f"{what}; expected a module or an object with hook implementations")
    return plugin


def import_reference(pack: Pack, reference: str) -> object:
    """Import what ``"package.module:attribute"`` names, if it belongs to the pack.

    Unlike the import at load time this is not guarded: runs are going on meanwhile, and
    the working directory or stdout are theirs too.

    :raises PackImportError: it belongs to something else, or cannot be had
    """
    blame = partial(PackImportError, pack.distribution, version=pack.version, phase="import")
    module, _, path = reference.partition(":")
    if not pack.owns(module):
        raise blame(f"{reference!r} is no part of the distribution")
    try:
        return _attribute_of(importlib.import_module(module), path)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise blame(f"{reference!r}: {describe_error(error)}") from error


def _attribute_of(module: ModuleType, path: str) -> object:
    """Return what a dotted path leads to; the module itself for an empty path.

    :raises ImportError: there is no such attribute; the text offers the nearest name
    """
    value: object = module
    for name in filter(None, path.split(".")):
        try:
            value = getattr(value, name)
        except AttributeError as error:
            close = did_you_mean(name, [n for n in dir(value) if not n.startswith("_")])
            text = f"module {module.__name__!r} has no attribute {path!r}{close}"
            raise ImportError(text) from error
    return value

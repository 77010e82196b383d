"""The code of a node whose pack was not imported when its workflow was compiled."""

from __future__ import annotations

from typing import Any

from ._pack_catalogue import PackCatalogue
from ._pack_import import import_reference
from ._pack_pipeline import PackPipeline
from .errors import ComfyTavernError, PackError, UnknownPackError

__all__ = ("code_of",)


def code_of(pipeline: PackPipeline, distribution: str, full_type: str, mode: str | None) -> Any:
    """Return what a node runs, in a mode or without one; its pack is imported for that.

    Blocks; call it in a thread. Any: what the pack gave as ``execute``.

    :raises PackError: the pack failed, is gone, or has no such code any more
    :raises UnknownPackError: there is no such pack
    """
    pack = pipeline.packs.get(distribution) or pipeline.left.get(distribution)
    if pack is None:
        raise _why_gone(pipeline.catalogue, distribution)
    pipeline.awaken(pack)
    definition = pack.definition_of(full_type)
    active = definition.modes.get(mode) if mode is not None else None
    execute = (active.execute if active is not None else None) or definition.execute
    if execute is None:
        reason = f"its node type {full_type!r} has no code any more"
        raise PackError(distribution, reason, version=pack.version, phase="nodes")
    return import_reference(pack, execute) if isinstance(execute, str) else execute


def _why_gone(catalogue: PackCatalogue, name: str) -> ComfyTavernError:
    error, record = catalogue.errors.get(name), catalogue.records.get(name)
    if error is not None:
        return error
    if record is None:
        return UnknownPackError(name, catalogue.records)
    reason, remedy = record.error, record.remedy
    if not record.enabled:
        reason = "it is not enabled, so nothing of it is imported"
        remedy = f"enable it with: comfytavern packs enable {name}"
    reason = reason or "it was dropped before one of its nodes first ran"
    return PackError(name, reason, version=record.version, phase="import", remedy=remedy)

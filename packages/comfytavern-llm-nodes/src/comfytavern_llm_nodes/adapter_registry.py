"""Adapters by name: this pack's own, and those of the packs that answered its hook."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from comfytavern.hookspecs import PackAnswer

from .adapters import BUILT_IN, AdapterFactory

__all__ = ("adapters_from",)

_log = logging.getLogger("comfytavern.packs.comfytavern-llm-nodes")


def adapters_from(answers: Iterable[PackAnswer]) -> dict[str, AdapterFactory]:
    """Return every adapter by name. Never last one wins: a contested name is out of service."""
    owners: dict[str, list[str]] = {}
    offered: dict[str, AdapterFactory] = {}
    for answer in answers:
        if not isinstance(answer.value, Mapping):
            _log.error("pack %r offers no mapping of LLM adapters", answer.distribution)
            continue
        for name, factory in answer.value.items():
            if not callable(factory):
                _log.error("pack %r: LLM adapter %r is no factory", answer.distribution, name)
                continue
            owners.setdefault(str(name), []).append(answer.distribution)
            offered[str(name)] = factory
    for name, packs in owners.items():
        if name in BUILT_IN:
            _log.error("pack %r cannot take the built-in LLM adapter %r", packs[0], name)
        elif len(packs) > 1:
            _log.error("LLM adapter %r is offered by %s; none is used", name, " and ".join(packs))
    kept = {name: f for name, f in offered.items() if len(owners[name]) == 1}
    return kept | dict(BUILT_IN)

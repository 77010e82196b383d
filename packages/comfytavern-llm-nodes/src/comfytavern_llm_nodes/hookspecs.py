"""The hook that this pack asks other packs for."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.hookspecs import PackContext, hookspec

from .adapters.interface import AdapterFactory

__all__ = ("register_llm_adapters",)


@hookspec
def register_llm_adapters(pack: PackContext) -> Mapping[str, AdapterFactory]:
    """Contribute adapters, which talk to model providers; a channel names one as ``adapter``.

    Called once per pack while the host loads, before any request. Import heavy libraries
    later, when the adapter is first used. A name that another pack has taken is out of
    service for both; the names of this pack cannot be taken.

    :return: factories by name; each is called once per channel with the channel's settings
    """

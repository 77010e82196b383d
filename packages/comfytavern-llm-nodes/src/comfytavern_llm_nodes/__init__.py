"""Chat model nodes for ComfyTavern: the hooks of this pack, nothing else.

Importing it loads no HTTP library; that happens when the first request is made.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from pydantic import BaseModel

from comfytavern.definitions import NodeDefinition
from comfytavern.hookspecs import PackContext, hookimpl

from . import hookspecs
from .adapter_registry import adapters_from
from .nodes import DEFINITIONS
from .router import DISABLED, ChannelRouter
from .settings import LlmSettings

# One process may hold several hosts, each with its own context of this pack. By identity, as a
# context need not be hashable; it is kept, so that its id stays its own.
_routers: dict[int, tuple[PackContext, ChannelRouter]] = {}


@hookimpl
def register_hookspecs() -> object:
    """Offer the hook for adapters of other packs."""
    return hookspecs


@hookimpl
def settings_model() -> type[BaseModel]:
    """Give the model of this pack's settings."""
    return LlmSettings


@hookimpl
def register_nodes() -> Iterable[NodeDefinition]:
    """Contribute the nodes."""
    return DEFINITIONS


@hookimpl
def register_services(pack: PackContext) -> Mapping[str, object]:
    """Contribute ``llm``, the router of channels."""
    settings = pack.settings if isinstance(pack.settings, LlmSettings) else LlmSettings()
    router = ChannelRouter(settings, adapters_from(pack.ask("register_llm_adapters")))
    _routers[id(pack)] = (pack, router)
    _note(pack, router)
    return {"llm": router}


def _note(pack: PackContext, router: ChannelRouter) -> None:
    """Put what is wrong with channels on the pack's record, where listings show it."""
    for name, why in router.problems.items():
        if why != DISABLED:
            pack.warn(f"channel {name!r} is out of service: {why}")


@hookimpl
def host_stopping(pack: PackContext) -> Callable[[], Awaitable[None]] | None:
    """Close the connections of the channels."""
    _, router = _routers.pop(id(pack), (pack, None))
    return None if router is None else router.close

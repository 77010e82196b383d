"""The basic nodes of ComfyTavern: what this pack answers to the host's hooks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from comfytavern.definitions import NodeDefinition
from comfytavern.hookspecs import PackContext, hookimpl

from .catalog import definitions

if TYPE_CHECKING:
    from .regexes import RegexWorker

# One process may hold several hosts, each with its own context of this pack. By identity, as a
# context need not be hashable; it is kept, so that its id stays its own.
_workers: dict[int, tuple[PackContext, RegexWorker]] = {}


@hookimpl
def register_nodes(pack: PackContext) -> Iterable[NodeDefinition]:
    """Contribute every node of the pack."""
    return definitions()


@hookimpl
def register_services(pack: PackContext) -> Mapping[str, object]:
    """Contribute ``regex_worker``, which runs expressions in a process that can be killed."""
    # Here, so that listing nodes by import alone stays light. No process starts before its use.
    from .regexes import RegexWorker

    worker = RegexWorker()
    _workers[id(pack)] = (pack, worker)
    return {"regex_worker": worker}


@hookimpl
def host_stopping(pack: PackContext) -> Callable[[], Awaitable[None]] | None:
    """End the process for expressions."""
    _, worker = _workers.pop(id(pack), (pack, None))
    return None if worker is None else worker.close

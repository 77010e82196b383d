"""What a node may ask of its run."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

__all__ = ("ActionHandler", "NodeContext", "NodeFacts", "ResourceReader", "RunFacts")

ActionHandler = Callable[[Mapping[str, object]], Awaitable[object] | object]


class ResourceReader(Protocol):
    """The one door through which nodes read files."""

    async def read(self, name: str, *, limit: int | None = None) -> bytes:
        """Return the bytes of a resource.

        :param name: ``shared://``, ``user://``, ``system://`` or an admitted path
        :param limit: the largest size that is accepted, in bytes
        :raises ResourceError: refused, missing, or larger than the limit
        """
        ...


class NodeFacts(Protocol):
    """What is known of a placed node before it runs."""

    @property
    def id(self) -> str: ...
    @property
    def full_type(self) -> str: ...
    @property
    def pack(self) -> str: ...
    @property
    def config(self) -> Mapping[str, object]: ...
    @property
    def mode(self) -> str | None: ...


class RunFacts(Protocol):
    """What a run gives its nodes; the engine implements it."""

    run_id: str
    user_id: str | None

    @property
    def interface_inputs(self) -> Mapping[str, object]: ...
    @property
    def interface_outputs(self) -> Mapping[str, object]: ...
    @property
    def services(self) -> Mapping[str, object]: ...
    @property
    def resources(self) -> ResourceReader: ...

    def settings_of(self, pack: str) -> object: ...
    def http_of(self, pack: str) -> object: ...
    def secret(self, name: str, url: str | None) -> str: ...
    def progress(self, node: NodeFacts, value: float, maximum: float, text: str | None) -> None: ...
    def on_action(self, node: NodeFacts, name: str, handler: ActionHandler) -> None: ...
    def check_interrupted(self) -> None: ...


class NodeContext:
    """The second argument of ``execute``: this node, its run, and the host's services."""

    __slots__ = ("_node", "_run")

    def __init__(self, run: RunFacts, node: NodeFacts) -> None:
        self._run = run
        self._node = node

    @property
    def run_id(self) -> str:
        """The id of the run, ``promptId`` on the wire."""
        return self._run.run_id

    @property
    def node_id(self) -> str:
        """The id of this node; inside a group ``group/inner``."""
        return self._node.id

    @property
    def node_type(self) -> str:
        """The full type of this node."""
        return self._node.full_type

    @property
    def user_id(self) -> str | None:
        """Who asked for the run, if the host knows."""
        return self._run.user_id

    @property
    def config(self) -> Mapping[str, object]:
        """The node's configuration values, with the defaults of its schema."""
        return self._node.config

    @property
    def mode(self) -> str | None:
        """The id of the active mode."""
        return self._node.mode

    @property
    def interface_inputs(self) -> Mapping[str, object]:
        """The workflow's interface input definitions, by name."""
        return self._run.interface_inputs

    @property
    def interface_outputs(self) -> Mapping[str, object]:
        """The workflow's interface output definitions, by name."""
        return self._run.interface_outputs

    @property
    def services(self) -> Mapping[str, Any]:  # Any: each pack knows the type of what it asks for
        """The services that packs contributed, by name."""
        return self._run.services

    @property
    def settings(self) -> Any:  # Any: the pack's own settings model
        """The validated settings of this node's pack; None without a model."""
        return self._run.settings_of(self._node.pack)

    @property
    def resources(self) -> ResourceReader:
        """The door to files."""
        return self._run.resources

    @property
    def http(self) -> Any:  # Any: an httpx.AsyncClient where the host has one; core needs no httpx
        """An HTTP client under the operator's policy for outgoing requests.

        :raises RuntimeError: this host lends no client
        """
        return self._run.http_of(self._node.pack)

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records name this pack, run and node."""
        extra = {"run_id": self.run_id, "node_id": self.node_id}
        name = f"comfytavern.packs.{self._node.pack or 'unknown'}"
        return logging.LoggerAdapter(logging.getLogger(name), extra)

    def secret(self, name: str, url: str | None = None) -> str:
        """Return the value of an entry of the operator's ``secrets:``.

        :param url: where it is about to be sent; it must lie below a bound base URL
        :raises LookupError: no such entry, it cannot be resolved, or it is not bound to the URL
        """
        return self._run.secret(name, url)

    def progress(self, value: float, maximum: float = 1.0, text: str | None = None) -> None:
        """Report how far this node is: ``value`` of ``maximum``. Safe to call from a thread."""
        self._run.progress(self._node, value, maximum, text)

    def on_action(self, name: str, handler: ActionHandler) -> None:
        """Call ``handler`` with the message when button ``name`` of this node is pressed."""
        self._run.on_action(self._node, name, handler)

    def check_interrupted(self) -> None:
        """Return if the run goes on. Long work in a thread calls this now and then.

        :raises RunInterruptedError: the run was interrupted
        """
        self._run.check_interrupted()

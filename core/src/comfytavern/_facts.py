"""What a run gives its nodes through their contexts."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import anyio.from_thread
import anyio.lowlevel

from .context import ActionHandler, NodeFacts, ResourceReader
from .errors import NodeFailedError, RunInterruptedError
from .plan import PlanNode

if TYPE_CHECKING:
    from ._run import Run

__all__ = ("NodeServices",)


class NodeServices:
    """Implements ``RunFacts`` for the nodes of one run."""

    def __init__(self, run: Run) -> None:
        self.run_id = run.run_id
        self.user_id = run.user_id
        self._run = run
        self._actions: dict[tuple[str, str], tuple[NodeFacts, ActionHandler]] = {}
        self._thread = threading.get_ident()
        self._token = anyio.lowlevel.current_token()

    @property
    def interface_inputs(self) -> Mapping[str, object]:
        """The definitions of the workflow's inputs."""
        return self._run.plan.interface_inputs

    @property
    def interface_outputs(self) -> Mapping[str, object]:
        """The definitions of the workflow's outputs."""
        return self._run.plan.interface_outputs

    @property
    def services(self) -> Mapping[str, object]:
        """What packs offer, by name."""
        return self._run.facilities.services

    @property
    def resources(self) -> ResourceReader:
        """The door to files."""
        return self._run.facilities.resources

    def settings_of(self, pack: str) -> object:
        """Return a pack's settings."""
        return self._run.facilities.settings_of(pack)

    def http_of(self, pack: str) -> object:
        """Return an HTTP client under the operator's policy."""
        return self._run.facilities.http_of(pack)

    def secret(self, name: str, url: str | None) -> str:
        """Return a secret that is bound to the URL."""
        return self._run.facilities.secret(name, url)

    def check_interrupted(self) -> None:
        """Raise if the run was interrupted."""
        if self._run.interrupted:
            raise RunInterruptedError(self.run_id)

    def progress(self, node: NodeFacts, value: float, maximum: float, text: str | None) -> None:
        """Tell how far a node is, from the loop or from a thread."""
        tell = self._run.sink.node_progress
        if tell is None or self._run.result is not None:
            return
        assert isinstance(node, PlanNode)  # contexts are made with the nodes of the plan
        if threading.get_ident() == self._thread:
            tell(node, value, maximum, text)
        else:
            anyio.from_thread.run_sync(tell, node, value, maximum, text, token=self._token)

    def on_action(self, node: NodeFacts, name: str, handler: ActionHandler) -> None:
        """Keep a node's handler of a button."""
        self._actions[node.id, name] = node, handler

    async def press(self, node_id: str, name: str, message: Mapping[str, object]) -> object:
        """Press a button of a running node and return what its handler returned.

        :raises LookupError: the node listens to no such button
        :raises NodeFailedError: the handler raised
        """
        found = self._actions.get((node_id, name))
        if found is None:
            raise LookupError(f"node {node_id!r} listens to no button {name!r}")
        node, handler = found
        try:
            answer = handler(message)
            return await answer if inspect.isawaitable(answer) else answer
        except Exception as exc:  # code of packs; a LookupError of it would say something else
            reason = f"its button {name!r} raised {type(exc).__name__}: {exc}"
            raise NodeFailedError(node_id, node.full_type, reason, pack=node.pack) from exc

"""Plans that are kept: the same workflow compiled once, and never a plan that is out of date."""

from __future__ import annotations

import pytest

from comfytavern.definitions import NodeDefinition
from comfytavern.errors import WorkflowError
from comfytavern.hookspecs import hookimpl
from comfytavern.host import PackHost

WORKFLOW = {"nodes": [{"id": "n", "fullType": "pack:Hello"}]}


class Pack:
    """Offers one node."""

    @hookimpl
    def register_nodes(self) -> list[NodeDefinition]:
        """Return it."""
        return [NodeDefinition(type="Hello", execute=lambda inputs, context: {})]


def make_host() -> PackHost:
    """Return a host with the pack."""
    host = PackHost(found=())
    host.packs.add(Pack(), distribution="pack")
    return host


async def test_a_workflow_under_the_same_key_is_compiled_once() -> None:
    host = make_host()
    first = await host.compile(WORKFLOW, key=b"a")
    assert await host.compile(WORKFLOW, key=b"a") is first
    assert await host.compile(WORKFLOW, key=b"b") is not first
    assert await host.compile(WORKFLOW) is not first


async def test_nothing_is_kept_when_packs_change() -> None:
    host = make_host()
    first = await host.compile(WORKFLOW, key=b"a")
    host.registry.use(aliases={"x": ("pack",)}, namespaces={})
    assert await host.compile(WORKFLOW, key=b"a") is not first


async def test_a_workflow_that_does_not_fit_is_not_kept() -> None:
    host = make_host()
    broken = {"nodes": [{"id": "n", "fullType": "pack:Nope"}]}
    for _ in range(2):
        with pytest.raises(WorkflowError, match="node 'n' has unknown type 'pack:Nope'"):
            await host.compile(broken, key=b"c")


async def test_many_workflows_are_kept_within_bounds() -> None:
    host = make_host()
    first = await host.compile(WORKFLOW, key=b"first")
    for number in range(200):
        await host.compile(WORKFLOW, key=b"%d" % number)
    assert await host.compile(WORKFLOW, key=b"first") is not first
    large = b"x" * (1024 * 1024)
    kept = await host.compile(WORKFLOW, key=large)
    assert await host.compile(WORKFLOW, key=large) is not kept

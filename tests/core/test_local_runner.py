"""The runner inside this process: batches that end in one final status, cancels, buttons."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import anyio
import anyio.to_thread
import pytest

from comfytavern.chunks import Outputs
from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition, OutputDefinition
from comfytavern.engine import EngineLimits
from comfytavern.errors import UnknownRunError
from comfytavern.hookspecs import hookimpl
from comfytavern.host import PackHost
from comfytavern.local_runner import LocalRunner
from comfytavern.runner import AbandonedNode, Envelope, RunSpec
from comfytavern.types import DataFlowType

Inputs = Mapping[str, object]


class Pack:
    """Nodes that wait for what a test does."""

    def __init__(self) -> None:
        self.inside = threading.Event()
        self.hold = threading.Event()
        self.pressed: list[Mapping[str, object]] = []

    async def listen(
        self, inputs: Inputs, context: NodeContext
    ) -> AsyncIterator[Any]:  # Any: chunks
        """Stream a word, then wait to be interrupted; a button is heard meanwhile."""
        context.on_action("go", self.pressed.append)
        yield "word"
        await anyio.Event().wait()
        yield Outputs()

    def refuse(self, inputs: Inputs, context: NodeContext) -> dict[str, object]:
        """Go on in a thread, whatever anybody says."""
        self.inside.set()
        self.hold.wait(10)
        return {}

    async def picture(self, inputs: Inputs, context: NodeContext) -> dict[str, object]:
        """Return bytes."""
        return {"out": b"bytes"}

    @hookimpl
    def register_nodes(self) -> list[NodeDefinition]:
        """Return the nodes."""
        stream = {"out": OutputDefinition(data_flow_type=DataFlowType.STRING, is_stream=True)}
        data = {"out": OutputDefinition(data_flow_type=DataFlowType.BINARY)}
        return [
            NodeDefinition(type="Listen", outputs=stream, execute=self.listen),
            NodeDefinition(type="Refuse", execute=self.refuse),
            NodeDefinition(type="Picture", outputs=data, execute=self.picture),
        ]


@pytest.fixture
def pack() -> Pack:
    """Give the nodes."""
    return Pack()


@pytest.fixture
async def host(pack: Pack) -> AsyncIterator[PackHost]:
    """Give a running host with the nodes; it does not wait long for those that refuse."""
    host = PackHost(found=(), limits=EngineLimits(interrupt_grace=0.01))
    host.packs.add(pack, distribution="pack", version="1.5")
    async with host:
        yield host
        pack.hold.set()


def spec(kind: str, run_id: str = "r") -> RunSpec:
    """Return the spec of one node."""
    return RunSpec(run_id, {"nodes": [{"id": "n", "fullType": f"pack:{kind}"}]})


def statuses(events: list[Envelope]) -> list[str]:
    """Return what the status updates among events say."""
    return [
        event["payload"]["status"] for event in events if event["type"] == "EXECUTION_STATUS_UPDATE"
    ]


async def test_the_final_status_comes_once_and_last(host: PackHost) -> None:
    blobs: dict[str, bytes] = {}
    runner = LocalRunner(
        host, blobs=lambda spec: lambda sha256, data, mime: blobs.update({spec.run_id: data})
    )
    await runner.start()
    events = [event async for batch in runner.run(spec("Picture")) for event in batch]
    assert statuses(events) == ["running", "complete"]
    assert events[-1]["payload"]["status"] == "complete"
    assert blobs == {"r": b"bytes"}


async def test_a_workflow_that_does_not_fit_ends_as_an_error(host: PackHost) -> None:
    [[event]] = [batch async for batch in LocalRunner(host).run(spec("Nope"))]
    assert event["payload"]["status"] == "error"
    assert event["payload"]["errorInfo"]["code"] == "workflow_invalid"


async def test_a_cancelled_run_ends_interrupted(host: PackHost) -> None:
    runner, events = LocalRunner(host), list[Envelope]()
    with anyio.fail_after(5):
        async with aclosing(runner.run(spec("Listen"))) as batches:
            async for batch in batches:
                events += batch
                if any(event["type"] == "NODE_YIELD" for event in batch):
                    await runner.cancel("r")
                    await runner.cancel("r")
    assert statuses(events) == ["running", "interrupted"]
    await runner.cancel("r")
    await runner.cancel("nobody")


async def test_closing_early_interrupts_the_run(host: PackHost) -> None:
    runner = LocalRunner(host)
    with anyio.fail_after(5):
        async with aclosing(runner.run(spec("Listen"))) as batches:
            async for _ in batches:
                break
    with pytest.raises(UnknownRunError):
        host.engine.get("r")


async def test_it_ends_only_when_the_work_has_stopped(host: PackHost, pack: Pack) -> None:
    runner, events = LocalRunner(host), list[Envelope]()
    with anyio.fail_after(5):
        async with aclosing(runner.run(spec("Refuse"))) as batches:
            async for batch in batches:
                events += batch
                if any(event["type"] == "NODE_EXECUTING" for event in batch):
                    await anyio.to_thread.run_sync(pack.inside.wait)
                    await runner.cancel("r")
                if statuses(events)[-1:] == ["interrupted"]:
                    held = {"r": [AbandonedNode("n", "pack:Refuse", "pack", "1.5")]}
                    assert runner.abandoned() == held
                    pack.hold.set()
    assert runner.abandoned() == {}


async def test_a_button_reaches_the_node_that_listens(host: PackHost, pack: Pack) -> None:
    runner = LocalRunner(host)
    with anyio.fail_after(5):
        async with aclosing(runner.run(spec("Listen"))) as batches:
            async for batch in batches:
                if any(event["type"] == "NODE_YIELD" for event in batch):
                    await runner.press("r", "n", "go", {"value": 1})
                    with pytest.raises(LookupError, match="node 'n' listens to no button 'stop'"):
                        await runner.press("r", "n", "stop", {})
                    break
    assert pack.pressed == [{"value": 1}]
    with pytest.raises(LookupError, match="run 'r' is not running"):
        await runner.press("r", "n", "go", {})


@pytest.mark.parametrize("embedded", [{}, {"inner": {"nodes": []}}], ids=["alone", "embedded"])
async def test_a_spec_may_allow_what_is_missing(
    host: PackHost,
    embedded: Mapping[str, Any],  # Any: JSON
) -> None:
    """The same workflow without it is refused, also when its plan was kept before."""
    nodes = [{"id": "n", "fullType": "pack:Nope"}, {"id": "p", "fullType": "pack:Picture"}]
    lenient = RunSpec("r", {"nodes": nodes}, workflows=embedded, allow_missing=True)
    runner = LocalRunner(host)
    for _ in range(2):
        events = [event async for batch in runner.run(lenient) for event in batch]
        assert statuses(events) == ["running", "error"]
        [failed] = [event for event in events if event["type"] == "NODE_ERROR"]
        assert failed["payload"]["errorDetails"]["code"] == "missing_pack"
        [done] = [event for event in events if event["type"] == "NODE_COMPLETE"]
        assert done["payload"]["nodeId"] == "p"
        strict = replace(lenient, allow_missing=False)
        [[event]] = [batch async for batch in runner.run(strict)]
        assert event["payload"]["errorInfo"]["code"] == "workflow_invalid"

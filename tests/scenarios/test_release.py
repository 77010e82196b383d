"""A value lives no longer than somebody needs it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from typing import Any

import anyio

from comfytavern.context import NodeContext
from comfytavern.definitions import NodeDefinition
from comfytavern.testing import pack_host

from .building import flow, place
from .slots import give, take

Json = dict[str, Any]  # Any: JSON


class Big:
    """A value that a weak reference can point to."""


async def test_value_is_released_after_its_last_reader() -> None:
    values: weakref.WeakSet[Big] = weakref.WeakSet()
    alive: dict[str, int] = {}

    async def make(inputs: Mapping[str, Any], context: NodeContext) -> dict[str, object]:
        big = Big()
        values.add(big)
        return {"out": big}

    async def read(inputs: Mapping[str, Any], context: NodeContext) -> dict[str, object]:
        assert isinstance(inputs["in"], Big)
        return {"done": True}

    async def later(inputs: Mapping[str, Any], context: NodeContext) -> dict[str, object]:
        gc.collect()
        alive[context.node_id] = len(values)
        await anyio.lowlevel.checkpoint()
        return {"done": True}

    done = {"done": give("B")}
    seen = await _without_keeping(
        flow(
            place("m", "Make"),
            place("r1", "Read"),
            place("r2", "Read"),
            place("l1", "Later"),
            place("l2", "Later"),
            "m.out > r1.in",
            "m.out > r2.in",
            "r1.done > r2.after",
            "r1.done > l1.after",
            "r2.done > l2.after",
        ),
        NodeDefinition(type="Make", outputs={"out": give("W")}, execute=make),
        NodeDefinition(
            type="Read", inputs={"in": take("W!"), "after": take("B")}, outputs=done, execute=read
        ),
        NodeDefinition(type="Later", inputs={"after": take("B")}, outputs=done, execute=later),
    )
    assert seen == "complete"
    assert alive["l2"] == 0


async def _without_keeping(payload: Json, *definitions: NodeDefinition) -> str:
    """Run without a listener, as those keep the outputs that they hear of."""
    async with pack_host(*definitions) as host:
        with anyio.fail_after(5):
            return (await host.run(payload)).status.value

"""GroupOutput: where a workflow, or a group, hands out its results.

The engine knows the node by its graph role and reads the interface outputs off the edges that
lead into it. The node itself has one duty: it reads every stream to its end, as a workflow's
stream may have no other reader.
"""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from comfytavern.chunks import Stream
from comfytavern.context import NodeContext
from comfytavern.definitions import GraphRole, InputDefinition, NodeDefinition
from comfytavern.errors import StreamBrokenError
from comfytavern.types import DataFlowType, MatchCategory

__all__ = ("GROUP_OUTPUT",)


async def _drain_all(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    broken: list[StreamBrokenError] = []

    async def drain(stream: Stream) -> None:
        try:
            async for _ in stream:
                pass
        except StreamBrokenError as exc:
            # Noted, not raised: one broken stream must not stop the reading of the others.
            broken.append(exc)

    # All at once: read one after the other, two streams of one writer would wait for each other.
    async with anyio.create_task_group() as tasks:
        for value in inputs.values():
            if isinstance(value, Stream):
                tasks.start_soon(drain, value)
    if broken:
        raise broken[0]
    return {}


GROUP_OUTPUT = NodeDefinition(
    type="GroupOutput",
    category="Group",
    display_name="Group Output",
    description="The outputs of this workflow, by name: what a caller gets when it runs, or"
    " what the group's node gives when the workflow is used as a group.",
    inputs={
        # The key under which ComfyTavern saved the slot that is still open.
        "input_0": InputDefinition(
            display_name="*",
            description="An open slot. Connecting it adds an output to the workflow, with the"
            " name and type of what it is connected to.",
            data_flow_type=DataFlowType.CONVERTIBLE_ANY,
            match_categories=(MatchCategory.BEHAVIOR_CONVERTIBLE,),
            allow_dynamic_type=True,
        )
    },
    dynamic_slots=True,
    graph_role=GraphRole.GROUP_OUTPUT,
    idempotent=True,
    execute=_drain_all,
)

"""GroupInput: where the values given to a workflow, or to a group, enter it.

The engine knows the node by its graph role and hands it the interface inputs under their
names, values and streams alike; the node only gives them on. What was not given stays absent,
so that its readers fall back to their own presets and defaults.
"""

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.context import NodeContext
from comfytavern.definitions import GraphRole, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory

__all__ = ("GROUP_INPUT",)


async def _give_on(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    return dict(inputs)


GROUP_INPUT = NodeDefinition(
    type="GroupInput",
    category="Group",
    display_name="Group Input",
    description="The inputs of this workflow, by name: what a caller gives when it runs, or"
    " what the group's node receives when the workflow is used as a group.",
    outputs={
        # The key under which ComfyTavern saved the slot that is still open.
        "output_0": OutputDefinition(
            display_name="*",
            description="An open slot. Connecting it adds an input to the workflow, with the"
            " name and type of what it is connected to.",
            data_flow_type=DataFlowType.CONVERTIBLE_ANY,
            match_categories=(MatchCategory.BEHAVIOR_CONVERTIBLE,),
            allow_dynamic_type=True,
        )
    },
    dynamic_slots=True,
    graph_role=GraphRole.GROUP_INPUT,
    idempotent=True,
    execute=_give_on,
)

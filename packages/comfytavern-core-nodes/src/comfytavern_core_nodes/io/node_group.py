"""NodeGroup: a whole workflow used as one node.

There is no code here: the engine puts the referenced workflow in the node's place. Its slots
are those of that workflow's interface.
"""

from __future__ import annotations

from comfytavern.definitions import GraphRole, InputDefinition, NodeDefinition
from comfytavern.types import DataFlowType, MatchCategory

__all__ = ("NODE_GROUP",)

NODE_GROUP = NodeDefinition(
    type="NodeGroup",
    category="Group",
    display_name="Node Group",
    description="Runs another workflow in this place. Its inputs and outputs are those of the"
    " referenced workflow.",
    config_schema={
        "referencedWorkflowId": InputDefinition(
            display_name="Workflow",
            description="The workflow to run: its id, or its file beside this workflow's.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.RESOURCE_ID,),
            required=True,
            config={
                "placeholder": "choose a workflow",
                "acceptedTypes": [{"value": "workflow", "label": "Workflow"}],
            },
        )
    },
    width=250,
    dynamic_slots=True,
    graph_role=GraphRole.GROUP,
)

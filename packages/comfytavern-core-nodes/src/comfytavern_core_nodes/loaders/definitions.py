"""What the editor sees of the loaders.

Their code is named as text: it brings YAML and pydantic models along.
"""

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory

__all__ = ("CHARACTER_CARD_LOADER",)


def _names_no_card(config: Mapping[str, object]) -> bool:
    return not config.get("cardResource")


CHARACTER_CARD_LOADER = NodeDefinition(
    type="CharacterCardLoader",
    category="Loaders",
    display_name="Load Character Card",
    description="Reads a character card from a PNG, CHARX, JSON or YAML file, of whatever"
    " version, and gives it in one normalised shape.",
    inputs={
        "cardResource": InputDefinition(
            display_name="Card",
            description="The card's file. If it is connected, it wins over the configuration.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.RESOURCE_ID,),
            # Asked while the workflow is checked, so a missing card is known before the run.
            required=_names_no_card,
        )
    },
    outputs={
        "characterData": OutputDefinition(
            display_name="Character",
            description="The normalised card: name, description, greetings and all the rest.",
            data_flow_type=DataFlowType.OBJECT,
            match_categories=(MatchCategory.CHARACTER_PROFILE,),
        )
    },
    config_schema={
        "cardResource": InputDefinition(
            display_name="Card",
            description="The card's file: a resource such as shared://characters/innkeeper.png,"
            " or a path beside the workflow's file.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.RESOURCE_ID,),
            config={
                "placeholder": "choose a character card",
                "acceptedTypes": [{"value": "character", "label": "Character card"}],
            },
        )
    },
    width=280,
    execute="comfytavern_core_nodes.loaders.character_card:load_card",
)

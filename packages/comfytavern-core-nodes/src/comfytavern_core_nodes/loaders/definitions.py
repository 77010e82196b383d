"""What the editor sees of the loaders.

Their code is named as text: it brings YAML and pydantic models along.
"""

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory

__all__ = (
    "CHARACTER_CARD_LOADER",
    "HISTORY_LOADER",
    "PRESET_LOADER",
    "REGEX_RULE_LOADER",
    "WORLD_BOOK_LOADER",
)


def _names_no_card(config: Mapping[str, object]) -> bool:
    return not config.get("cardResource")


def _names_no_preset(config: Mapping[str, object]) -> bool:
    return not config.get("presetResource")


def _names_no_history(config: Mapping[str, object]) -> bool:
    return not config.get("historyResource")


def _names_no_rules(config: Mapping[str, object]) -> bool:
    return not config.get("ruleResource")


def _names_no_book(config: Mapping[str, object]) -> bool:
    return not config.get("worldBookResource")


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

PRESET_LOADER = NodeDefinition(
    type="PresetLoader",
    category="Loaders",
    display_name="Load Preset",
    description="Reads a prompt preset for chat models from a JSON file: which prompts are sent, in"
    " which order, and how the model is set. Addresses, passwords and model names in it are left"
    " out.",
    inputs={
        "presetResource": InputDefinition(
            display_name="Preset",
            description="The preset's file. If it is connected, it wins over the configuration.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.RESOURCE_ID,),
            required=_names_no_preset,
        )
    },
    outputs={
        "presetData": OutputDefinition(
            display_name="Preset",
            description="The prompts, their order and formats, in one normalised shape.",
            data_flow_type=DataFlowType.OBJECT,
        ),
        "parameters": OutputDefinition(
            display_name="Parameters",
            description="What the preset says to the model: temperature, max_tokens and the like.",
            data_flow_type=DataFlowType.OBJECT,
            match_categories=(MatchCategory.LLM_CONFIG,),
        ),
    },
    config_schema={
        "presetResource": InputDefinition(
            display_name="Preset",
            description="The preset's file: a resource such as shared://presets/tavern.json, or a"
            " path beside the workflow's file.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.RESOURCE_ID,),
            config={
                "placeholder": "choose a preset",
                "acceptedTypes": [{"value": "preset", "label": "Preset"}],
            },
        )
    },
    width=280,
    execute="comfytavern_core_nodes.loaders.preset:load_preset",
)

HISTORY_LOADER = NodeDefinition(
    type="HistoryLoader",
    category="Loaders",
    display_name="Load Chat History",
    description="Reads a chat from a file: a JSON list of messages, one message per line, or a"
    " chat of SillyTavern, Agnai or text-generation-webui.",
    inputs={
        "historyResource": InputDefinition(
            display_name="History",
            description="The chat's file. If it is connected, it wins over the configuration.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.RESOURCE_ID,),
            required=_names_no_history,
        )
    },
    outputs={
        "historyMessages": OutputDefinition(
            display_name="History",
            description="The messages, oldest first; hidden ones are marked.",
            data_flow_type=DataFlowType.ARRAY,
            match_categories=(MatchCategory.CHAT_HISTORY,),
        ),
        "metadata": OutputDefinition(
            display_name="Metadata",
            description="What the file says of the chat as a whole: names, its note, its scenario.",
            data_flow_type=DataFlowType.OBJECT,
            match_categories=(MatchCategory.JSON,),
        ),
    },
    config_schema={
        "historyResource": InputDefinition(
            display_name="History",
            description="The chat's file: a resource such as user://chats/evening.jsonl, or a path"
            " beside the workflow's file.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.RESOURCE_ID,),
            config={
                "placeholder": "choose a chat",
                "acceptedTypes": [{"value": "chat", "label": "Chat history"}],
            },
        )
    },
    width=280,
    execute="comfytavern_core_nodes.loaders.history:load_history",
)

REGEX_RULE_LOADER = NodeDefinition(
    type="RegexRuleLoader",
    category="Loaders",
    display_name="Load Regex Rules",
    description="Reads rules that change texts by regular expressions from a JSON or YAML file:"
    " plain rules, or scripts of SillyTavern.",
    inputs={
        "ruleResource": InputDefinition(
            display_name="Rules",
            description="The rules' file. If it is connected, it wins over the configuration.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.RESOURCE_ID,),
            required=_names_no_rules,
        )
    },
    outputs={
        "regexRules": OutputDefinition(
            display_name="Regex rules",
            description="The rules in the order of the file; scripts keep what they are for.",
            data_flow_type=DataFlowType.ARRAY,
            match_categories=(MatchCategory.REGEX_RULE_ARRAY,),
        )
    },
    config_schema={
        "ruleResource": InputDefinition(
            display_name="Rules",
            description="The rules' file: a resource such as shared://rules/tidy.json, or a path"
            " beside the workflow's file.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.RESOURCE_ID,),
            config={
                "placeholder": "choose regex rules",
                "acceptedTypes": [{"value": "regex_rules", "label": "Regex rules"}],
            },
        )
    },
    width=280,
    execute="comfytavern_core_nodes.loaders.regex_rules:load_rules",
)

WORLD_BOOK_LOADER = NodeDefinition(
    type="WorldBookLoader",
    category="Loaders",
    display_name="Load World Book",
    description="Reads a world book (lorebook) from a JSON or YAML file of SillyTavern, NovelAI,"
    " Agnai or RisuAI, or as it stands in character cards, and gives it in one normalised shape.",
    inputs={
        "worldBookResource": InputDefinition(
            display_name="World book",
            description="The book's file. If it is connected, it wins over the configuration.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.RESOURCE_ID,),
            required=_names_no_book,
        )
    },
    outputs={
        "worldBookData": OutputDefinition(
            display_name="World book",
            description="The normalised book: its entries with keys, texts and conditions.",
            data_flow_type=DataFlowType.OBJECT,
        )
    },
    config_schema={
        "worldBookResource": InputDefinition(
            display_name="World book",
            description="The book's file: a resource such as shared://worlds/eldoria.json, or a"
            " path beside the workflow's file.",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.RESOURCE_ID,),
            config={
                "placeholder": "choose a world book",
                "acceptedTypes": [{"value": "world_book", "label": "World book"}],
            },
        )
    },
    width=280,
    execute="comfytavern_core_nodes.loaders.world_book:load_world_book",
)

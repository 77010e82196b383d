"""What the editor sees of the processors; their code is named as text and loads when needed."""

from __future__ import annotations

from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory

from .context_config import CONTEXT_CONFIG, USER_MESSAGE, USER_NAME

__all__ = ("APPLY_REGEX", "CONTEXT_BUILDER")

_CONTEXT_INPUTS = {
    "presetData": InputDefinition(
        display_name="Preset",
        description="A prompt preset: which prompts are sent, and in which order.",
        data_flow_type=DataFlowType.OBJECT,
    ),
    "worldBookData": InputDefinition(
        display_name="World books",
        description="One or more world books, whose entries are added where their keys appear.",
        data_flow_type=DataFlowType.OBJECT,
        multi=True,
    ),
    "characterData": InputDefinition(
        display_name="Character",
        description="The character who answers, as a card loader gives it.",
        data_flow_type=DataFlowType.OBJECT,
        match_categories=(MatchCategory.CHARACTER_PROFILE,),
    ),
    "historyMessages": InputDefinition(
        display_name="History",
        description="The chat so far: messages with role and content.",
        data_flow_type=DataFlowType.ARRAY,
        match_categories=(MatchCategory.CHAT_HISTORY,),
    ),
    "regexRules": InputDefinition(
        display_name="Regex rules",
        description="Rules that change the texts before they are sent.",
        data_flow_type=DataFlowType.ARRAY,
        match_categories=(MatchCategory.REGEX_RULE_ARRAY,),
    ),
    "state": InputDefinition(
        display_name="State",
        description="What the builder remembered after the last turn of this chat.",
        data_flow_type=DataFlowType.OBJECT,
    ),
    "user_name": InputDefinition(
        display_name="User name",
        description=f"{USER_NAME} If it is connected, it wins over the configuration.",
        data_flow_type=DataFlowType.STRING,
        config={"placeholder": "from the configuration"},
    ),
    "user_message": InputDefinition(
        display_name="Message",
        description=f"{USER_MESSAGE} If it is connected, it wins over the configuration.",
        data_flow_type=DataFlowType.STRING,
        config={"multiline": True, "placeholder": "what the user says"},
    ),
}

CONTEXT_BUILDER = NodeDefinition(
    type="ContextBuilder",
    category="Processors",
    display_name="Build Context",
    description="Makes the messages for a chat model out of a character, a preset, world books, the"
    " chat so far and what the user says. Its report says where every part of them comes from.",
    inputs=_CONTEXT_INPUTS,
    outputs={
        "finalMessages": OutputDefinition(
            display_name="Messages",
            description="The messages to send, in order.",
            data_flow_type=DataFlowType.ARRAY,
            match_categories=(MatchCategory.CHAT_HISTORY,),
        ),
        "report": OutputDefinition(
            display_name="Report",
            description="Why the messages are as they are: which entries of world books were used"
            " and why, what each part costs, what was left out, and where each text comes from.",
            data_flow_type=DataFlowType.OBJECT,
            match_categories=(MatchCategory.JSON,),
        ),
        "state": OutputDefinition(
            display_name="State",
            description="What to hand in as the state of the next turn.",
            data_flow_type=DataFlowType.OBJECT,
        ),
    },
    config_schema=CONTEXT_CONFIG,
    width=280,
    idempotent=True,
    execute="comfytavern_core_nodes.processors.context_builder:build_context",
)

APPLY_REGEX = NodeDefinition(
    type="ApplyRegex",
    category="Processors",
    display_name="Apply Regex Rules",
    description="Changes a text by regular expressions, one rule after the other, with the meaning"
    " they have in JavaScript. Inline rules come before loaded ones and hide those of their names."
    " A rule that takes too long fails the node.",
    inputs={
        "inputText": InputDefinition(
            display_name="Text",
            description="The text to change.",
            data_flow_type=DataFlowType.STRING,
            required=True,
            config={"multiline": True, "placeholder": "text to change"},
        ),
        "inlineRegexRules": InputDefinition(
            display_name="Inline rules",
            description="Rules that are written here: a list of objects with name, pattern,"
            " replacement and, if wanted, flags and enabled.",
            data_flow_type=DataFlowType.ARRAY,
            match_categories=(MatchCategory.REGEX_RULE_ARRAY,),
        ),
        "regexRules": InputDefinition(
            display_name="Regex rules",
            description="Rules of a file, as a loader gives them.",
            data_flow_type=DataFlowType.ARRAY,
            match_categories=(MatchCategory.REGEX_RULE_ARRAY,),
        ),
    },
    outputs={
        "outputText": OutputDefinition(
            display_name="Text",
            description="The text after the last rule.",
            data_flow_type=DataFlowType.STRING,
        )
    },
    config_schema={
        "placement": InputDefinition(
            display_name="Kind of text",
            description="Which SillyTavern scripts apply: those for the user's messages, for"
            " replies, for commands, world info or reasoning; or any, whatever they are for.",
            data_flow_type=DataFlowType.STRING,
            config={
                "default": "any",
                "suggestions": ["any", "user", "ai", "slash", "world_info", "reasoning"],
            },
        ),
        "depth": InputDefinition(
            display_name="Depth",
            description="How many messages come after this text, for scripts with limits of depth;"
            " -1 if the text is no message.",
            data_flow_type=DataFlowType.INTEGER,
            config={"default": -1, "min": -1, "step": 1},
        ),
    },
    width=280,
    idempotent=True,
    execute="comfytavern_core_nodes.processors.apply_regex:apply_regex",
)

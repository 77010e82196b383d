"""What the editor sees of the processors; their code is named as text and loads when needed."""

from __future__ import annotations

from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory

__all__ = ("CONTEXT_BUILDER",)

_USER_NAME = "How the card and the messages call the user: {{user}}."
_USER_MESSAGE = "What the user says now; it becomes the last message of the chat."

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
        description=f"{_USER_NAME} If it is connected, it wins over the configuration.",
        data_flow_type=DataFlowType.STRING,
        config={"placeholder": "from the configuration"},
    ),
    "user_message": InputDefinition(
        display_name="Message",
        description=f"{_USER_MESSAGE} If it is connected, it wins over the configuration.",
        data_flow_type=DataFlowType.STRING,
        config={"multiline": True, "placeholder": "what the user says"},
    ),
}

CONTEXT_BUILDER = NodeDefinition(
    type="ContextBuilder",
    category="Processors",
    display_name="Build Context",
    description="Makes the messages for a chat model out of a character, the chat so far and"
    " what the user says. Its report names every input that it could not use yet.",
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
            description="What was used, what was not and why, and warnings.",
            data_flow_type=DataFlowType.OBJECT,
            match_categories=(MatchCategory.JSON,),
        ),
        "state": OutputDefinition(
            display_name="State",
            description="What to hand in as the state of the next turn.",
            data_flow_type=DataFlowType.OBJECT,
        ),
    },
    config_schema={
        "user_name": InputDefinition(
            display_name="User name",
            description=_USER_NAME,
            data_flow_type=DataFlowType.STRING,
            config={"default": "User", "placeholder": "User"},
        ),
        "user_message": InputDefinition(
            display_name="Message",
            description=_USER_MESSAGE,
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.UI_BLOCK,),
            config={"default": "", "multiline": True, "placeholder": "what the user says"},
        ),
        "greeting_index": InputDefinition(
            display_name="Greeting",
            description="Which greeting opens the chat: 0 is the card's first message, 1 and up"
            " are its alternate greetings.",
            data_flow_type=DataFlowType.INTEGER,
            config={"default": 0, "min": 0, "step": 1},
        ),
    },
    width=280,
    idempotent=True,
    execute="comfytavern_core_nodes.processors.context_builder:build_context",
)

"""Slots that several nodes of this pack have."""

from __future__ import annotations

from comfytavern.definitions import InputDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory

__all__ = (
    "API_SETTINGS",
    "IMAGE",
    "MAX_TOKENS",
    "MODEL",
    "SEED",
    "STREAM",
    "STREAM_OUTPUT",
    "SYSTEM_PROMPT",
    "TEMPERATURE",
    "TOP_P",
    "USAGE",
    "history_input",
)

API_SETTINGS = InputDefinition(
    display_name="API Settings",
    description="whose address and key to use; without them a channel of the operator answers",
    data_flow_type=DataFlowType.OBJECT,
)
MODEL = InputDefinition(
    display_name="Model",
    description="the model to ask for; without it, the channel's first one",
    data_flow_type=DataFlowType.STRING,
    config={"placeholder": "the channel decides"},
)
TEMPERATURE = InputDefinition(
    display_name="Temperature",
    description="how freely the model chooses words; absent means the provider's default",
    data_flow_type=DataFlowType.FLOAT,
    config={"min": 0, "max": 2, "step": 0.05, "suggestions": [0, 0.7, 1.0]},
)
MAX_TOKENS = InputDefinition(
    display_name="Max tokens",
    description="the longest reply; absent means the provider's default",
    data_flow_type=DataFlowType.INTEGER,
    config={"min": 1, "step": 1, "suggestions": [256, 512, 1024, 4096]},
)
TOP_P = InputDefinition(
    display_name="Top P",
    description="choose among the most likely tokens that together reach this share",
    data_flow_type=DataFlowType.FLOAT,
    config={"min": 0, "max": 1, "step": 0.01, "suggestions": [0.9, 0.95, 1.0]},
)
SEED = InputDefinition(
    display_name="Seed",
    description="the same seed repeats a reply, where the provider supports it",
    data_flow_type=DataFlowType.INTEGER,
    config={"step": 1},
)
SYSTEM_PROMPT = InputDefinition(
    display_name="System prompt",
    description="what the model is told about its task, before everything else",
    data_flow_type=DataFlowType.STRING,
    match_categories=(MatchCategory.PROMPT,),
    config={"multiline": True, "placeholder": "You are a helpful assistant."},
)
IMAGE = InputDefinition(
    display_name="Image",
    description="pictures to look at: the name of a resource, a data URL, bytes, or a list",
    data_flow_type=DataFlowType.WILDCARD,
    match_categories=(MatchCategory.IMAGE_DATA, MatchCategory.RESOURCE_ID),
    config={"placeholder": "shared://picture.png"},
)
STREAM = InputDefinition(
    display_name="Stream",
    description="bring the reply as it comes; otherwise in one piece",
    data_flow_type=DataFlowType.BOOLEAN,
    config={"default": True},
)
STREAM_OUTPUT = OutputDefinition(
    display_name="Stream",
    description="the reply as it comes",
    data_flow_type=DataFlowType.STRING,
    is_stream=True,
)
USAGE = OutputDefinition(
    display_name="Usage",
    description="tokens, seconds to the first token, tokens per second, where known",
    data_flow_type=DataFlowType.OBJECT,
)


def history_input(description: str) -> InputDefinition:
    """Return an input that takes a history: JSON text, or what the history nodes give."""
    return InputDefinition(
        display_name="History",
        description=description,
        data_flow_type=DataFlowType.STRING,
        match_categories=(MatchCategory.CHAT_HISTORY,),
        config={"multiline": True, "placeholder": '[{"role": "user", "content": "Hello"}]'},
    )

"""APISettings: whose address and key a request uses. What it gives holds no readable key."""

from __future__ import annotations

from collections.abc import Mapping

from comfytavern.context import NodeContext
from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory

from ..api_settings import ApiSettings

__all__ = ("API_SETTINGS_NODE",)

IGNORED = "use_env_vars is on: {} of this workflow is not used; address and key are the operator's"


async def execute(inputs: Mapping[str, object], context: NodeContext) -> Mapping[str, object]:
    """Hand on the operator's settings, or the typed ones.

    :raises ApiSettingsError: an address or key is missing, or a reference
    """

    def warn(text: str) -> None:
        context.log.warning(text)
        context.progress(1.0, 1.0, text)

    address, key = inputs.get("base_url"), inputs.get("api_key")
    if inputs.get("use_env_vars") is not False:
        for name, value in (("base_url", address), ("api_key", key)):
            if value:
                warn(IGNORED.format(name))
        return {"api_settings": ApiSettings().to_value()}
    return {"api_settings": ApiSettings.typed(address, key, warn).to_value()}


API_SETTINGS_NODE = NodeDefinition(
    type="APISettings",
    category="LLM",
    display_name="API Settings",
    description="Says whose address and key a request uses: the operator's, or typed ones.",
    is_preview_unsafe=True,
    # Bypassed, it must not hand its inputs through.
    bypass_behavior="mute",
    inputs={
        "use_env_vars": InputDefinition(
            display_name="Use the operator's",
            description="address and key of the operator (OPENAI_API_BASE, OPENAI_API_KEY, or the"
            " pack's settings); the two below are not used then",
            data_flow_type=DataFlowType.BOOLEAN,
            config={"default": True},
        ),
        "base_url": InputDefinition(
            display_name="Base URL",
            description="an address of a chat service; a bare host gets /v1 appended",
            data_flow_type=DataFlowType.STRING,
            match_categories=(MatchCategory.URL,),
            config={"placeholder": "https://api.example/v1"},
        ),
        "api_key": InputDefinition(
            display_name="API key",
            description="sent to the base URL above and nowhere else; whoever gets this workflow"
            " has the key, so better leave it to the operator",
            data_flow_type=DataFlowType.STRING,
            # Typed, not connected: what flows along an edge is shown in the events of the run.
            hide_handle=True,
            config={"password": True, "placeholder": "better: Use the operator's"},
        ),
    },
    outputs={
        "api_settings": OutputDefinition(
            display_name="API Settings",
            description="for the nodes OpenAI and OpenAIChat; holds no readable key",
            data_flow_type=DataFlowType.OBJECT,
        ),
    },
    execute=execute,
)

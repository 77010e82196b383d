"""The node definitions of this pack."""

from __future__ import annotations

from comfytavern.definitions import NodeDefinition

from .api_settings import API_SETTINGS_NODE
from .generic_request import GENERIC_LLM_REQUEST
from .histories import CREATE_MESSAGE, HISTORY, MERGE_HISTORY, MERGE_MESSAGES
from .openai_nodes import OPENAI, OPENAI_CHAT
from .services import CREATE_EMBEDDINGS, LIST_MODELS
from .texts import MESSAGES_TO_TEXT, PARSE_JSON

__all__ = ("DEFINITIONS",)

DEFINITIONS: tuple[NodeDefinition, ...] = (
    GENERIC_LLM_REQUEST,
    OPENAI_CHAT,
    OPENAI,
    API_SETTINGS_NODE,
    CREATE_MESSAGE,
    MERGE_MESSAGES,
    HISTORY,
    MERGE_HISTORY,
    MESSAGES_TO_TEXT,
    PARSE_JSON,
    CREATE_EMBEDDINGS,
    LIST_MODELS,
)

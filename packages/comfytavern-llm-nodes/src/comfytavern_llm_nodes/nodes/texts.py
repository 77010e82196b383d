"""Nodes between messages, text and values."""

from __future__ import annotations

import json
import re
from typing import Annotated

from comfytavern.authoring import Config, Input, Output, node
from comfytavern.definitions import NodeDefinition
from comfytavern.types import DataFlowType, MatchCategory

from ..messages import conversation_text, messages_from

__all__ = ("MESSAGES_TO_TEXT", "PARSE_JSON")

_FENCE = re.compile(r"\s*```[\w-]*[ \t]*\n(.*?)\n?[ \t]*```\s*", re.DOTALL)


async def messages_to_text(
    messages: Annotated[
        object,
        Input(
            description="messages, or their JSON text",
            categories=(MatchCategory.CHAT_HISTORY, MatchCategory.CHAT_MESSAGE),
            flow=DataFlowType.WILDCARD,
        ),
    ],
    with_roles: Annotated[bool, Config(description="begin each message with its role")] = True,
) -> Annotated[str, Output("text")]:
    """Write messages as one text, a blank line between two."""
    return conversation_text(messages_from(messages), with_roles=with_roles)


async def parse_json(
    text: Annotated[
        str,
        Input(
            description="JSON, also inside a ``` block as models like to write it",
            categories=(MatchCategory.JSON,),
            multiline=True,
        ),
    ],
) -> Annotated[object, Output("value", categories=(MatchCategory.JSON,))]:
    """Read a value from JSON text."""
    fenced = _FENCE.fullmatch(text)
    try:
        return json.loads(fenced[1] if fenced else text)
    except RecursionError:
        raise ValueError("the text is nested too deeply") from None
    except ValueError as exc:
        raise ValueError(f"the text is not JSON: {exc}") from None


MESSAGES_TO_TEXT: NodeDefinition = node(
    messages_to_text, type="MessagesToText", category="LLM", display_name="Messages to Text"
)
PARSE_JSON: NodeDefinition = node(
    parse_json, type="ParseJson", category="LLM", display_name="Parse JSON"
)

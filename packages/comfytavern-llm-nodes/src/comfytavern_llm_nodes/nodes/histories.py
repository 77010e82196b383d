"""Nodes that make and join messages."""

from __future__ import annotations

from typing import Annotated, Literal

from comfytavern.authoring import Input, Output, node
from comfytavern.definitions import NodeDefinition
from comfytavern.types import DataFlowType, MatchCategory

from ..messages import messages_from

__all__ = ("CREATE_MESSAGE", "HISTORY", "MERGE_HISTORY", "MERGE_MESSAGES")

Role = Literal["system", "user", "assistant"]
Messages = list[dict[str, object]]
_CHAT = (MatchCategory.CHAT_HISTORY, MatchCategory.CHAT_MESSAGE)
# A history may come as JSON text too, so its slot takes both.
_HISTORY = Input(
    description="messages, or their JSON text", categories=_CHAT, flow=DataFlowType.WILDCARD
)
_CONTENT = Input(description="what is said; an empty one is left out", multiline=True)


async def create_message(
    role: Annotated[Role, Input(description="who speaks")] = "user",
    content: Annotated[str, Input(description="what is said", multiline=True)] = "",
) -> Annotated[Messages, Output("messages", categories=_CHAT)]:
    """Make a list of one message from a text."""
    return messages_from({"role": role, "content": content}, "the message")


async def merge_messages(
    message_inputs: Annotated[
        object,
        Input(
            description="lists of messages, or single ones, in the order of their edges",
            categories=_CHAT,
            flow=DataFlowType.WILDCARD,
            multi=True,
        ),
    ] = None,
) -> Annotated[Messages, Output("messages", categories=_CHAT)]:
    """Join messages into one list."""
    return messages_from(message_inputs, "message_inputs")


async def history(
    role1: Annotated[Role, Input(description="who speaks first")] = "user",
    content1: Annotated[str, _CONTENT] = "",
    role2: Annotated[Role, Input(description="who speaks second")] = "assistant",
    content2: Annotated[str, _CONTENT] = "",
    role3: Annotated[Role, Input(description="who speaks third")] = "user",
    content3: Annotated[str, _CONTENT] = "",
    role4: Annotated[Role, Input(description="who speaks fourth")] = "assistant",
    content4: Annotated[str, _CONTENT] = "",
) -> Annotated[Messages, Output("history", categories=_CHAT)]:
    """Make a history of up to four messages."""
    pairs = ((role1, content1), (role2, content2), (role3, content3), (role4, content4))
    said = [{"role": role, "content": content} for role, content in pairs if content]
    return messages_from(said, "history")


async def merge_history(
    history1: Annotated[object, _HISTORY] = None,
    history2: Annotated[object, _HISTORY] = None,
    history3: Annotated[object, _HISTORY] = None,
    history4: Annotated[object, _HISTORY] = None,
) -> Annotated[Messages, Output("history", categories=_CHAT)]:
    """Join up to four histories, in their order."""
    given = (history1, history2, history3, history4)
    named = (messages_from(item, f"history{number}") for number, item in enumerate(given, 1))
    return [message for messages in named for message in messages]


CREATE_MESSAGE: NodeDefinition = node(
    create_message, type="CreateMessage", category="LLM", display_name="Create Message"
)
MERGE_MESSAGES: NodeDefinition = node(
    merge_messages, type="MergeMessages", category="LLM", display_name="Merge Messages"
)
HISTORY: NodeDefinition = node(history, type="History", category="LLM", display_name="History")
MERGE_HISTORY: NodeDefinition = node(
    merge_history, type="MergeHistory", category="LLM", display_name="Merge History"
)

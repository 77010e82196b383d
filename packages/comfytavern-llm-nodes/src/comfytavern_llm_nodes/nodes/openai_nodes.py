"""OpenAIChat and OpenAI: a conversation, and a single prompt."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from comfytavern.chunks import Chunk, Outputs
from comfytavern.context import NodeContext
from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory

from ..adapters.interface import LlmRequest
from ..messages import conversation_text, messages_from, text_of
from .asking import (
    call_with_settings,
    model_from,
    parameters_from,
    reply_chunks,
    user_message,
)
from .slots import (
    API_SETTINGS,
    IMAGE,
    MAX_TOKENS,
    MODEL,
    STREAM,
    STREAM_OUTPUT,
    SYSTEM_PROMPT,
    TEMPERATURE,
    history_input,
)

__all__ = ("OPENAI", "OPENAI_CHAT")

Messages = list[dict[str, object]]


async def chat(inputs: Mapping[str, object], context: NodeContext) -> Mapping[str, object]:
    """Say something in a conversation, and return the conversation with the answer.

    :raises LlmError: the request failed
    :raises ApiSettingsError: the settings are refused
    :raises ValueError: there is nothing to say, or the history is none
    """
    messages, history = await _conversation(inputs, "user_input", "external_history", context)
    call = await call_with_settings(inputs, _request(inputs, messages, stream=False), context)
    async with aclosing(reply_chunks(call, context)) as chunks:
        async for _ in chunks:
            pass
    text = call.response.reply.text
    spoken: Messages = [*history, {"role": "assistant", "content": text}]
    return {
        "full_conversation": conversation_text(spoken),
        "current_output": text,
        "history": json.dumps(spoken, ensure_ascii=False),
    }


async def complete(
    inputs: Mapping[str, object], context: NodeContext
) -> AsyncGenerator[Chunk | Outputs, None]:
    """Answer a prompt; stream the answer, or bring it in one piece.

    :raises LlmError: the request failed
    :raises ApiSettingsError: the settings are refused
    :raises ValueError: there is nothing to ask, or the history is none
    """
    messages, _ = await _conversation(inputs, "prompt", "history", context)
    request = _request(inputs, messages, stream=inputs.get("stream") is not False)
    call = await call_with_settings(inputs, request, context)
    async with aclosing(reply_chunks(call, context)) as chunks:
        async for chunk in chunks:
            yield chunk
    yield Outputs(response=call.response.reply.text)


async def _conversation(
    inputs: Mapping[str, object], text_slot: str, history_slot: str, context: NodeContext
) -> tuple[Messages, Messages]:
    """Return what is sent, and what of it a history keeps: no system prompt, no pictures."""
    earlier = messages_from(inputs.get(history_slot), history_slot)
    said = await user_message(inputs.get(text_slot), inputs.get("image"), context)
    if not earlier and not said:
        raise ValueError(f"{text_slot} is empty; expected something to say")
    system = inputs.get("system_prompt")
    told: Messages = []
    if isinstance(system, str) and system.strip():
        # The node's own prompt takes the place of the one that the history brings.
        told = [{"role": "system", "content": system}]
        earlier = [message for message in earlier if message["role"] != "system"]
    pictured: Messages = [
        dict(message)
        for message in await context.services["llm"].images.in_messages(earlier, context.resources)
    ]
    kept = [{**message, "content": _words(message)} for message in (*earlier, *said)]
    return [*told, *pictured, *said], kept


def _words(message: Mapping[str, object]) -> object:
    content = message.get("content")
    return content if content is None else text_of(content)


def _request(inputs: Mapping[str, object], messages: Messages, *, stream: bool) -> LlmRequest:
    return LlmRequest(
        messages=messages,
        model=model_from(inputs.get("model")),
        parameters=parameters_from(inputs),
        stream=stream,
    )


def _prompt(display_name: str, description: str) -> InputDefinition:
    return InputDefinition(
        display_name=display_name,
        description=description,
        data_flow_type=DataFlowType.STRING,
        match_categories=(MatchCategory.PROMPT,),
        config={"multiline": True, "placeholder": "Hello!"},
    )


def _text_output(
    display_name: str, description: str, *categories: MatchCategory
) -> OutputDefinition:
    return OutputDefinition(
        display_name=display_name,
        description=description,
        data_flow_type=DataFlowType.STRING,
        match_categories=categories,
    )


OPENAI_CHAT = NodeDefinition(
    type="OpenAIChat",
    category="LLM",
    display_name="OpenAI Chat",
    description="Goes on with a conversation and gives it back with the model's answer.",
    is_preview_unsafe=True,
    width=320,
    inputs={
        "api_settings": API_SETTINGS,
        "model": MODEL,
        "temperature": TEMPERATURE,
        "max_tokens": MAX_TOKENS,
        "system_prompt": SYSTEM_PROMPT,
        "user_input": _prompt("User input", "what the user says next"),
        "external_history": history_input("the conversation so far"),
        "image": IMAGE,
    },
    outputs={
        "full_conversation": _text_output("Conversation", "the conversation as readable text"),
        "current_output": _text_output("Answer", "what the model has answered"),
        "history": _text_output(
            "History",
            "the conversation as JSON, for the next turn; without system prompt and pictures",
            MatchCategory.CHAT_HISTORY,
            MatchCategory.JSON,
        ),
    },
    execute=chat,
)

OPENAI = NodeDefinition(
    type="OpenAI",
    category="LLM",
    display_name="OpenAI",
    description="Answers a prompt.",
    is_preview_unsafe=True,
    width=320,
    inputs={
        "api_settings": API_SETTINGS,
        "model": MODEL,
        "prompt": _prompt("Prompt", "what to answer"),
        "temperature": TEMPERATURE,
        "max_tokens": MAX_TOKENS,
        "system_prompt": SYSTEM_PROMPT,
        "history": history_input("what was said before the prompt"),
        "image": IMAGE,
        "stream": STREAM,
    },
    outputs={
        "response": _text_output("Response", "the whole answer"),
        "stream_output": STREAM_OUTPUT,
    },
    execute=complete,
)

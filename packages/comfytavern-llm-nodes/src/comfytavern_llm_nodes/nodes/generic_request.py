"""GenericLlmRequest: one request to whichever channel fits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace

from comfytavern.chunks import Chunk, Outputs
from comfytavern.context import NodeContext
from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory, describe_value

from ..adapters.interface import LlmRequest
from ..messages import messages_from
from ..router import ChannelRouter
from .asking import model_from, parameters_from, reply_chunks
from .slots import MAX_TOKENS, MODEL, SEED, STREAM, STREAM_OUTPUT, TEMPERATURE, TOP_P, USAGE

__all__ = ("GENERIC_LLM_REQUEST", "capabilities_from")


async def execute(
    inputs: Mapping[str, object], context: NodeContext
) -> AsyncGenerator[Chunk | Outputs, None]:
    """Send the request; stream the reply, or bring it in one piece.

    :raises LlmError: the request failed
    :raises NoChannelError: no channel fits
    :raises ValueError: the messages, parameters or pictures are none
    """
    router: ChannelRouter = context.services["llm"]
    request = request_from(inputs)
    messages = await router.images.in_messages(request.messages, context.resources)
    call = router.call(replace(request, messages=messages), capabilities_from(context.config))
    async with aclosing(reply_chunks(call, context)) as chunks:
        async for chunk in chunks:
            yield chunk
    response = call.response
    yield Outputs(
        response=response.to_json(),
        responseText=response.reply.text,
        usage=dict(response.usage),
    )


def request_from(inputs: Mapping[str, object]) -> LlmRequest:
    """Return the request that the inputs describe; ``parameters`` beat single inputs.

    :raises ValueError: the messages or the parameters are of another kind
    """
    messages = messages_from(inputs.get("messages"))
    if not messages:
        raise ValueError("messages is empty; expected at least one message")
    given = inputs.get("parameters")
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f"parameters is {describe_value(given)}; expected an object")
    parameters = parameters_from(inputs, given or {})
    if "messages" in parameters:
        raise ValueError("parameters holds 'messages'; connect them to the input 'messages'")
    model = model_from(parameters.pop("model", inputs.get("activated_model_id")))
    stream = parameters.pop("stream", inputs.get("stream"))
    return LlmRequest(
        messages=messages,
        model=model,
        parameters=parameters,
        stream=stream is None or bool(stream),
    )


def capabilities_from(config: Mapping[str, object]) -> list[str]:
    """Return the names in ``required_capabilities``."""
    listed = str(config.get("required_capabilities") or "").split(",")
    return [name for item in listed if (name := item.strip())]


GENERIC_LLM_REQUEST = NodeDefinition(
    type="GenericLlmRequest",
    category="LLM",
    display_name="LLM Request",
    description="Sends messages to the first channel with the required capabilities and model.",
    is_preview_unsafe=True,
    width=320,
    inputs={
        "messages": InputDefinition(
            display_name="Messages",
            description="a list of messages {role, content}, or its JSON text",
            data_flow_type=DataFlowType.WILDCARD,
            match_categories=(MatchCategory.CHAT_HISTORY, MatchCategory.CHAT_MESSAGE),
            required=True,
            config={"multiline": True, "placeholder": '[{"role": "user", "content": "Hello"}]'},
        ),
        "parameters": InputDefinition(
            display_name="Parameters",
            description="parameters by the provider's names; they beat the single inputs",
            data_flow_type=DataFlowType.OBJECT,
            match_categories=(MatchCategory.LLM_CONFIG,),
        ),
        "activated_model_id": MODEL,
        "temperature": TEMPERATURE,
        "max_tokens": MAX_TOKENS,
        "top_p": TOP_P,
        "seed": SEED,
        "stream": STREAM,
    },
    outputs={
        "response": OutputDefinition(
            display_name="Response",
            description="channel, model, text, finish_reason, tool_calls and usage",
            data_flow_type=DataFlowType.OBJECT,
            match_categories=(MatchCategory.LLM_OUTPUT,),
        ),
        "responseText": OutputDefinition(
            display_name="Text",
            description="the whole text of the reply",
            data_flow_type=DataFlowType.STRING,
        ),
        "usage": USAGE,
        "stream_output": STREAM_OUTPUT,
    },
    config_schema={
        "required_capabilities": InputDefinition(
            display_name="Required capabilities",
            description="what the channel must offer, separated by commas",
            data_flow_type=DataFlowType.STRING,
            config={"default": "llm", "suggestions": ["llm", "llm,chat", "llm,vision"]},
        ),
    },
    execute=execute,
)

"""GenericLlmRequest: one request to whichever channel fits."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from comfytavern.chunks import Chunk, Outputs
from comfytavern.context import NodeContext
from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory, describe_value

from ..adapters.interface import LlmRequest
from ..messages import messages_from
from ..router import ChannelRouter, LlmCall, LlmResponse

__all__ = ("GENERIC_LLM_REQUEST",)

_SINGLE = ("temperature", "max_tokens", "top_p", "seed")


async def execute(
    inputs: Mapping[str, object], context: NodeContext
) -> AsyncGenerator[Chunk | Outputs, None]:
    """Send the request; stream the reply, or bring it in one piece.

    :raises LlmError: the request failed
    :raises NoChannelError: no channel fits
    :raises ValueError: the messages or parameters are none
    """
    router: ChannelRouter = context.services["llm"]
    call = router.call(request_from(inputs), capabilities_from(context.config))
    context.progress(0.0, 1.0, f"waiting for channel {call.channel!r}")
    started = False
    async with aclosing(call.chunks()) as chunks:
        async for chunk in chunks:
            if not started:
                started = True
                context.progress(0.0, 1.0, f"channel {call.channel!r} answers")
            yield chunk
    response = call.response
    context.progress(1.0, 1.0, summary(call, response))
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
    parameters = {name: inputs.get(name) for name in _SINGLE} | dict(given or {})
    parameters = {key: _whole(key, value) for key, value in parameters.items() if value is not None}
    if "messages" in parameters:
        raise ValueError("parameters holds 'messages'; connect them to the input 'messages'")
    model = parameters.pop("model", inputs.get("activated_model_id"))
    if model is not None and not isinstance(model, str):
        raise ValueError(f"the model is {describe_value(model)}; expected its name")
    stream = parameters.pop("stream", inputs.get("stream"))
    return LlmRequest(
        messages=messages,
        model=(model or "").strip() or None,
        parameters=parameters,
        stream=stream is None or bool(stream),
    )


def capabilities_from(config: Mapping[str, object]) -> list[str]:
    """Return the names in ``required_capabilities``."""
    listed = str(config.get("required_capabilities") or "").split(",")
    return [name for item in listed if (name := item.strip())]


def summary(call: LlmCall, response: LlmResponse) -> str:
    """Return the last progress text: tokens and times, as far as they are known."""
    usage = response.usage
    shown = (
        ("completion_tokens", "{} tokens"),
        ("seconds_to_first_token", "first after {} s"),
        ("tokens_per_second", "{} tokens/s"),
    )
    facts = [form.format(usage[key]) for key, form in shown if usage.get(key) is not None]
    return ", ".join([f"channel {call.channel!r}", *facts])


def _whole(name: str, value: object) -> object:
    # JSON from a page has one kind of number, but providers refuse 100.0 as max_tokens.
    whole = name in ("max_tokens", "seed") and isinstance(value, float) and value.is_integer()
    return int(value) if whole and isinstance(value, float) else value


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
        "activated_model_id": InputDefinition(
            display_name="Model",
            description="the model to ask for; without it, the channel's first one",
            data_flow_type=DataFlowType.STRING,
            config={"placeholder": "the channel decides"},
        ),
        "temperature": InputDefinition(
            display_name="Temperature",
            description="how freely the model chooses words; absent means the provider's default",
            data_flow_type=DataFlowType.FLOAT,
            config={"min": 0, "max": 2, "step": 0.05, "suggestions": [0, 0.7, 1.0]},
        ),
        "max_tokens": InputDefinition(
            display_name="Max tokens",
            description="the longest reply; absent means the provider's default",
            data_flow_type=DataFlowType.INTEGER,
            config={"min": 1, "step": 1, "suggestions": [256, 512, 1024, 4096]},
        ),
        "top_p": InputDefinition(
            display_name="Top P",
            description="choose among the most likely tokens that together reach this share",
            data_flow_type=DataFlowType.FLOAT,
            config={"min": 0, "max": 1, "step": 0.01, "suggestions": [0.9, 0.95, 1.0]},
        ),
        "seed": InputDefinition(
            display_name="Seed",
            description="the same seed repeats a reply, where the provider supports it",
            data_flow_type=DataFlowType.INTEGER,
            config={"step": 1},
        ),
        "stream": InputDefinition(
            display_name="Stream",
            description="bring the reply as it comes; otherwise in one piece",
            data_flow_type=DataFlowType.BOOLEAN,
            config={"default": True},
        ),
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
        "usage": OutputDefinition(
            display_name="Usage",
            description="tokens, seconds to the first token, tokens per second, where known",
            data_flow_type=DataFlowType.OBJECT,
        ),
        "stream_output": OutputDefinition(
            display_name="Stream",
            description="the reply as it comes",
            data_flow_type=DataFlowType.STRING,
            is_stream=True,
        ),
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

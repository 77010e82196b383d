"""What else a provider offers: embeddings, and the list of its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from comfytavern.context import NodeContext
from comfytavern.definitions import InputDefinition, NodeDefinition, OutputDefinition
from comfytavern.types import DataFlowType, MatchCategory, describe_value

from ..router import ChannelRouter
from .asking import model_from
from .generic_request import capabilities_from
from .slots import MODEL, USAGE

__all__ = ("CREATE_EMBEDDINGS", "LIST_MODELS")


async def embed(inputs: Mapping[str, object], context: NodeContext) -> Mapping[str, object]:
    """Return a vector for each text.

    :raises LlmError: the request failed
    :raises NoChannelError: no channel makes embeddings
    :raises ValueError: the texts are none
    """
    router: ChannelRouter = context.services["llm"]
    texts = _texts(inputs.get("texts"))
    model = model_from(inputs.get("activated_model_id"))
    channel, made = await router.embed(texts, model, capabilities_from(context.config))
    context.progress(1.0, 1.0, f"channel {channel!r}, {len(made.vectors)} vectors")
    return {"embeddings": [list(vector) for vector in made.vectors], "usage": dict(made.usage)}


async def list_models(inputs: Mapping[str, object], context: NodeContext) -> Mapping[str, object]:
    """Return the names of a channel's models.

    :raises LlmError: the request failed
    :raises NoChannelError: there is no such channel
    """
    router: ChannelRouter = context.services["llm"]
    label = str(context.config.get("channel") or "").strip() or None
    _, models = await router.list_models(label)
    return {"models": list(models)}


def _texts(value: object) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Sequence) or isinstance(texts, bytes | bytearray):
        raise ValueError(f"texts is {describe_value(value)}; expected a text or a list of texts")
    found: list[str] = []
    for number, text in enumerate(texts):
        if not isinstance(text, str) or not text:
            what = "empty" if text == "" else describe_value(text)
            raise ValueError(f"texts[{number}] is {what}; expected a text")
        found.append(text)
    if not found:
        raise ValueError("texts is empty; expected at least one text")
    return found


CREATE_EMBEDDINGS = NodeDefinition(
    type="CreateEmbeddings",
    category="LLM",
    display_name="Create Embeddings",
    description="Turns texts into vectors through the first channel that makes embeddings.",
    is_preview_unsafe=True,
    inputs={
        "texts": InputDefinition(
            display_name="Texts",
            description="a text, or a list of texts",
            data_flow_type=DataFlowType.WILDCARD,
            required=True,
            config={"multiline": True},
        ),
        "activated_model_id": MODEL,
    },
    outputs={
        "embeddings": OutputDefinition(
            display_name="Embeddings",
            description="a vector, a list of numbers, for each text",
            data_flow_type=DataFlowType.ARRAY,
            match_categories=(MatchCategory.VECTOR_EMBEDDING,),
        ),
        "usage": USAGE,
    },
    config_schema={
        "required_capabilities": InputDefinition(
            display_name="Required capabilities",
            description="what the channel must offer, separated by commas",
            data_flow_type=DataFlowType.STRING,
            config={"default": "embedding", "suggestions": ["embedding"]},
        ),
    },
    execute=embed,
)

LIST_MODELS = NodeDefinition(
    type="ListModels",
    category="LLM",
    display_name="List Models",
    description="Names the models that a channel's server has.",
    is_preview_unsafe=True,
    outputs={
        "models": OutputDefinition(
            display_name="Models",
            description="their names",
            data_flow_type=DataFlowType.ARRAY,
        ),
    },
    config_schema={
        "channel": InputDefinition(
            display_name="Channel",
            description="the label of a channel; without it, the first that can say",
            data_flow_type=DataFlowType.STRING,
        ),
    },
    execute=list_models,
)

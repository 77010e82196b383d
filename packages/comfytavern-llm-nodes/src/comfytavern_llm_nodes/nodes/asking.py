"""What the nodes that ask a model have in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from comfytavern.chunks import Chunk
from comfytavern.context import NodeContext
from comfytavern.types import describe_value

from ..adapters.interface import LlmRequest
from ..api_settings import ApiSettings
from ..calls import LlmCall, LlmResponse
from ..router import ChannelRouter

__all__ = (
    "call_with_settings",
    "model_from",
    "parameters_from",
    "reply_chunks",
    "user_message",
)

SINGLE = ("temperature", "max_tokens", "top_p", "seed")
_CAPABILITIES = ("llm",)


def parameters_from(
    inputs: Mapping[str, object], more: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return the parameters among the inputs; those of ``more`` beat them, null is none."""
    named = {name: inputs.get(name) for name in SINGLE} | dict(more or {})
    return {key: _whole(key, value) for key, value in named.items() if value is not None}


def model_from(value: object) -> str | None:
    """Return the name of a model; None if there is none.

    :raises ValueError: it is no text
    """
    if value is not None and not isinstance(value, str):
        raise ValueError(f"the model is {describe_value(value)}; expected its name")
    return (value or "").strip() or None


async def call_with_settings(
    inputs: Mapping[str, object], request: LlmRequest, context: NodeContext
) -> LlmCall:
    """Return the call of a node with ``api_settings``; without them a channel answers.

    :raises ApiSettingsError: they are refused
    :raises NoChannelError: no channel fits
    """
    router: ChannelRouter = context.services["llm"]
    value = inputs.get("api_settings")
    if value is None or value == {}:
        return router.call(request, _CAPABILITIES)
    settings = ApiSettings.read(value, context.log.warning)
    return await router.direct.call(settings, request, context)


async def user_message(
    text: object, image: object, context: NodeContext
) -> list[dict[str, object]]:
    """Return what the user says, with pictures; nothing if that is nothing.

    :raises ImageError: a picture cannot be sent
    :raises ResourceError: a picture cannot be read
    """
    router: ChannelRouter = context.services["llm"]
    said = text if isinstance(text, str) else ""
    urls = await router.images.data_urls(image, context.resources)
    if not urls:
        return [{"role": "user", "content": said}] if said.strip() else []
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    spoken = [{"type": "text", "text": said}] if said.strip() else []
    return [{"role": "user", "content": [*spoken, *pictures]}]


async def reply_chunks(call: LlmCall, context: NodeContext) -> AsyncGenerator[Chunk, None]:
    """Yield the chunks of a reply and tell the node's progress; read it under ``aclosing``.

    :raises LlmError: the request failed
    """
    context.progress(0.0, 1.0, f"waiting for channel {call.channel!r}")
    started = False
    async with aclosing(call.chunks()) as chunks:
        async for chunk in chunks:
            if not started:
                started = True
                context.progress(0.0, 1.0, f"channel {call.channel!r} answers")
            yield chunk
    context.progress(1.0, 1.0, _summary(call, call.response))


def _summary(call: LlmCall, response: LlmResponse) -> str:
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

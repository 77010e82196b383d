"""Adapters: what talks to model providers. The built-in ones, and what others are made of."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .echo import EchoAdapter
from .interface import (
    METADATA,
    REASONING,
    AdapterFactory,
    EmbeddingAdapter,
    LlmAdapter,
    LlmEmbeddings,
    LlmError,
    LlmReply,
    LlmRequest,
    ModelListAdapter,
)
from .openai import OpenAIAdapter
from .replies import ReplyBuilder

__all__ = (
    "BUILT_IN",
    "METADATA",
    "REASONING",
    "AdapterFactory",
    "EchoAdapter",
    "EmbeddingAdapter",
    "LlmAdapter",
    "LlmEmbeddings",
    "LlmError",
    "LlmReply",
    "LlmRequest",
    "ModelListAdapter",
    "OpenAIAdapter",
    "ReplyBuilder",
)

BUILT_IN: Mapping[str, AdapterFactory] = MappingProxyType(
    {"openai": OpenAIAdapter, "echo": EchoAdapter}
)

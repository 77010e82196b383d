"""Prompt building: card, preset, history, world books and regex rules become chat messages."""

from __future__ import annotations

from .build import BuiltContext, ContextRequest, build_context
from .drafts import TokenCounter, estimate_tokens
from .errors import CONTEXT_ERROR_CODES, ContextError, ContextErrorCode
from .scripts import RegexEngine, WorkerEngine
from .settings import AuthorNote, ContextSettings, Persona

__all__ = (
    "CONTEXT_ERROR_CODES",
    "AuthorNote",
    "BuiltContext",
    "ContextError",
    "ContextErrorCode",
    "ContextRequest",
    "ContextSettings",
    "Persona",
    "RegexEngine",
    "TokenCounter",
    "WorkerEngine",
    "build_context",
    "estimate_tokens",
)

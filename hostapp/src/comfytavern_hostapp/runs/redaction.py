"""Secrets out of events: out of what nodes have said, never out of what makes an event one.

A secret may look like anything, also like a number or a key of the log. So values are
replaced one by one, and the log stays the JSON that everybody expects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from comfytavern.runner import Envelope
from comfytavern.secrets import SHOWN_SECRET

__all__ = ("Redact", "redacted", "redacted_event")

# Takes secrets out of a text; returns the text itself where there is nothing to take out.
Redact = Callable[[str], str]

# What these keys of a payload hold are names, by which clients know what an event is about.
_NAMES = frozenset(
    {"promptId", "nodeId", "sourceNodeId", "status", "interfaceOutputKey", "causedBy"}
)


def redacted_event(event: Envelope, redact: Redact) -> Envelope:
    """Return an event without secrets; what it is, and about what, stays."""
    payload = {
        key: value if key in _NAMES else redacted(value, redact)
        for key, value in event["payload"].items()
    }
    return {**event, "payload": payload}


def redacted(value: object, redact: Redact) -> Any:  # Any: a JSON value, as was given
    """Return a JSON value without secrets, keys included."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): redacted(item, redact) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item, redact) for item in value]
    if type(value) is int and redact(str(value)) == SHOWN_SECRET:
        return SHOWN_SECRET
    return value

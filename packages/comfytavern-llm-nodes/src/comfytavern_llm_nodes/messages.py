"""Chat messages as they cross packs: ``{role, content, name?}``, plain JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from comfytavern.errors import did_you_mean
from comfytavern.types import describe_value

__all__ = ("ROLES", "conversation_text", "messages_from", "text_of")

# The last two come with tool calls and with newer providers; they are passed on as they are.
ROLES = ("system", "user", "assistant", "tool", "developer")


def messages_from(value: object, name: str = "messages") -> list[dict[str, object]]:
    """Return the messages in ``value``: a list, one message, or the JSON text of either.

    None and blank text hold none; a list may hold lists. The result shares nothing that
    could be changed with ``value``, besides contents.

    :param name: what to call the value in an error
    :raises ValueError: it holds something that is no message; the text says which
    """
    if isinstance(value, str):
        value = _parsed(value, name)
    if value is None:
        return []
    if isinstance(value, Mapping):
        return [_message(value, name)]
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray | str):
        raise ValueError(f"{name} is {describe_value(value)}; expected a list of messages")
    messages: list[dict[str, object]] = []
    for number, item in enumerate(value):
        where = f"{name}[{number}]"
        if isinstance(item, Mapping):
            messages.append(_message(item, where))
        elif isinstance(item, str | list | tuple):
            messages.extend(messages_from(item, where))
        elif item is not None:
            raise ValueError(f"{where} is {describe_value(item)}; expected role and content")
    return messages


def text_of(content: object) -> str:
    """Return the text of a message's content: itself, or its text parts line by line."""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence) or isinstance(content, bytes | bytearray):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, Mapping))
    return "\n".join(part for part in parts if isinstance(part, str))


def conversation_text(messages: Iterable[Mapping[str, object]], *, with_roles: bool = True) -> str:
    """Write messages as one text, a blank line between two."""
    lines = []
    for message in messages:
        speaker = f"{message.get('name') or message['role']}: " if with_roles else ""
        lines.append(speaker + text_of(message.get("content")))
    return "\n\n".join(lines)


def _parsed(text: str, name: str) -> object:
    if not text.strip():
        return None
    try:
        value: object = json.loads(text)
    except RecursionError:
        raise ValueError(f"{name} is nested too deeply for a list of messages") from None
    except ValueError as exc:
        raise ValueError(
            f"{name} is text but not JSON: {exc}; expected a list of messages"
            " (CreateMessage makes one from a text)"
        ) from None
    if isinstance(value, str):  # not parsed again: text in text is somebody's mistake
        raise ValueError(f"{name} is the JSON of a text; expected a list of messages")
    return value


def _message(item: Mapping[str, object], where: str) -> dict[str, object]:
    role, content = item.get("role"), item.get("content")
    if role not in ROLES:
        hint = did_you_mean(role, ROLES) if isinstance(role, str) else ""
        raise ValueError(f"{where} has role {role!r}{hint or '; roles: ' + ', '.join(ROLES)}")
    usable = isinstance(content, str | list | tuple) or (content is None and role == "assistant")
    if not usable:
        raise ValueError(f"{where} ({role}) has {describe_value(content)} as content")
    return dict(item)

"""JSON objects of several programs to messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from .errors import HistoryError
from .json_text import kind_of
from .model import ROLES, ChatMessage, Content, Role

_OOBA_START = "<|BEGIN-VISIBLE-CHAT|>"  # what text-generation-webui says before a greeting


class Place:
    """Where in a file a message stands, for the error that names it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.line: int | None = None
        self.index: int | None = None

    def refuse(self, reason: str) -> NoReturn:
        """Raise the error for a message that cannot be read."""
        raise HistoryError("bad_message", reason, self.source, line=self.line, index=self.index)


def message_from(value: object, place: Place) -> ChatMessage:
    """Read one message: of SillyTavern, of Agnai, or with role and content.

    :raises HistoryError: ``bad_message``
    """
    if not isinstance(value, Mapping):
        place.refuse(f"the message is {kind_of(value)}; an object was expected")
    if "role" in value:
        return _plain_message(value, place)
    if "mes" in value:
        return _sillytavern(value, place)
    if "msg" in value:
        role: Role = "user" if value.get("userId") else "assistant"
        return ChatMessage(role, _text(value["msg"], "msg", place))
    place.refuse("the message has none of role, mes and msg")


def pair_from(value: object, place: Place) -> list[ChatMessage]:
    """Read what was said and answered, as text-generation-webui keeps it; either may be empty.

    :raises HistoryError: ``bad_message``
    """
    if not isinstance(value, list) or len(value) != 2:
        place.refuse("the entry is no pair of what was said and what was answered")
    said, answered = (_text(text, "text", place) for text in value)
    turns = (ChatMessage("user", said), ChatMessage("assistant", answered))
    return [turn for turn in turns if turn.content and turn.content != _OOBA_START]


def _plain_message(value: Mapping[str, object], place: Place) -> ChatMessage:
    role = value["role"]
    known = next((each for each in ROLES if each == role), None)
    if known is None:
        place.refuse(f"the role is {_shown(role)}; known roles: {', '.join(ROLES)}")
    return ChatMessage(
        known,
        _content(value, known, place),
        name=_name(value),
        hidden=value.get("hidden") is True,
        name_forced=value.get("name_forced") is True,
    )


def _content(value: Mapping[str, object], role: Role, place: Place) -> Content:
    if "content" not in value:
        place.refuse("the message has no content")
    content = value["content"]
    if isinstance(content, str) or (content is None and role == "assistant"):
        return content
    if isinstance(content, list) and role == "user":
        if not all(isinstance(part, Mapping) for part in content):
            place.refuse("a part of the content is no object")
        return content
    expected = {"user": "text or parts", "assistant": "text or null"}.get(role, "text")
    place.refuse(f"the content is {kind_of(content)}; {expected} was expected")


def _sillytavern(value: Mapping[str, object], place: Place) -> ChatMessage:
    said = value["mes"]
    if isinstance(said, Mapping):  # an export of Chub
        said = said.get("message")
    extra = value.get("extra")
    is_narrator = isinstance(extra, Mapping) and extra.get("type") == "narrator"
    is_user = value.get("is_user") is True
    return ChatMessage(
        "system" if is_narrator else "user" if is_user else "assistant",
        _text(said, "mes", place),
        name=_name(value),
        hidden=value.get("is_system") is True,
        name_forced=bool(value.get("force_avatar")) and not is_user,
    )


def _text(value: object, field: str, place: Place) -> str:
    if isinstance(value, str):
        return value
    place.refuse(f"{field} is {kind_of(value)}; text was expected")


def _name(value: Mapping[str, object]) -> str:
    name = value.get("name")
    return name if isinstance(name, str) else ""


def _shown(role: object) -> str:
    return repr(role[:40]) if isinstance(role, str) else kind_of(role)

"""One message of a chat, whatever file it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import JsonValue

Role: TypeAlias = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")
Content: TypeAlias = str | list[JsonValue] | None


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message.

    ``content`` is text, a list of parts (of a user), or None (of an assistant). A ``hidden``
    message stays in the chat but is neither sent nor searched; ``name_forced`` marks one that was
    said in somebody else's name.
    """

    role: Role
    content: Content
    name: str = ""
    hidden: bool = False
    name_forced: bool = False

    @property
    def text(self) -> str:
        """The content as text; of parts, what is text in them."""
        if isinstance(self.content, list):
            parts = [part for part in self.content if isinstance(part, dict)]
            texts = [part.get("text") for part in parts if part.get("type") == "text"]
            return "\n".join(text for text in texts if isinstance(text, str))
        return self.content or ""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the message as it travels between nodes; what says nothing is left out."""
        message: dict[str, JsonValue] = {"role": self.role, "content": self.content}
        if self.name:
            message["name"] = self.name
        if self.hidden:
            message["hidden"] = True
        if self.name_forced:
            message["name_forced"] = True
        return message


@dataclass(frozen=True, slots=True)
class HistoryReading:
    """The messages of a file, oldest first, and what it says of the chat as a whole."""

    messages: tuple[ChatMessage, ...]
    metadata: dict[str, JsonValue]

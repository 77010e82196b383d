"""Plain chat messages from a card and a history: no preset, no world book, no token budget.

The full context builder takes the place of this module; callers rely on the messages only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

_ROLES = ("system", "user", "assistant")
_NAMES = re.compile(r"\{\{(char|user|original)\}\}|<(char|bot|user)>", re.IGNORECASE)
_EXAMPLE_MARK = re.compile(r"<START>", re.IGNORECASE)


def build_messages(
    card: Mapping[str, object] | None,
    history: Sequence[Mapping[str, object]],
    user_name: str = "User",
) -> list[dict[str, object]]:
    """Return the messages to send: what the card says, its greeting, the history, last orders.

    ``card`` is a normalised card dict, or None for none. The greeting is left out when the history
    already begins with an assistant turn.

    :raises ValueError: if ``history`` is not a sequence of ``{role, content}`` messages
    """
    turns = history_from(history)
    fields = _CardText(card or {}, user_name)
    messages: list[dict[str, object]] = []
    if system := fields.system():
        messages.append({"role": "system", "content": system})
    spoken = [turn for turn in turns if turn["role"] != "system"]
    greeting = fields.text("first_mes")
    if greeting and not (spoken and spoken[0]["role"] == "assistant"):
        messages.append({"role": "assistant", "content": greeting})
    messages.extend(turns)
    if orders := fields.text("post_history_instructions"):
        messages.append({"role": "system", "content": orders})
    return messages


def history_from(value: object) -> list[dict[str, object]]:
    """Return the chat history in ``value``: a list of messages, or the JSON text of one.

    None and blank text are an empty history. Of each message, role and content are kept.

    :raises ValueError: if ``value`` is something else; the text names the message
    """
    if isinstance(value, str):
        value = _parsed(value)
    if value is None:
        return []
    if not isinstance(value, Sequence) or isinstance(value, bytes | bytearray):
        kind = type(value).__name__
        raise ValueError(f"history is {kind}; expected a list of messages or its JSON text")
    return [_message(number, item) for number, item in enumerate(value)]


def _parsed(text: str) -> object:
    if not text.strip():
        return None
    try:
        return json.loads(text)
    except RecursionError as exc:
        raise ValueError("history text is nested too deeply to be a list of messages") from exc
    except ValueError as exc:
        raise ValueError(f"history text is not JSON: {exc}; expected a list of messages") from exc


def _message(number: int, item: object) -> dict[str, object]:
    if not isinstance(item, Mapping):
        kind = type(item).__name__
        raise ValueError(f"history message {number} is {kind}; expected role and content")
    role, content = item.get("role"), item.get("content")
    if role not in _ROLES:
        known = ", ".join(_ROLES)
        raise ValueError(f"history message {number} has role {role!r}; known roles: {known}")
    usable = isinstance(content, str | list) or (content is None and role == "assistant")
    if not usable:
        kind = type(content).__name__
        raise ValueError(f"history message {number} has {kind} as content; expected text")
    return {"role": role, "content": content}


class _CardText:
    """Fields of a card as prompt text: names filled in, CR removed, trimmed."""

    def __init__(self, card: Mapping[str, object], user_name: str) -> None:
        self._card = card
        char = str(card.get("nickname") or card.get("name") or "")
        # There is no prompt that a card could replace here, so {{original}} is empty.
        self._names = {"char": char, "bot": char, "user": user_name, "original": ""}

    def text(self, key: str) -> str:
        value = self._card.get(key)
        if not isinstance(value, str):
            return ""
        named = _NAMES.sub(lambda found: self._names[(found[1] or found[2]).lower()], value)
        return named.replace("\r", "").strip()

    def system(self) -> str:
        examples = _EXAMPLE_MARK.split(self.text("mes_example"))
        labelled = (
            ("", self.text("system_prompt")),
            ("", self.text("description")),
            ("Personality: ", self.text("personality")),
            ("Scenario: ", self.text("scenario")),
            ("Example dialogue:\n", "\n\n".join(part.strip() for part in examples if part.strip())),
        )
        return "\n\n".join(label + text for label, text in labelled if text)

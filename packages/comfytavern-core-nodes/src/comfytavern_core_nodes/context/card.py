"""The texts of a character card as a prompt uses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..macros import Macros, Origin, Text
from ..presets.model import Role
from .journal import Journal
from .settings import ContextSettings

_FIELDS = (
    "description",
    "personality",
    "scenario",
    "mes_example",
    "system_prompt",
    "post_history_instructions",
)


@dataclass(frozen=True, slots=True)
class DepthText:
    """A text that stands in the chat, ``depth`` messages before its end."""

    text: Text
    depth: int
    role: Role


@dataclass(frozen=True, slots=True)
class CardTexts:
    """The fields of a card: trimmed, macros replaced, without CR."""

    description: Text
    personality: Text
    scenario: Text
    mes_example: Text
    system_prompt: Text
    post_history_instructions: Text
    depth_prompt: DepthText | None = None


def char_name(card: Mapping[str, object]) -> str:
    """Return what ``{{char}}`` stands for: the nickname, or the name without one."""
    return _text(card, "nickname").strip() or _text(card, "name").strip()


def texts_of(card: Mapping[str, object], macros: Macros, settings: ContextSettings) -> CardTexts:
    """Return the texts of a normalised card; fields that are missing are empty."""
    texts = {key: field_text(_text(card, key), Origin("card", key), macros) for key in _FIELDS}
    if settings.scenario.strip():
        texts["scenario"] = field_text(settings.scenario, Origin("chat", "scenario"), macros)
    return CardTexts(**texts, depth_prompt=_depth_prompt(card.get("depth_prompt"), macros))


def field_text(value: str, origin: Origin, macros: Macros) -> Text:
    """Return a field as text for a prompt."""
    return macros.expand_text(Text.of(value.strip(), origin)).without("\r")


def with_card_macros(
    macros: Macros, card: Mapping[str, object], texts: CardTexts, persona: Text
) -> Macros:
    """Return macros that also know the card's fields and the persona."""
    version = Text.of(_text(card, "character_version"), Origin("card", "character_version"))
    return macros.with_fields(
        {
            "description": texts.description,
            "personality": texts.personality,
            "scenario": texts.scenario,
            "persona": persona,
            "mesexamples": texts.mes_example,
            "charprompt": texts.system_prompt,
            "charinstruction": texts.post_history_instructions,
            "charjailbreak": texts.post_history_instructions,
            "charversion": version,
            "char_version": version,
        }
    )


def greeting_of(card: Mapping[str, object], index: int, journal: Journal) -> Text:
    """Return the greeting that opens the chat: 0 is the first message, then the alternates."""
    listed = card.get("alternate_greetings")
    alternates = listed if isinstance(listed, list) else []
    texts = [text for text in alternates if isinstance(text, str)]
    if index > len(texts):
        journal.warn(f"there is no greeting {index}; the card has 0 to {len(texts)}, 0 is used")
        index = 0
    if index == 0:
        return Text.of(_text(card, "first_mes"), Origin("card", "first_mes"))
    return Text.of(texts[index - 1], Origin("card", f"alternate_greetings.{index - 1}"))


def _depth_prompt(value: object, macros: Macros) -> DepthText | None:
    if not isinstance(value, Mapping):
        return None
    text = field_text(_text(value, "prompt"), Origin("card", "depth_prompt"), macros)
    if not text:
        return None
    depth, role = value.get("depth"), value.get("role")
    known: Role = "user" if role == "user" else "assistant" if role == "assistant" else "system"
    return DepthText(text, depth if isinstance(depth, int) and depth >= 0 else 4, known)


def _text(values: Mapping[str, object], key: str) -> str:
    value = values.get(key)
    return value if isinstance(value, str) else ""

"""Which prompts are sent, in which order, and what each of them says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..macros import EMPTY, Origin, Text
from ..presets.model import PresetPrompt, Role
from .examples import EXAMPLES_PART
from .material import Material
from .turns import CHAT_PART

MAIN = "main"
FILLED_ELSEWHERE = (EXAMPLES_PART, CHAT_PART)
_SLOT_MARK = "{0}"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the order, and the text that stands there or, at its depth, in the chat."""

    identifier: str
    text: Text
    role: Role = "system"
    in_chat: bool = False
    depth: int = 0
    order: int = 0


def collect(material: Material) -> list[Slot]:
    """Return the places of a prompt in order, with markers filled and overrides applied."""
    slots = _enabled(material)
    listed = {entry.identifier for entry in material.preset.order}
    for identifier, text in _marker_texts(material).items():
        if identifier in slots:
            slots[identifier] = replace(slots[identifier], text=text)
        elif identifier not in listed:
            slots[identifier] = Slot(identifier, text)
        elif text:
            material.journal.drop(identifier, "disabled in the preset")
    _override(slots, material)
    return list(slots.values())


def prompt_text(prompt: PresetPrompt, material: Material) -> Text:
    """Return the text of a prompt with its macros replaced."""
    label = prompt.name if prompt.name != prompt.identifier else ""
    origin = Origin("preset", prompt.identifier, label)
    return material.macros.expand_text(Text.of(prompt.content, origin))


def format_text(name: str, value: str, material: Material) -> Text:
    """Return one of the preset's formats with its macros replaced."""
    return material.macros.expand_text(Text.of(value, Origin("preset", name)))


def _enabled(material: Material) -> dict[str, Slot]:
    prompts = {prompt.identifier: prompt for prompt in material.preset.prompts}
    generation = material.settings.generation
    slots: dict[str, Slot] = {}
    for entry in material.preset.order:
        prompt = prompts.get(entry.identifier)
        if prompt is None or entry.identifier in slots:
            continue
        called = not prompt.triggers or generation in prompt.triggers
        if entry.enabled and called:
            slots[entry.identifier] = _slot(prompt, material)
            continue
        if prompt.content.strip():
            reason = "disabled in the preset" if called else f"not meant for type {generation}"
            material.journal.drop(entry.identifier, reason)
        if entry.identifier == MAIN:
            slots[MAIN] = Slot(MAIN, EMPTY)  # the note still stands beside it
    return slots


def _slot(prompt: PresetPrompt, material: Material) -> Slot:
    return Slot(
        prompt.identifier,
        EMPTY if prompt.identifier in FILLED_ELSEWHERE else prompt_text(prompt, material),
        prompt.role,
        prompt.in_chat,
        prompt.depth,
        prompt.injection_order,
    )


def _marker_texts(material: Material) -> Mapping[str, Text]:
    card, preset = material.card, material.preset
    persona = material.settings.persona
    texts = {
        "worldInfoBefore": _lore_text(material.lore.before, material),
        "worldInfoAfter": _lore_text(material.lore.after, material),
        "charDescription": card.description,
        "charPersonality": _formatted(
            card.personality, "personality_format", preset.personality_format, material
        ),
        "scenario": _formatted(card.scenario, "scenario_format", preset.scenario_format, material),
    }
    if persona.position == "prompt" and persona.text.strip():
        texts["personaDescription"] = Text.of(persona.text, Origin("persona")).without("\r")
    # A second time: what a field left alone, such as another field, may mean something here.
    return {identifier: material.macros.expand_text(text) for identifier, text in texts.items()}


def _formatted(field: Text, name: str, value: str, material: Material) -> Text:
    if not field or not value:
        return field
    return format_text(name, value, material)


def _lore_text(text: Text, material: Material) -> Text:
    value = material.preset.wi_format
    if not text or not value.strip():
        return text
    origin = Origin("preset", "wi_format")
    joined = EMPTY
    for number, part in enumerate(value.split(_SLOT_MARK)):
        joined += (text if number else EMPTY) + Text.of(part, origin)
    return joined


def _override(slots: dict[str, Slot], material: Material) -> None:
    card, settings = material.card, material.settings
    prompts = {prompt.identifier: prompt for prompt in material.preset.prompts}
    enabled = {entry.identifier for entry in material.preset.order if entry.enabled}
    wanted = (
        (MAIN, card.system_prompt, settings.prefer_character_prompt, "system_prompt"),
        (
            "jailbreak",
            card.post_history_instructions,
            settings.prefer_character_jailbreak,
            "post_history_instructions",
        ),
    )
    for identifier, text, is_preferred, field in wanted:
        slot = slots.get(identifier)
        if not text:
            continue
        if not is_preferred:
            material.journal.drop(f"card.{field}", "the settings prefer the preset's prompt")
        elif slot is None or identifier not in enabled:
            material.journal.drop(f"card.{field}", f"{identifier} is not sent by the preset")
        elif prompts[identifier].forbid_overrides:
            material.journal.drop(f"card.{field}", f"{identifier} forbids being replaced")
        else:
            replaced = material.macros.expand_text(text, original=slot.text)
            slots[identifier] = replace(slot, text=replaced)

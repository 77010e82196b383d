"""The normalised preset: one shape for every kind of preset file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Role: TypeAlias = Literal["system", "user", "assistant"]
Parameters: TypeAlias = dict[str, JsonValue]

TEXT_PROMPTS = ("main", "nsfw", "jailbreak", "enhanceDefinitions")
MARKERS = (
    "worldInfoBefore",
    "worldInfoAfter",
    "personaDescription",
    "charDescription",
    "charPersonality",
    "scenario",
    "dialogueExamples",
    "chatHistory",
)
DEFAULT_ORDER = (
    "main",
    "worldInfoBefore",
    "personaDescription",
    "charDescription",
    "charPersonality",
    "scenario",
    "enhanceDefinitions",
    "nsfw",
    "worldInfoAfter",
    "dialogueExamples",
    "chatHistory",
    "jailbreak",
)
OFF_BY_DEFAULT = frozenset({"enhanceDefinitions"})
DEFAULT_DEPTH = 4
DEFAULT_INJECTION_ORDER = 100

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class PresetPrompt(BaseModel):
    """One prompt: a text, or a marker for a place that something else fills."""

    model_config = _FROZEN

    identifier: str
    name: str = ""
    role: Role = "system"
    content: str = ""
    system_prompt: bool = False
    marker: bool = False
    in_chat: bool = Field(default=False, description="stands in the chat, at its depth")
    depth: Annotated[int, Field(ge=0)] = DEFAULT_DEPTH
    injection_order: int = DEFAULT_INJECTION_ORDER
    triggers: tuple[str, ...] = ()
    forbid_overrides: bool = False


class OrderEntry(BaseModel):
    """Which prompt stands next, and whether it is sent."""

    model_config = _FROZEN

    identifier: str
    enabled: bool = True


def fixed_prompt(identifier: str) -> PresetPrompt:
    """Return a prompt that every preset has, as it is when the file says nothing of it."""
    return PresetPrompt(
        identifier=identifier,
        name=identifier,
        system_prompt=True,
        marker=identifier in MARKERS,
    )


class Preset(BaseModel):
    """A preset for chat models, with all fields present, whatever file it came from.

    ``model_dump()`` gives the dict that travels between nodes. A format that the file does not
    name has our own wording; one that it names as empty stays empty.
    """

    model_config = _FROZEN

    kind: Literal["chat_completion", "sysprompt", "default"] = "default"
    name: str = ""
    prompts: tuple[PresetPrompt, ...] = tuple(
        fixed_prompt(identifier) for identifier in (*TEXT_PROMPTS, *MARKERS)
    )
    order: tuple[OrderEntry, ...] = tuple(
        OrderEntry(identifier=identifier, enabled=identifier not in OFF_BY_DEFAULT)
        for identifier in DEFAULT_ORDER
    )
    wi_format: str = "{0}"
    scenario_format: str = "Scenario: {{scenario}}"
    personality_format: str = "{{char}}'s personality: {{personality}}"
    new_chat_prompt: str = ""
    new_example_chat_prompt: str = "[An example of how {{char}} talks]"
    impersonation_prompt: str = "[Write the next message as {{user}}, in the way {{user}} talks.]"
    continue_nudge_prompt: str = "[Go on from where this breaks off, repeating none of it.]"
    send_if_empty: str = ""
    names_behavior: Literal[-1, 0, 1, 2] = 0
    wrap_in_quotes: bool = False
    squash_system_messages: bool = False
    max_context: Annotated[int, Field(gt=0)] | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None


# Without a preset nobody asked for separate messages, and many models take one far better.
NO_PRESET = Preset(squash_system_messages=True)


@dataclass(frozen=True, slots=True)
class PresetReading:
    """A preset, the parameters for the model that came with it, and what was left out.

    ``dropped`` names fields that a shared file should not bring along: models, addresses, headers,
    passwords. ``ignored`` names settings that have no meaning here.
    """

    preset: Preset
    parameters: Parameters
    dropped: tuple[str, ...]
    ignored: tuple[str, ...]
    warnings: tuple[str, ...]

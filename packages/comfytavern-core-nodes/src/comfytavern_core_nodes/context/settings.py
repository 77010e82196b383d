"""What a user decides about one context, beside the data that goes into it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from ..presets.model import Preset, Role

DEFAULT_MAX_CONTEXT = 8192
DEFAULT_MAX_TOKENS = 512

Generation: TypeAlias = Literal["normal", "continue", "impersonate", "swipe"]
Depth: TypeAlias = Annotated[int, Field(ge=0)]

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Persona(BaseModel):
    """Who the user is, and where the text of it stands."""

    model_config = _FROZEN

    text: str = ""
    position: Literal["prompt", "note_top", "note_bottom", "depth", "none"] = "prompt"
    depth: Depth = 2
    role: Role = "system"


class AuthorNote(BaseModel):
    """A text that is added to every ``interval``-th message of the user; 0 is never."""

    model_config = _FROZEN

    text: str = ""
    place: Literal["after_main", "before_main", "in_chat"] = "in_chat"
    depth: Depth = 4
    role: Role = "system"
    interval: Annotated[int, Field(ge=0)] = 1
    allow_scan: bool = Field(default=False, description="searched for keys of world books")


class ContextSettings(BaseModel):
    """The choices of one context; what is None is as the preset says."""

    model_config = _FROZEN

    user_name: str = "User"
    persona: Persona = Persona()
    note: AuthorNote = AuthorNote()
    scenario: str = Field(default="", description="of this chat; replaces the card's")
    greeting: Annotated[int, Field(ge=0)] = 0
    generation: Generation = "normal"
    max_context: Annotated[int, Field(gt=0)] | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    prefer_character_prompt: bool = True
    prefer_character_jailbreak: bool = True
    pin_examples: bool = Field(default=False, description="examples before history")
    strip_examples: bool = False
    example_style: Literal["names", "roles"] = "names"
    squash_system: bool | None = None
    on_overflow: Literal["error", "keep"] = "error"
    chat_id: str = Field(default="", description="what {{pick}} depends on")

    def limits(self, preset: Preset) -> tuple[int, int]:
        """Return the size of the context and of the reply, in tokens."""
        context = self.max_context or preset.max_context or DEFAULT_MAX_CONTEXT
        return context, self.max_tokens or preset.max_tokens or DEFAULT_MAX_TOKENS

"""The normalised character card: one shape for every kind of card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue

FindingLevel: TypeAlias = Literal["error", "warning", "note"]


class DepthPrompt(BaseModel):
    """A text that a card places into the chat, ``depth`` messages before its end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str
    depth: int = 4
    role: Literal["system", "user", "assistant"] = "system"


class CharacterCard(BaseModel):
    """A character card with all fields present, whatever file it came from.

    ``model_dump()`` gives the normalised dict that travels between nodes; fields of the file that
    the normalised card does not know are kept in ``unknown`` and stay out of the dump.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: Literal["v1", "v2", "v3", "pygmalion", "textgen"]
    spec_version: str = ""
    name: str
    nickname: str = ""
    description: str = ""
    personality: str = ""
    scenario: str = ""
    first_mes: str = ""
    mes_example: str = ""
    creator_notes: str = ""
    system_prompt: str = ""
    post_history_instructions: str = ""
    alternate_greetings: list[str] = []
    group_only_greetings: list[str] = []
    tags: list[str] = []
    creator: str = ""
    character_version: str = ""
    depth_prompt: DepthPrompt | None = None
    world: str | None = None
    regex_scripts: list[dict[str, JsonValue]] = []
    character_book: dict[str, JsonValue] | None = None
    assets: list[dict[str, JsonValue]] = []
    source: list[str] = []
    creator_notes_multilingual: dict[str, str] = {}
    creation_date: int | float | None = None
    modification_date: int | float | None = None
    extensions: dict[str, JsonValue] = {}
    unknown: dict[str, JsonValue] = Field(default={}, exclude=True)

    @property
    def char(self) -> str:
        """What ``{{char}}`` stands for: the nickname, or the name without one."""
        return self.nickname or self.name


@dataclass(frozen=True, slots=True)
class CardFinding:
    """Something to know about one place of a card's file; ``path`` is empty for all of it.

    An ``error`` is why a card cannot be read. A ``warning`` is a part that is not used, or not as
    it stands. A ``note`` is harmless, as unknown keys are.
    """

    level: FindingLevel
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


@dataclass(frozen=True, slots=True)
class CardReading:
    """A card and what its reader had to overlook; each warning is one line of text."""

    card: CharacterCard
    warnings: tuple[str, ...]

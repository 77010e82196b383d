"""Examples of how a character talks: from the text of a card to messages."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..macros import Macros, Origin, Text
from ..presets.model import Preset
from .drafts import Draft, Meter
from .settings import ContextSettings

EXAMPLES_PART = "dialogueExamples"
_START = "<START>"
_ANY_START = re.compile(re.escape(_START), re.IGNORECASE)
_LINE_END = re.compile("\n")


def example_blocks(card_text: Text, lore: Iterable[tuple[bool, Text]]) -> list[Text]:
    """Return the blocks of the card, and around them those of world books.

    :param lore: texts in order; True stands on top: in front of all that is there already
    """
    blocks = _blocks(card_text)
    for is_top, text in lore:
        more = _blocks(text.without("\r"))
        blocks = [*more, *blocks] if is_top else [*blocks, *more]
    return blocks


def example_drafts(
    block: Text, user: str, char: str, settings: ContextSettings, meter: Meter
) -> list[Draft]:
    """Return the messages of one block; lines before the first speaker join the first one."""
    drafts: list[Draft] = []
    lines: list[Text] = []
    speaker = ""

    def finish() -> None:
        text = Text.join("\n", lines).without_first(f"{speaker}:").strip()
        drafts.append(_draft(text, speaker == user, settings, meter))
        lines.clear()

    for line in block.split(_LINE_END):
        # The user is asked first: with two equal names every line is the user's.
        named = next((name for name in (user, char) if line.plain.startswith(f"{name}:")), "")
        if named and speaker and named != speaker:
            finish()
        speaker = named or speaker
        lines.append(line)
    if speaker:
        finish()
    return drafts


def example_heading(preset: Preset, macros: Macros) -> Text:
    """Return what stands before each block."""
    origin = Origin("preset", "new_example_chat_prompt")
    return macros.expand_text(Text.of(preset.new_example_chat_prompt, origin))


def _draft(text: Text, is_user: bool, settings: ContextSettings, meter: Meter) -> Draft:
    if settings.example_style == "roles":
        return meter.draft("user" if is_user else "assistant", text, EXAMPLES_PART)
    name = "example_user" if is_user else "example_assistant"
    return meter.draft("system", text, EXAMPLES_PART, name=name)


def _blocks(text: Text) -> list[Text]:
    if not text or text.plain == _START:
        return []
    blocks = text.split(_ANY_START)
    # Without a mark at its start, in capitals, the text begins with a block of its own.
    first = 1 if text.plain.startswith(_START) else 0
    return [block.strip() for block in blocks[first:]]

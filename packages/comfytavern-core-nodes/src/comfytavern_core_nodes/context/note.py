"""The author's note, with what world books and the persona put around it."""

from __future__ import annotations

from collections.abc import Sequence

from ..macros import EMPTY, Origin, Text
from .journal import Journal
from .lore import Lore
from .settings import AuthorNote, Persona
from .turns import Turn

NOTE_PART = "authorsNote"


def is_due(note: AuthorNote, turns: Sequence[Turn]) -> bool:
    """Say whether the note is sent this time: at every ``interval``-th message of the user.

    A chat of one message, which is the greeting, counts as one message of the user.
    """
    said = 1 if len(turns) == 1 else sum(turn.role == "user" for turn in turns)
    return said > 0 and note.interval > 0 and said % note.interval == 0


def note_text(note: AuthorNote, persona: Persona) -> Text:
    """Return the note with the persona above or below it, where that is its place."""
    text = Text.of(note.text, Origin("note"))
    about = Text.of(persona.text, Origin("persona"))
    if about and persona.position == "note_top":
        return Text.join("\n", (about, text))
    if about and persona.position == "note_bottom":
        return Text.join("\n", (text, about))
    return text


def wrapped_note(text: Text, lore: Lore) -> Text:
    """Return the note between the texts of world books; one line break is cut off each end."""
    whole = Text.join("\n", (lore.note_top, text, lore.note_bottom))
    plain = whole.plain
    start = 1 if plain.startswith("\n") else 0
    return whole.cut(start, max(start, len(plain) - (1 if plain.endswith("\n") else 0)))


def due_note(
    note: AuthorNote, persona: Persona, lore: Lore, turns: Sequence[Turn], journal: Journal
) -> Text:
    """Return the note as it is sent now; empty if it is not due."""
    text = note_text(note, persona)
    if is_due(note, turns):
        return wrapped_note(text, lore)
    if text or lore.note_top or lore.note_bottom:
        journal.drop(NOTE_PART, f"not due; it is sent every {note.interval} messages of the user")
    return EMPTY

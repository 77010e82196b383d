"""Card objects of five shapes to one :class:`CharacterCard`."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import JsonValue

from .errors import CardError
from .fields import CardFields
from .model import CardReading, CharacterCard, DepthPrompt

_V3_SPEC = "chara_card_v3"
_V2_SPEC = "chara_card_v2"
_DEFAULT_DEPTH = 4
_VERSION = re.compile(r"\s*(\d{1,9})(?:\.(\d{1,9}))?")


def normalised(value: dict[str, JsonValue], source: str) -> CardReading:
    """Turn a parsed card object of any shape into a card.

    :raises CardError: ``not_a_card``, ``bad_card``, ``missing_name`` or ``bad_field``
    """
    if value.get("spec") not in (None, ""):
        return _spec_card(value, source)
    data = value.get("data")
    if isinstance(data, dict) and "name" in data:
        return _spec_card(value, source)
    fields = CardFields(value, source)
    if "char_name" in value:
        return _reading(_pygmalion(fields), fields)
    if "name" not in value:
        reason = "the object has none of the fields spec, data, char_name and name"
        raise CardError("not_a_card", reason, source)
    if "first_mes" not in value and ("context" in value or "greeting" in value):
        return _reading(_textgen(fields), fields)
    return _reading(_full("v1", "1.0", fields), fields)


def _spec_card(value: dict[str, JsonValue], source: str) -> CardReading:
    outer = CardFields(value, source)
    spec, data = outer.get("spec"), outer.get("data")
    if not isinstance(data, dict):
        raise CardError("bad_card", "the card names a spec but has no data object", source)
    fields = CardFields(data, source)
    version = outer.text("spec_version")
    if spec == _V3_SPEC:
        version = version or "3.0"
        if _newer_than_3(version):
            fields.warnings.append(f"spec version {version[:20]!r} is newer than 3.0")
        return _reading(_full("v3", version, fields), fields)
    if spec != _V2_SPEC:
        shown = "no spec" if spec in (None, "") else f"the unknown spec {str(spec)[:40]!r}"
        fields.warnings.append(f"the card names {shown}; read as {_V2_SPEC}")
    return _reading(_full("v2", version or "2.0", fields), fields)


def _reading(card: CharacterCard, fields: CardFields) -> CardReading:
    return CardReading(card, tuple(fields.warnings))


def _full(spec: Literal["v1", "v2", "v3"], version: str, fields: CardFields) -> CharacterCard:
    extensions = fields.mapping("extensions")
    notes = fields.text("creator_notes")
    if spec == "v1":
        notes = notes or fields.text("creatorcomment")
    return CharacterCard(
        spec=spec,
        spec_version=version,
        name=_name(fields, "name"),
        nickname=fields.text("nickname"),
        description=fields.text("description"),
        personality=fields.text("personality"),
        scenario=fields.text("scenario"),
        first_mes=fields.text("first_mes"),
        mes_example=fields.text("mes_example"),
        creator_notes=notes,
        system_prompt=fields.text("system_prompt"),
        post_history_instructions=fields.text("post_history_instructions"),
        alternate_greetings=fields.texts("alternate_greetings"),
        group_only_greetings=fields.texts("group_only_greetings"),
        tags=fields.tags("tags"),
        creator=fields.text("creator"),
        character_version=fields.text("character_version"),
        depth_prompt=_depth_prompt(extensions.get("depth_prompt")),
        world=_world(extensions.get("world")),
        regex_scripts=_regex_scripts(extensions.get("regex_scripts"), fields),
        character_book=_book(fields),
        assets=fields.objects("assets"),
        source=fields.texts("source"),
        creator_notes_multilingual=_notes_by_language(fields),
        creation_date=fields.number("creation_date"),
        modification_date=fields.number("modification_date"),
        extensions=extensions,
        unknown=fields.unread(),
    )


def _pygmalion(fields: CardFields) -> CharacterCard:
    return CharacterCard(
        spec="pygmalion",
        name=_name(fields, "char_name"),
        description=fields.text("char_persona"),
        scenario=fields.text("world_scenario"),
        first_mes=fields.text("char_greeting"),
        mes_example=fields.text("example_dialogue"),
        unknown=fields.unread(),
    )


def _textgen(fields: CardFields) -> CharacterCard:
    return CharacterCard(
        spec="textgen",
        name=_name(fields, "name"),
        description=fields.text("context"),
        first_mes=fields.text("greeting"),
        unknown=fields.unread(),
    )


def _name(fields: CardFields, key: str) -> str:
    name = fields.text(key).strip()
    if not name:
        reason = f"field {key!r} is empty; a card needs a name"
        raise CardError("missing_name", reason, fields.source)
    return name


def _depth_prompt(value: JsonValue) -> DepthPrompt | None:
    if not isinstance(value, dict):
        return None
    prompt, role = value.get("prompt"), value.get("role")
    if not isinstance(prompt, str) or not prompt.strip():
        return None
    return DepthPrompt(
        prompt=prompt,
        depth=_depth(value.get("depth")),
        role="user" if role == "user" else "assistant" if role == "assistant" else "system",
    )


def _depth(value: JsonValue) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _DEFAULT_DEPTH
    # JSON has one kind of number: 2.0 is an integer too.
    return int(value) if value >= 0 and value == int(value) else _DEFAULT_DEPTH


def _world(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value else None


def _regex_scripts(value: JsonValue, fields: CardFields) -> list[dict[str, JsonValue]]:
    if value is None:
        return []
    if not isinstance(value, list):
        fields.warnings.append("extensions.regex_scripts is not a list and was left out")
        return []
    return [script for script in value if isinstance(script, dict)]


def _book(fields: CardFields) -> dict[str, JsonValue] | None:
    book = fields.get("character_book")
    if book is None:
        return None
    if isinstance(book, dict) and isinstance(book.get("entries"), list | dict):
        return book
    fields.warnings.append("character_book has no list of entries and was left out")
    return None


def _notes_by_language(fields: CardFields) -> dict[str, str]:
    notes = fields.mapping("creator_notes_multilingual")
    return {language: text for language, text in notes.items() if isinstance(text, str)}


def _newer_than_3(version: str) -> bool:
    found = _VERSION.match(version)
    return found is not None and (int(found[1]), int(found[2] or 0)) > (3, 0)

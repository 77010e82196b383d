"""Card objects of five shapes to one :class:`CharacterCard`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from pydantic import JsonValue

from .errors import CardError
from .fields import CardFields, kind_of
from .model import CardFinding, CardReading, CharacterCard, DepthPrompt

_V3_SPEC = "chara_card_v3"
_V2_SPEC = "chara_card_v2"
_DEFAULT_DEPTH = 4
# Programs repeat the fields of a V1 card, and some of their own, beside ``data``.
_COPIED = (
    *CharacterCard.model_fields,
    "avatar",
    "chat",
    "create_date",
    "creatorcomment",
    "fav",
    "metadata",
    "talkativeness",
)
_VERSION = re.compile(r"\s*(\d{1,9})(?:\.(\d{1,9}))?")


def normalised(
    value: dict[str, JsonValue], source: str, findings: list[CardFinding] | None = None
) -> CardReading:
    """Turn a parsed card object of any shape into a card.

    :param findings: takes in everything that is odd; then fields that do not fit count as missing
    :raises CardError: ``not_a_card``, ``bad_card``, ``missing_name`` or ``bad_field``
    """
    if value.get("spec") not in (None, ""):
        return _spec_card(value, source, findings)
    data = value.get("data")
    if isinstance(data, dict) and "name" in data:
        return _spec_card(value, source, findings)
    fields = CardFields(value, source, "", findings)
    if "char_name" in value:
        return _reading(_pygmalion(fields), fields)
    if "name" not in value:
        reason = "the object has none of the fields spec, data, char_name and name"
        raise CardError("not_a_card", reason, source)
    if "first_mes" not in value and ("context" in value or "greeting" in value):
        return _reading(_textgen(fields), fields)
    return _reading(_full("v1", "1.0", fields), fields)


def _spec_card(
    value: dict[str, JsonValue], source: str, findings: list[CardFinding] | None
) -> CardReading:
    outer = CardFields(value, source, "", findings)
    spec, data = outer.get("spec"), outer.get("data")
    if not isinstance(data, dict):
        raise CardError("bad_card", "the card names a spec but has no data object", source)
    fields = CardFields(data, source, "data.", findings)
    version = outer.text("spec_version")
    outer.note_unread("unknown key beside data; it is not used", but=_COPIED)
    if spec == _V3_SPEC:
        version = version or "3.0"
        if _newer_than_3(version):
            outer.warn("spec_version", f"spec version {version[:20]!r} is newer than 3.0")
        card = _full("v3", version, fields)
    else:
        if spec != _V2_SPEC:
            shown = "no spec" if spec in (None, "") else f"the unknown spec {str(spec)[:40]!r}"
            outer.warn("spec", f"the card names {shown}; read as {_V2_SPEC}")
        card = _full("v2", version or "2.0", fields)
    return _reading(card, fields, outer.warnings)


def _reading(card: CharacterCard, fields: CardFields, warnings: Iterable[str] = ()) -> CardReading:
    fields.note_unread("unknown key; it is kept")
    return CardReading(card, (*warnings, *fields.warnings))


def _full(spec: Literal["v1", "v2", "v3"], version: str, fields: CardFields) -> CharacterCard:
    extensions = fields.mapping("extensions")
    notes = fields.text("creator_notes")
    if spec == "v1":
        notes = notes or fields.text("creatorcomment")
    return CharacterCard(
        spec=spec,
        spec_version=version,
        name=fields.name("name"),
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
        depth_prompt=_depth_prompt(extensions.get("depth_prompt"), fields),
        world=_world(extensions.get("world")),
        regex_scripts=_regex_scripts(extensions.get("regex_scripts"), fields),
        character_book=_book(fields),
        assets=fields.objects("assets"),
        source=fields.texts("source"),
        creator_notes_multilingual=fields.texts_by_name("creator_notes_multilingual"),
        creation_date=fields.number("creation_date"),
        modification_date=fields.number("modification_date"),
        extensions=extensions,
        unknown=fields.unread(),
    )


def _pygmalion(fields: CardFields) -> CharacterCard:
    return CharacterCard(
        spec="pygmalion",
        name=fields.name("char_name"),
        description=fields.text("char_persona"),
        scenario=fields.text("world_scenario"),
        first_mes=fields.text("char_greeting"),
        mes_example=fields.text("example_dialogue"),
        unknown=fields.unread(),
    )


def _textgen(fields: CardFields) -> CharacterCard:
    return CharacterCard(
        spec="textgen",
        name=fields.name("name"),
        description=fields.text("context"),
        first_mes=fields.text("greeting"),
        unknown=fields.unread(),
    )


def _depth_prompt(value: JsonValue, fields: CardFields) -> DepthPrompt | None:
    key = "extensions.depth_prompt"
    if not isinstance(value, dict):
        if value is not None:
            fields.overlooked(key, f"it is {kind_of(value)}, no object, and is not used")
        return None
    prompt, role = value.get("prompt"), value.get("role")
    if not isinstance(prompt, str) or not prompt.strip():
        if prompt not in (None, ""):
            fields.overlooked(f"{key}.prompt", "it holds no text, so nothing is inserted")
        return None
    if role not in (None, "", "system", "user", "assistant"):
        fields.overlooked(f"{key}.role", f"it is {str(role)[:40]!r}; 'system' is used")
    return DepthPrompt(
        prompt=prompt,
        depth=_depth(value.get("depth"), fields, f"{key}.depth"),
        role="user" if role == "user" else "assistant" if role == "assistant" else "system",
    )


def _depth(value: JsonValue, fields: CardFields, key: str) -> int:
    # JSON has one kind of number: 2.0 is an integer too.
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value >= 0 and value == int(value):
            return int(value)
    if value is not None:
        fields.overlooked(key, f"it is no whole number from 0 on; {_DEFAULT_DEPTH} is used")
    return _DEFAULT_DEPTH


def _world(value: JsonValue) -> str | None:
    return value if isinstance(value, str) and value else None


def _regex_scripts(value: JsonValue, fields: CardFields) -> list[dict[str, JsonValue]]:
    if value is None:
        return []
    key = "extensions.regex_scripts"
    if not isinstance(value, list):
        fields.warn(key, f"{key} is not a list and was left out")
        return []
    return fields.objects_in(key, value)


def _book(fields: CardFields) -> dict[str, JsonValue] | None:
    book = fields.get("character_book")
    if book is None:
        return None
    if isinstance(book, dict) and isinstance(book.get("entries"), list | dict):
        return book
    fields.warn("character_book", "character_book has no list of entries and was left out")
    return None


def _newer_than_3(version: str) -> bool:
    found = _VERSION.match(version)
    return found is not None and (int(found[1]), int(found[2] or 0)) > (3, 0)

"""The prompts of a preset and the order in which they stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import JsonValue

from .errors import PresetError
from .fields import PresetFields, as_whole
from .model import (
    DEFAULT_DEPTH,
    DEFAULT_INJECTION_ORDER,
    DEFAULT_ORDER,
    MARKERS,
    OFF_BY_DEFAULT,
    TEXT_PROMPTS,
    OrderEntry,
    PresetPrompt,
    Role,
    fixed_prompt,
)

MAX_PROMPTS = 10_000
"""Prompts in one preset, and entries in its order."""

_FIXED = (*TEXT_PROMPTS, *MARKERS)
_ORDER_ID = 100_001  # the list for all characters; 100000 is an older one, often still there
_IN_CHAT = 1
_OLD_PROMPTS = {"main": "main_prompt", "nsfw": "nsfw_prompt", "jailbreak": "jailbreak_prompt"}


def prompts_from(fields: PresetFields, source: str) -> tuple[PresetPrompt, ...]:
    """Return the prompts of a preset, the fixed ones that it lacks at the end.

    :raises PresetError: ``bad_preset`` or ``too_large``
    """
    values = fields.objects("prompts")
    _check_count(values, source)
    prompts: dict[str, PresetPrompt] = {}
    for number, value in enumerate(values):
        each = PresetFields(value, source, f"prompts[{number}].")
        prompt = _prompt(each, number, source)
        fields.warnings += each.warnings
        if prompt.identifier in prompts:
            fields.warn(f"prompt {prompt.identifier[:60]!r} is there twice; the first one counts")
        else:
            prompts[prompt.identifier] = prompt
    for identifier in _FIXED:
        prompts.setdefault(identifier, fixed_prompt(identifier))
    return tuple(prompts.values())


def old_prompts_from(fields: PresetFields) -> tuple[PresetPrompt, ...]:
    """Return the prompts of a preset from before it had a list of them.

    :raises PresetError: ``bad_preset``
    """
    texts = {identifier: fields.text(key) for identifier, key in _OLD_PROMPTS.items()}
    return fixed_prompts(texts)


def fixed_prompts(texts: dict[str, str]) -> tuple[PresetPrompt, ...]:
    """Return the fixed prompts, some of them with these texts."""
    prompts = [fixed_prompt(identifier) for identifier in _FIXED]
    return tuple(
        prompt.model_copy(update={"content": texts.get(prompt.identifier, "")})
        for prompt in prompts
    )


def order_from(
    fields: PresetFields, prompts: Iterable[PresetPrompt], source: str
) -> tuple[OrderEntry, ...]:
    """Return the order for all characters, or the default one if the preset has none.

    Entries that name no prompt, or one that was named before, are left out.

    :raises PresetError: ``bad_preset`` or ``too_large``
    """
    lists = fields.objects("prompt_order")
    entries = lists if _is_flat(lists) else _listed_entries(lists, fields)
    if entries is None:
        return tuple(
            OrderEntry(identifier=identifier, enabled=identifier not in OFF_BY_DEFAULT)
            for identifier in DEFAULT_ORDER
        )
    _check_count(entries, source)
    known = {prompt.identifier for prompt in prompts}
    order: dict[str, OrderEntry] = {}
    for entry in entries:
        identifier = entry.get("identifier")
        if not isinstance(identifier, str) or identifier not in known:
            fields.warn(f"the order names {str(identifier)[:60]!r}, which is no prompt")
        elif identifier not in order:
            enabled = entry.get("enabled") is True
            order[identifier] = OrderEntry(identifier=identifier, enabled=enabled)
    return tuple(order.values())


def _prompt(fields: PresetFields, number: int, source: str) -> PresetPrompt:
    name = fields.text("name")
    identifier = fields.text("identifier") or name
    if not identifier:
        reason = f"prompts[{number}] has neither identifier nor name"
        raise PresetError("bad_preset", reason, source)
    triggers = fields.get("injection_trigger")
    return PresetPrompt(
        identifier=identifier,
        name=name or identifier,
        role=_role(fields),
        content=fields.text("content"),
        system_prompt=fields.switch("system_prompt"),
        marker=fields.switch("marker"),
        in_chat=as_whole(fields.get("injection_position")) == _IN_CHAT,
        depth=fields.whole("injection_depth", DEFAULT_DEPTH, 0),
        injection_order=fields.whole("injection_order", DEFAULT_INJECTION_ORDER, -(2**53)),
        triggers=_texts(triggers),
        forbid_overrides=fields.switch("forbid_overrides"),
    )


def _role(fields: PresetFields) -> Role:
    value = fields.get("role")
    if value not in (None, "", "system", "user", "assistant"):
        fields.warn(f"role is {str(value)[:40]!r}; 'system' is used")
    return "user" if value == "user" else "assistant" if value == "assistant" else "system"


def _texts(value: JsonValue) -> tuple[str, ...]:
    members = value if isinstance(value, list) else []
    return tuple(member for member in members if isinstance(member, str))


def _is_flat(lists: Sequence[dict[str, JsonValue]]) -> bool:
    return bool(lists) and all("identifier" in entry and "order" not in entry for entry in lists)


def _listed_entries(
    lists: Sequence[dict[str, JsonValue]], fields: PresetFields
) -> list[dict[str, JsonValue]] | None:
    for each in lists:
        if str(each.get("character_id")) == str(_ORDER_ID):
            order = each.get("order")
            if not isinstance(order, list):
                fields.refuse("prompt_order.order", "a list", order)
            return [entry for entry in order if isinstance(entry, dict)]
    return None


def _check_count(members: Sequence[object], source: str) -> None:
    if len(members) > MAX_PROMPTS:
        reason = f"the preset has more than {MAX_PROMPTS} prompts"
        raise PresetError("too_large", reason, source)

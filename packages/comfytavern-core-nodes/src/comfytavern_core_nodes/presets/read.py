"""Bytes or values of a preset file to a preset."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue, ValidationError

from ..histories.json_text import JsonTextError, decode, kind_of, parse
from .errors import PresetError
from .fields import PresetFields
from .model import NO_PRESET, Preset, PresetReading
from .parameters import dropped_from, ignored_from, parameters_from
from .prompts import fixed_prompts, old_prompts_from, order_from, prompts_from

_OLD_KEYS = ("main_prompt", "nsfw_prompt", "jailbreak_prompt")
_FORMATS = (
    "wi_format",
    "scenario_format",
    "personality_format",
    "new_chat_prompt",
    "new_example_chat_prompt",
    "impersonation_prompt",
    "continue_nudge_prompt",
    "send_if_empty",
)
_CHAT_KEYS = (*_FORMATS, *_OLD_KEYS, "prompt_order", "openai_max_context", "openai_max_tokens")
_OTHER_KINDS = {
    "input_sequence": "an instruct template",
    "output_sequence": "an instruct template",
    "story_string": "a context template",
    "temp": "a preset for text completion",
    "rep_pen": "a preset for text completion",
    "tfs": "a preset for text completion",
    "temperature_last": "a preset for text completion",
}
_NAMES_BEHAVIOR = {-1: -1, 0: 0, 1: 1, 2: 2}


def read_preset(data: bytes, name: str) -> PresetReading:
    """Read a preset file: of chat completion, an export of its prompts, or a system prompt.

    Nothing is read from disk and no state is kept, so this may be called from any thread.

    :param name: appears in errors
    :raises PresetError: for everything that is no usable preset; nothing else is ever raised
    """
    try:
        value = parse(decode(data))
    except JsonTextError as exc:
        raise PresetError(exc.code, exc.reason, name) from exc
    if not isinstance(value, dict):
        reason = f"the file holds {kind_of(value)}; an object with named fields was expected"
        raise PresetError("not_an_object", reason, name)
    return normalised(value, name)


def preset_from(value: object, source: str = "presetData") -> PresetReading:
    """Return the preset in ``value``: a normalised one, or the fields of a preset file.

    None and an empty object are the preset that is used without any.

    :raises PresetError: it is something else
    """
    if value is None or value == {}:
        return PresetReading(NO_PRESET, {}, (), (), ())
    if not isinstance(value, Mapping):
        reason = f"it is {kind_of(value)}; a preset as a preset loader gives it was expected"
        raise PresetError("not_an_object", reason, source)
    if "kind" not in value or "order" not in value:
        return normalised(dict(value), source)
    try:
        return PresetReading(Preset.model_validate(value), {}, (), (), ())
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PresetError("bad_preset", f"field {where}: {first['msg'].lower()}", source) from exc


def normalised(value: dict[str, JsonValue], source: str) -> PresetReading:
    """Turn the fields of a preset file into a preset.

    :raises PresetError: ``unsupported_preset``, ``bad_preset`` or ``too_large``
    """
    inner = value.get("data")
    if isinstance(inner, dict) and "prompts" not in value and "prompts" in inner:
        value = inner  # an export of the prompt manager
    fields = PresetFields(value, source)
    if fields.get("prompts") is not None:
        return _reading(value, fields, _chat_preset(fields, source))
    for key, kind in _OTHER_KINDS.items():
        if key in value:
            reason = f"the file is {kind}; only presets for chat models can be used"
            raise PresetError("unsupported_preset", reason, source)
    if isinstance(value.get("content"), str) and not any(key in value for key in _CHAT_KEYS):
        return _reading(value, fields, _system_prompt(fields))
    if any(key in value for key in _CHAT_KEYS):
        return _reading(value, fields, _chat_preset(fields, source))
    reason = "the object has none of the fields prompts, prompt_order, main_prompt and content"
    raise PresetError("unsupported_preset", reason, source)


def _reading(value: Mapping[str, JsonValue], fields: PresetFields, preset: Preset) -> PresetReading:
    parameters = parameters_from(fields)
    dropped = dropped_from(value, fields.read)
    warnings = list(fields.warnings)
    if dropped:
        named = ", ".join(key[:60] for key in dropped[:12]) + (", ..." if len(dropped) > 12 else "")
        warnings.append(f"a preset decides nothing of models and addresses; left out: {named}")
    ignored = ignored_from(value, fields.read)
    return PresetReading(preset, parameters, dropped, ignored, tuple(warnings))


def _chat_preset(fields: PresetFields, source: str) -> Preset:
    listed = fields.get("prompts") is not None
    prompts = prompts_from(fields, source) if listed else old_prompts_from(fields)
    formats = {key: fields.text(key) for key in _FORMATS if fields.has(key)}
    return Preset.model_validate(
        {
            "kind": "chat_completion",
            "name": fields.text("name"),
            "prompts": prompts,
            "order": order_from(fields, prompts, source),
            **formats,
            "names_behavior": _names_behavior(fields),
            "wrap_in_quotes": fields.switch("wrap_in_quotes"),
            "squash_system_messages": fields.switch("squash_system_messages"),
            "max_context": fields.whole("openai_max_context", 0, 1) or None,
            "max_tokens": fields.whole("openai_max_tokens", 0, 1) or None,
        }
    )


def _system_prompt(fields: PresetFields) -> Preset:
    texts = {"main": fields.text("content"), "jailbreak": fields.text("post_history")}
    return Preset(kind="sysprompt", name=fields.text("name"), prompts=fixed_prompts(texts))


def _names_behavior(fields: PresetFields) -> int:
    old = 1 if fields.get("names_in_completion") is True else 0
    behavior = fields.whole("names_behavior", old, -1)
    return _NAMES_BEHAVIOR.get(behavior, 0)

"""The code of ContextBuilder; imported when such a node first runs.

Thin: it reads inputs and configuration, and the ``context`` package does the work.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ValidationError

from comfytavern.context import NodeContext
from comfytavern.types import describe_value

from ..context import (
    ContextError,
    ContextRequest,
    ContextSettings,
    TokenCounter,
    WorkerEngine,
    estimate_tokens,
)
from ..context import build_context as build
from ..histories import messages_from
from ..presets import preset_from
from ..worldbooks import ScanSettings, Strategy

__all__ = ("build_context",)

_ESTIMATE = "estimate"
_YES_OR_NO = {"yes": True, "no": False}
_LORE = "wi_"
_AS_BOOKS_SAY = -1
_STRATEGIES = {strategy.name.lower(): strategy for strategy in Strategy}
_Settings = TypeVar("_Settings", bound=BaseModel)


def build_context(inputs: Mapping[str, object], context: NodeContext) -> dict[str, object]:
    """Build the messages. A plain function: the engine runs it in a thread, as chats get long.

    :raises ContextError: what must be sent does not fit, or a setting cannot be used
    :raises HistoryError: the history does not hold messages; the text names the message
    :raises PresetError: the preset is none
    """
    config = context.config
    worker = context.services.get("regex_worker")
    request = ContextRequest(
        card=_object(inputs, "characterData", "a card"),
        preset=preset_from(inputs.get("presetData")).preset,
        history=messages_from(inputs.get("historyMessages")),
        user_message=_text(inputs, context, "user_message"),
        settings=_settings(config, _text(inputs, context, "user_name") or "User"),
        books=_listed(inputs.get("worldBookData")),
        scan=_scan_settings(config),
        state=_object(inputs, "state", "what this node gave as its state"),
        rules=_listed(inputs.get("regexRules")),
        regexes=None if worker is None else WorkerEngine(worker),
        count_tokens=_counter(context),
        random=_chance(config.get("seed")),
        zone=_zone(config.get("time_zone")),
    )
    built = build(request)
    for warning in built.warnings:
        context.log.warning("%s", warning)
    return {"finalMessages": built.messages, "report": built.report, "state": built.state}


def _object(inputs: Mapping[str, object], name: str, expected: str) -> Mapping[str, object]:
    value = inputs.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"input {name!r} is {describe_value(value)}; expected {expected}")
    return value


def _listed(value: object) -> list[object]:
    """Return what is connected as a list: nothing, one thing, or several."""
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        return [value]
    return [each for each in value if each is not None]


def _text(inputs: Mapping[str, object], context: NodeContext, name: str) -> str:
    value = inputs.get(name)
    if value is None:
        value = context.config.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{name!r} is {describe_value(value)}; expected text")
    return value.strip()


def _settings(config: Mapping[str, object], user_name: str) -> ContextSettings:
    values: dict[str, object] = {
        "user_name": user_name,
        "persona": _named(config, "persona_", ("text", "position", "depth", "role")),
        "note": {
            **_named(config, "note_", ("text", "place", "depth", "role", "interval")),
            **_renamed(config, {"note_scan": "allow_scan"}),
        },
        **_renamed(config, {"greeting_index": "greeting"}),
        **_named(
            config,
            "",
            (
                "scenario",
                "generation",
                "prefer_character_prompt",
                "prefer_character_jailbreak",
                "pin_examples",
                "strip_examples",
                "example_style",
                "on_overflow",
                "chat_id",
            ),
        ),
        # In the configuration 0 stands for "as the preset says".
        "max_context": config.get("max_context") or None,
        "max_tokens": config.get("max_tokens") or None,
        "squash_system": _YES_OR_NO.get(str(config.get("squash_system"))),
    }
    return _validated(ContextSettings, values, "")


def _scan_settings(config: Mapping[str, object]) -> ScanSettings:
    values = _named(
        config,
        _LORE,
        (
            "scan_depth",
            "budget_percent",
            "budget_cap",
            "include_names",
            "case_sensitive",
            "match_whole_words",
            "min_activations",
            "min_activations_depth_max",
            "max_recursion_steps",
            "use_group_scoring",
        ),
    )
    for name in ("scan_depth", "budget_cap"):
        if values.get(name) == _AS_BOOKS_SAY:
            values[name] = "book"
    recursive = str(config.get(f"{_LORE}recursive"))
    strategy = str(config.get(f"{_LORE}insertion_strategy"))
    values |= {
        "recursive": _YES_OR_NO.get(recursive, "book"),
        "insertion_strategy": _STRATEGIES.get(strategy, Strategy.CHARACTER_FIRST),
    }
    return _validated(ScanSettings, values, _LORE)


def _validated(model: type[_Settings], values: Mapping[str, object], prefix: str) -> _Settings:
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        name = prefix + "_".join(str(part) for part in first["loc"])
        raise ContextError("bad_input", f"setting {name!r}: {first['msg'].lower()}") from exc


def _named(config: Mapping[str, object], prefix: str, names: tuple[str, ...]) -> dict[str, object]:
    return _renamed(config, {prefix + name: name for name in names})


def _renamed(config: Mapping[str, object], names: Mapping[str, str]) -> dict[str, object]:
    values = {new: config.get(name) for name, new in names.items()}
    return {name: value for name, value in values.items() if value is not None}


def _counter(context: NodeContext) -> TokenCounter:
    name = context.config.get("token_counter") or _ESTIMATE
    if name == _ESTIMATE:
        return estimate_tokens
    service = context.services.get(str(name))
    if not callable(service):
        reason = f"token counter {name!r} is neither '{_ESTIMATE}' nor a service of a pack"
        raise ContextError("bad_input", reason)
    return lambda text: int(service(text))


def _chance(seed: object) -> Callable[[], float]:
    if isinstance(seed, int) and seed >= 0:
        return random.Random(seed).random
    return random.random


def _zone(name: object) -> tzinfo:
    try:
        return ZoneInfo(str(name or "UTC"))
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        reason = f"time zone {name!r} is not known; expected a name such as Europe/Paris"
        raise ContextError("bad_input", reason) from exc

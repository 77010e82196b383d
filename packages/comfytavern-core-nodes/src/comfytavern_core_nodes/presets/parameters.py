"""What a preset says to the model: kept, dropped because it is private, or ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import JsonValue

from .fields import PresetFields, as_whole
from .model import Parameters

_NUMBERS = (
    "temperature",
    "frequency_penalty",
    "presence_penalty",
    "top_p",
    "top_k",
    "top_a",
    "min_p",
    "repetition_penalty",
)
# A shared preset must not decide where requests go, as whom, or to which model.
_PRIVATE = re.compile(
    r"model|url|proxy|password|secret|header|(?:^|_)(?:key|token|auth)(?:$|_)|api_?key"
    r"|custom_(?:include|exclude)_body|chat_completion_source",
    re.IGNORECASE,
)


def parameters_from(fields: PresetFields) -> Parameters:
    """Return the parameters for the model; a value that is no number is a warning."""
    parameters: Parameters = {}
    for key in _NUMBERS:
        value = fields.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            parameters[key] = value
        elif value is not None:
            fields.warn(f"{key} is no number and was left out")
    for key, name, least in (
        ("openai_max_tokens", "max_tokens", 1),
        ("seed", "seed", 0),
        ("n", "n", 2),
    ):
        number = as_whole(fields.get(key))
        if number is not None and number >= least:
            parameters[name] = number
    return parameters


def dropped_from(values: Mapping[str, JsonValue], read: set[str]) -> tuple[str, ...]:
    """Return the private fields that say something, sorted."""
    return tuple(
        sorted(
            key
            for key, value in values.items()
            if key not in read and _PRIVATE.search(key) and value and value is not True
        )
    )


def ignored_from(values: Mapping[str, JsonValue], read: set[str]) -> tuple[str, ...]:
    """Return the fields that nobody asked for and that are not private, sorted."""
    return tuple(sorted(key for key in values if key not in read and not _PRIVATE.search(key)))

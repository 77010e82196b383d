"""A pack's block in the configuration, held against the pack's own model.

What was given stays out of every text: it may be a secret. pydantic's own texts never
show it; those that a pack's validators write are cleaned of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails
from pydantic_core.core_schema import ErrorType

from ._pack import Pack, describe_error
from .errors import PackHookError

__all__ = ("SettingsProblem", "check_block", "describe_settings", "problems_of", "read_block")

SettingsProblem = tuple[tuple[str | int, ...], str]

HIDDEN = "<value>"
# A shorter text is cleaned away only where it stands alone; inside of words it is chance.
_LONG = 4
# pydantic's own problems, but those that quote what was given, or what a validator raised.
_QUOTING_NOTHING = frozenset(get_args(ErrorType)).difference(
    {
        "assertion_error",
        "get_attribute_error",
        "iteration_error",
        "mapping_type",
        "union_tag_invalid",
        "value_error",
    }
)


def read_block(model: type[BaseModel], block: object) -> BaseModel:
    """Return the settings that a block stands for; the block stays as it is.

    :raises ValidationError: it does not fit; ``problems_of`` says why without quoting it
    """
    return model.model_validate({} if block is None else _unshared(block))


def problems_of(error: ValidationError) -> tuple[SettingsProblem, ...]:
    """Return what does not fit and where, in texts that hold nothing of the block."""
    details = error.errors(include_url=False, include_context=False)
    return tuple((detail["loc"], _text_of(detail)) for detail in details)


def check_block(model: type[BaseModel], block: object) -> tuple[SettingsProblem, ...]:
    """Return what a model finds in a block; a model that breaks over it is a problem too."""
    try:
        read_block(model, block)
    except ValidationError as error:
        return problems_of(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # code of the pack: whatever it raises, it is an answer
        return (((), f"the pack's own check raised {type(error).__name__}"),)
    return ()


class _Schema(GenerateJsonSchema):
    # A default that JSON has no word for is left out, which is nothing to warn the host of.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  # pydantic's way


def describe_settings(pack: Pack) -> dict[str, Any] | None:  # Any: JSON
    """Return the JSON Schema of a pack's settings by their names in the configuration.

    It says what the model says, and nothing of what the operator gave.

    :raises PackHookError: the model cannot be described
    """
    if pack.settings_model is None:
        return None
    try:
        schema = pack.settings_model.model_json_schema(
            by_alias=True, mode="validation", schema_generator=_Schema
        )
        # What packs add to a schema may be anything; infinities have no word in JSON.
        plain: dict[str, Any] = json.loads(json.dumps(schema), parse_constant=lambda _: None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # code of the pack
        reason = f"its settings model cannot be described: {describe_error(error)}"
        raise PackHookError(
            pack.distribution, reason, version=pack.version, phase="settings"
        ) from error
    return plain


def _unshared(value: object) -> object:
    """Copy the containers, so that a validator which changes its input changes a copy."""
    if isinstance(value, dict):
        return {key: _unshared(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unshared(item) for item in value]
    return value


def _text_of(detail: ErrorDetails) -> str:
    text = detail["msg"]
    if detail["type"] in _QUOTING_NOTHING:
        return text
    for given in sorted(set(_texts_in(detail["input"])), key=len, reverse=True):
        plain = re.escape(given)
        pattern = plain if len(given) >= _LONG else rf"(?<!\w){plain}(?!\w)"
        text = re.sub(pattern, HIDDEN, text)
    return text


def _texts_in(value: object) -> Iterator[str]:
    """Yield the values inside a block the way in which a text may quote them."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_in(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts_in(item)
    elif isinstance(value, str):
        yield from filter(None, (value, value.strip(), repr(value)[1:-1]))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)

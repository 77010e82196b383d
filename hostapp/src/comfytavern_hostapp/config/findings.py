"""What pydantic reports about a configuration, in the words and places of its author."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .model import Config
from .origins import KeyPath, Origin, key_text, nearest_origin
from .problems import Problem
from .values import Unfit, found

_EXPECTED = {
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "tuple_type": "a list",
}
_HIDDEN = ("runner_settings",)


def problems_of(
    error: ValidationError, data: object, origins: Mapping[KeyPath, Origin]
) -> list[Problem]:
    """Tell each validation error as a problem with its key and its place."""
    return [_problem(detail, data, origins) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, data: object, origins: Mapping[KeyPath, Origin]) -> Problem:
    path = _path_in(data, detail["loc"])
    origin = nearest_origin(origins, path)[1]
    if path[:1] == ("runner_settings",) and isinstance(data, dict):
        path = (data["runner"], *path[1:])
    key = key_text(path)
    if detail["type"] == "extra_forbidden":
        return Problem(_unknown_key(path), origin, key)
    if detail["type"] == "missing":
        key = key_text((*path, detail["loc"][-1]))
        return Problem(f"key {key!r} is missing", origin, key)
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, Unfit):
        expected, wrong = cause.expected, cause.wrong
    else:
        expected, wrong = _EXPECTED.get(detail["type"], detail["msg"].lower()), None
    if detail["loc"][-1] == "[key]":
        return Problem(f"key {key!r} is named {found(path[-1])}; expected {expected}", origin, key)
    return Problem(
        f"key {key!r} {wrong or 'is ' + _shown(detail, path)}; expected {expected}", origin, key
    )


def _shown(detail: ErrorDetails, path: KeyPath) -> str:
    """A text that stands where a secret belongs may be the secret."""
    secret = path[:1] == ("secrets",) or path == ("server", "token")
    value: object = detail["input"]
    return "a text" if secret and isinstance(value, str) else found(value)


def _path_in(data: object, location: tuple[int | str, ...]) -> KeyPath:
    """Drop what pydantic adds to a location: tags of unions, '[key]', missing keys."""
    path: KeyPath = ()
    for part in location:
        if (isinstance(data, dict) and part in data) or (
            isinstance(data, list | tuple) and isinstance(part, int) and part < len(data)
        ):
            data = data[part]  # type: ignore[index]  # the part was found in it just now
            path = (*path, part)
    return path


def _unknown_key(path: KeyPath) -> str:
    key = key_text(path)
    siblings = _siblings(path[:-1])
    matches = difflib.get_close_matches(str(path[-1]), siblings, n=1)
    nearest = [key_text((*path[:-1], name)) for name in matches]
    nearest += [known for known in known_keys() if known.rpartition(".")[2] == path[-1]]
    if nearest:
        return f"unknown key {key!r}; did you mean {nearest[0]!r}?"
    return f"unknown key {key!r}; known here: {', '.join(siblings)}"


def known_keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of the file, blocks included."""
    for name, described in model.model_fields.items():
        if name in _HIDDEN:
            continue
        yield prefix + name
        annotation: Any = described.annotation  # pydantic types it as type, unions included
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from known_keys(annotation, f"{prefix}{name}.")


def _siblings(path: KeyPath) -> list[str]:
    """Return the keys of the block at ``path``."""
    model: type[BaseModel] = Config
    for part in path:
        described = model.model_fields.get(str(part))
        if described is None:
            continue  # the name of an entry, not of a field
        model = _block(described.annotation) or model
    return [name for name in model.model_fields if name not in _HIDDEN]


def _block(annotation: Any) -> type[BaseModel] | None:  # any annotation, however nested
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        found_block = _block(part)
        if found_block is not None:
            return found_block
    return None

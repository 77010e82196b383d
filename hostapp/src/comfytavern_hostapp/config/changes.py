"""In what two configurations differ, told by key: the values may be secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from .model import Config
from .origins import KeyPath

__all__ = ("changed_keys",)


def changed_keys(one: Config, other: Config) -> Iterator[KeyPath]:
    """Yield the key of each value that differs, as in the file and in its order.

    Lists count as one value.
    """
    runner = one.runner if other.runner == "local" else other.runner
    for path in _changed(_fields(one), _fields(other)):
        yield (runner, *path[1:]) if path[0] == "runner_settings" else path


def _changed(
    one: Mapping[str, object], other: Mapping[str, object], path: KeyPath = ()
) -> Iterator[KeyPath]:
    for key in dict.fromkeys((*one, *other)):
        before, after = _plain(one.get(key)), _plain(other.get(key))
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _changed(before, after, (*path, key))
        elif before != after or (key in one) is not (key in other):
            yield (*path, key)


def _plain(value: object) -> object:
    return _fields(value) if isinstance(value, BaseModel) else value


def _fields(model: BaseModel) -> Mapping[str, object]:
    return {name: getattr(model, name) for name in type(model).model_fields}

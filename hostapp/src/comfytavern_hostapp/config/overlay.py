"""Variables of the environment and flags, laid over what the file says.

The names follow from the model: ``COMFYTAVERN_<BLOCK>_<KEY>`` for every key that holds
one value or a list. Keys that hold a mapping are written in the file only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from comfytavern.errors import did_you_mean

from ..config_places import CONFIG_VARIABLE, PACKS_VARIABLE
from .model import Config
from .origins import FLAG, KeyPath, Origin
from .problems import Problem
from .references import SecretReference

PREFIX = "COMFYTAVERN_"


@dataclass(frozen=True, slots=True)
class Option:
    """A key that a variable or a flag can set."""

    path: tuple[str, ...]
    is_list: bool

    @property
    def key(self) -> str:
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        return PREFIX + "_".join(self.path).upper()


@dataclass(frozen=True, slots=True)
class Overlay:
    """One value that beats the file's."""

    path: tuple[str, ...]
    value: object
    origin: Origin


def options(model: type[BaseModel] = Config, path: tuple[str, ...] = ()) -> Iterator[Option]:
    """Yield every key that a variable or a flag can set, in the order of the file."""
    for name, described in model.model_fields.items():
        inner = (*path, name)
        annotation: Any = described.annotation  # pydantic types it as type, unions included
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from options(annotation, inner)
        elif not _mentions(annotation, dict):
            yield Option(inner, _mentions(annotation, tuple))


def _mentions(annotation: Any, kind: type) -> bool:  # any annotation, however nested
    origin = get_origin(annotation)
    return origin is kind or any(_mentions(part, kind) for part in get_args(annotation))


def environment_overlays(environment: Mapping[str, str]) -> list[Overlay]:
    """Return what the environment sets. An empty variable sets lists and texts only."""
    overlays: list[Overlay] = []
    for option in options():
        text = environment.get(option.variable)
        if text is None or not (text or option.is_list or option.key == "server.root_path"):
            continue
        value: object = split_list(text) if option.is_list else text
        if option.key == "server.token" and SecretReference.parse(text) is None:
            # The environment is where a secret belongs, so the token itself may stand here.
            value = SecretReference("env", option.variable)
        overlays.append(Overlay(option.path, value, Origin("environment", option.variable)))
    packs = environment.get(PACKS_VARIABLE)
    if packs is not None:
        origin = Origin("environment", PACKS_VARIABLE)
        overlays.append(Overlay(("packs", "enabled"), split_list(packs), origin))
    return overlays


def split_list(text: str) -> object:
    """Read ``a, b`` as a list, nothing as an empty one and ``*`` as it is."""
    if text.strip() == "*":
        return "*"
    return [item.strip() for item in text.split(",") if item.strip()]


def misspelt_variables(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return a warning for each variable that looks like one of ours and is none.

    Not an error: container platforms invent variables such as COMFYTAVERN_SERVER_PORT_TCP.
    """
    known = {option.variable for option in options()} | {PACKS_VARIABLE, CONFIG_VARIABLE}
    blocks = tuple(f"{PREFIX}{option.path[0].upper()}_" for option in options() if option.path[1:])
    return tuple(
        f"variable {name!r} sets nothing{hint}"
        for name in sorted(environment)
        if name.startswith(blocks) and name not in known and (hint := did_you_mean(name, known))
    )


def flag_overlays(flags: Mapping[str, object]) -> tuple[list[Overlay], list[Problem]]:
    """Return what the flags set, by dotted key, and the keys that do not exist.

    None means that the flag was not given.
    """
    known = {option.key: option for option in options()}
    overlays: list[Overlay] = []
    problems: list[Problem] = []
    for key, value in flags.items():
        if value is None:
            continue
        option = known.get(key)
        if option is None:
            hint = did_you_mean(key, known)
            problems.append(Problem(f"no flag sets the key {key!r}{hint}", FLAG, key))
            continue
        if option.is_list and isinstance(value, str):
            value = split_list(value)
        overlays.append(Overlay(option.path, value, FLAG))
    return overlays, problems


def apply(overlays: list[Overlay], data: dict[str, object], origins: dict[KeyPath, Origin]) -> None:
    """Write the overlays into ``data`` in their order, and who gave them into ``origins``."""
    for overlay in overlays:
        *blocks, key = overlay.path
        target: object = data
        for block in blocks:
            if not isinstance(target, dict):
                break
            if target.get(block) is None:
                target[block] = {}
            target = target[block]
        if isinstance(target, dict):  # otherwise the block in the file is wrong, and told
            target[key] = overlay.value
            depth = len(overlay.path)
            for path in [path for path in origins if path[:depth] == overlay.path]:
                del origins[path]
            origins[overlay.path] = overlay.origin

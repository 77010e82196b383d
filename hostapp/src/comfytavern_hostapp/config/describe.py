"""The effective configuration as rows: what ``config show`` and ``config check`` print."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from .model import Config
from .origins import KeyPath, key_text, parse_key
from .problems import Problem, SecretUnresolvedError
from .references import SHOWN_SECRET, SecretReference
from .values import Unfit, distribution_name

_SECRET_KEY = re.compile(
    r"(?:^|[^a-z])(?:api[_-]?key|key|token|secret|password|passwd|passphrase|auth"
    r"|authorization|credential|cookie)s?$",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_SECRET_QUERY = re.compile(r"([?&](?:[\w-]*(?:key|token|secret|password))=)[^&\s#]+", re.IGNORECASE)


def describe(config: Config) -> list[tuple[str, str, str]]:
    """Return a row per effective value: dotted key, shown value, origin.

    References to secrets are shown as references. A text in a pack's own block whose key
    names a secret is shown as ``<secret>``: only the pack's model could refuse it there.
    """
    shown: dict[str, object] = config.model_dump(mode="json")
    runner_block = shown.pop("runner_settings")
    raw_blocks: tuple[KeyPath, ...] = tuple(
        ("packs", "settings", name) for name in config.packs.settings
    )
    if config.runner != "local":
        shown[config.runner] = runner_block
        raw_blocks += ((config.runner,),)
    rows: list[tuple[str, str, str]] = []
    for path, value in _leaves(shown, ()):
        block = _block_of(path, raw_blocks)
        text = _text(value if block is None else _masked(path[len(block) :], value))
        rows.append((key_text(path), text, str(config.provenance.exact(path))))
    return rows


def _block_of(path: KeyPath, raw_blocks: tuple[KeyPath, ...]) -> KeyPath | None:
    return next((block for block in raw_blocks if path[: len(block)] == block), None)


def _leaves(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    else:
        yield path, value


def _masked(path: KeyPath, value: object) -> object:
    if isinstance(value, list):
        return [_masked(path, item) for item in value]
    if value in ("", None) or isinstance(value, bool | dict):
        return value
    if isinstance(value, str) and SecretReference.parse(value) is not None:
        return value
    names = [part for part in path if isinstance(part, str) and _SECRET_KEY.search(_snake(part))]
    if not isinstance(value, str):
        # A number of tokens is none; a number as a password is one.
        return SHOWN_SECRET if names and not names[-1].endswith("s") else value
    if names:
        return SHOWN_SECRET
    return _SECRET_QUERY.sub(rf"\1{SHOWN_SECRET}", _USER_INFO.sub(SHOWN_SECRET, value))


def _snake(key: str) -> str:
    return _CAMEL.sub("_", key)


def _text(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, str):
        return value if value.isprintable() else json.dumps(value)
    return json.dumps(value)


def locate(config: Config, path: str | Sequence[str | int]) -> str:
    """Return where a value stands: ``file:line``, or who gave it (``default``, ``flag``).

    For errors of a pack's own model: ``path`` is a dotted key, or ``("packs", "settings",
    name)`` with the location that pydantic gives. What does not exist is located at the
    closest thing around it; a distribution may be spelt in any way.

    :raises ValueError: a text that is no dotted key
    """
    parts = list(parse_key(path) if isinstance(path, str) else path)
    if parts[:2] == ["packs", "settings"] and len(parts) > 2:
        try:
            parts[2] = distribution_name(parts[2])
        except Unfit:
            pass
    return config.provenance.nearest(parts).place


def unresolved_references(
    config: Config, environment: Mapping[str, str] | None = None
) -> tuple[Problem, ...]:
    """Return a problem for each reference of the host's own blocks that leads nowhere.

    Reads files. References in packs' blocks are the packs' to resolve.

    :param environment: in place of ``os.environ``
    """
    references: list[tuple[KeyPath, SecretReference]] = [
        (("secrets", name, "value"), entry.value) for name, entry in config.secrets.items()
    ]
    if config.server.token is not None:
        references.insert(0, (("server", "token"), config.server.token))
    problems: list[Problem] = []
    for path, reference in references:
        try:
            reference.resolve(environment)
        except SecretUnresolvedError as exc:
            key = key_text(path)
            origin = config.provenance.nearest(path)
            problems.append(Problem(f"key {key!r}: {exc}", origin, key))
    return tuple(problems)

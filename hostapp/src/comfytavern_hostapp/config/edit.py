"""Enabling and disabling packs in the file, touching nothing else in it.

The text is changed at the positions of its nodes (``splice``), so comments, order, quotes,
spacing and line ends stay byte for byte. (A round trip through ruamel.yaml loses the comment
behind a removed item and indents the whole file anew.) Each result is read back and
compared with what was meant before anything is written.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from .problems import ConfigError, Problem
from .source import Source, parse_source
from .splice import PacksText
from .syntax import decode, read_bytes
from .values import Unfit, distribution_name

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def enable_pack(path: str | Path, name: str) -> bool:
    """Let a pack run: take it from ``disabled``, add it to ``enabled`` if that is a list.

    :return: whether anything changed; a missing file enables every pack and is not made
    :raises ConfigError: the file cannot be read, understood, changed or written
    """
    return _edit(Path(path), name, enable=True)


def disable_pack(path: str | Path, name: str) -> bool:
    """Keep a pack from running: add it to ``disabled``, take it from an ``enabled`` list.

    The file is made, with its directory, when it does not exist.

    :return: whether anything changed
    :raises ConfigError: the file cannot be read, understood, changed or written
    """
    return _edit(Path(path), name, enable=False)


def _edit(path: Path, name: str, *, enable: bool) -> bool:
    try:
        name = distribution_name(name)
    except Unfit as exc:
        raise ConfigError([Problem(f"{name!r} is not {exc.expected}")]) from exc
    target = Path(os.path.realpath(path))  # a link stays a link
    data = read_bytes(target) if target.exists() else b""
    mark = _BYTE_ORDER_MARK if data.startswith(_BYTE_ORDER_MARK) else b""
    source = parse_source(data, str(path))
    before = _split(source)
    wanted = _changed(before, name, enable=enable)
    if wanted == before:
        return False
    text = decode(data.removeprefix(mark), str(path))
    result = _rewrite(text, before, wanted, name)
    if result is None:
        verb, key = ("enable", "enabled") if enable else ("disable", "disabled")
        origin = source.origins.get(("packs", key)) or source.origins.get(("packs",))
        message = f"cannot {verb} pack {name!r} in a file written like this; edit 'packs' by hand"
        raise ConfigError([Problem(message, origin, f"packs.{key}")])
    _replace(target, mark + result.encode())
    return True


_Parts = tuple[dict[str, object], dict[str, object], object, list[object]]
"""The file without ``packs``, the rest of ``packs``, ``packs.enabled``, ``packs.disabled``."""


def _split(source: Source) -> _Parts:
    problems = list(source.problems)
    packs = source.data.get("packs")
    packs = {} if packs is None else packs
    if not isinstance(packs, dict):
        problems.append(_misfit(source, ("packs",), "a mapping"))
        packs = {}
    enabled, disabled = packs.get("enabled", "*"), packs.get("disabled")
    disabled = [] if disabled is None else disabled
    if not (enabled in ("*", None) or isinstance(enabled, list)):
        problems.append(_misfit(source, ("packs", "enabled"), "'*' or a list"))
    if not isinstance(disabled, list):
        problems.append(_misfit(source, ("packs", "disabled"), "a list"))
        disabled = []
    if problems:
        raise ConfigError(problems)
    rest = {key: value for key, value in packs.items() if key not in ("enabled", "disabled")}
    others = {key: value for key, value in source.data.items() if key != "packs"}
    return others, rest, enabled, disabled


def _misfit(source: Source, path: tuple[str, ...], expected: str) -> Problem:
    key = ".".join(path)
    return Problem(f"key {key!r} is not {expected}", source.origins.get(path), key)


def _changed(parts: _Parts, name: str, *, enable: bool) -> _Parts:
    others, rest, enabled, disabled = parts
    if enable:
        disabled = _without(disabled, name)
        if enabled != "*":
            enabled = _with(enabled if isinstance(enabled, list) else [], name)
    else:
        disabled = _with(disabled, name)
        if isinstance(enabled, list):
            enabled = _without(enabled, name)
    return others, rest, enabled, disabled


def _without(names: list[object], name: str) -> list[object]:
    return [item for item in names if not is_same(item, name)]


def _with(names: list[object], name: str) -> list[object]:
    return names if any(is_same(item, name) for item in names) else [*names, name]


def is_same(item: object, name: str) -> bool:
    """Tell whether an item of a list spells the distribution of this normalised name."""
    try:
        return distribution_name(item) == name
    except Unfit:
        return False


def _rewrite(text: str, before: _Parts, wanted: _Parts, name: str) -> str | None:
    """Return the text changed from ``before`` to ``wanted``, None if that cannot be done."""
    packs = PacksText(text)
    try:
        for key, old, new in zip(("enabled", "disabled"), before[2:], wanted[2:], strict=True):
            if old == new:
                continue
            items = old if isinstance(old, list) else []
            kept = new if isinstance(new, list) else []
            for index in reversed(range(len(items))):
                if is_same(items[index], name) and len(kept) < len(items):
                    packs.remove(key, index)
            if len(kept) > len(items):
                packs.append(key, name)
        result = _split(parse_source(packs.text.encode(), ""))
    except (ConfigError, ValueError):
        return None
    return packs.text if result == wanted else None


def _replace(target: Path, data: bytes) -> None:
    """Write the file whole or not at all, with the permissions it had."""
    temporary = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, target.stat().st_mode & 0o7777 if target.exists() else 0o644)
        os.replace(temporary, target)
    except OSError as exc:
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)
        reason = (exc.strerror or str(exc)).lower()
        message = f"config file {str(target)!r} cannot be written: {reason}"
        raise ConfigError([Problem(message)]) from exc

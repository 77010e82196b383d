"""The text of a configuration as YAML nodes, which know their positions.

Only nodes are composed, with a loader that knows text, numbers, truth values, null and
merge keys of YAML 1.2 and nothing else: no tag ever constructs an object. Size, depth
and count are bounded while composing.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from .origins import Origin
from .problems import ConfigError, Problem

MAX_BYTES = 1024 * 1024
MAX_NODES = 50_000
MAX_DEPTH = 40

TAG = "tag:yaml.org,2002:"
_FLOAT = (
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
)
_SCALARS = (
    ("null", r"(?:~|null|Null|NULL|)\Z", ["~", "n", "N", ""]),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    ("int", r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
    ("merge", r"<<\Z", ["<"]),
)


class Refused(Exception):
    """Reading ends here: going on would cost too much or mean nothing."""

    def __init__(self, message: str, mark: yaml.Mark) -> None:
        self.message = message
        self.mark = mark
        super().__init__(message)


# Not the C loader: its composer recurses without a bound and ends the process.
class _Loader(yaml.SafeLoader):
    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        self._count += 1
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # stubs
        if self._depth > MAX_DEPTH:
            raise Refused(f"nested deeper than {MAX_DEPTH} levels", mark)
        if self._count > MAX_NODES:
            raise Refused(f"more than {MAX_NODES} values", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


# YAML 1.2 as editors and other tools read it: 'no', '012' and '8:21' are no surprise.
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(TAG + _name, re.compile(_pattern), _first)


def read_bytes(path: Path) -> bytes:
    """Read a configuration file, within the size that one may have.

    :raises ConfigError: it cannot be read, or is too large
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise ConfigError(
            [Problem(f"config file {str(path)!r} cannot be read: {reason.lower()}")]
        ) from exc
    if len(data) > MAX_BYTES:
        raise ConfigError([Problem(f"config file {str(path)!r} is larger than {MAX_BYTES} bytes")])
    return data


def decode(data: bytes, name: str) -> str:
    """Decode the bytes of a configuration.

    :raises ConfigError: they are not UTF-8
    """
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as exc:
        before = data[: exc.start]
        origin = Origin("file", name, before.count(b"\n") + 1, exc.start - before.rfind(b"\n"))
        message = f"not UTF-8: byte 0x{data[exc.start]:02x}; save the file as UTF-8"
        raise ConfigError([Problem(message, origin)]) from exc


def compose(text: str, name: str) -> yaml.Node | None:
    """Parse a text into nodes that know their positions; None if it holds nothing.

    :raises ConfigError: it is not one document of YAML within the limits
    """
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except Refused as exc:
        raise ConfigError([Problem(exc.message, position(name, exc.mark))]) from exc
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        origin = position(name, mark) if mark else Origin("file", name, 1, 1)
        raise ConfigError([Problem(_syntax_message(exc, text), origin)]) from exc
    except yaml.reader.ReaderError as exc:
        before = text[: exc.position]
        origin = Origin("file", name, before.count("\n") + 1, len(before) - before.rfind("\n"))
        message = f"character U+{ord(text[exc.position]):04X} cannot stand in YAML; remove it"
        raise ConfigError([Problem(message, origin)]) from exc
    except (ValueError, OverflowError) as exc:
        # An escape such as "\UFFFFFFFF"; PyYAML does not say where.
        message = "not YAML: an escape that names no character"
        raise ConfigError([Problem(message, Origin("file", name, 1))]) from exc
    return node


def _syntax_message(exc: yaml.MarkedYAMLError, text: str) -> str:
    mark = exc.problem_mark
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        return "a tab cannot indent YAML; use spaces"
    if exc.problem == "but found another document":
        return "a second document begins here; the configuration is one document"
    problem = exc.problem or "a part is missing"
    if exc.context is None or exc.context_mark is None:
        return f"not YAML: {problem}"
    return f"not YAML: {problem} ({exc.context}, line {exc.context_mark.line + 1})"


def position(name: str, mark: yaml.Mark) -> Origin:
    return Origin("file", name, mark.line + 1, mark.column + 1)

"""Card text (JSON, YAML, base64 of a text chunk) to plain JSON values.

Whatever leaves here is finite: text is valid Unicode, numbers are finite, nesting is bounded.
"""

from __future__ import annotations

import base64
import json
import math
import re
from typing import NoReturn

import yaml
from pydantic import JsonValue

from .errors import CardError, CardErrorCode
from .limits import MAX_DEPTH, MAX_JSON_MARKS, MAX_TEXT_BYTES, MAX_YAML_BYTES, MAX_YAML_NODES

_BASE64 = re.compile(rb"[A-Za-z0-9+/]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_YAML_CORE = frozenset({"str", "int", "float", "bool", "null", "seq", "map"})
_YAML_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None}
_YAML_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_YAML_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]{1,2})?")


def parse_json(data: bytes, source: str) -> dict[str, JsonValue]:
    """Read the JSON object in ``data``: UTF-8, with or without a byte order mark.

    :raises CardError: ``bad_utf8``, ``bad_json``, ``not_an_object`` or ``too_large``
    """
    text = _decoded(data, source)
    if sum(map(text.count, ",[{")) > MAX_JSON_MARKS:
        raise CardError("too_large", "the JSON text has too many values for a card", source)
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as exc:
        raise _too_deep("bad_json", source) from exc
    except json.JSONDecodeError as exc:
        reason = f"{exc.msg.lower()} at line {exc.lineno}, column {exc.colno}"
        raise CardError("bad_json", reason, source) from exc
    except ValueError as exc:
        reason = "a number is not finite or has too many digits"
        raise CardError("bad_json", reason, source) from exc
    return _object(_plain(value, 0, source), source)


def parse_yaml(data: bytes, source: str) -> dict[str, JsonValue]:
    """Read the YAML mapping in ``data`` with the scalars of JSON only.

    Dates stay text, ``yes`` and ``no`` are words, a tag outside the core schema is refused.

    :raises CardError: ``bad_utf8``, ``bad_yaml``, ``not_an_object`` or ``too_large``
    """
    if len(data) > MAX_YAML_BYTES:
        reason = f"the YAML text is longer than {MAX_YAML_BYTES} bytes"
        raise CardError("too_large", reason, source)
    text = _decoded(data, source)
    try:
        root = yaml.compose(text, Loader=_BoundedLoader)
    except RecursionError as exc:
        raise _too_deep("bad_yaml", source) from exc
    except _TooManyNodes as exc:
        raise _too_many(source) from exc
    except yaml.MarkedYAMLError as exc:
        where = f" at line {exc.problem_mark.line + 1}" if exc.problem_mark else ""
        raise CardError("bad_yaml", f"{exc.problem or 'not YAML'}{where}", source) from exc
    except (yaml.YAMLError, ValueError, OverflowError) as exc:
        raise CardError("bad_yaml", "the text has a character YAML does not allow", source) from exc
    if root is None:
        raise CardError("not_an_object", "the file holds no YAML mapping", source)
    return _object(_YamlValues(source).value(root, 0), source)


def parse_chunk_text(text: bytes, source: str) -> dict[str, JsonValue]:
    """Read the JSON object in a text chunk: base64 with any line breaks, or JSON as it stands.

    :raises CardError: ``bad_base64`` and what :func:`parse_json` raises
    """
    packed = b"".join(text.split())
    if packed.startswith(b"{"):
        return parse_json(text, source)
    digits = packed.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    if not _BASE64.fullmatch(digits) or len(digits) % 4 == 1:
        raise CardError("bad_base64", "the card chunk is neither base64 nor JSON", source)
    return parse_json(base64.b64decode(digits + b"=" * (-len(digits) % 4)), source)


def _decoded(data: bytes, source: str) -> str:
    if len(data) > MAX_TEXT_BYTES:
        reason = f"the card text is longer than {MAX_TEXT_BYTES} bytes"
        raise CardError("too_large", reason, source)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        reason = f"byte {exc.start} is no UTF-8; a card is PNG, CHARX, YAML or JSON"
        raise CardError("bad_utf8", reason, source) from exc


def _plain(value: object, depth: int, source: str) -> JsonValue:
    """Copy parsed JSON, bounding depth and replacing what cannot be written as UTF-8 again."""
    if depth > MAX_DEPTH:
        raise _too_deep("bad_json", source)
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, dict):
        return {_clean(key): _plain(item, depth + 1, source) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1, source) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise CardError("bad_json", "a number is too large", source)
    if value is None or isinstance(value, int | float):
        return value
    raise CardError("bad_json", "the text holds a value that is not JSON", source)


class _TooManyNodes(yaml.YAMLError):
    """Ends composing; never leaves this module."""


class _BoundedLoader(yaml.BaseLoader):
    """Composes nodes up to the limit: megabytes of tiny values would take ten seconds."""

    composed = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.composed += 1
        if self.composed > MAX_YAML_NODES:
            raise _TooManyNodes
        return super().compose_node(parent, index)


class _YamlValues:
    """Turns composed YAML nodes into JSON values; counts them, so that alias bombs end early."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._left = MAX_YAML_NODES

    def value(self, node: yaml.Node, depth: int) -> JsonValue:
        self._left -= 1
        if self._left < 0:
            raise _too_many(self._source)
        if depth > MAX_DEPTH:  # also how a list that contains itself ends
            raise _too_deep("bad_yaml", self._source)
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _YAML_CORE:
            raise CardError("bad_yaml", f"the tag {node.tag!r} is not supported", self._source)
        if isinstance(node, yaml.MappingNode):
            return {self._key(key): self.value(item, depth + 1) for key, item in node.value}
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, depth + 1) for item in node.value]
        # Only a plain scalar can be a number or a word; quotes and blocks always mean text.
        plain = isinstance(node, yaml.ScalarNode) and not node.style
        return _yaml_scalar(node.value) if plain else _clean(node.value)

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise CardError("bad_yaml", "a key is a list or a mapping", self._source)
        return _clean(node.value)


def _yaml_scalar(text: str) -> JsonValue:
    if not text:
        return None
    if text.lower() in _YAML_WORDS:
        return _YAML_WORDS[text.lower()]
    if _YAML_INTEGER.fullmatch(text):
        return int(text)
    if _YAML_FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return _clean(text)


def _clean(text: str) -> str:
    # Half a surrogate pair can be escaped in JSON and YAML, but no UTF-8 output can carry it.
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _object(value: JsonValue, source: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise CardError("not_an_object", "the card is not an object with named fields", source)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _too_many(source: str) -> CardError:
    return CardError("too_large", f"the YAML text has more than {MAX_YAML_NODES} values", source)


def _too_deep(code: CardErrorCode, source: str) -> CardError:
    return CardError(code, f"lists and objects are nested more than {MAX_DEPTH} deep", source)

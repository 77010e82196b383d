"""A YAML file as plain data, with the line of every key and item.

Aliases count each time they are used, so that a small file cannot become a large value.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from .origins import KeyPath, Origin, key_text
from .problems import ConfigError, Problem
from .syntax import MAX_DEPTH, MAX_NODES, TAG, Refused, compose, decode, position, read_bytes

MAX_DIGITS = 40


@dataclass(frozen=True, slots=True)
class Source:
    """What a file holds, where each value stands, and what is wrong with single keys."""

    name: str = ""
    path: Path | None = None
    data: dict[str, object] = field(default_factory=dict)
    origins: dict[KeyPath, Origin] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def read_source(path: Path) -> Source:
    """Read a file whole.

    :raises ConfigError: it cannot be read, or not be understood as one mapping
    """
    return parse_source(read_bytes(path), str(path), path)


def parse_source(data: bytes, name: str, path: Path | None = None) -> Source:
    """Read the bytes of a file named ``name``.

    :raises ConfigError: they are not one mapping in YAML, within the limits
    """
    node = compose(decode(data, name), name)
    reader = _Reader(name)
    try:
        value = None if node is None else reader.value(node, ())
    except Refused as exc:
        raise ConfigError([Problem(exc.message, position(name, exc.mark))]) from exc
    if value is None:
        value = {}
    if not isinstance(value, dict):
        kind = "a list" if isinstance(value, list) else "a single value"
        origin = position(name, node.start_mark) if node is not None else None
        raise ConfigError([Problem(f"the file holds {kind}; expected a mapping of keys", origin)])
    absolute = None if path is None else Path(os.path.abspath(path))
    return Source(name, absolute, value, reader.origins, tuple(reader.problems))


_Entries = dict[str, tuple[yaml.Node, yaml.Node]]


class _Reader:
    """Turns nodes into plain data and notes where each came from."""

    def __init__(self, name: str) -> None:
        self.origins: dict[KeyPath, Origin] = {}
        self.problems: list[Problem] = []
        self._name = name
        self._count = 0

    def value(self, node: yaml.Node, path: KeyPath, depth: int = 0) -> object:
        self._spend(node, depth)
        if isinstance(node, yaml.MappingNode):
            self._refuse_tag(node, "map", path)
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            self._refuse_tag(node, "seq", path)
            items: list[object] = []
            for index, item in enumerate(node.value):
                self.origins[(*path, index)] = position(self._name, item.start_mark)
                items.append(self.value(item, (*path, index), depth + 1))
            return items
        return self._scalar(node, path)

    def _spend(self, node: yaml.Node, depth: int) -> None:
        """Aliases make a small file large, or endless."""
        self._count += 1
        if depth > MAX_DEPTH:
            raise Refused("an alias holds itself, or nests too deep", node.start_mark)
        if self._count > MAX_NODES:
            raise Refused(
                f"more than {MAX_NODES} values once aliases are followed", node.start_mark
            )

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, object]:
        result: dict[str, object] = {}
        for key, (key_node, value_node) in self._entries(node, path, depth).items():
            inner = (*path, key)
            self.origins[inner] = position(self._name, key_node.start_mark)
            result[key] = self.value(value_node, inner, depth + 1)
        return result

    def _entries(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> _Entries:
        """Return the entries by key: its own first, then those of merge keys."""
        entries: _Entries = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            self._spend(key_node, depth)
            if key_node.tag == TAG + "merge":
                merged += (
                    value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                )
                continue
            key = self._key(key_node, path)
            if key is None:
                continue
            if key in entries:
                line = entries[key][0].start_mark.line + 1
                text = (
                    f"key {key_text((*path, key))!r} is written twice; the first is on line {line}"
                )
                self._note(text, key_node, (*path, key))
            else:
                entries[key] = (key_node, value_node)
        for other in merged:
            if isinstance(other, yaml.MappingNode):
                entries = self._entries(other, path, depth + 1) | entries
            else:
                self._note("merge key '<<' holds no mapping", other, path)
        return entries

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag == TAG + "str":
            value = self._scalar(node, path)
            return value if isinstance(value, str) else None
        shown = node.value[:MAX_DIGITS] if isinstance(node, yaml.ScalarNode) else "a collection"
        where = f"in {key_text(path)!r}" if path else "at the top level"
        self._note(f"key {shown!r} {where} is not text; put it in quotes", node, path)
        return None

    def _scalar(self, node: yaml.Node, path: KeyPath) -> object:
        text: str = node.value
        kind = node.tag.removeprefix(TAG)
        if kind in ("str", "merge"):
            if any("\ud800" <= character <= "\udfff" for character in text):
                self._note(f"key {key_text(path)!r} holds half a character", node, path)
            return text
        try:
            return _plain_value(kind, text)
        except ValueError:
            self._note(f"key {key_text(path)!r} holds a number that cannot be read", node, path)
        except KeyError:
            self._refuse_tag(node, "str", path)
        return None

    def _refuse_tag(self, node: yaml.Node, kind: str, path: KeyPath) -> None:
        if node.tag != TAG + kind:
            tag = node.tag.replace(TAG, "!!")
            where = f"key {key_text(path)!r}" if path else "the file"
            self._note(f"{where} has the tag {tag!r}; remove the tag", node, path)

    def _note(self, message: str, node: yaml.Node, path: KeyPath) -> None:
        self.problems.append(
            Problem(message, position(self._name, node.start_mark), key_text(path))
        )


def _plain_value(kind: str, text: str) -> object:
    """Convert a scalar; KeyError for a kind that is not plain data."""
    if kind == "null":
        return None
    if kind == "bool":
        return {"true": True, "false": False}[text.lower()]
    if kind not in ("int", "float"):
        raise KeyError(kind)
    if len(text) > MAX_DIGITS:
        raise ValueError(text)
    if kind == "int":
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))

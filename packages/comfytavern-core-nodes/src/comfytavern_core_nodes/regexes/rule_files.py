"""Files of rules: JSON or YAML, plain rules or SillyTavern's scripts, alone or in a list."""

from __future__ import annotations

import json
from collections.abc import Mapping

import yaml

from comfytavern.errors import ComfyTavernError
from comfytavern.types import describe_value

from .rules import Rule, is_script, read_rule

__all__ = ("MAX_RULE_FILE", "RuleFileError", "read_rule_file")

MAX_RULE_FILE = 4 * 1024 * 1024
_MAX_YAML = 1024 * 1024  # its parser is pure Python and slow
_MAX_NODES = 50_000
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_TRUTHS = frozenset({"enabled", "disabled", "markdownOnly", "promptOnly", "runOnEdit"})
_NUMBERS = frozenset({"minDepth", "maxDepth", "substituteRegex"})


class RuleFileError(ComfyTavernError):
    """A file holds no usable rules; ``index`` says which one is to blame, if it is one."""

    code = "regex_rules_unreadable"

    def __init__(self, source: str, reason: str, index: int | None = None) -> None:
        self.source = source
        self.reason = reason
        self.index = index
        where = "" if index is None else f"rule [{index}]: "
        super().__init__(f"regex rules {source!r} cannot be read: {where}{reason}")


def read_rule_file(data: bytes, source: str) -> list[Rule]:
    """Read the rules of a file; one without a name is called by its place.

    A large file takes a while, so keep this off an event loop.

    :param source: the file's name; its ending may say that it is YAML
    :raises RuleFileError: it holds something else
    """
    rules: list[Rule] = []
    for index, item in enumerate(_items(_parsed(data, source), source)):
        try:
            rules.append(read_rule(item, f"rule {index + 1}"))
        except ValueError as exc:
            raise RuleFileError(source, str(exc), index) from exc
    return rules


def _items(value: object, source: str) -> list[object]:
    if is_script(value):
        return [value]
    if isinstance(value, Mapping) and "rules" in value:
        value = value["rules"]
    if not isinstance(value, list):
        expected = "expected a list of rules, an object with 'rules', or a SillyTavern script"
        raise RuleFileError(source, f"it holds {describe_value(value)}; {expected}")
    return value


def _parsed(data: bytes, source: str) -> object:
    if len(data) > MAX_RULE_FILE:
        raise RuleFileError(source, f"it has more than {MAX_RULE_FILE} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise RuleFileError(source, f"byte {exc.start} is no UTF-8") from exc
    ending = source.lower().rpartition(".")[2]
    looks_like_json = ending == "json" or text.lstrip()[:1] in ("[", "{")
    if ending not in ("yaml", "yml") and looks_like_json:
        return _json(text, source)
    return _yaml(text, source)


def _json(text: str, source: str) -> object:
    try:
        value: object = json.loads(text)
    except json.JSONDecodeError as exc:
        reason = f"{exc.msg.lower()} at line {exc.lineno}, column {exc.colno}"
        raise RuleFileError(source, reason) from exc
    except (ValueError, RecursionError) as exc:
        raise RuleFileError(source, "a number is too long, or lists are too deep") from exc
    return value


class _Loader(yaml.BaseLoader):
    """Reads every scalar as text, knows no tags, and stops at a bound."""

    composed = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.composed += 1
        if self.composed > _MAX_NODES:
            raise yaml.YAMLError
        return super().compose_node(parent, index)


def _yaml(text: str, source: str) -> object:
    if len(text) > _MAX_YAML:
        raise RuleFileError(source, f"the YAML text has more than {_MAX_YAML} characters")
    try:
        value: object = yaml.load(text, _Loader)  # the base loader makes nothing but text
    except yaml.MarkedYAMLError as exc:
        where = f" at line {exc.problem_mark.line + 1}" if exc.problem_mark else ""
        raise RuleFileError(source, f"{exc.problem or 'not YAML'}{where}") from exc
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as exc:
        reason = f"the YAML is too deep, has more than {_MAX_NODES} values or odd characters"
        raise RuleFileError(source, reason) from exc
    if isinstance(value, Mapping) and isinstance(value.get("rules"), list):
        return [_typed(item) for item in value["rules"]]
    return [_typed(item) for item in value] if isinstance(value, list) else _typed(value)


def _typed(item: object) -> object:
    """Give the fields of a rule the kinds that they have in JSON.

    By name and not by look: a pattern such as ``123`` or ``no`` is text without quotes, too.
    """
    if not isinstance(item, Mapping):
        return item
    typed: dict[object, object] = {}
    for key, value in item.items():
        if key in _TRUTHS and isinstance(value, str):
            typed[key] = _WORDS.get(value.lower(), value)
        elif key in _NUMBERS or key == "placement":
            typed[key] = list(map(_number, value)) if isinstance(value, list) else _number(value)
        elif key == "script":
            typed[key] = _typed(value)
        else:
            typed[key] = value
    return typed


def _number(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    return int(value) if value.lstrip("-").isdecimal() and len(value) < 10 else value

"""What keys and decorators mean, against the case file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfytavern_core_nodes.worldbooks import InProcessMatcher, PatternFault
from comfytavern_core_nodes.worldbooks.decorators import parse_decorators
from comfytavern_core_nodes.worldbooks.keys import (
    PatternKey,
    PlainKey,
    keys_of_text,
    parse_key,
    pattern_key,
    split_keys,
)

CASES = json.loads((Path(__file__).parent / "cases" / "worldinfo_parsing.json").read_text("utf-8"))


def params(group: str) -> list[Any]:
    return [
        pytest.param(case["input"], case["expected"], id=case["input"]) for case in CASES[group]
    ]


def test_number_of_cases() -> None:
    groups = ("parse_regex_key", "decorators", "split_keys")
    assert [len(CASES[group]) for group in groups] == [15, 11, 11]


@pytest.mark.parametrize(("text", "expected"), params("parse_regex_key"))
def test_regex_keys(text: str, expected: dict[str, str] | None) -> None:
    key = pattern_key(text)
    if key is not None:
        (verdict,) = InProcessMatcher()([(key.pattern, key.flags)], "")
        key = None if isinstance(verdict, PatternFault) else key
    # JavaScript shows line breaks in a pattern as escapes.
    shown = key and {"source": key.pattern.replace("\n", "\\n"), "flags": key.flags}
    assert shown == expected


@pytest.mark.parametrize(("text", "expected"), params("decorators"))
def test_decorators(text: str, expected: dict[str, Any]) -> None:
    decorators, content = parse_decorators(text)
    assert {"decorators": list(decorators), "content": content} == expected


@pytest.mark.parametrize(("text", "expected"), params("split_keys"))
def test_split_keys(text: str, expected: list[str]) -> None:
    assert split_keys(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" a ,, b ", ["a", "b"]),
        ("", []),
        ("\ufeffa,\u3000b", ["a", "b"]),
        ("/a,b/,c", ["/a,b/", "c"]),
    ],
)
def test_keys_given_as_one_text(text: str, expected: list[str]) -> None:
    assert keys_of_text(text) == expected


@pytest.mark.parametrize("text", ["", "  ", "\u3000\ufeff"])
def test_blank_keys_are_none(text: str) -> None:
    assert parse_key(text) is None


def test_blanks_are_those_of_javascript() -> None:
    key = parse_key("\u00a0\x85two\ufeffwords ")
    assert isinstance(key, PlainKey)
    assert (key.text, key.word) == ("\x85two\ufeffwords", False)
    one = parse_key("one\x85word")
    assert isinstance(one, PlainKey)
    assert one.word
    assert isinstance(parse_key(" /x/i "), PatternKey)

"""The type table: what connects, how values convert, what fits, and how numbers print."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from comfytavern.types import (
    ABSENT,
    DataFlowType,
    MatchCategory,
    SlotType,
    can_connect,
    converter,
    describe_value,
    empty_value,
    fits,
    js_text,
    parse_text,
)

T = DataFlowType
PAIRS = list(product(T, T))
ANYTHING = {T.WILDCARD, T.CONVERTIBLE_ANY}
# What connects besides equal types and those that match anything.
ALLOWED = {
    (T.INTEGER, T.FLOAT),
    (T.INTEGER, T.STRING),
    (T.FLOAT, T.STRING),
    (T.BOOLEAN, T.STRING),
}


def slot(flow: DataFlowType, *categories: str, stream: bool = False) -> SlotType:
    return SlotType(flow, stream, frozenset(categories))


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_the_type_table(source: DataFlowType, target: DataFlowType) -> None:
    expected = source is target or bool({source, target} & ANYTHING) or (source, target) in ALLOWED
    assert can_connect(slot(source), slot(target)) is expected
    assert can_connect(slot(source, stream=True), slot(target, stream=True)) is expected


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_streams_connect_only_to_streams(source: DataFlowType, target: DataFlowType) -> None:
    assert not can_connect(slot(source, stream=True), slot(target))
    assert not can_connect(slot(source), slot(target, stream=True))


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (slot(T.OBJECT, "ChatHistory"), slot(T.ARRAY, "ChatHistory", "Json"), True),
        (slot(T.OBJECT, "my-pack-thing"), slot(T.STRING, "my-pack-thing"), True),
        (slot(T.OBJECT, "Json"), slot(T.ARRAY, "ChatHistory"), False),
        (slot(T.OBJECT, "BehaviorWildcard"), slot(T.ARRAY), True),
        (slot(T.OBJECT), slot(T.ARRAY, "BehaviorWildcard"), True),
        (slot(T.OBJECT, "BehaviorConvertible"), slot(T.ARRAY), True),
        (slot(T.OBJECT), slot(T.ARRAY, "BehaviorConvertible"), True),
        # how a slot is drawn says nothing about what flows through it
        (slot(T.OBJECT, "CanPreview"), slot(T.STRING, "CanPreview"), False),
        (slot(T.OBJECT, "UiBlock"), slot(T.STRING, "UiBlock"), False),
        (slot(T.OBJECT, "NoDefaultEdit"), slot(T.STRING, "NoDefaultEdit"), False),
        # a category is no bridge between a stream and a value
        (
            slot(T.STRING, "BehaviorWildcard", stream=True),
            slot(T.STRING, "BehaviorWildcard"),
            False,
        ),
    ],
)
def test_match_categories(source: SlotType, target: SlotType, expected: bool) -> None:
    assert can_connect(source, target) is expected


@pytest.mark.parametrize(
    ("source", "target", "value", "converted"),
    [
        (T.INTEGER, T.FLOAT, 3, 3.0),
        (T.INTEGER, T.STRING, 3, "3"),
        (T.FLOAT, T.STRING, 1e21, "1e+21"),
        (T.FLOAT, T.STRING, 2.0, "2"),
        (T.BOOLEAN, T.STRING, True, "true"),
        # what is not what its slot says is handed on as it is
        (T.INTEGER, T.FLOAT, True, True),
        (T.INTEGER, T.FLOAT, "x", "x"),
        (T.INTEGER, T.STRING, None, None),
        (T.FLOAT, T.STRING, [1.0], [1.0]),
    ],
)
def test_conversions(
    source: DataFlowType, target: DataFlowType, value: object, converted: object
) -> None:
    convert = converter(slot(source), slot(target))
    assert convert is not None
    result = convert(value)
    assert (type(result), result) == (type(converted), converted)


def test_only_those_pairs_convert() -> None:
    pairs = {(a, b) for a, b in PAIRS if converter(slot(a), slot(b)) is not None}
    assert pairs == ALLOWED
    assert converter(slot(T.INTEGER, stream=True), slot(T.STRING, stream=True)) is None


# Each text is what node 20 prints for String(x).
JAVASCRIPT: list[tuple[float, str]] = [
    (True, "true"),
    (False, "false"),
    (0, "0"),
    (-7, "-7"),
    (2**53, "9007199254740992"),
    (10**20, "100000000000000000000"),
    (10**21, "1e+21"),
    (-(10**21), "-1e+21"),
    (12345678901234567890123, "1.2345678901234568e+22"),
    (math.nan, "NaN"),
    (math.inf, "Infinity"),
    (-math.inf, "-Infinity"),
    (0.0, "0"),
    (-0.0, "0"),
    (100.0, "100"),
    (1.5, "1.5"),
    (-1.5, "-1.5"),
    (0.1 + 0.2, "0.30000000000000004"),
    (1 / 3, "0.3333333333333333"),
    (1.0000000000000002, "1.0000000000000002"),
    (0.001, "0.001"),
    (1e-6, "0.000001"),
    (0.000001234, "0.000001234"),
    (2.5e-5, "0.000025"),
    (1e-7, "1e-7"),
    (1.5e-7, "1.5e-7"),
    (123e-20, "1.23e-18"),
    (1e16, "10000000000000000"),
    (1e20, "100000000000000000000"),
    (123456789012345680000.0, "123456789012345680000"),
    (1e21, "1e+21"),
    (1e23, "1e+23"),
    (1e100, "1e+100"),
    (5e-324, "5e-324"),
    (2.2250738585072014e-308, "2.2250738585072014e-308"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
]


@pytest.mark.parametrize(("value", "text"), JAVASCRIPT, ids=[text for _, text in JAVASCRIPT])
def test_numbers_print_as_in_javascript(value: float, text: str) -> None:
    assert js_text(value) == text


@pytest.mark.parametrize("digits", [308, 309, 400, 5000])
@pytest.mark.parametrize("sign", [1, -1])
def test_integers_beyond_the_largest_float_convert_too(digits: int, sign: int) -> None:
    value = sign * 10**digits
    infinite = digits > 308
    assert js_text(value) == ("-" if sign < 0 else "") + ("Infinity" if infinite else "1e+308")
    convert = converter(slot(T.INTEGER), slot(T.FLOAT))
    assert convert is not None
    assert convert(value) == sign * (math.inf if infinite else 1e308)


def test_the_integer_that_rounds_to_infinity() -> None:
    assert js_text(2**1024 - 1) == "Infinity"


_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d*[1-9])?(e[+-][1-9]\d*)?")


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(-0.0)
def test_a_float_prints_its_shortest_digits(value: float) -> None:
    text = js_text(value)
    assert float(text) == value
    assert Decimal(text) == Decimal(repr(value))
    assert _NUMBER.fullmatch(text)
    assert ("e" in text) is not (value == 0 or 1e-6 <= abs(value) < 1e21)


@settings(deadline=None)
@given(st.integers(-(10**330), 10**330))
def test_an_integer_prints_as_itself_or_as_its_float(value: int) -> None:
    text = js_text(value)
    assert text == str(value) if abs(value) < 10**21 else "e+" in text or "Infinity" in text


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (T.STRING, ""),
        (T.INTEGER, 0),
        (T.FLOAT, 0.0),
        (T.BOOLEAN, False),
        (T.OBJECT, {}),
        (T.ARRAY, []),
        (T.BINARY, b""),
        (T.WILDCARD, None),
        (T.CONVERTIBLE_ANY, None),
    ],
)
def test_empty_values(flow: DataFlowType, expected: object) -> None:
    found = empty_value(flow)
    assert (type(found), found) == (type(expected), expected)


def test_empty_containers_are_not_shared() -> None:
    assert empty_value(T.OBJECT) is not empty_value(T.OBJECT)
    assert empty_value(T.ARRAY) is not empty_value(T.ARRAY)


VALUES: dict[str, object] = {
    "text": "x",
    "empty": "",
    "true": True,
    "seven": 7,
    "whole": 7.0,
    "half": 0.5,
    "nan": math.nan,
    "inf": math.inf,
    "vast": 10**400,
    "list": [],
    "tuple": (),
    "dict": {},
    "bytes": b"",
    "set": set(),
}
FITTING = {
    T.STRING: {"text", "empty"},
    T.INTEGER: {"seven", "whole"},
    T.FLOAT: {"seven", "whole", "half"},
    T.BOOLEAN: {"true"},
    T.OBJECT: {"list", "tuple", "dict", "set"},
    T.ARRAY: {"list", "tuple"},
    T.BINARY: {"bytes", "text", "empty", "dict"},
    T.WILDCARD: set(VALUES),
    T.CONVERTIBLE_ANY: set(VALUES),
}


@pytest.mark.parametrize("flow", list(T))
def test_which_values_a_slot_may_hold(flow: DataFlowType) -> None:
    assert {name for name, value in VALUES.items() if fits(value, flow)} == FITTING[flow]
    assert fits(None, flow)


@pytest.mark.parametrize(
    ("text", "flow", "expected"),
    [
        ("", T.STRING, ""),
        (" 5 ", T.STRING, " 5 "),
        ("true", T.BOOLEAN, True),
        (" YES ", T.BOOLEAN, True),
        ("1", T.BOOLEAN, True),
        ("False", T.BOOLEAN, False),
        ("no", T.BOOLEAN, False),
        ("0", T.BOOLEAN, False),
        ("-12", T.INTEGER, -12),
        (" +7\n", T.INTEGER, 7),
        ("1.5", T.FLOAT, 1.5),
        ("-2", T.FLOAT, -2.0),
        ("1e3", T.FLOAT, 1000.0),
        ('{"a": 1}', T.OBJECT, {"a": 1}),
        ("[1]", T.OBJECT, [1]),
        ("[1, 2]", T.ARRAY, [1, 2]),
        ("hello", T.WILDCARD, "hello"),
        ("[1]", T.WILDCARD, [1]),
        ("5", T.CONVERTIBLE_ANY, 5),
        ("hello", T.CONVERTIBLE_ANY, "hello"),
        ("shared://a.png", T.BINARY, "shared://a.png"),
        ("[" * 100_000, T.WILDCARD, "[" * 100_000),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_text_is_parsed_by_the_type_of_its_slot(
    text: str, flow: DataFlowType, expected: object
) -> None:
    found = parse_text(text, flow)
    assert (type(found), found) == (type(expected), expected)


REFUSALS = {
    T.BOOLEAN: {"expected true or false"},
    T.INTEGER: {"expected a whole number"},
    T.FLOAT: {"expected a number"},
    T.OBJECT: {"expected JSON for OBJECT", "expected a JSON object"},
    T.ARRAY: {"expected JSON for ARRAY", "expected a JSON list"},
}


@pytest.mark.parametrize(
    ("text", "flow", "message"),
    [
        ("maybe", T.BOOLEAN, "expected true or false"),
        ("", T.BOOLEAN, "expected true or false"),
        ("1.0", T.INTEGER, "expected a whole number"),
        ("1_000", T.INTEGER, "expected a whole number"),
        ("٣", T.INTEGER, "expected a whole number"),  # a digit, but not ASCII
        ("9" * 5000, T.INTEGER, "expected a whole number"),
        ("\x1c5", T.INTEGER, "expected a whole number"),  # white space to strip(), not to int()
        ("abc", T.FLOAT, "expected a number"),
        ("", T.FLOAT, "expected a number"),
        ("{", T.OBJECT, "expected JSON for OBJECT"),
        ("5", T.OBJECT, "expected a JSON object"),
        ("null", T.OBJECT, "expected a JSON object"),
        ("abc", T.ARRAY, "expected JSON for ARRAY"),
        ("{}", T.ARRAY, "expected a JSON list"),
        ("[" * 100_000, T.ARRAY, "expected JSON for ARRAY"),
        ("9" * 5000, T.OBJECT, "expected JSON for OBJECT"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_text_that_spells_no_value_is_refused(text: str, flow: DataFlowType, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        parse_text(text, flow)


# White space of every kind, digits of other scripts, and what Python's own parsers accept.
_TEXTS = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="0123456789+-_.eE \n\x1c\x85٣²", max_size=8),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=5,
    ).map(json.dumps),
)


@pytest.mark.parametrize("flow", list(T))
@settings(deadline=None)
@given(text=_TEXTS)
@example(text="nan")
@example(text="1e999")
@example(text="5")
@example(text="\x1c5")
@example(text="NaN")
def test_any_text_gives_a_fitting_value_or_a_known_refusal(text: str, flow: DataFlowType) -> None:
    try:
        value = parse_text(text, flow)
    except ValueError as exc:
        refusal = str(exc)
    else:
        assert fits(value, flow), value
        return
    assert refusal in REFUSALS[flow]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (True, "a boolean"),
        (5, "a whole number"),
        (0.5, "a number"),
        ("secret", "text"),
        ([1], "a list"),
        ((1,), "a list"),
        ({"a": 1}, "an object"),
        (b"x", "bytes"),
        (bytearray(), "bytes"),
        (ABSENT, "a Absent"),
    ],
)
def test_values_are_named_and_never_shown(value: object, expected: str) -> None:
    assert describe_value(value) == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (slot(T.STRING), "STRING"),
        (slot(T.STRING, stream=True), "STRING stream"),
        (slot(T.ARRAY, "Json", "ChatHistory"), "ARRAY [ChatHistory, Json]"),
        (slot(T.ARRAY, "Json", stream=True), "ARRAY stream [Json]"),
        (slot(T.STRING, "CanPreview", "UiBlock", "NoDefaultEdit"), "STRING"),
    ],
)
def test_how_messages_name_a_slot_type(shown: SlotType, expected: str) -> None:
    assert str(shown) == expected


def test_absent_is_false_and_not_none() -> None:
    assert repr(ABSENT) == "ABSENT"
    assert not ABSENT
    assert ABSENT is not None


def test_the_names_on_the_wire() -> None:
    assert " ".join(T) == (
        "STRING INTEGER FLOAT BOOLEAN OBJECT ARRAY BINARY WILDCARD CONVERTIBLE_ANY"
    )
    assert " ".join(MatchCategory) == (
        "Code Json Markdown Url FilePath Prompt ChatMessage ChatHistory LlmConfig LlmOutput"
        " VectorEmbedding CharacterProfile ImageData AudioData VideoData ResourceId Trigger"
        " StreamChunk ComboOption RegexRuleArray UiBlock CanPreview NoDefaultEdit"
        " BehaviorWildcard BehaviorConvertible"
    )

"""Macros against the case file, and what the cases leave open."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfytavern_core_nodes.macros import Macros, Origin, Said, Scene, Text, TextTooLongError
from comfytavern_core_nodes.macros.dice import roll
from comfytavern_core_nodes.macros.moments import format_moment

FILE = json.loads((Path(__file__).parent / "cases" / "macros.json").read_text("utf-8"))
SKIPPED_TAGS = {"unsupported", "leave-out", "optional"}
CARD = Origin("card", "description")
NOON = datetime(2024, 2, 29, 9, 5, 7, 120_000, tzinfo=UTC)
# The difference of two times is not supported (specification, first paragraph).
UNSUPPORTED = {"m-049", "m-050"}

# Case files are JSON of many shapes, so their values stay Any.
Case = dict[str, Any]


def load_cases() -> list[Any]:
    wanted = [
        case
        for case in FILE["cases"]
        if case["id"] not in UNSUPPORTED and not SKIPPED_TAGS.intersection(case.get("tags", ()))
    ]
    return [pytest.param(case, id=case["id"]) for case in wanted]


def macros_of(case: Case) -> Macros:
    context = FILE["context"]
    numbers = iter(case.get("random", [0.5] * 10))
    clock = datetime.fromisoformat(case.get("clock", "2024-01-01T00:00:00Z"))
    base = Macros(
        Scene(
            user=context["user"],
            char=context["char"],
            chat=[Said(said["role"], said["content"]) for said in context["chat"]],
            random=lambda: next(numbers),
            clock=lambda: clock,
        )
    )
    card = context["card"]
    texts = {
        "description": card["description"],
        "personality": card["personality"],
        "scenario": card["scenario"],
        "persona": context["persona"],
        "mesexamples": card["mes_example"],
    }
    fields = {name: Text.of(base.expand(text), Origin("card")) for name, text in texts.items()}
    return base.with_fields(fields)


@pytest.mark.parametrize("case", load_cases())
def test_case(case: Case) -> None:
    result = macros_of(case).expand(case["input"], original=case.get("original"))
    if "expected_any" in case:
        assert result in case["expected_any"]
    else:
        assert result == case.get("recommended", case.get("expected_newer", case.get("expected")))


def expand(text: str, **scene: Any) -> str:
    return Macros(Scene(**{"user": "Ann", "char": "Mira", "clock": lambda: NOON, **scene})).expand(
        text
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<USER> <bot> <Char> <group> <CHARIFNOTGROUP> <b>", "Ann Mira Mira Mira Mira <b>"),
        ("a\r\n\n{{trim}}\n\nb", "ab"),
        ("{{reverse:{{user}}}}", "nnA"),
        ("{{noop}}{{NOOP}}x", "x"),
        ("a{{comment: one\ntwo}}b{{hidden_key:k}}c{{// d\n}}", "abc"),
        ("{{roll 2d1}} {{roll:2000d6}}|{{roll:d0}}", "2 |"),
        ("{{description}} {{getvar::x}}", "{{description}} {{getvar::x}}"),
        ("{{original}}", "{{original}}"),
        ("{{lastMessage}}{{lastMessageId}}{{lastUserMessage}}", ""),
        ("{{weekday}}, {{datetimeformat D MMM [of] YYYY}}", "Thursday, 29 Feb of 2024"),
        ("{{time_UTC-10}} {{time_utc+0}}", "11:05 PM 9:05 AM"),
    ],
)
def test_macro(text: str, expected: str) -> None:
    assert expand(text) == expected


def test_names_that_are_macros_are_replaced_in_their_turn() -> None:
    assert expand("{{user}}", user="{{// nobody }}") == ""
    assert expand("{{char}}", char="{{isodate}}") == "2024-02-29"


def test_clock_is_shown_in_the_zone() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    assert expand("{{isotime}} {{datetimeformat Z}}", zone=zone) == "14:35 +05:30"


def test_random_takes_the_item_that_the_source_says() -> None:
    text = "{{random::a::b::c}}"
    for number, item in ((0.0, "a"), (0.34, "b"), (0.999, "c")):
        assert expand(text, random=lambda number=number: number) == item


def test_pick_is_stable_for_a_chat_and_differs_between_places() -> None:
    text = " ".join(["{{pick:a,b,c,d}}"] * 20)
    first = expand(text, chat_id="one")
    assert first == expand(text, chat_id="one")
    assert first != expand(text, chat_id="two")
    assert len(set(first.split())) > 1


def test_what_a_macro_gives_knows_where_it_stood() -> None:
    fields = {"scenario": Text.of("a park", Origin("card", "scenario"))}
    macros = Macros(Scene(user="Ann", char="Mira", fields=fields))
    text = macros.expand_text(Text.of("{{user}} in {{scenario}}, {{reverse:{{char}}}}", CARD))
    assert text.pieces == (
        ("Ann", Origin("macro", "user", "", CARD)),
        (" in ", CARD),
        ("a park", Origin("card", "scenario")),
        (", ", CARD),
        ("ariM", Origin("macro", "reverse", "", CARD)),
    )


def test_original_keeps_its_own_origins() -> None:
    preset = Origin("preset", "main")
    macros = Macros(Scene())
    text = macros.expand_text(Text.of("[{{original}}]", CARD), original=Text.of("M", preset))
    assert text.pieces == (("[", CARD), ("M", preset), ("]", CARD))


def test_growth_is_bounded() -> None:
    fields = {"description": Text.of("x" * 1_000_000, CARD)}
    macros = Macros(Scene(fields=fields))
    with pytest.raises(TextTooLongError, match="grows beyond 8000000 characters"):
        macros.expand("{{description}}" * 100)


@pytest.mark.parametrize(
    ("formula", "total"), [("d6", "4"), (" 3d4-12 ", "-3"), ("6d", ""), ("-1d6", ""), ("", "")]
)
def test_roll(formula: str, total: str) -> None:
    assert roll(formula, lambda: 0.5) == total


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("LLLL", "Thursday, February 29, 2024 9:05 AM"),
        ("l LTS", "2/29/2024 9:05:07 AM"),
        ("[LL] \\L H", "LL L 9"),
        ("Do DDDo Qo do Wo wo Mo", "29th 60th 1st 4th 9th 9th 2nd"),
        ("YY Y GGGG GG gggg gg WW W ww w", "24 2024 2024 24 2024 24 09 9 09 9"),
        ("DDDD DDD dd d e E", "060 60 Th 4 4 4"),
        ("HH hh h kk k mm m ss s SSS a", "09 09 9 09 9 05 5 07 7 120 am"),
        ("Z ZZ X x z", "+00:00 +0000 1709197507 1709197507120 UTC"),
        ("MM-DD, ok?", "02-29, o9?"),
    ],
)
def test_moment(pattern: str, expected: str) -> None:
    assert format_moment(NOON, pattern) == expected


@pytest.mark.parametrize(
    ("day", "week"),
    [("2024-12-28", "2024-52"), ("2024-12-29", "2025-01"), ("2023-01-01", "2023-01")],
)
def test_week_as_counted_in_the_usa(day: str, week: str) -> None:
    when = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    assert format_moment(when, "gggg-ww") == week


FRAGMENTS = (
    "{{ }} { } : :: , \n <user> {{trim}} {{random:a,b}} roll x {{user}} {{// reverse: {{pick::"
    " datetimeformat {{time_UTC+9 [ \\ {{description}} {{noop"
)
fragments = st.sampled_from(FRAGMENTS.split(" "))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(fragments | st.text(max_size=4), max_size=20))
def test_any_text_is_replaced_without_a_fault_and_origins_cover_it(parts: list[str]) -> None:
    macros = Macros(Scene(user="Ann", char="Mira", clock=lambda: NOON))
    text = macros.expand_text(Text.of("".join(parts), CARD))
    assert all(piece.text for piece in text.pieces)
    assert text.strip().plain == text.plain.strip()
    assert {piece.origin.within or piece.origin for piece in text.pieces} <= {CARD}

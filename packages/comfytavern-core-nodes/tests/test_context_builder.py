"""ContextBuilder: inputs and configuration to a context, and what is said when they do not fit."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from comfytavern.errors import NodeFailedError
from comfytavern.testing import run_node
from comfytavern_core_nodes.catalog import definitions

BUILDER = next(node for node in definitions() if node.type == "ContextBuilder")
CARD = {
    "name": "Mira",
    "description": "{{char}} mends clocks for {{user}}.",
    "first_mes": "Hello, {{user}}.",
    "alternate_greetings": ["Back again?"],
}
BOOK = {
    "name": "Town",
    "entries": [
        {"uid": 1, "key": ["tower"], "content": "The tower leans.", "sticky": 3, "comment": "T"},
        {"uid": 2, "key": ["/be(ll|acon)s?/"], "content": "Bells ring."},
        {"uid": 3, "key": ["goat"], "content": "A goat."},
    ],
}
PRESET: dict[str, Any] = {
    "prompts": [{"identifier": "main", "content": "You are {{char}}."}],
    "scenario_format": "Now: {{scenario}}",
    "openai_max_context": 2000,
}

Outputs = dict[str, Any]  # Any: the slots hold JSON


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


async def build(config: dict[str, object] | None = None, **inputs: object) -> Outputs:
    result = await run_node(BUILDER, inputs, config=config or {})
    assert json.loads(json.dumps(dict(result.outputs))) == result.outputs
    return dict(result.outputs)


def test_slots_are_those_of_the_specification() -> None:
    assert list(BUILDER.inputs)[:6] == [
        "presetData",
        "worldBookData",
        "characterData",
        "historyMessages",
        "regexRules",
        "state",
    ]
    assert list(BUILDER.outputs) == ["finalMessages", "report", "state"]


async def test_card_name_and_message() -> None:
    outputs = await build(characterData=CARD, user_name="Ann", user_message=" Is it late? ")
    assert outputs["finalMessages"] == said(
        ("system", "Mira mends clocks for Ann."),
        ("assistant", "Hello, Ann."),
        ("user", "Is it late?"),
    )
    assert outputs["state"] == {}
    assert outputs["report"]["warnings"] == []


async def test_without_a_preset_the_card_is_one_message() -> None:
    card = {**CARD, "system_prompt": "Be kind. {{original}}", "personality": "dry"}
    messages = (await build(characterData=card))["finalMessages"]
    assert messages[0]["content"] == (
        "Be kind. \nMira mends clocks for User.\nMira's personality: dry"
    )


async def test_inputs_win_over_the_configuration() -> None:
    config: dict[str, object] = {"user_name": "Bo", "user_message": "from the widget"}
    messages = (await build(config, characterData=CARD))["finalMessages"]
    assert messages[1:] == said(("assistant", "Hello, Bo."), ("user", "from the widget"))
    messages = (await build(config, characterData=CARD, user_message="said"))["finalMessages"]
    assert messages[1:] == said(("assistant", "Hello, Bo."), ("user", "said"))


async def test_a_history_stands_in_place_of_the_greeting() -> None:
    history = said(("user", "one"), ("assistant", "two"))
    outputs = await build(characterData=CARD, historyMessages=history, user_message="three")
    assert outputs["finalMessages"][1:] == [*history, *said(("user", "three"))]
    assert history == said(("user", "one"), ("assistant", "two"))


async def test_nothing_at_all_gives_no_messages() -> None:
    assert (await build())["finalMessages"] == []


@pytest.mark.parametrize(
    ("index", "greeting", "warnings"),
    [
        (0, "Hello, User.", []),
        (1, "Back again?", []),
        (2, "Hello, User.", ["there is no greeting 2; the card has 0 to 1, 0 is used"]),
    ],
)
async def test_greeting_index(
    index: int, greeting: str, warnings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="comfytavern.packs"):
        outputs = await build({"greeting_index": index}, characterData=CARD)
    assert outputs["finalMessages"][1]["content"] == greeting
    assert outputs["report"]["warnings"] == warnings
    assert [record.getMessage() for record in caplog.records] == warnings


async def test_preset_book_and_rules() -> None:
    outputs = await build(
        {"wi_scan_depth": 4, "scenario": "evening"},
        presetData=PRESET,
        worldBookData=[BOOK],
        characterData=CARD,
        historyMessages=said(("user", "I saw the TOWER and the beacons")),
        regexRules=[{"name": "quiet", "pattern": "[A-Z]{2,}", "replacement": "tower"}],
    )
    assert outputs["finalMessages"] == said(
        ("system", "You are Mira."),
        ("system", "Bells ring.\nThe tower leans."),
        ("system", "Mira mends clocks for User."),
        ("system", "Now: evening"),
        ("user", "I saw the tower and the beacons"),
    )
    entries = {
        entry["entry"]: entry["outcome"] for entry in outputs["report"]["world_info"]["entries"]
    }
    assert entries == {
        "Town.1": "active",
        "Town.2": "active",
        "Town.3": "no_key_matched",
    }
    assert list(outputs["state"]["sticky"]) == ["Town.1"]


async def test_state_carries_timed_effects_to_the_next_turn() -> None:
    first = await build(worldBookData=BOOK, user_message="the tower")
    history = said(("user", "the tower"), ("assistant", "well"))
    second = await build(
        {"wi_scan_depth": 1},
        worldBookData=BOOK,
        historyMessages=history,
        user_message="and now",
        state=first["state"],
    )
    assert second["finalMessages"][0]["content"] == "The tower leans."
    [entry] = [e for e in second["report"]["world_info"]["entries"] if e["active"]]
    assert "sticky" in entry["steps"][0]


async def test_state_without_books_is_given_on() -> None:
    state = {"sticky": {"Town.1": {"start": 1, "end": 4}}}
    assert (await build(state=state))["state"] == state


async def test_the_card_brings_its_own_book_and_scripts() -> None:
    book = {"entries": [{"keys": ["clock"], "content": "Clocks tick.", "insertion_order": 1}]}
    script = {"scriptName": "s", "findRegex": "/tick/g", "replaceString": "tock", "placement": [5]}
    card = {**CARD, "character_book": book, "regex_scripts": [script, {"findRegex": 1}]}
    outputs = await build(characterData=card, user_message="my clock")
    assert outputs["finalMessages"][0]["content"] == "Mira mends clocks for User.\nClocks tock."
    [warning] = outputs["report"]["warnings"]
    assert warning.startswith("regex script 1 of the card is not used: 'findRegex' is ")


async def test_broken_book_of_a_card_is_left_out() -> None:
    card = {**CARD, "character_book": {"entries": 7}}
    outputs = await build(characterData=card)
    [warning] = outputs["report"]["warnings"]
    assert warning.startswith("the card's own world book is not used: ")


async def test_the_same_book_twice_counts_once_and_names_are_told_apart() -> None:
    constant = {"name": "Town", "entries": [{"uid": 1, "constant": True, "content": "Noon."}]}
    outputs = await build(worldBookData=[constant, dict(constant), {**BOOK, "scan_depth": 1}])
    entries = outputs["report"]["world_info"]["entries"]
    assert {entry["book"] for entry in entries} == {"Town", "Town (2)"}
    assert len(entries) == 4


async def test_object_that_is_no_card_is_noticed() -> None:
    outputs = await build(characterData={"data": {"name": "raw file"}})
    assert outputs["report"]["warnings"] == [
        "characterData has no name; expected a card as a card loader gives it"
    ]


async def test_seed_makes_chance_repeatable() -> None:
    message = " ".join(["{{random:a,b,c,d}}"] * 12)
    one = await build({"seed": 7}, user_message=message)
    assert one["finalMessages"] == (await build({"seed": 7}, user_message=message))["finalMessages"]
    assert one["finalMessages"] != (await build({"seed": 8}, user_message=message))["finalMessages"]


async def test_token_counter_of_a_pack() -> None:
    result = await run_node(
        BUILDER,
        {"user_message": "one two"},
        config={"token_counter": "words"},
        services={"words": lambda text: len(text.split())},
    )
    report: Any = result.outputs["report"]
    assert report["messages"][0]["tokens"] == 6


@pytest.mark.parametrize(
    ("config", "inputs", "reason"),
    [
        ({}, {"historyMessages": said(("wizard", "hm"))}, "the role is 'wizard'; known roles"),
        ({}, {"presetData": {"temp": 1}}, "(unsupported_preset): the file is a preset for text"),
        ({}, {"worldBookData": [{"a": 1}]}, "world book 'book 1'"),
        ({}, {"regexRules": [{"name": "r", "pattern": "(", "replacement": ""}]}, "regex rule 'r'"),
        ({"generation": "soon"}, {}, "setting 'generation': input should be 'normal', 'continue'"),
        ({"note_place": "there"}, {}, "setting 'note_place': input should be 'after_main'"),
        ({"time_zone": "Mars/Dome"}, {}, "time zone 'Mars/Dome' is not known"),
        ({"token_counter": "abacus"}, {}, "token counter 'abacus' is neither 'estimate' nor"),
        (
            {"max_context": 40, "max_tokens": 20},
            {"presetData": {"prompts": [{"identifier": "main", "content": "x" * 90}]}},
            "(token_budget_exceeded): main takes 31 tokens, but of 17 only 17 are left",
        ),
    ],
)
async def test_what_does_not_fit_is_named(
    config: dict[str, object], inputs: dict[str, object], reason: str
) -> None:
    with pytest.raises(NodeFailedError) as failed:
        await build(config, user_message="hi", **inputs)
    assert reason in failed.value.reason


async def test_overflow_can_be_kept() -> None:
    outputs = await build(
        {"max_context": 40, "max_tokens": 20, "on_overflow": "keep"},
        presetData={"prompts": [{"identifier": "main", "content": "x" * 90}]},
        user_message="hi",
    )
    assert outputs["finalMessages"] == said(("system", "x" * 90))
    [warning] = outputs["report"]["warnings"]
    assert warning.startswith("main takes 31 tokens, but of 17 only 17 are left; ")

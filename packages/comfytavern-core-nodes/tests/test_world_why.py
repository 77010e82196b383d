"""Why an entry is active or not, and what the case files leave open about activation."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfytavern_core_nodes.worldbooks import (
    ScanSettings,
)

from .world_passes import PLAIN, Entry, key, run


def why(*entries: Entry, **options: Any) -> list[str]:  # Any: those of run
    return [str(record).partition(": ")[2] for record in run(*entries, **options).records]


def test_key_and_message_are_named() -> None:
    assert why(key("nothing", "dragon"), key("/k.ng/")) == [
        "round 1: active (key 'dragon' in message 0)",
        "round 1: active (key '/k.ng/' in message 1)",
    ]


def test_newest_message_with_the_key_is_named() -> None:
    assert why(key("x"), chat=["x", "x", "y"]) == ["round 1: active (key 'x' in message 1)"]


def test_key_in_an_injected_text_and_in_the_text_of_an_entry() -> None:
    settings = PLAIN.model_copy(update={"recursive": True})
    assert why(
        key("moon", content="silver light"),
        key("light", comment="glow"),
        key("/silver.light/"),
        injections=["no", "full moon"],
        settings=settings,
    ) == [
        "round 1: active (key 'moon' in injection 1)",
        "round 1: no key matched; round 2: active (key 'light' in the text of b.0)",
        "round 1: no key matched; round 2: active (key '/silver.light/' in the text of b.0)",
    ]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"disable": True}, "round 0: disabled"),
        ({"characterFilter": {"names": ["Bo"]}}, "round 0: character filter (the character is '')"),
        ({"delay": 5}, "round 0: delay (the chat has 2 of 5 messages)"),
        ({"content": "@@dont_activate\nc"}, "round 0: dont activate"),
        ({"key": ["", " "]}, "round 0: no keys"),
        ({"key": ["ghost"]}, "round 1: no key matched"),
        ({"delayUntilRecursion": 2}, "round 1: waits for recursion (level 2)"),
        ({"content": "@@activate\nc", "key": []}, "round 1: active (decorator)"),
        ({"constant": True}, "round 1: active (constant)"),
        ({"scanDepth": 1}, "round 1: no key matched"),
        ({"scanDepth": 0}, "round 1: no key matched"),
        (
            {"keysecondary": ["king", "ghost"], "selective": True, "selectiveLogic": 3},
            (
                "round 1: secondary keys (AND ALL, 1 of 2 secondary keys found; key 'dragon' in"
                " message 0 and 'king' in message 1)"
            ),
        ),
        (
            {"keysecondary": ["king"], "selective": True},
            "round 1: active (key 'dragon' in message 0 and 'king' in message 1)",
        ),
    ],
)
def test_what_stops_or_starts_an_entry(fields: Entry, reason: str) -> None:
    (record,) = run({**key("dragon"), **fields}, settings=ScanSettings(scan_depth=10)).records
    # With no second round to come, waiting for one is the last word too.
    assert str(record).partition(": ")[2].partition("; round 2")[0] == reason


def test_rolls_are_told_with_their_numbers() -> None:
    rolls = iter([0.42, 0.3])
    entry = key("dragon", probability=30, useProbability=True)
    assert why(entry, entry, random=lambda: next(rolls)) == [
        "round 1: probability (roll 42 > 30; key 'dragon' in message 0)",
        "round 1: active (roll 30 <= 30; key 'dragon' in message 0)",
    ]


def test_group_losses_name_the_winner() -> None:
    roll = key("king", group="roll", groupWeight=10)
    first = key("king", group="first", groupOverride=True)
    scored = key("king", "dragon", group="scored", useGroupScoring=True)
    assert why(
        {**roll, "order": 200},
        roll,
        {**first, "order": 200},
        first,
        scored,
        {**scored, "key": ["king"]},
        random=lambda: 0.75,
    ) == [
        (
            "round 1: group (lost group 'roll' to b.1: a roll of 15 out of 20; key 'king' in"
            " message 1)"
        ),
        "round 1: active (key 'king' in message 1)",
        "round 1: active (key 'king' in message 1)",
        ("round 1: group (lost group 'first' to b.2: it has priority; key 'king' in message 1)"),
        "round 1: active (key 'king' in message 1)",
        (
            "round 1: group (lost group 'scored' to b.4: 1 against 2 matching keys; key 'king' in"
            " message 1)"
        ),
    ]


def test_group_that_an_active_entry_holds() -> None:
    settings = PLAIN.model_copy(update={"recursive": True})
    entries = key("king", group="g", content="crown"), key("crown", group="g")
    assert why(*entries, settings=settings)[1] == (
        "round 1: no key matched; round 2: group (lost group 'g' to b.0: it is already active;"
        " key 'crown' in the text of b.0)"
    )


def test_who_loses_one_group_is_out_of_the_others() -> None:
    winner = key("king", group="a", groupOverride=True, order=9)
    both = key("king", group="a, b", groupOverride=True, order=5)
    third = key("king", group="b", order=1)
    result = run(winner, both, third)
    assert [entry.ref for entry in result.active] == ["b.0", "b.2"]


def test_budget_names_the_entry_that_did_not_fit() -> None:
    small, large = key("king", content="a b"), key("king", content="a b c d e f g h i")
    result = run({**small, "order": 900}, {**large, "order": 500}, small, max_context=40)
    stop = "round 1: budget (2 + 9 tokens for b.1 do not stay below 10; key 'king' in message 1)"
    assert [str(record).partition(": ")[2] for record in result.records][1:] == [stop, stop]
    assert (result.overflowed, result.budget, result.active[0].tokens) == (True, 10, 2)


def test_cooldown_and_sticky() -> None:
    entry = key("dragon", sticky=1, cooldown=2)
    first = run(entry)
    later = ["a dragon", "the king", "dragon"]
    second = run(entry, chat=later, state=first.state)
    assert [str(record) for record in second.records] == [
        "b.0: round 0: cooldown (the chat has 3 of 5 messages)"
    ]
    changed = run({**entry, "content": "new"}, chat=later, state=first.state)
    assert changed.records[0].active, "a changed entry has no effect of the old one"
    foreign = json.loads(json.dumps(first.state).replace('"hash": "', '"hash": 5, "old": "'))
    assert not run(entry, chat=later, state=foreign).records[0].active


@pytest.mark.parametrize(
    ("state", "warnings"),
    [
        ({}, 0),
        ({"sticky": []}, 1),
        ({"sticky": {"b.0": 5, "b.1": {}}, "cooldown": {"x": {"start": -1, "end": 2}}}, 2),
        ({"cooldown": {"b.0": {"start": True, "end": 1e400}}}, 1),
    ],
)
def test_state_of_the_wrong_shape_is_left_out(state: dict[str, object], warnings: int) -> None:
    result = run(key("dragon"), state=state)
    assert result.state == {"sticky": {}, "cooldown": {}}
    assert len(result.warnings) == warnings
    assert result.records[0].active


def test_effect_of_an_absent_book_waits() -> None:
    effect = {"start": 1, "end": 9, "protected": False, "hash": ""}
    state: dict[str, object] = {"sticky": {"gone.1": effect}}
    assert run(key("dragon"), state=state).state["sticky"] == {"gone.1": effect}
    assert run(key("dragon"), chat=["x"] * 9, state=state).state["sticky"] == {}


def test_record_as_data() -> None:
    (record,) = run(key("king", comment="The king")).records
    assert record.as_data() == {
        "entry": "b.0",
        "book": "b",
        "source": "global",
        "uid": 0,
        "comment": "The king",
        "active": True,
        "outcome": "active",
        "round": 1,
        "steps": ["round 1: active (key 'king' in message 1)"],
    }

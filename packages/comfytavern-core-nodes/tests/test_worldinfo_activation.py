"""Activation against the case files: single passes, timed effects over turns, and real files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfytavern_core_nodes.worldbooks import (
    Activation,
    BookUse,
    InProcessMatcher,
    ScanMessage,
    ScanSettings,
    Scene,
    Tools,
    activate,
    joined,
    prepare,
    world_book_from,
)

CASES = Path(__file__).parent / "cases"
ONE_PASS = json.loads((CASES / "worldinfo_activation.json").read_text("utf-8"))
TIMED = json.loads((CASES / "worldinfo_timed.json").read_text("utf-8"))
SKIPPED_TAGS = {"unsupported", "leave-out", "optional"}

# Case files are JSON of many shapes, so their values stay Any.
Case = dict[str, Any]


def skipped(case: Case) -> bool:
    return bool(SKIPPED_TAGS.intersection(case.get("tags", ())))


def params(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in cases if not skipped(case)]


def expected_of(case: Case) -> Case:
    names = ("recommended", "expected_newer", "expected")
    expected: Case = next(case[name] for name in names if name in case)
    return expected


class Dice:
    """Gives the numbers of a case; one draw too many, and one too few, fails it."""

    def __init__(self, numbers: list[float]) -> None:
        self.left = list(numbers)

    def __call__(self) -> float:
        assert self.left, "a number was drawn that the case does not have"
        return self.left.pop(0)


def names(user: str, char: str) -> Callable[[str], str]:
    known = {"user": user, "char": char}
    return lambda text: re.sub(r"\{\{(\w+)\}\}", lambda found: known[found[1]], text)


def scripts_of(case: Case) -> Callable[[str, int | None], str]:
    scripts = [script for script in case.get("regex_scripts", ()) if 5 in script["placement"]]

    def rewrite(text: str, depth: int | None) -> str:
        for script in scripts:
            text = re.sub(script["findRegex"].split("/")[1], script["replaceString"], text)
        return text

    return rewrite


def books_of(case: Case) -> list[BookUse]:
    uses = []
    for lore in case["lore"]:
        defaults = ONE_PASS["entry_defaults"]
        entries = [{**defaults, **entry} for entry in lore.get("entries", ())]
        reading = world_book_from(lore.get("raw", {"entries": entries}), lore["name"])
        assert reading.problems == ()
        uses.append(BookUse(lore["name"], lore["source"], prepare(reading.book)))
    return uses


def messages_of(case: Case) -> list[ScanMessage]:
    user, char = case.get("user", "User"), case.get("char", "Alice")
    return [
        ScanMessage(
            message.get("name", user if message["role"] == "user" else char), message["content"]
        )
        for message in case["chat"]
        if not message.get("hidden")
    ]


def run(case: Case, turn: Case, state: dict[str, object] | None = None) -> Activation:
    dice = Dice(turn.get("random", []))
    note = turn.get("author_note", {})
    user, char = case.get("user", "User"), case.get("char", "Alice")
    scene = Scene(
        books_of(case),
        messages_of(turn),
        turn.get("max_context", 4000),
        injections=[note["text"]] if note.get("allow_wi_scan") else [],
        character=char,
        state=state,
    )
    defaults = ONE_PASS["setting_defaults"]
    given = case.get("settings", {})
    settings = ScanSettings.model_validate({**defaults, **given})
    tools = Tools(
        random=dice,
        match=InProcessMatcher(),
        count_tokens=lambda text: len(text.split()),
        macros=names(user, char),
        rewrite=scripts_of(case),
    )
    activation = activate(scene, settings, tools)
    assert dice.left == []
    check_records(activation)
    return activation


def check_records(activation: Activation) -> None:
    """What is told of each entry fits what happened."""
    active = {entry.ref: entry for entry in activation.active}
    assert {record.ref for record in activation.records if record.active} == set(active)
    for record in activation.records:
        assert record.steps
        assert [step.round for step in record.steps] == sorted(step.round for step in record.steps)
        if record.active:
            assert record.last.round == active[record.ref].round
    by_round = [ref for one in activation.rounds for ref in one.active]
    assert by_round == list(active)
    json.dumps([record.as_data() for record in activation.records])


def shown(activation: Activation, case: Case, turn: Case, expected: Case) -> Case:
    """Return what the case compares."""
    placement = activation.placement
    several = len({lore["name"] for lore in case["lore"]}) > 1
    several = several or any(":" in str(uid) for uid in expected["activated"])
    uids: list[object] = [
        entry.ref.replace(".", ":") if several else int(entry.ref.rpartition(".")[2])
        for entry in activation.active
    ]
    note = turn.get("author_note", {})
    users = sum(message["role"] == "user" for message in turn["chat"])
    interval = note.get("interval", 1)
    due = interval > 0 and users > 0 and users % interval == 0
    found = {
        "activated": uids,
        "before": joined(placement.before),
        "after": joined(placement.after),
        "author_note": placement.note(note.get("text", "")) if due else "",
        "depth": [
            {"depth": at.depth, "role": at.role, "entries": [at.text]} for at in placement.at_depth
        ],
        "timed_state": without_hashes(activation.state),
    }
    return {key: found[key] for key in expected}


def without_hashes(state: Any) -> Any:  # Any: JSON
    return {
        kind: {
            ref: {key: value for key, value in effect.items() if key != "hash"}
            for ref, effect in effects.items()
        }
        for kind, effects in state.items()
    }


def test_no_case_is_left_out() -> None:
    assert sum(map(skipped, ONE_PASS["cases"] + TIMED["cases"])) == 0
    assert len(ONE_PASS["cases"]) == 98
    assert sum(len(case["turns"]) for case in TIMED["cases"]) == 32


@pytest.mark.parametrize("case", params(ONE_PASS["cases"]))
def test_one_pass(case: Case) -> None:
    expected = expected_of(case)
    assert shown(run(case, case), case, case, expected) == expected


@pytest.mark.parametrize("case", params(TIMED["cases"]))
def test_timed_effects_over_turns(case: Case) -> None:
    state: dict[str, object] | None = None
    for turn in case["turns"]:
        assert turn["chat_length"] == len(turn["chat"])
        activation = run(case, turn, state)
        expected = expected_of(turn)
        assert shown(activation, case, turn, expected) == expected
        # As it travels between runs.
        state = json.loads(json.dumps(activation.state))


@pytest.mark.field_data
def test_real_book(field_data: Path) -> None:
    cases = json.loads((field_data / "cases/roleplay/real_data.json").read_text("utf-8"))
    checked = 0
    for case in cases["world_info"]:
        raw = json.loads((field_data / case["book"]).read_text("utf-8"))
        whole = {**case, "lore": [{"source": case["source"], "name": "Eldoria", "raw": raw}]}
        expected = expected_of(case)
        assert shown(run(whole, whole), whole, whole, expected) == expected
        checked += 1
    assert checked == 6

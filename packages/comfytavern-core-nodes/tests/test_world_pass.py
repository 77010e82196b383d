"""What the case files leave open about a pass: settings, order, places, regex keys, budget."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from comfytavern_core_nodes.worldbooks import (
    InProcessMatcher,
    PatternFault,
    PreparedBooks,
    ScanMessage,
    ScanSettings,
    Scene,
    Tools,
    Verdict,
    WorldBookError,
    activate,
    estimate_tokens,
    joined,
)
from comfytavern_core_nodes.worldbooks.budget import TokenBudget, budget_of

from .world_passes import PLAIN, book, key, never, run


def test_settings_left_to_the_books() -> None:
    left = ScanSettings()
    deep = book(key("dragon"), name="deep", scan_depth=2)
    shallow = book(key("dragon"), name="shallow", scan_depth=1)
    result = run(books=[deep, shallow], settings=left)
    assert [entry.ref for entry in result.active] == ["deep.0"]
    chain = key("dragon", content="bell"), key("bell")
    asked: list[tuple[list[bool | None], int]] = [([None], 2), ([False], 1), ([False, True], 4)]
    for recursive, count in asked:
        uses = [
            book(*chain, name=str(number), recursive_scanning=value)
            for number, value in enumerate(recursive)
        ]
        assert len(run(books=uses, settings=left).active) == count
    capped = [book(key("king"), name=name, token_budget=3) for name in "ab"]
    assert run(books=capped, settings=left).budget == 6
    assert run(books=[*capped, shallow], settings=left).budget == 1000
    fixed = ScanSettings(scan_depth=1, recursive=False, budget_cap=5)
    assert run(books=[deep], settings=fixed).budget == 5


def test_chat_lore_comes_first_and_counts_before_the_character() -> None:
    uses = [
        book(key("king", order=9), name="g"),
        book(key("king", order=5), name="same", source="character"),
        book(key("king", order=1), name="same", source="chat"),
    ]
    result = run(books=uses)
    assert [entry.ref for entry in result.active] == ["same.0", "g.0"]
    assert [record.source for record in result.records] == ["chat", "global"]


def test_evenly_sorts_global_and_character_together() -> None:
    uses = [
        book(key("king", order=1), key("king", order=9), name="g"),
        book(key("king", order=5), name="c", source="character"),
    ]
    result = run(books=uses, settings=PLAIN.model_copy(update={"insertion_strategy": 0}))
    assert [record.ref for record in result.records] == ["g.1", "c.0", "g.0"]


def test_places_of_all_positions() -> None:
    entries = [key("king", position=place, content=f"t{place}") for place in range(9)]
    entries[4] |= {"depth": 3, "role": "user"}
    entries[7] |= {"outletName": "out"}
    placement = run(*entries, key("king", position=5, content="later", order=200)).placement
    assert (joined(placement.before), joined(placement.after)) == ("t0", "t1")
    assert (joined(placement.note_top), joined(placement.note_bottom)) == ("t2", "t3")
    assert placement.note("N") == "t2\nN\nt3"
    assert [(at.depth, at.role, at.text) for at in placement.at_depth] == [(3, "user", "t4")]
    assert [(example.top, example.piece.text) for example in placement.examples] == [
        (False, "t6"),
        (True, "t5"),
        (True, "later"),
    ]
    assert {name: joined(pieces) for name, pieces in placement.outlets.items()} == {"out": "t7"}


def test_scripts_get_the_depth_and_may_empty_a_text() -> None:
    seen: list[tuple[str, int | None]] = []

    def rewrite(text: str, depth: int | None) -> str:
        seen.append((text, depth))
        return ""

    uses = [book(key("king", position=4, depth=2), key("king"))]
    tools = Tools(never, InProcessMatcher(), rewrite=rewrite)
    result = activate(Scene(uses, [ScanMessage("A", "king")], 4000), PLAIN, tools)
    assert sorted(seen, key=str) == [("c", 2), ("c", None)]
    assert len(result.active) == 2
    assert result.placement.before == ()


def test_regex_keys_are_batched_and_faults_are_told() -> None:
    calls: list[tuple[int, str]] = []

    def match(patterns: Sequence[tuple[str, str]], text: str) -> list[Verdict]:
        calls.append((len(patterns), text))
        known: dict[str, Verdict] = {
            "slow": PatternFault("timeout", "no answer after 0.8 s") if text else None,
            "(": PatternFault("syntax", "unclosed"),
        }
        return [known.get(pattern, 1 if text else None) for pattern, _ in patterns]

    entries = [key("/x/"), key("/slow/"), key("/(/"), key("/x/", "/y/i", scanDepth=1)]
    uses = [book(*entries)]
    messages = [ScanMessage("A", "one"), ScanMessage("B", "two /(/")]
    result = activate(Scene(uses, messages, 4000), PLAIN, Tools(never, match))
    # One call to learn what compiles, one per scan depth.
    assert calls == [(4, ""), (2, "\x01B: two /(/\n\x01A: one"), (2, "\x01B: two /(/")]
    assert [record.active for record in result.records] == [True, False, True, True]
    assert result.warnings == ("key '/slow/' counts as not found: no answer after 0.8 s",)


def test_min_activations_look_deeper_and_see_recursion_first() -> None:
    settings = ScanSettings(
        scan_depth=1, recursive=True, min_activations=3, match_whole_words=False
    )
    entries = key("old"), key("mid", content="gem"), key("gem")
    result = run(*entries, chat=["old", "mid", "new"], settings=settings)
    assert [(one.number, str(one.scan), one.depth, one.active) for one in result.rounds] == [
        (1, "initial", 1, ()),
        (2, "min_activations", 2, ("b.1",)),
        (3, "recursion", 2, ("b.2",)),
        (4, "recursion", 2, ()),
        (5, "min_activations", 3, ("b.0",)),
        (6, "recursion", 3, ()),
    ]


def test_tag_filters_are_said_not_to_count() -> None:
    result = run(key("king", characterFilter={"tags": ["x"]}))
    assert result.warnings == ("filters by tags are not applied: 1 entries have one",)
    assert result.records[0].active


def test_no_books() -> None:
    result = run()
    assert (result.active, result.records, result.rounds) == ((), (), ())


@pytest.mark.parametrize(
    ("context", "percent", "cap", "budget"),
    [(40, 25, 0, 10), (10, 25, 0, 3), (1, 25, 0, 1), (0, 25, 7, 1), (4000, 25, 6, 6)],
)
def test_budget_rounds_halves_up(context: int, percent: float, cap: int, budget: int) -> None:
    assert budget_of(context, percent, cap) == budget


def test_budget_counts_joined_texts_when_the_parts_do_not_fit() -> None:
    budget = TokenBudget(4, estimate_tokens)
    assert estimate_tokens("ab\n") == 1
    # Five parts of one token each are 15 characters: five tokens; four are 12, which is 4.
    stops = [budget.take("e", "ab", 1) for _ in range(4)]
    assert [stop is None for stop in stops] == [True, True, True, False]


def test_prepared_books_know_an_equal_value_again() -> None:
    books = PreparedBooks(limit=2)
    value = {"entries": [key("a")]}
    first = books.get(value, "x")
    assert books.get(json.loads(json.dumps(value)), "x") is first
    value["entries"][0]["key"] = ["changed"]
    assert books.get(value, "x") is not first
    assert books.get({"entries": []}, "x").entries == ()
    assert books.get({"entries": [key("a")]}, "x") is not first, "two others came since"
    with pytest.raises(WorldBookError, match="not_a_world_book"):
        books.get({}, "x")

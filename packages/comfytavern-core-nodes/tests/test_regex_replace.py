"""Replacing where it is called: limits of time and size, and the frames of the worker."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from comfytavern_core_nodes.regexes import Job, RegexError, Step
from comfytavern_core_nodes.regexes import replace as replacing
from comfytavern_core_nodes.regexes.frames import packed, read_frame
from comfytavern_core_nodes.regexes.limits import MAX_TEXT
from comfytavern_core_nodes.regexes.replace import compiled, first_match, matches, replaced
from comfytavern_core_nodes.regexes.steps import literal_of, replaced_here, script_template
from comfytavern_core_nodes.regexes.worker import answers, serve

CASES = Path(__file__).parent / "cases"
TIMEOUTS: dict[str, Any] = json.loads((CASES / "regex_timeout.json").read_text("utf-8"))


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in TIMEOUTS["cases"]])
def test_every_search_ends(case: dict[str, Any]) -> None:
    text = case["unit"] * case["repeat"] + case["tail"]
    expression = compiled(case["pattern"], case["flags"])
    with suppress(RegexError):
        replaced(expression, text, case["replacement"], TIMEOUTS["limit_s"])


def test_what_the_engine_cannot_guard_times_out() -> None:
    with pytest.raises(RegexError) as caught:
        replaced(compiled("(?:a|aa)+$"), "a" * 60 + "b", "X", 0.1)
    assert caught.value.code == "timeout"


def test_time_is_shared_by_all_searches_of_a_replacement() -> None:
    with pytest.raises(RegexError, match="the search takes too long"):
        list(matches(compiled("a", "g"), "aaa", 0.0))


@pytest.mark.parametrize("replacement", ["$&" * 40, "$`$'" * 20, "x" * 50])
def test_output_is_bounded(replacement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "MAX_TEXT", 1000)
    with pytest.raises(RegexError) as caught:
        replaced(compiled("a+?", "g"), "a" * 30, replacement)
    assert caught.value.code == "text_too_large"


def test_rest_of_the_text_counts_as_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replacing, "MAX_TEXT", 1000)
    with pytest.raises(RegexError, match="more than 1000 characters"):
        replaced(compiled("b"), "a" * 1001, "")


def test_first_match_obeys_sticky() -> None:
    assert first_match(compiled("b"), "ab") == 1
    assert first_match(compiled("b", "y"), "ab") is None
    assert first_match(compiled("b", "g"), "aa") is None


@pytest.mark.parametrize(
    ("pattern", "flags", "literal"),
    [
        ("abc", "g", "abc"),
        ("a/b", "", "a/b"),
        ("名 前", "u", "名 前"),
        ("abc", "i", None),
        ("abc", "y", None),
        ("abc", "gg", None),
        ("abc", "x", None),
        ("", "", None),
        *((f"a{sign}", "", None) for sign in "\\^$.*+?()[]{}|"),
    ],
)
def test_what_needs_no_engine(pattern: str, flags: str, literal: str | None) -> None:
    assert literal_of(pattern, flags) == literal


@pytest.mark.parametrize(
    ("step", "pieces"),
    [
        (Step("a", "", "X"), ["b", "X", "nana"]),
        (Step("an", "g", "X"), ["b", "X", "", "X", "a"]),
        (Step("x", "g", "X"), ["banana"]),
        (Step("a", "g", "{{user}}", "script"), ["b", *["{{user}}", "n"] * 2, "{{user}}", ""]),
        (Step("a", "", "$&"), None),
        (Step("a", "", "{{Match}}", "script"), None),
        (Step("a", "g", "X" * 400_000), None),
    ],
)
def test_plain_words_are_replaced_at_once(step: Step, pieces: list[str] | None) -> None:
    assert replaced_here(Job("banana", (step,))) == pieces
    if pieces is not None:
        (*_, (kind, _, there)) = answers(
            {"do": "replace", "jobs": [["banana", [step]]], "seconds": 1}
        )
        assert (kind, "".join(there)) == ("done", "".join(pieces))  # type: ignore[arg-type]  # JSON


def test_long_text_is_not_replaced_on_the_event_loop() -> None:
    assert replaced_here(Job("a" * 100_001, (Step("a", "", "b"),))) is None


@pytest.mark.parametrize(
    ("replacement", "parts"),
    [
        ("", []),
        ("a{{MATCH}}b", ["a", 0, "b"]),
        ("$1$02$10", [1, 2, 10]),
        ("$$ $& $<x> $", ["$$ $& $<x> $"]),
        ("$" + "9" * 9999, [10**6]),
    ],
)
def test_replacement_of_a_script(replacement: str, parts: list[str | int]) -> None:
    assert script_template(replacement) == parts


def test_frames_carry_any_text() -> None:
    value = ["\ud83d", "\0", "😀", None, 1.5]
    assert read_frame(io.BytesIO(packed(value))) == value
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(packed(value)[:-1]))


def asked(*requests: dict[str, object]) -> list[Any]:
    outgoing = io.BytesIO()
    serve(io.BytesIO(b"".join(map(packed, requests))), outgoing)
    heard: list[Any] = []
    outgoing.seek(0)
    while outgoing.tell() < len(outgoing.getvalue()):
        heard.append(read_frame(outgoing))
    return heard


def test_worker_says_each_step_before_it_does_it() -> None:
    steps = [Step("a", "", "b"), Step("b+", "", "[$&]")]
    jobs = [["ab", steps], ["", [Step("^", "", "x")]]]
    assert asked({"do": "replace", "jobs": jobs, "seconds": 1}) == [
        ["step", 0, 0],
        ["step", 0, 1],
        ["done", 0, ["[bb]"]],
        ["step", 1, 0],
        ["done", 1, ["x"]],
    ]


def test_worker_stops_a_batch_at_a_bad_rule_and_serves_the_next() -> None:
    jobs = [["ab", [Step("a", "", "b"), Step("(", "", "")]], ["c", [Step("c.", "", "")]]]
    problem = ["bad_pattern", "the group is not closed", 0]
    assert asked(
        {"do": "replace", "jobs": jobs, "seconds": 1},
        {"do": "match", "patterns": [["(", ""], ["b", "i"]], "texts": ["aB", ""], "seconds": 1},
    ) == [
        ["step", 0, 0],
        ["step", 0, 1],
        ["failed", 0, 1, problem],
        ["step", 0, 0],
        ["failed", 0, 0, problem],
        ["step", 1, 0],
        ["done", 1, [1, None]],
    ]


def test_worker_refuses_a_text_that_is_too_long() -> None:
    jobs = [["a" * (MAX_TEXT + 1), [Step("a", "", "b")]]]
    *_, last = answers({"do": "replace", "jobs": jobs, "seconds": 1})
    assert last[0] == "failed"
    assert last[3] == ["text_too_large", f"the text has more than {MAX_TEXT} characters", None]

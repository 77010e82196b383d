"""Rules and SillyTavern's scripts: how they are read, which of them count, what they do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfytavern_core_nodes.regexes import (
    Passage,
    RegexError,
    RegexRule,
    RegexScript,
    RegexWorker,
    Rule,
    RuleError,
    apply_rules,
    apply_scripts,
    apply_to_all,
    read_rule,
    rules_that_count,
    script_regex,
)
from comfytavern_core_nodes.regexes import service as services
from comfytavern_core_nodes.regexes.replace import compiled
from comfytavern_core_nodes.regexes.worker import answers

CASES: dict[str, Any] = json.loads(
    (Path(__file__).parent / "cases" / "st_regex_scripts.json").read_text("utf-8")
)

# Case files are JSON of many shapes, so their values stay Any.
Case = dict[str, Any]


class WorkerHere(RegexWorker):
    """Does in this process what the worker would do: for rules that are known to be quick."""

    async def _run(self, exchange: services._Exchange) -> RegexError | None:
        for answer in answers(json.loads(json.dumps(exchange.request))):
            exchange.hear(answer)
        return None


WORKER = WorkerHere()


def macros(text: str) -> str:
    for name, value in CASES["context"].items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def script(**fields: object) -> RegexScript:
    rule = read_rule({**CASES["script_defaults"], **fields})
    assert isinstance(rule, RegexScript)
    return rule


def source(pattern: str) -> str:
    """Return the pattern as JavaScript shows it: slashes outside of classes are escaped."""
    return pattern if pattern == "[/]" else pattern.replace("\\/", "/").replace("/", "\\/")


@pytest.mark.parametrize(
    "case", [pytest.param(c, id=repr(c["input"])) for c in CASES["regex_from_string"]]
)
def test_find_regex_case(case: Case) -> None:
    found = script_regex(case["input"])
    assert found is not None
    if case["expected"] is None:
        with pytest.raises(RegexError):
            compiled(*found)
    else:
        assert {"source": source(found[0]), "flags": found[1]} == case["expected"]


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in CASES["run_script"]])
async def test_script_case(case: Case) -> None:
    expected = case.get("recommended", case.get("expected_newer", case["expected"]))
    made = script(**case["script"])
    assert await apply_scripts(case["input"], [made], None, None, macros, WORKER) == expected


@pytest.mark.parametrize("case", [pytest.param(c, id=c["id"]) for c in CASES["select"]])
async def test_selection_case(case: Case) -> None:
    options = case["options"]
    changed = await apply_to_all(
        [Passage(case["input"], case["placement"], options.get("depth"))],
        [script(**fields) for fields in case["scripts"]],
        WORKER,
        prompt=options.get("isPrompt", False),
        markdown=options.get("isMarkdown", False),
    )
    assert changed == [case["expected"]]


def test_no_case_is_left_out() -> None:
    assert [len(CASES[group]) for group in ("regex_from_string", "run_script", "select")] == [
        18,
        23,
        11,
    ]


@pytest.mark.parametrize(
    ("find", "expected"),
    [
        ("", None),
        ("\n", None),
        ("/a/x", None),
        ("/a/ and more", ("a", "")),
        ("///", ("/", "")),
        ("/a/gz", ("/a/gz", "")),
    ],
)
def test_find_regex(find: str, expected: tuple[str, str] | None) -> None:
    assert script_regex(find) == expected


@pytest.mark.parametrize(
    ("substitute", "text", "expected"),
    [
        (0, "ab {dot}", "ab X"),
        (1, "ab {dot}", "Xb {dot}"),
        (True, "ab {dot}", "Xb {dot}"),
        (2, "a.b {dot}", "aXb {dot}"),
    ],
)
async def test_macros_in_what_is_searched(substitute: int, text: str, expected: str) -> None:
    made = script(findRegex="/{{dot}}|{dot}/", replaceString="X", substituteRegex=substitute)
    changed = await apply_scripts(
        text, [made], 1, 0, lambda text: text.replace("{{dot}}", "."), WORKER
    )
    assert changed == expected


async def test_escaped_macros_keep_line_breaks_and_unknown_ones() -> None:
    made = script(findRegex="{{nl}}{{what}}", replaceString="X", substituteRegex=2)
    step = made.step(lambda text: text.replace("{{nl}}", "\n"))
    assert step is not None
    assert step.pattern == r"\n{{what}}"


async def test_macros_come_after_the_replacement_and_before_the_next_rule() -> None:
    rules: list[Rule] = [
        script(findRegex="/n/g", replaceString="{{char}}"),
        RegexRule("plain", "Alice", "<$&>", "g"),
    ]
    changed = await apply_to_all([Passage("n n"), Passage("")], rules, WORKER, macros=macros)
    assert changed == ["<Alice> <Alice>", ""]


async def test_what_was_there_before_is_no_macro() -> None:
    made = script(findRegex="/n/", replaceString="N")
    assert await apply_scripts("{{user}}n", [made], 1, 0, macros, WORKER) == "{{user}}N"


async def test_scripts_run_on_the_texts_they_are_for() -> None:
    rules = [
        script(findRegex="/x/", replaceString="u", placement=[1]),
        script(findRegex="/x/", replaceString="deep", placement=[1, 2], minDepth=2),
        script(findRegex="/x/", replaceString="off", placement=[2], disabled=True),
        script(findRegex="/x/", replaceString="shown", placement=[2], markdownOnly=True),
        script(findRegex="/x/x", replaceString="perl", placement=[2]),
    ]
    texts = [Passage("x", 1, 0), Passage("x", 2, 1), Passage("x", 2, 2), Passage("x")]
    assert await apply_to_all(texts, rules, WORKER) == ["u", "x", "deep", "u"]


async def test_failed_rule_is_named() -> None:
    rules: list[Rule] = [RegexRule("good", "a", "b"), RegexRule("bad", "(", "")]
    with pytest.raises(RuleError) as caught:
        await apply_rules("a", rules, WORKER)
    error = caught.value
    assert str(error) == (
        "regex rule 'bad' failed (bad_pattern): the group is not closed at position 0"
    )
    assert error.code == "regex_rule_failed"
    assert error.details == {"rule": "bad", "problem": "bad_pattern", "position": 0}


async def test_script_that_is_too_large_fails_while_a_wrong_one_changes_nothing() -> None:
    assert await apply_rules("a(", [script(findRegex="/(/", replaceString="X")], WORKER) == "a("
    with pytest.raises(RuleError, match="pattern_too_large"):
        await apply_rules("a", [script(findRegex="/a{100001}/")], WORKER)


def test_first_of_a_name_counts() -> None:
    def names(*lists: list[Rule]) -> list[str]:
        return [
            rule.replacement if isinstance(rule, RegexRule) else f"script {rule.replacement}"
            for rule in rules_that_count(*lists)
        ]

    inline: list[Rule] = [RegexRule("x", "a", "1", enabled=False), RegexRule("x", "a", "2")]
    loaded: list[Rule] = [RegexRule("x", "a", "3"), RegexRule("y", "a", "4")]
    twins: list[Rule] = [script(findRegex="a", replaceString=n) for n in "56"]
    assert names(inline, loaded) == ["1", "4"]
    assert names(twins, twins) == ["script 5", "script 6"]
    assert names([RegexRule("s", "a", "7"), *twins]) == ["7", "script 5", "script 6"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (5, "it is a whole number; expected an object"),
        ({"pattern": "a", "replacement": ""}, "'name' is missing; expected text"),
        ({"name": "", "pattern": "a", "replacement": ""}, "'name' is empty"),
        ({"name": "n", "replacement": ""}, "'pattern' is missing; expected text"),
        ({"name": "n", "pattern": "", "replacement": ""}, "'pattern' is empty"),
        ({"name": "n", "pattern": "a"}, "'replacement' is missing; expected text"),
        ({"name": 1, "pattern": "a", "replacement": ""}, "'name' is a whole number; expected text"),
        (
            {"name": "n", "pattern": "a", "replacement": "", "enabled": 1},
            "'enabled' is a whole number; expected true or false",
        ),
        ({"findRegex": None}, "'findRegex' is null; expected text"),
        ({"findRegex": "a", "placement": 1}, "'placement' is a whole number; expected a list"),
        ({"findRegex": "a", "minDepth": "1"}, "'minDepth' is text; expected a number or null"),
    ],
)
def test_what_is_no_rule(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read_rule(value)
    assert str(caught.value) == reason


def test_rules_travel_as_values() -> None:
    rule = read_rule({"name": "n", "pattern": "a", "replacement": "b", "flags": None, "x": 1})
    assert rule == RegexRule("n", "a", "b")
    assert read_rule(json.loads(json.dumps(rule.to_value()))) == rule
    made = script(scriptName="tidy", findRegex="/a/gi", minDepth=float("nan"), maxDepth=3)
    assert (made.min_depth, made.max_depth) == (None, 3)
    assert read_rule(json.loads(json.dumps(made.to_value()))) == made
    assert read_rule({"findRegex": "/a/"}).name == "/a/"
    assert read_rule({"name": "\ud83d", "pattern": "a", "replacement": ""}).name == "\ufffd"


def test_script_carries_the_nearest_plain_rule() -> None:
    made = script(findRegex="/(a)/g", replaceString="$0{{match}}$1$$&")
    plain = dict(made.to_value())
    del plain["script"]
    assert plain == {
        "name": "s",
        "pattern": "(a)",
        "replacement": "$&$&$1$$$$&",
        "flags": "g",
        "enabled": True,
    }
    assert script(findRegex="/a/x").to_value()["enabled"] is False


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3),
    max_leaves=4,
)
RULE_KEYS = [*CASES["script_defaults"], "name", "pattern", "replacement", "flags", "enabled"]


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.dictionaries(st.sampled_from(RULE_KEYS), json_values))
def test_any_value_is_a_rule_or_refused(value: Mapping[str, object]) -> None:
    try:
        rule = read_rule(value)
    except ValueError:
        return
    assert read_rule(rule.to_value()) == rule

"""RegexRuleLoader: which files it reads, and what it says of those it cannot read."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfytavern.errors import NodeFailedError, WorkflowError
from comfytavern.testing import run_node
from comfytavern_core_nodes.catalog import definitions
from comfytavern_core_nodes.regexes import RegexRule, RegexScript
from comfytavern_core_nodes.regexes.rule_files import (
    MAX_RULE_FILE,
    RuleFileError,
    read_rule_file,
)

LOADER = next(node for node in definitions() if node.type == "RegexRuleLoader")
RULE = {"name": "n", "pattern": "a+", "replacement": "b", "flags": "g"}
SCRIPT = {"scriptName": "s", "findRegex": "/a/g", "replaceString": "b", "placement": [1, 2]}


def text_of(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "data",
    [text_of([RULE]), text_of({"rules": [RULE], "version": 1}), b"\xef\xbb\xbf" + text_of([RULE])],
)
@pytest.mark.parametrize("name", ["r.json", "r", "r.yaml", "shared://rules/r.yml"])
def test_json_rules(data: bytes, name: str) -> None:
    assert read_rule_file(data, name) == [RegexRule("n", "a+", "b", "g")]


@pytest.mark.parametrize("value", [SCRIPT, [SCRIPT], {"rules": [SCRIPT]}])
def test_scripts(value: object) -> None:
    made = RegexScript("s", "/a/g", "b", placements=frozenset({1, 2}))
    assert read_rule_file(text_of(value), "s.json") == [made]


def test_yaml_fields_have_the_kinds_of_json() -> None:
    text = """
    rules:
      - pattern: 123
        replacement: no
        enabled: false
        name: 2024-01-01
      - findRegex: /a/
        scriptName: "null"
        placement: [1, 2]
        promptOnly: true
        minDepth: 2
        maxDepth: ~
        trimStrings: [x]
    """
    assert read_rule_file(text.encode(), "r.yaml") == [
        RegexRule("2024-01-01", "123", "no", enabled=False),
        RegexScript(
            "null",
            "/a/",
            trim=("x",),
            placements=frozenset({1, 2}),
            prompt_only=True,
            min_depth=2,
        ),
    ]


def test_rule_without_a_name_is_called_by_its_place() -> None:
    nameless = {"pattern": "a", "replacement": ""}
    rules = read_rule_file(text_of([RULE, nameless, {**SCRIPT, "scriptName": ""}]), "r.json")
    assert [rule.name for rule in rules] == ["n", "rule 2", "rule 3"]


@pytest.mark.parametrize(
    ("data", "name", "reason"),
    [
        (b"\xff", "r.json", "byte 0 is no UTF-8"),
        (b"[oops", "r.json", "expecting value at line 1, column 2"),
        (b"9" * 5000, "r.json", "a number is too long, or lists are too deep"),
        (b"[" * 100_000, "r.json", "a number is too long, or lists are too deep"),
        (b"a: [", "r.yaml", "expected the node content, but found '<stream end>' at line 1"),
        (
            b"[" * 2000,
            "r.yaml",
            "the YAML is too deep, has more than 50000 values or odd characters",
        ),
        (b"a: &a [*a]", "r.yml", "found unconstructable recursive node at line 1"),
        (b" " * (MAX_RULE_FILE + 1), "r.json", f"it has more than {MAX_RULE_FILE} bytes"),
        (b" " * (1024 * 1024 + 1), "r.yaml", "the YAML text has more than 1048576 characters"),
        (
            b'"text"',
            "r.json",
            (
                "it holds text; expected a list of rules, an object with 'rules', or a SillyTavern"
                " script"
            ),
        ),
        (b'[{"pattern": 1}]', "r.json", "rule [0]: 'pattern' is a whole number; expected text"),
        (text_of([RULE, 7]), "r.json", "rule [1]: it is a whole number; expected an object"),
        (
            text_of([RULE, {"name": "x"}]),
            "r.json",
            "rule [1]: 'pattern' is missing; expected text",
        ),
    ],
)
def test_unusable_file(data: bytes, name: str, reason: str) -> None:
    with pytest.raises(RuleFileError) as caught:
        read_rule_file(data, name)
    assert str(caught.value) == f"regex rules {name!r} cannot be read: {reason}"


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.binary(max_size=200) | st.text(max_size=200).map(str.encode),
    st.sampled_from(["r.json", "r.yaml", "r"]),
)
def test_nothing_but_its_own_error(data: bytes, name: str) -> None:
    with suppress(RuleFileError):
        read_rule_file(data, name)


async def test_node_gives_values_for_other_nodes() -> None:
    files = {"r.json": text_of([RULE, SCRIPT])}
    result = await run_node(LOADER, config={"ruleResource": "r.json"}, resources=files)
    rules = result.outputs["regexRules"]
    assert isinstance(rules, list)
    assert [rule["name"] for rule in rules] == ["n", "s"]
    assert rules[1]["script"]["placement"] == [1, 2]
    assert json.loads(json.dumps(rules)) == rules


async def test_connected_name_wins() -> None:
    files = {"a.json": b"[]", "b.json": text_of([RULE])}
    config = {"ruleResource": "a.json"}
    result = await run_node(LOADER, config=config, resources=files, ruleResource="b.json")
    assert result.outputs["regexRules"] == [RegexRule("n", "a+", "b", "g").to_value()]


async def test_node_names_the_file_that_it_cannot_read() -> None:
    with pytest.raises(NodeFailedError, match=r"regex rules 'r\.json' cannot be read: rule \[0\]"):
        await run_node(LOADER, config={"ruleResource": "r.json"}, resources={"r.json": b"[1]"})


async def test_no_file_chosen() -> None:
    with pytest.raises(WorkflowError, match="needs a value for input 'ruleResource'"):
        await run_node(LOADER)
    with pytest.raises(NodeFailedError, match="no file of regex rules is chosen"):
        await run_node(LOADER, ruleResource="")
    with pytest.raises(NodeFailedError, match="'ruleResource' is a whole number"):
        await run_node(LOADER, ruleResource=5)

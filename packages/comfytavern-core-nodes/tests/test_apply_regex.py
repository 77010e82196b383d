"""ApplyRegex: which rules run on a text, and that a bad one harms nobody but its node."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from comfytavern.errors import NodeFailedError
from comfytavern.testing import run_node
from comfytavern_core_nodes.catalog import definitions
from comfytavern_core_nodes.regexes import RegexWorker

NODE = next(node for node in definitions() if node.type == "ApplyRegex")
CASES: list[dict[str, Any]] = json.loads(  # Any: JSON of many shapes
    (Path(__file__).parent / "cases" / "apply_regex.json").read_text("utf-8")
)["cases"]


async def output(inputs: Mapping[str, object], **config: object) -> object:
    return (await run_node(NODE, inputs, config=config)).outputs["outputText"]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CASES])
async def test_case(case: dict[str, Any]) -> None:
    if "error" in case:
        with pytest.raises(NodeFailedError):
            await output(case["inputs"])
    else:
        assert await output(case["inputs"]) == case["expected"]


def test_no_case_is_left_out() -> None:
    assert len(CASES) == 19


def rule(pattern: str, replacement: str = "X", **fields: object) -> dict[str, object]:
    return {"name": pattern, "pattern": pattern, "replacement": replacement, **fields}


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"inputText": 5}, "input 'inputText' is a whole number; expected text"),
        (
            {"inputText": "a", "regexRules": {}},
            "input 'regexRules' is an object; expected a list of rules",
        ),
        (
            {"inputText": "a", "inlineRegexRules": [rule("(")]},
            "regex rule '(' failed (bad_pattern): the group is not closed at position 0",
        ),
        (
            {"inputText": "a", "regexRules": [rule("a", flags="q")]},
            (
                "regex rule 'a' failed (bad_flags): the flags 'q' are not each one of"
                " d g i m s u y, and only once"
            ),
        ),
    ],
)
async def test_failure_is_explained(inputs: dict[str, object], reason: str) -> None:
    with pytest.raises(NodeFailedError) as failed:
        await output(inputs)
    assert failed.value.reason == reason


async def test_skipped_rules_are_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="comfytavern.packs"):
        inputs = {"inputText": "a", "inlineRegexRules": [{"name": "x"}, rule("a")]}
        assert await output(inputs) == "X"
    assert [text for name, _, text in caplog.record_tuples if name.startswith("comfytavern")] == [
        "inlineRegexRules[0] is skipped: 'pattern' is missing; expected text"
    ]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, "YZ"),
        ({"placement": "user"}, "Yb"),
        ({"placement": "ai", "depth": 0}, "ab"),
        ({"placement": "ai", "depth": 2}, "aZ"),
        ({"placement": "world_info"}, "ab"),
    ],
)
async def test_scripts_by_placement_and_depth(config: dict[str, object], expected: str) -> None:
    scripts = [
        {"findRegex": "a", "replaceString": "Y", "placement": [1]},
        {"findRegex": "b", "replaceString": "Z", "placement": [2], "minDepth": 1},
    ]
    assert await output({"inputText": "ab", "regexRules": scripts}, **config) == expected


async def test_unknown_placement() -> None:
    with pytest.raises(
        NodeFailedError, match="'placement' is 'top'; expected one of any, user, ai"
    ):
        await output({"inputText": "a"}, placement="top")


async def test_catastrophic_pattern_fails_its_node_and_the_loop_stays_live() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    text = "a" * 5000 + "b"
    async with RegexWorker() as worker, anyio.create_task_group() as group:
        group.start_soon(count)
        rules = [rule("b", "b"), rule("(?:a|aa)+$")]
        with anyio.fail_after(15), pytest.raises(NodeFailedError) as failed:
            await run_node(
                NODE,
                {"inputText": text, "regexRules": rules},
                services={"regex_worker": worker},
            )
        group.cancel_scope.cancel()
    assert failed.value.error_code == "regex_rule_failed"
    assert failed.value.reason.startswith("regex rule '(?:a|aa)+$' failed (timeout): ")
    assert failed.value.details["problem"] == "timeout"
    assert turns > 100

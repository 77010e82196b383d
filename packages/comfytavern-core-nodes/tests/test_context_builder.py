"""ContextBuilder: its slots are final, its builder is plain, and its report says so."""

from __future__ import annotations

import logging

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
UNUSED = "the plain builder does not use it yet"


def said(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


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
    result = await run_node(
        BUILDER, characterData=CARD, user_name="Ann", user_message=" Is it late? "
    )
    assert result.outputs["finalMessages"] == said(
        ("system", "Mira mends clocks for Ann."),
        ("assistant", "Hello, Ann."),
        ("user", "Is it late?"),
    )
    assert result.outputs["report"] == {
        "builder": "plain",
        "messageCount": 3,
        "used": ["characterData", "user_message", "user_name"],
        "unused": [],
        "warnings": [],
    }
    assert result.outputs["state"] == {}


async def test_inputs_win_over_the_configuration() -> None:
    config: dict[str, object] = {"user_name": "Bo", "user_message": "from the widget"}
    result = await run_node(BUILDER, config=config, characterData=CARD)
    messages = result.outputs["finalMessages"]
    assert isinstance(messages, list)
    assert messages[1:] == said(("assistant", "Hello, Bo."), ("user", "from the widget"))
    result = await run_node(BUILDER, config=config, characterData=CARD, user_message="said")
    messages = result.outputs["finalMessages"]
    assert isinstance(messages, list)
    assert messages[1:] == said(("assistant", "Hello, Bo."), ("user", "said"))


async def test_history_goes_between_greeting_and_message() -> None:
    history = said(("user", "one"), ("assistant", "two"))
    result = await run_node(BUILDER, historyMessages=history, user_message="three")
    assert result.outputs["finalMessages"] == [*history, *said(("user", "three"))]
    assert history == said(("user", "one"), ("assistant", "two"))


async def test_nothing_at_all_gives_no_messages() -> None:
    assert (await run_node(BUILDER)).outputs["finalMessages"] == []


@pytest.mark.parametrize(
    ("index", "greeting", "warnings"),
    [
        (0, "Hello, User.", []),
        (1, "Back again?", []),
        (2, "Hello, User.", ["there is no greeting 2; the card has 0 to 1, 0 is used"]),
    ],
)
async def test_greeting_index(index: int, greeting: str, warnings: list[str]) -> None:
    result = await run_node(BUILDER, config={"greeting_index": index}, characterData=CARD)
    messages, report = result.outputs["finalMessages"], result.outputs["report"]
    assert isinstance(messages, list)
    assert isinstance(report, dict)
    assert messages[1]["content"] == greeting
    assert report["warnings"] == warnings


async def test_what_the_plain_builder_cannot_use_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    card = {**CARD, "character_book": {"entries": [1]}, "depth_prompt": None}
    state = {"turn": 3}
    with caplog.at_level(logging.WARNING, logger="comfytavern.packs"):
        result = await run_node(
            BUILDER,
            presetData={"prompts": []},
            worldBookData=[{"entries": []}],
            regexRules=[{"pattern": "a"}],
            characterData=card,
            state=state,
        )
    report = result.outputs["report"]
    assert isinstance(report, dict)
    assert report["unused"] == [
        {"input": "presetData", "reason": UNUSED},
        {"input": "worldBookData", "reason": UNUSED},
        {"input": "regexRules", "reason": UNUSED},
        {"input": "state", "reason": f"{UNUSED}; it is given on unchanged"},
        {"input": "characterData.character_book", "reason": UNUSED},
    ]
    assert caplog.records[0].getMessage() == f"presetData is not used: {UNUSED}"
    assert result.outputs["state"] == state


async def test_object_that_is_no_card_is_noticed() -> None:
    result = await run_node(BUILDER, characterData={"data": {"name": "raw file"}})
    report = result.outputs["report"]
    assert isinstance(report, dict)
    assert report["warnings"] == [
        "characterData has no name; expected a card as a card loader gives it"
    ]


async def test_history_that_is_none() -> None:
    with pytest.raises(NodeFailedError, match="history message 0 has role 'wizard'"):
        await run_node(BUILDER, historyMessages=said(("wizard", "hm")))

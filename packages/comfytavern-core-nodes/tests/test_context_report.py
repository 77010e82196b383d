"""The report: where each text comes from, what it costs, and what was left out and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from comfytavern_core_nodes.context import (
    AuthorNote,
    BuiltContext,
    ContextRequest,
    ContextSettings,
    Persona,
    build_context,
)
from comfytavern_core_nodes.histories import messages_from
from comfytavern_core_nodes.presets import preset_from
from comfytavern_core_nodes.regexes import Passage

# Reports and presets are JSON, so their values stay Any.
Json = dict[str, Any]

CARD = {
    "name": "Mira",
    "description": "{{char}} mends clocks.",
    "system_prompt": "Rules. {{original}}",
    "mes_example": "<START>\n{{user}}: hi\n{{char}}: hm.\n<START>\n{{user}}: bye\n{{char}}: yes.",
}
PROMPTS = [
    {"identifier": "main", "name": "Main Prompt", "content": "Play {{char}}."},
    {"identifier": "c1", "name": "Extra", "content": "Extra {{user}}."},
]
ORDER = ["main", "c1", "charDescription", "dialogueExamples", "chatHistory", "jailbreak"]
HISTORY = [
    {"role": "user", "content": "one {{char}}"},
    {"role": "assistant", "content": "two", "hidden": True},
    {"role": "assistant", "content": "three"},
]


def preset_data(off: tuple[str, ...] = (), **fields: object) -> Json:
    order = [{"identifier": key, "enabled": key not in off} for key in ORDER]
    order = [{"character_id": 100001, "order": order}]
    return {
        "prompts": PROMPTS,
        "prompt_order": order,
        "new_chat_prompt": "[Chat]",
        "new_example_chat_prompt": "[Example]",
        **fields,
    }


def build(
    preset: Json | None = None, settings: ContextSettings | None = None, **fields: Any
) -> BuiltContext:
    request: Json = {"card": CARD, "history": messages_from(HISTORY), **fields}
    return build_context(
        ContextRequest(
            preset=preset_from(preset or preset_data()).preset,
            settings=settings or ContextSettings(user_name="Ann"),
            count_tokens=lambda text: len(text.split()),
            **request,
        )
    )


def report_of(context: BuiltContext) -> Json:
    report: Json = json.loads(json.dumps(context.report))
    return report


def spans(context: BuiltContext, number: int) -> list[tuple[str, Json]]:
    """Return the stretches of one message with their origins."""
    content = str(context.messages[number]["content"])
    told = report_of(context)["messages"][number]["spans"]
    return [
        (content[span.pop("start") : span.pop("end")], span)
        for span in json.loads(json.dumps(told))
    ]


def test_a_prompt_replaced_by_the_card_knows_both() -> None:
    prompt = {"kind": "preset", "name": "main", "label": "Main Prompt"}
    assert spans(build(), 0) == [
        ("Rules. ", {"kind": "card", "name": "system_prompt"}),
        ("Play ", prompt),
        ("Mira", {"kind": "macro", "name": "char", "within": prompt}),
        (".", prompt),
    ]


def test_turns_formats_and_personas_are_told_apart() -> None:
    settings = ContextSettings(
        user_name="Ann",
        persona=Persona(text="A baker.", position="note_top"),
        note=AuthorNote(text="Short, {{user}}.", depth=0),
    )
    context = build(preset_data(names_behavior=2), settings, user_message="four")
    turn = {"kind": "history", "name": "0", "label": "Ann"}
    prefix = ("Ann: ", {"kind": "preset", "name": "names_behavior"})
    macro = {"kind": "macro", "name": "char", "within": turn}
    assert spans(context, -4) == [prefix, ("one ", turn), ("Mira", macro)]
    assert spans(context, -2) == [prefix, ("four", {"kind": "user_message"})]
    assert spans(context, -1) == [
        ("A baker.", {"kind": "persona"}),
        ("\n", {"kind": "separator"}),
        ("Short, ", {"kind": "note"}),
        ("Ann", {"kind": "macro", "name": "user", "within": {"kind": "note"}}),
        (".", {"kind": "note"}),
    ]


def test_entries_of_books_and_their_format() -> None:
    book = {
        "name": "Town",
        "entries": [
            {"uid": 1, "constant": True, "content": "Tower.", "comment": "the tower", "order": 1},
            {"uid": 2, "constant": True, "content": "Bells.", "order": 2},
        ],
    }
    order = [{"identifier": "worldInfoBefore", "enabled": True}]
    preset = preset_data(prompt_order=order, wi_format="<{0}>")
    context = build(preset, books=[book])
    assert spans(context, 0) == [
        ("<", {"kind": "preset", "name": "wi_format"}),
        ("Tower.", {"kind": "book", "name": "Town.1", "label": "the tower"}),
        ("\n", {"kind": "separator"}),
        ("Bells.", {"kind": "book", "name": "Town.2"}),
        (">", {"kind": "preset", "name": "wi_format"}),
    ]
    world = report_of(context)["world_info"]
    assert [entry["tokens"] for entry in world["entries"]] == [1, 1]
    assert world["used"] == 2


def test_what_a_rule_writes_is_told_apart_from_what_was_said() -> None:
    class Engine:
        def apply(self, passages: Sequence[Passage], rules: object, macros: object) -> list[str]:
            return [passage.text.replace("thr", "t-h-r") for passage in passages]

        def match(self, patterns: object, text: str) -> list[None]:
            return []

    rule = {"name": "r", "pattern": "thr", "replacement": "t-h-r"}
    context = build(rules=[rule], regexes=Engine())
    turn = {"kind": "history", "name": "2", "label": "Mira"}
    assert spans(context, -1) == [
        ("t", turn),
        ("-h-", {"kind": "regex", "within": turn}),
        ("ree", turn),
    ]


def test_what_each_part_costs() -> None:
    report = report_of(build())
    assert [
        (part["part"], part["messages"], part["tokens"]) for part in report["tokens"]["parts"]
    ] == [
        ("main", 1, 7),
        ("c1", 1, 6),
        ("charDescription", 1, 7),
        ("dialogueExamples", 6, 34),
        ("newChat", 1, 5),
        ("chatHistory", 2, 11),
    ]
    assert report["tokens"]["used"] == 70
    assert report["tokens"]["left"] == report["tokens"]["budget"] - 70


def test_joined_messages_name_all_their_parts() -> None:
    context = build(preset_data(squash_system_messages=True))
    first = report_of(context)["messages"][0]
    assert first["parts"] == ["main", "c1", "charDescription"]
    assert first["tokens"] == 4 + 8
    assert context.messages[0]["content"] == "Rules. Play Mira.\nExtra Ann.\nMira mends clocks."


@pytest.mark.parametrize(
    ("off", "settings", "dropped"),
    [
        ((), {}, []),
        (("c1",), {}, [{"part": "c1", "reason": "disabled in the preset"}]),
        (
            ("charDescription",),
            {},
            [{"part": "charDescription", "reason": "disabled in the preset"}],
        ),
        (
            ("dialogueExamples",),
            {},
            [{"part": "dialogueExamples", "reason": "examples are switched off", "blocks": 2}],
        ),
        (
            (),
            {"strip_examples": True},
            [{"part": "dialogueExamples", "reason": "examples are switched off", "blocks": 2}],
        ),
        (
            (),
            {"prefer_character_prompt": False},
            [
                {
                    "part": "card.system_prompt",
                    "reason": "the settings prefer the preset's prompt",
                }
            ],
        ),
        (
            ("main",),
            {},
            [
                {"part": "main", "reason": "disabled in the preset"},
                {"part": "card.system_prompt", "reason": "main is not sent by the preset"},
            ],
        ),
        (
            (),
            {"note": {"text": "N", "interval": 3}},
            [
                {
                    "part": "authorsNote",
                    "reason": "not due; it is sent every 3 messages of the user",
                }
            ],
        ),
        (
            (),
            {"generation": "swipe"},
            [
                {
                    "part": "chatHistory",
                    "reason": "to be replaced by this swipe",
                    "messages": 1,
                    "first": 2,
                    "last": 2,
                }
            ],
        ),
        (
            ("chatHistory",),
            {},
            [
                {
                    "part": "chatHistory",
                    "reason": "the preset has no place for the chat",
                    "messages": 2,
                }
            ],
        ),
        (
            (),
            {"max_context": 60, "max_tokens": 10},
            [
                {
                    "part": "dialogueExamples",
                    "reason": "did not fit into the context",
                    "messages": 6,
                    "tokens": 34,
                }
            ],
        ),
        (
            (),
            {"max_context": 43, "max_tokens": 10},
            [
                {
                    "part": "chatHistory",
                    "reason": "did not fit into the context",
                    "messages": 1,
                    "tokens": 6,
                    "first": 0,
                    "last": 0,
                },
                {
                    "part": "dialogueExamples",
                    "reason": "did not fit into the context",
                    "messages": 6,
                    "tokens": 34,
                },
            ],
        ),
    ],
)
def test_what_was_left_out_and_why(
    off: tuple[str, ...], settings: Json, dropped: list[Json]
) -> None:
    context = build(preset_data(off), ContextSettings(user_name="Ann", **settings))
    hidden = {"part": "chatHistory", "reason": "hidden", "messages": 1}
    found = report_of(context)["dropped"]
    assert hidden in found
    found.remove(hidden)
    assert found == dropped

"""Plain prompt building from a card and a history."""

from __future__ import annotations

import json

import pytest

from comfytavern_core_nodes.context.plain import build_messages, history_from

CARD: dict[str, object] = {
    "name": "Mira",
    "nickname": "",
    "system_prompt": "You are {{char}}. {{original}}",
    "description": "{{Char}} mends clocks for {{user}}.\r\n",
    "personality": "dry",
    "scenario": "",
    "mes_example": "<START>\r\n{{user}}: hi\n{{char}}: hm.\n<start>\n<USER>: bye\n<BOT>: yes.",
    "first_mes": "Hello, {{user}}.",
    "post_history_instructions": "Short replies, {{char}}.",
}
GREETING = {"role": "assistant", "content": "Hello, Ann."}
NO_KEY = "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"
ORDERS = {"role": "system", "content": "Short replies, Mira."}


def test_system_message_joins_the_fields_of_the_card() -> None:
    system, greeting, orders = build_messages(CARD, [], "Ann")
    assert system == {
        "role": "system",
        "content": "You are Mira.\n\nMira mends clocks for Ann.\n\nPersonality: dry\n\n"
        "Example dialogue:\nAnn: hi\nMira: hm.\n\nAnn: bye\nMira: yes.",
    }
    assert (greeting, orders) == (GREETING, ORDERS)


def test_nickname_replaces_the_name() -> None:
    system = build_messages({"name": "Mira", "nickname": "Mi", "description": "{{char}}"}, [])[0]
    assert system["content"] == "Mi"


def test_names_are_filled_in_once() -> None:
    system = build_messages({"name": "{{user}}", "description": "{{char}}, {{x}}"}, [])[0]
    assert system["content"] == "{{user}}, {{x}}"


@pytest.mark.parametrize(
    ("roles", "greeted"),
    [
        ([], True),
        (["user"], True),
        (["system", "user"], True),
        (["assistant", "user"], False),
        (["system", "assistant"], False),
    ],
)
def test_greeting_unless_the_history_begins_with_the_character(
    roles: list[str], greeted: bool
) -> None:
    history = [{"role": role, "content": role} for role in roles]
    messages = build_messages(CARD, history, "Ann")
    assert (GREETING in messages) is greeted
    assert messages[-1 - len(history) : -1] == history
    assert messages[-1] == ORDERS


def test_without_a_card_the_history_is_everything() -> None:
    history = [{"role": "user", "content": "{{char}}?", "name": "Ann"}]
    assert build_messages(None, history) == [{"role": "user", "content": "{{char}}?"}]
    assert build_messages(None, []) == []


def test_history_from_lists_and_text() -> None:
    parts = [{"type": "text", "text": "hi"}]
    messages: list[dict[str, object]] = [
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None},
    ]
    assert history_from(messages) == messages
    assert history_from(json.dumps(messages)) == messages
    assert history_from(None) == history_from(" \n") == history_from([]) == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "history is int; expected a list of messages or its JSON text"),
        ('{"role": "user"}', "history is dict; expected a list of messages or its JSON text"),
        (["hi"], "history message 0 is str; expected role and content"),
        (
            [{"role": "user", "content": "a"}, {"role": "bot", "content": "b"}],
            "history message 1 has role 'bot'; known roles: system, user, assistant",
        ),
        ([{"role": "user"}], "history message 0 has NoneType as content; expected text"),
        ("[" * 100_000, "history text is nested too deeply to be a list of messages"),
        ("{", f"history text is not JSON: {NO_KEY}; expected a list of messages"),
    ],
)
def test_history_that_cannot_be_read(value: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the whole text is asserted below
        history_from(value)
    assert str(caught.value) == message

"""Corners of the assembly that the case file leaves open."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfytavern_core_nodes.context import (
    AuthorNote,
    ContextError,
    ContextRequest,
    ContextSettings,
    Persona,
    build_context,
    estimate_tokens,
)
from comfytavern_core_nodes.histories import messages_from
from comfytavern_core_nodes.presets import preset_from

# Presets are JSON, so their values stay Any.
Json = dict[str, Any]

CHAT = [("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")]


def prompts(order: str, **texts: Json) -> Json:
    """Return a preset: identifiers in order, and what some of its prompts say."""
    entries = [{"identifier": key, "enabled": True} for key in order.split()]
    listed = [{"identifier": key, "name": key, **prompt} for key, prompt in texts.items()]
    return {"prompts": listed, "prompt_order": entries, "continue_nudge_prompt": "[on]"}


def sent(
    preset: Json | None = None,
    chat: list[tuple[str, str]] | None = None,
    options: Json | None = None,
    **fields: Any,
) -> list[tuple[str, str]]:
    history = [{"role": role, "content": text} for role, text in (CHAT if chat is None else chat)]
    options = {"user_name": "Ann", "max_context": 4000, "max_tokens": 100, **(options or {})}
    context = build_context(
        ContextRequest(
            preset=preset_from(preset or prompts("chatHistory")).preset,
            history=messages_from(history),
            settings=ContextSettings(**options),
            **{"card": {"name": "Mira"}, **fields},
        )
    )
    return [
        (
            f"{message['role']}:{message['name']}" if "name" in message else str(message["role"]),
            str(message["content"]),
        )
        for message in context.messages
    ]


@pytest.mark.parametrize(
    ("interval", "chat", "due"),
    [
        (1, CHAT, True),
        (2, CHAT, True),
        (3, CHAT, False),
        (0, CHAT, False),
        (1, [], False),
        (1, [("assistant", "hello")], True),
        (1, [("assistant", "hello"), ("assistant", "again")], False),
    ],
)
def test_note_is_due_at_every_so_many_messages_of_the_user(
    interval: int, chat: list[tuple[str, str]], due: bool
) -> None:
    note = AuthorNote(text="N", depth=0, interval=interval)
    assert (("system", "N") in sent(chat=chat, options={"note": note})) is due


@pytest.mark.parametrize(
    ("order", "main", "place", "expected"),
    [
        ("main chatHistory", {"content": "M"}, "before_main", ["N", "M", "one"]),
        ("main chatHistory", {"content": "M"}, "after_main", ["M", "N", "one"]),
        ("chatHistory", {"content": "M"}, "after_main", ["N", "one"]),
        (
            "main chatHistory",
            {"content": "M", "injection_position": 1, "injection_depth": 0},
            "after_main",
            ["N", "one", "M"],
        ),
    ],
)
def test_note_beside_main(order: str, main: Json, place: Any, expected: list[str]) -> None:
    note = AuthorNote(text="N", place=place)
    messages = sent(prompts(order, main=main), [("user", "one")], {"note": note})
    assert [text for _, text in messages] == expected


def test_at_one_depth_extras_stand_behind_prompts_in_their_order() -> None:
    def in_chat(text: str) -> Json:
        return {"content": text, "injection_position": 1, "injection_depth": 1}

    book = {"entries": [{"uid": 1, "constant": True, "content": "W", "position": 4, "depth": 1}]}
    card = {"name": "Mira", "depth_prompt": {"prompt": "D", "depth": 1, "role": "system"}}
    messages = sent(
        prompts("p chatHistory u", p=in_chat(" P\n"), u={**in_chat("U"), "role": "user"}),
        [("user", "one")],
        {
            "note": AuthorNote(text=" N ", depth=1),
            "persona": Persona(text="A baker", position="depth", depth=1),
        },
        card=card,
        books=[book],
    )
    assert messages == [("user", "U"), ("system", "P\nN\nD\nA baker\nW"), ("user", "one")]


def test_continue_takes_the_last_message_out_even_among_insertions() -> None:
    last = {"content": "X", "injection_position": 1, "injection_depth": 0}
    order = "chatHistory x jailbreak"
    messages = sent(
        prompts(order, x=last, jailbreak={"content": "J"}),
        [("user", "one"), ("assistant", "tw")],
        {"generation": "continue"},
    )
    assert [text for _, text in messages] == ["one", "X", "J", "tw", "[on]"]
    assert sent(prompts("chatHistory"), [], {"generation": "continue"}) == []


@pytest.mark.parametrize(
    ("chat", "reply"), [(CHAT, [("user", "(Ann waits)")]), (CHAT[:3], []), ([], [])]
)
def test_send_if_empty_answers_an_assistant(
    chat: list[tuple[str, str]], reply: list[tuple[str, str]]
) -> None:
    preset = prompts("chatHistory") | {"send_if_empty": "({{user}} waits)"}
    assert sent(preset, chat) == [*chat, *reply]


def test_examples_as_roles() -> None:
    card = {"name": "Mira", "mes_example": "{{user}}: hi\n{{char}}: hm."}
    preset = prompts("dialogueExamples chatHistory") | {"new_example_chat_prompt": ""}
    messages = sent(preset, [], {"example_style": "roles"}, card=card)
    assert messages == [("user", "hi"), ("assistant", "hm.")]
    messages = sent(preset, [], card=card)
    assert messages == [("system:example_user", "hi"), ("system:example_assistant", "hm.")]


def test_disabled_main_keeps_its_place_for_the_note() -> None:
    preset = prompts("main chatHistory", main={"content": "M"})
    preset["prompt_order"][0]["enabled"] = False
    note = AuthorNote(text="N", place="after_main")
    assert sent(preset, [("user", "one")], {"note": note}) == [("system", "N"), ("user", "one")]


def test_fields_named_in_other_fields_are_filled_where_they_stand() -> None:
    card = {"name": "Mira", "description": "She is {{personality}}.", "personality": "dry {{user}}"}
    preset = prompts("charDescription chatHistory charPersonality") | {"personality_format": ""}
    assert [text for _, text in sent(preset, [], card=card)] == ["She is dry Ann.", "dry Ann"]


def test_content_parts_are_sent_as_they_are_but_for_macros() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    text = {"type": "text", "text": "Look, {{char}}"}
    history = messages_from([{"role": "user", "content": [text, image]}])
    request = ContextRequest(card={"name": "Mira"}, history=history)
    context = build_context(request)
    assert context.messages == [
        {"role": "user", "content": [{"type": "text", "text": "Look, Mira"}, image]}
    ]
    told: Any = context.report["messages"]
    assert told[0]["tokens"] == estimate_tokens("Look, Mira") + 4


def test_null_and_empty_messages_are_not_sent_but_count_for_depth() -> None:
    prompt = {"content": "X", "injection_position": 1, "injection_depth": 2}
    history = messages_from(
        [
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": None},
            {"role": "user", "content": "two"},
        ]
    )
    preset = preset_from(prompts("x chatHistory", x=prompt)).preset
    context = build_context(ContextRequest(preset=preset, history=history))
    assert [message["content"] for message in context.messages] == ["one", "X", "two"]


def test_macros_that_grow_without_end_are_an_error() -> None:
    card = {"name": "Mira", "description": "x" * 1_000_000}
    with pytest.raises(ContextError, match=r"text_too_long.*: a text grows beyond 8000000"):
        sent(chat=[("user", "{{description}}" * 50)], card=card)


texts = st.text(max_size=12) | st.sampled_from(
    ["{{char}}", "<START>", "Ann: x", "{{trim}}\n", "{{original}}", " ", "\r\n", "{{// "]
)
roles = st.sampled_from(["system", "user", "assistant"])


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.data())
def test_any_material_gives_a_context_or_a_context_error(data: st.DataObject) -> None:
    def draw(strategy: st.SearchStrategy[Any]) -> Any:
        return data.draw(strategy)

    card = {"name": "Mira", "description": draw(texts), "mes_example": draw(texts)}
    card |= {"first_mes": draw(texts), "system_prompt": draw(texts), "scenario": draw(texts)}
    prompt = {"content": draw(texts), "injection_position": draw(st.integers(0, 1))}
    prompt |= {"injection_depth": draw(st.integers(0, 6)), "role": draw(roles)}
    order = draw(
        st.permutations(["main", "x", "charDescription", "dialogueExamples", "chatHistory"])
    )
    preset = prompts(" ".join(order), x=prompt, main={"content": draw(texts)})
    preset |= {"names_behavior": draw(st.integers(-1, 2)), "new_chat_prompt": draw(texts)}
    chat = draw(st.lists(st.tuples(roles, texts), max_size=5))
    options = {
        "generation": draw(st.sampled_from(["normal", "continue", "impersonate", "swipe"])),
        "max_context": draw(st.integers(1, 200)),
        "max_tokens": 5,
        "squash_system": draw(st.booleans()),
        "pin_examples": draw(st.booleans()),
        "note": AuthorNote(
            text=draw(texts), place=draw(st.sampled_from(["in_chat", "after_main"]))
        ),
    }
    refused: ContextError | None = None
    try:
        messages = sent(preset, chat, options, card=card, user_message=draw(texts))
    except ContextError as error:
        refused = error
    if refused is None:
        assert all(text for _, text in messages)
    else:
        assert refused.code == "token_budget_exceeded"

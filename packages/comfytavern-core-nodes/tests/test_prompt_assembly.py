"""The whole pipeline against the case file: card, lore, preset and chat to messages."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from comfytavern_core_nodes.cards import read_card
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
from comfytavern_core_nodes.regexes import Passage, RegexWorker, Rule, apply_to_all
from comfytavern_core_nodes.worldbooks import InProcessMatcher, ScanSettings, Verdict

# Case files are JSON of many shapes, so their values stay Any.
Case = dict[str, Any]

CASES = Path(__file__).parent / "cases"
FILE: Case = json.loads((CASES / "prompt_assembly.json").read_text("utf-8"))
LORE: Case = json.loads((CASES / "worldinfo_activation.json").read_text("utf-8"))
SKIPPED_TAGS = {"unsupported", "leave-out", "optional"}
ROLES = ("system", "user", "assistant")
PLACES = {0: "after_main", 1: "in_chat", 2: "before_main"}
POSITIONS = {0: "prompt", 2: "note_top", 3: "note_bottom", 4: "depth", 9: "none"}


class Engine:
    """Rules by the real worker; keys in this process, as these cases are harmless."""

    def __init__(self) -> None:
        self._match = InProcessMatcher()

    def apply(
        self, passages: Sequence[Passage], rules: Sequence[Rule], macros: Callable[[str], str]
    ) -> list[str]:
        async def apply() -> list[str]:
            async with RegexWorker() as worker:
                return await apply_to_all(passages, rules, worker, macros=macros)

        return anyio.run(apply)

    def match(self, patterns: Sequence[tuple[str, str]], text: str) -> Sequence[Verdict]:
        return self._match(patterns, text)


def words(text: str) -> int:
    return len(text.split())


def wanted() -> list[Any]:
    cases = (case for case in FILE["cases"] if not SKIPPED_TAGS.intersection(case.get("tags", ())))
    return [pytest.param(case, id=case["id"]) for case in cases]


def patched(patch: Case) -> Case:
    preset: Case = copy.deepcopy(FILE["base_preset"]) | patch.get("set", {})
    for key in patch.get("unset", ()):
        del preset[key]
    changes = patch.get("prompts", {})
    prompts = [prompt | changes.get(prompt["identifier"], {}) for prompt in preset["prompts"]]
    return preset | {"prompts": [*prompts, *patch.get("add_prompts", ())]}


def card_of(case: Case) -> Case:
    data = json.dumps({"spec": "chara_card_v2", "data": case["card"]}).encode()
    card = read_card(data, "card.json").card.model_dump()
    # An empty chat of a case is empty: it has no greeting.
    return card | {"first_mes": "", "regex_scripts": case.get("regex_scripts", [])}


def books_of(case: Case) -> list[Case]:
    return [
        {
            "name": book["name"],
            "entries": {
                str(uid): {**LORE["entry_defaults"], "uid": uid, **entry}
                for uid, entry in enumerate(book["entries"])
            },
        }
        for book in case.get("lore", ())
    ]


def settings_of(case: Case) -> ContextSettings:
    note, persona = case.get("author_note", {}), case.get("persona", {})
    given = ("prefer_character_prompt", "prefer_character_jailbreak", "pin_examples")
    return ContextSettings.model_validate(
        {
            "user_name": case.get("user", "User"),
            "scenario": case.get("scenario_override", ""),
            "generation": case.get("type", "normal"),
            "max_context": case.get("max_context", 8000),
            "max_tokens": case.get("max_tokens", 300),
            "note": AuthorNote.model_validate(
                {
                    "text": note.get("text", ""),
                    "place": PLACES[note.get("position", 1)],
                    "depth": note.get("depth", 4),
                    "role": ROLES[note.get("role", 0)],
                    "interval": note.get("interval", 1),
                }
            ),
            "persona": Persona.model_validate(
                {
                    "text": persona.get("description", ""),
                    "position": POSITIONS[persona.get("position", 0)],
                    "depth": persona.get("depth", 2),
                    "role": ROLES[persona.get("role", 0)],
                }
            ),
            **{key: case[key] for key in given if key in case},
        }
    )


def built(case: Case) -> BuiltContext:
    return build_context(
        ContextRequest(
            card=card_of(case),
            preset=preset_from(patched(case.get("preset_patch", {}))).preset,
            history=messages_from(case["chat"]),
            settings=settings_of(case),
            books=books_of(case),
            scan=ScanSettings.model_validate(LORE["setting_defaults"]),
            regexes=Engine(),
            count_tokens=words,
        )
    )


@pytest.mark.parametrize("case", wanted())
def test_case(case: Case) -> None:
    context = built(case)
    expected = case.get("recommended", case.get("expected_newer", case.get("expected")))
    assert context.messages == expected


@pytest.mark.parametrize("case", wanted())
def test_report_of_a_case_covers_every_character(case: Case) -> None:
    context = built(case)
    report: Case = json.loads(json.dumps(context.report))
    assert len(report["messages"]) == len(context.messages)
    for told, message in zip(report["messages"], context.messages, strict=True):
        assert told["role"] == message["role"]
        ends = [span["end"] for span in told["spans"]]
        assert [span["start"] for span in told["spans"]] == [0, *ends[:-1]]
        assert ends[-1] == len(str(message["content"]))
        assert "unknown" not in {span["kind"] for span in told["spans"]}
    tokens = report["tokens"]
    assert tokens["used"] == sum(told["tokens"] for told in report["messages"])
    assert tokens["used"] <= tokens["budget"]


@pytest.mark.field_data
@pytest.mark.parametrize("number", range(4))
def test_real_files(field_data: Path, number: int) -> None:
    real: Case = json.loads((field_data / "cases/roleplay/real_data.json").read_text("utf-8"))
    case = real["prompt_assembly"][number]
    path = field_data / case["card"]
    card = read_card(path.read_bytes(), path.name).card.model_dump()
    world = json.loads((field_data / "data" / "Eldoria.json").read_text("utf-8"))
    preset = json.loads((field_data / "data" / "openai_Default.json").read_text("utf-8"))
    preset["squash_system_messages"] = "squash" in case["preset"]
    chat = [
        said | {"content": said["content"].replace("{{first_mes}}", card["first_mes"])}
        for said in case["chat"]
    ]
    context = build_context(
        ContextRequest(
            # The world comes as a global book; the copy in the card would count once more.
            card=card | {"character_book": None},
            preset=preset_from(preset).preset,
            history=messages_from(chat),
            settings=settings_of(case),
            books=[world],
            scan=ScanSettings.model_validate(case["wi_settings"]),
            regexes=Engine(),
            count_tokens=words,
        )
    )
    assert context.messages == case["expected"]["messages"]


def test_sum_of_cases() -> None:
    """A case file that lost its cases would pass unnoticed."""
    assert len(wanted()) == len(FILE["cases"]) >= 73


async def test_thread_of_an_event_loop_reaches_the_worker() -> None:
    """What the node does: a build in a thread, expressions in the worker of the loop."""
    case = next(case for case in FILE["cases"] if case["id"] == "regex-user")
    preset = preset_from(FILE["base_preset"]).preset
    request = ContextRequest(card=card_of(case), preset=preset, history=messages_from(case["chat"]))
    context = await anyio.to_thread.run_sync(build_context, request)
    assert {"role": "user", "content": "[x] three"} in context.messages

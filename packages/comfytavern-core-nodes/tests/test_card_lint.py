"""What lint says of a card: every finding with its place, and nothing where nothing is odd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfytavern_core_nodes.cards import read_card
from comfytavern_core_nodes.cards.lint import CardLint, lint_card

CASES = Path(__file__).parent / "cases"
V2 = {"spec": "chara_card_v2", "spec_version": "2.0"}
CASE_FILES = [
    case["file"] for case in json.loads((CASES / "cards.json").read_text("utf-8"))["cases"]
]


def lint(**fields: object) -> CardLint:
    return lint_card(json.dumps({**V2, "data": {"name": "Mira", **fields}}).encode(), "m.json")


def told(found: CardLint) -> list[tuple[str, str, str]]:
    return [(finding.level, finding.path, finding.reason) for finding in found.findings]


def test_a_plain_card_has_no_findings() -> None:
    found = lint(description="{{char}} mends clocks. {{random:a,b}}", extensions={"fav": True})
    assert found.findings == ()
    assert found.reading is not None


def test_every_bad_field_is_found() -> None:
    found = lint(name=" ", description=["x"], tags={"a": 1}, extensions=[])
    assert found.reading is None
    assert sorted(told(found)) == [
        ("error", "data.description", "it is a list; a text was expected"),
        ("error", "data.extensions", "it is a list; an object was expected"),
        ("error", "data.name", "it is empty; a card needs a name"),
        ("error", "data.tags", "it is an object; a list was expected"),
    ]


@pytest.mark.parametrize(
    ("fields", "finding"),
    [
        (
            {"tags": ["a", 3]},
            ("data.tags[1]", "it is a number and was left out; only texts are used"),
        ),
        (
            {"creator_notes_multilingual": {"de": None}},
            (
                "data.creator_notes_multilingual['de']",
                "it is null and was left out; only texts are used",
            ),
        ),
        ({"creation_date": "today"}, ("data.creation_date", "it is a text; only a number is used")),
        (
            {"extensions": {"depth_prompt": {"prompt": "x", "depth": -1}}},
            ("data.extensions.depth_prompt.depth", "it is no whole number from 0 on; 4 is used"),
        ),
        (
            {"extensions": {"depth_prompt": {"prompt": "x", "role": "boss"}}},
            ("data.extensions.depth_prompt.role", "it is 'boss'; 'system' is used"),
        ),
        (
            {"extensions": {"depth_prompt": "x"}},
            ("data.extensions.depth_prompt", "it is a text, no object, and is not used"),
        ),
        (
            {"extensions": {"depth_prompt": {"prompt": 5}}},
            ("data.extensions.depth_prompt.prompt", "it holds no text, so nothing is inserted"),
        ),
        (
            {"extensions": {"regex_scripts": {}}},
            (
                "data.extensions.regex_scripts",
                "extensions.regex_scripts is not a list and was left out",
            ),
        ),
        (
            {"extensions": {"regex_scripts": [{"findRegex": "/a(/g"}]}},
            (
                "data.extensions.regex_scripts[0].findRegex",
                "the expression cannot be used: the group is not closed at position 1",
            ),
        ),
        (
            {"extensions": {"regex_scripts": [{"findRegex": "\n"}]}},
            (
                "data.extensions.regex_scripts[0].findRegex",
                "it is no expression, so the script changes nothing",
            ),
        ),
        (
            {"extensions": {"regex_scripts": [{"pattern": "a"}]}},
            (
                "data.extensions.regex_scripts[0]",
                "the script is not used: 'replacement' is missing; expected text",
            ),
        ),
        (
            {"character_book": {"entries": 5}},
            ("data.character_book", "character_book has no list of entries and was left out"),
        ),
        (
            {"character_book": {"entries": [7]}},
            (
                "data.character_book",
                "the book is not used: entries[0] is a number; an entry is an object",
            ),
        ),
        (
            {"character_book": {"entries": [{"keys": ["/a(b/"], "id": 3}]}},
            (
                "data.character_book, entry 3",
                "key '/a(b/' is looked for as plain text: the group is not closed at position 1",
            ),
        ),
        (
            {"first_mes": "{{setvar::a::1}} {{user}} {{original}}"},
            (
                "data.first_mes",
                "macros that are not known are sent as they stand: {{setvar::a::1}}",
            ),
        ),
        (
            {"alternate_greetings": ["fine", "{{input}}"]},
            (
                "data.alternate_greetings[1]",
                "macros that are not known are sent as they stand: {{input}}",
            ),
        ),
    ],
)
def test_a_part_that_is_not_used_as_it_stands(
    fields: dict[str, object], finding: tuple[str, str]
) -> None:
    found = lint(**fields)
    assert told(found) == [("warning", *finding)]
    assert found.reading is not None


def test_scripts_are_counted_as_they_stand_in_the_file() -> None:
    found = lint(extensions={"regex_scripts": [5, {"pattern": "a"}]})
    assert [path for _, path, _ in told(found)] == [
        "data.extensions.regex_scripts[0]",
        "data.extensions.regex_scripts[1]",
    ]


def test_unknown_keys_are_notes_and_kept() -> None:
    entry = {"keys": ["a"], "content": "x", "extensions": {"vectorized": True}}
    card = {**V2, "foo": 1, "name": "copied", "data": {"name": "Mira", "bar": {"deep": 1}}}
    card["data"]["character_book"] = {"entries": [entry]}  # type: ignore[index]  # JSON
    found = lint_card(json.dumps(card).encode(), "m.json")
    assert told(found) == [
        ("note", "foo", "unknown key beside data; it is not used"),
        ("note", "data.bar", "unknown key; it is kept"),
        (
            "note",
            "data.character_book.entries",
            "keys of entries that have no effect here; they are kept: vectorized",
        ),
    ]
    assert found.reading is not None
    assert found.reading.card.unknown == {"bar": {"deep": 1}}


def test_a_script_for_display_alone_is_a_note() -> None:
    script = {"scriptName": "bold", "findRegex": "a", "markdownOnly": True}
    assert told(lint(extensions={"regex_scripts": [script]})) == [
        (
            "note",
            "data.extensions.regex_scripts[0]",
            "script 'bold' changes only what is shown, never a prompt",
        )
    ]


def test_fields_go_by_the_names_of_the_file() -> None:
    card = {"char_name": "Mira", "char_greeting": "{{input}}"}
    [finding] = lint_card(json.dumps(card).encode(), "m.json").findings
    assert finding.path == "char_greeting"


@pytest.mark.parametrize("file", CASE_FILES)
def test_lint_and_reading_agree(file: str) -> None:
    data = (CASES / file).read_bytes()
    found = lint_card(data, file)
    if found.reading is None:
        assert any(finding.level == "error" for finding in found.findings)
        with pytest.raises(Exception, match="cannot be read"):
            read_card(data, file)
        return
    assert found.reading == read_card(data, file)
    said = [finding.reason for finding in found.findings if finding.level == "warning"]
    assert not any(finding.level == "error" for finding in found.findings)
    assert set(found.reading.warnings) <= set(said)

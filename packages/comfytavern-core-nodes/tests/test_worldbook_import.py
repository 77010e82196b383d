"""Books of every format against the case files, and what the cases leave open."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from comfytavern_core_nodes.worldbooks import (
    WorldBook,
    WorldBookError,
    WorldBookReading,
    read_world_book,
    world_book_from,
)

CASES = json.loads((Path(__file__).parent / "cases" / "worldbook_import.json").read_text("utf-8"))
SKIPPED_TAGS = {"unsupported", "leave-out", "optional"}

# Case files are JSON of many shapes, so their values stay Any.
Case = dict[str, Any]


def read(value: object, name: str = "book.json") -> WorldBookReading:
    return read_world_book(json.dumps(value).encode(), name)


def entry(**fields: object) -> dict[str, Any]:
    reading = read({"entries": [{"key": ["a"], **fields}]})
    assert reading.problems == ()
    return reading.book.entries[0].model_dump()


def card_entry(**fields: object) -> dict[str, Any]:
    return read({"entries": [{"keys": ["a"], **fields}]}).book.entries[0].model_dump()


def problems_of(value: object) -> list[str]:
    return [str(problem) for problem in read(value).problems]


def code_of(value: object) -> str:
    with pytest.raises(WorldBookError) as caught:
        read(value)
    return caught.value.code


def load_cases() -> list[Any]:
    cases = [*CASES["cases"], *CASES["loader_cases"]]
    return [pytest.param(case, id=case["id"]) for case in cases if not skipped(case)]


def skipped(case: Case) -> bool:
    return bool(SKIPPED_TAGS.intersection(case.get("tags", ())))


def test_no_case_is_left_out() -> None:
    assert sum(map(skipped, CASES["cases"] + CASES["loader_cases"])) == 0
    assert len(load_cases()) == 26


@pytest.mark.parametrize("case", load_cases())
def test_case(case: Case) -> None:
    if "error" in case:
        assert code_of(case["input"]) == case["error"]
        return
    reading = read(case["input"])
    dumped = reading.book.model_dump()
    names = ("recommended", "expected_newer", "expected")
    expected = next(case[name] for name in names if name in case)
    assert {key: dumped[key] for key in expected if key != "entries"} == {
        key: value for key, value in expected.items() if key != "entries"
    }
    shown = [
        {key: actual[key] for key in wanted}
        for actual, wanted in zip(dumped["entries"], expected["entries"], strict=True)
    ]
    assert shown == expected["entries"]
    assert reading.problems == ()


@pytest.mark.parametrize("case", load_cases())
def test_normalised_book_comes_out_as_it_is(case: Case) -> None:
    if "error" not in case:
        once = read(case["input"]).book.model_dump()
        again = world_book_from(once, "again")
        assert again.book.model_dump() == once
        assert again.problems == ()


def test_card_book_keeps_what_it_does_not_use() -> None:
    case = next(case for case in CASES["cases"] if case["id"] == "cb-all")
    dumped = read(case["input"]).book.model_dump()
    assert (dumped["name"], dumped["scan_depth"], dumped["token_budget"]) == ("B", 5, 300)
    assert dumped["recursive_scanning"] is True
    assert dumped["description"] == "d"
    kept = dumped["entries"][0]
    assert (kept["name"], kept["priority"], kept["use_regex"]) == ("n", 5, True)
    assert (kept["vectorized"], kept["automationId"], kept["displayIndex"]) == (True, "a", 9)
    assert card_entry(extensions={"mine": {"x": 1}})["extensions"] == {"mine": {"x": 1}}


def test_frozen() -> None:
    book = read({"entries": []}).book
    field = "name"
    with pytest.raises(ValidationError):
        setattr(book, field, "other")


def test_yaml_by_its_name() -> None:
    text = b"name: Inn\nentries:\n  0: {key: [inn, '/r/i'], content: An inn.}\n"
    book = read_world_book(text, "inn.YAML").book
    assert (book.name, book.entries[0].key, book.entries[0].uid) == ("Inn", ["inn", "/r/i"], 0)


def test_entries_object_of_card_entries() -> None:
    book = read({"entries": {"3": {"keys": "a, b", "insertion_order": 7}, "1": {}}}).book
    assert [(one.uid, one.key, one.order) for one in book.entries] == [
        (1, [], 100),
        (3, ["a", "b"], 7),
    ]


@pytest.mark.parametrize(
    ("uids", "numbers"),
    [
        ([1, 1, 2], [1, 3, 2]),
        ([5, None, 1], [5, 1, 2]),
        ([0, 0, 0, 2], [0, 1, 3, 2]),
        (["4", 4.0, "x", True, -1], [4, 5, 2, 3, 6]),
    ],
)
def test_uids_are_unique(uids: list[object], numbers: list[int]) -> None:
    entries = [{"uid": uid, "key": [], "content": str(place)} for place, uid in enumerate(uids)]
    book = read({"entries": entries}).book
    by_place = {one.content: one.uid for one in book.entries}
    assert [by_place[str(place)] for place in range(len(uids))] == numbers
    assert [one.uid for one in book.entries] == sorted(numbers)


def test_hundred_thousand_equal_uids_take_no_time_to_speak_of() -> None:
    from comfytavern_core_nodes.worldbooks.entries import unique_numbers

    assert unique_numbers([7] * 100_000) == list(range(7, 100_007))
    twins = [number // 2 for number in range(200_000)]
    assert len(set(unique_numbers(twins))) == 200_000


@pytest.mark.parametrize(
    ("field", "value", "read_as"),
    [
        ("order", "7", 7),
        ("order", 1.5, 1.5),
        ("depth", 2.0, 2),
        ("position", "after_char", 1),
        ("position", 99, 99),
        ("role", None, 0),
        ("role", "assistant", 2),
        ("constant", 1, True),
        ("delayUntilRecursion", True, 1),
        ("delayUntilRecursion", 3, 3),
        ("scanDepth", -1, -1),
        ("sticky", 0, 0),
        ("key", "a, b,, c", ["a", "b", "c"]),
        ("key", "/a,b/i, c", ["/a,b/i", "c"]),
        ("key", [1, "b"], ["1", "b"]),
        ("content", 5, "5"),
        ("content", None, ""),
        ("comment", None, ""),
        ("group", None, ""),
        ("characterFilter", {"names": ["A"]}, {"names": ["A"], "tags": [], "isExclude": False}),
    ],
)
def test_values_read_without_a_problem(field: str, value: object, read_as: object) -> None:
    assert entry(**{field: value})[field] == read_as


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"order": "first"},
            "entries[0].order: a text where a number was expected; the default is used",
        ),
        (
            {"order": True},
            "entries[0].order: true or false where a number was expected; the default is used",
        ),
        (
            {"depth": 2.5},
            "entries[0].depth: a number where an integer was expected; the default is used",
        ),
        ({"depth": -1}, "entries[0].depth: the number is out of range; the default is used"),
        ({"order": 10**30}, "entries[0].order: the number is out of range; the default is used"),
        ({"role": 7}, "entries[0].role: there is no 7; the default is used"),
        (
            {"constant": "yes"},
            "entries[0].constant: a text where true or false was expected; the default is used",
        ),
        ({"key": ["a", None]}, "entries[0].key: member 1 is nothing; it was left out"),
        (
            {"key": {}},
            "entries[0].key: an object where a list of texts was expected; none is used",
        ),
        (
            {"comment": []},
            "entries[0].comment: a list where a text was expected; nothing is used",
        ),
        (
            {"characterFilter": "A"},
            "entries[0].characterFilter: a text where an object was expected; it was left out",
        ),
        (
            {"characterFilter": {"isExclude": "x"}},
            (
                "entries[0].characterFilter.isExclude: a text where true or false was expected;"
                " the default is used"
            ),
        ),
    ],
)
def test_bad_field_costs_only_itself(fields: dict[str, object], problem: str) -> None:
    value = {"entries": [{"key": ["a"], **fields}, {"key": ["b"]}]}
    assert problems_of(value) == [problem]
    assert len(read(value).book.entries) == 2


def test_problems_name_the_place_in_the_file() -> None:
    card = {"keys": 5, "insertion_order": "x", "extensions": {"scan_depth": "x"}, "id": "x"}
    paths = [problem.path for problem in read({"entries": {"a": card}}).problems]
    assert paths == [
        "entries.a.id",
        "entries.a.keys",
        "entries.a.insertion_order",
        "entries.a.extensions.scan_depth",
    ]
    risu = {"type": "risu", "data": [{"key": 1, "alwaysActive": "x"}]}
    assert problems_of(risu)[1].startswith("data[0].alwaysActive: ")
    lorebook = {"spec": "lorebook_v3", "data": {"name": [], "entries": []}}
    assert problems_of(lorebook)[0].startswith("data.name: ")


def test_problems_are_counted_beyond_the_limit() -> None:
    problems = read({"entries": [{"key": [None] * 1500}]}).problems
    assert len(problems) == 1001
    assert str(problems[-1]) == "500 more problems are not listed"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"spec": "lorebook_v3"}, "not_a_world_book"),
        ({"spec": "lorebook_v3", "data": {"entries": 5}}, "not_a_world_book"),
        ({"lorebookVersion": 5}, "not_a_world_book"),
        ({"kind": "memory", "entries": None}, "not_a_world_book"),
        ({"type": "risu", "entries": []}, "not_a_world_book"),
        ({"entries": {"0": []}}, "bad_entry"),
        ({"entries": [{"key": ["a"]}, {"key": ["b"], "content": True}]}, "bad_entry"),
        ({"lorebookVersion": 5, "entries": [{"text": {}}]}, "bad_entry"),
    ],
)
def test_books_that_are_refused_whole(value: object, code: str) -> None:
    assert code_of(value) == code


def test_error_names_file_code_and_path_and_survives_pickling() -> None:
    book = {"kind": "memory", "entries": [{"entry": []}]}
    with pytest.raises(WorldBookError) as caught:
        read(book, "mem.json")
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == (
        "world book 'mem.json' cannot be read (bad_entry): "
        "entries[0].entry is a list; expected a text"
    )
    assert (error.code, error.source) == ("bad_entry", "mem.json")


@pytest.mark.field_data
def test_real_book(field_data: Path) -> None:
    path = field_data / "data" / "Eldoria.json"
    reading = read_world_book(path.read_bytes(), path.name)
    assert reading.problems == ()
    assert [one.uid for one in reading.book.entries] == [0, 1, 2, 3]
    assert reading.book.entries[2].key == ["glade", "safe haven", "refuge"]
    assert WorldBook.model_validate(reading.book.model_dump()) == reading.book

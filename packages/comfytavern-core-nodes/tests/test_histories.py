"""The history reader against the case file, and what the cases leave open."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfytavern_core_nodes.histories import (
    HISTORY_ERROR_CODES,
    ChatMessage,
    HistoryError,
    messages_from,
    read_history,
)

CASES = json.loads((Path(__file__).parent / "cases" / "history.json").read_text("utf-8"))["cases"]
SKIPPED_TAGS = {"unsupported", "leave-out", "optional"}
WANTED = [case for case in CASES if not SKIPPED_TAGS.intersection(case.get("tags", ()))]

# Case files are JSON of many shapes, so their values stay Any.
Case = dict[str, Any]


def refusal(data: bytes, name: str) -> HistoryError:
    with pytest.raises(HistoryError) as caught:
        read_history(data, name)
    return caught.value


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in WANTED])
def test_case(case: Case) -> None:
    data = case["text"].encode()
    expected = case.get("recommended", case.get("expected_newer", case.get("expected")))
    if expected is None:
        error = refusal(data, case["filename"])
        assert error.code == case["error"]
        for place in ("line", "index"):
            assert getattr(error, place) == case.get(place, getattr(error, place))
        return
    reading = read_history(data, case["filename"])
    assert [message.to_json() for message in reading.messages] == expected
    assert reading.metadata == case.get("metadata", {})
    # What one node gives, the next one takes.
    assert messages_from(expected) == reading.messages


@pytest.mark.field_data
def test_own_chat(field_data: Path) -> None:
    path = field_data / "data" / "own_chat.jsonl"
    reading = read_history(path.read_bytes(), path.name)
    assert [(m.role, m.hidden) for m in reading.messages] == [
        ("assistant", False),
        ("user", False),
        ("assistant", False),
        ("assistant", True),
        ("system", False),
        ("user", False),
    ]


@pytest.mark.parametrize(
    ("text", "name", "error"),
    [
        (
            '[{"role": "user", "content": "a"}, {"role": "user", "content": 1}]',
            "h.json",
            (
                "history 'h.json', message 1 cannot be read (bad_message): the content is a number;"
                " text or parts was expected"
            ),
        ),
        (
            '{"mes": "a"}\n\n{"mes": null}',
            "c.jsonl",
            (
                "history 'c.jsonl', line 3, message 1 cannot be read (bad_message): mes is null;"
                " text was expected"
            ),
        ),
        (
            '{"mes": "a"}\r\n{"mes": \r\n',
            "c.jsonl",
            "history 'c.jsonl', line 2 cannot be read (bad_json): expecting value at column 10",
        ),
        (
            '{"data_visible": [["a"]]}',
            "h.json",
            (
                "history 'h.json', message 0 cannot be read (bad_message): the entry is no pair of"
                " what was said and what was answered"
            ),
        ),
        (
            '[{"role": "system", "content": []}]',
            "h.json",
            (
                "history 'h.json', message 0 cannot be read (bad_message): the content is a list;"
                " text was expected"
            ),
        ),
        ("7", "h.json", None),
        ('"text"', "h.json", None),
        ("[3]", "h.json", None),
        ('[{"text": "x"}]', "h.json", None),
        ('[{"role": "user", "content": ["x"]}]', "h.json", None),
        ('[{"role": 5, "content": "x"}]', "h.json", None),
        ("\ufeff [NaN]", "h.json", None),
        ("[" * 5000, "h.json", None),
        ("[" * 150 + "]" * 150, "h.json", None),
        ("[" + "9" * 5000 + "]", "h.json", None),
        ("[1e999]", "h.json", None),
    ],
)
def test_refusals_name_file_and_place(text: str, name: str, error: str | None) -> None:
    raised = refusal(text.encode(), name)
    assert str(raised) == (error or str(raised))
    assert str(pickle.loads(pickle.dumps(raised))) == str(raised)


def test_limits() -> None:
    assert refusal(b" " * (33 * 1024 * 1024), "x").code == "too_large"
    assert refusal(b"[" + b"0," * 2_000_001, "x").code == "too_large"
    assert refusal(b"\xff", "x").code == "bad_utf8"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"role": "user", "content": "a"}\n{"role": "user", "content": "b"}', "h.json"),
        ('{"role": "user", "content": "a"}\r\n{"mes": "b", "is_user": true}', "h.txt"),
        ('[{"role": "user", "content": "a"},\n{"role": "user", "content": "b"}]', "h.jsonl"),
        (
            '{"messages": [{"role": "user", "content": "a"}]}\n{"mes": "b", "is_user": true}',
            "x.jsonl",
        ),
        ('{"visible": [["<|BEGIN-VISIBLE-CHAT|>", ""], ["a", ""], ["b", ""]]}', "h.json"),
    ],
)
def test_content_decides_how_a_file_is_read(text: str, name: str) -> None:
    reading = read_history(text.encode(), name)
    assert [(message.role, message.content) for message in reading.messages] == [
        ("user", "a"),
        ("user", "b"),
    ]


def test_line_separators_inside_text_end_no_line() -> None:
    reading = read_history('{"mes": "a\u2028b"}\n{"mes": "c"}'.encode(), "c.jsonl")
    assert [message.content for message in reading.messages] == ["a\u2028b", "c"]


def test_forced_names_are_kept() -> None:
    line = b'{"mes": "a", "name": "Bob", "force_avatar": "b.png"}'
    [message] = read_history(line, "c.jsonl").messages
    assert message == ChatMessage("assistant", "a", name="Bob", name_forced=True)


@pytest.mark.parametrize("nothing", [None, "", "  \n", []])
def test_nothing_is_an_empty_history(nothing: object) -> None:
    assert messages_from(nothing) == ()


def test_value_that_is_no_history() -> None:
    with pytest.raises(HistoryError, match=r"'historyMessages' cannot be read .*: it is dict"):
        messages_from({"a": 1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "role content mes msg messages name extra visible chat_metadata is_user".split()
            ),
            children,
            max_size=4,
        )
    ),
    max_leaves=10,
)
FUZZ = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def reads_or_refuses(data: bytes, name: str) -> None:
    refused: HistoryError | None = None
    try:
        reading = read_history(data, name)
    except HistoryError as error:
        refused = error
    if refused is None:
        messages = [message.to_json() for message in reading.messages]
        assert messages_from(json.loads(json.dumps(messages))) == reading.messages
    else:
        assert refused.code in HISTORY_ERROR_CODES
        assert str(refused).isprintable()


@FUZZ
@given(json_values, st.sampled_from(["a.json", "a.jsonl"]))
def test_any_json(value: object, name: str) -> None:
    reads_or_refuses(json.dumps(value).encode(), name)
    reads_or_refuses(json.dumps([value]).encode(), name)
    reads_or_refuses(json.dumps({"role": "user", "content": value}).encode(), name)


@FUZZ
@given(st.binary(max_size=80), st.sampled_from(["a.json", "a.jsonl", "\ud800\n"]))
def test_any_bytes(data: bytes, name: str) -> None:
    reads_or_refuses(data, name)
    reads_or_refuses(b'{"mes": "a"}\n' + data, name)


@FUZZ
@given(st.sampled_from([case["text"] for case in WANTED]), st.data())
def test_damaged_files(text: str, data: st.DataObject) -> None:
    content = bytearray(text.encode())
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, min(start + 4, len(content))))
    content[start:end] = data.draw(st.binary(max_size=4))
    reads_or_refuses(bytes(content), data.draw(st.sampled_from(["a.json", "a.jsonl"])))

"""Books made to hurt, and whether the fast search finds what a plain reading of the rules finds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfytavern_core_nodes.worldbooks import (
    WORLD_BOOK_ERROR_CODES,
    BookUse,
    InProcessMatcher,
    PreparedBook,
    ScanMessage,
    ScanSettings,
    Scene,
    Tools,
    WorldBookEntry,
    WorldBookError,
    activate,
    prepare,
    read_world_book,
    world_book_from,
)

CASES = json.loads((Path(__file__).parent / "cases" / "worldbook_import.json").read_text("utf-8"))
VALID = [json.dumps(case["input"]).encode() for case in CASES["cases"] + CASES["loader_cases"]]
MIB = 1024 * 1024
FUZZ = settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4)
    ),
    max_leaves=8,
)
entry_keys = st.sampled_from(
    [
        *WorldBookEntry.model_fields,
        *("keys", "secondary_keys", "extensions", "enabled", "insertion_order", "id", "text"),
        *("keywords", "entry", "weight", "contextConfig", "secondkey", "alwaysActive", "__class__"),
    ]
)
entries = st.dictionaries(entry_keys, json_values, max_size=6)
books = st.fixed_dictionaries(
    {"entries": st.lists(entries, max_size=4) | st.dictionaries(st.text(), entries, max_size=3)},
    optional={
        "spec": st.just("lorebook_v3"),
        "lorebookVersion": json_values,
        "kind": st.just("memory"),
        "type": st.just("risu"),
        "data": st.lists(entries, max_size=3) | json_values,
        "name": json_values,
        "scan_depth": json_values,
        "model_config": json_values,
    },
)
names = st.sampled_from(["a.json", "a.yaml", "", "\ud800/\n.YML"])


def reads_or_refuses(data: bytes, name: str) -> None:
    refusal: WorldBookError | None = None
    try:
        reading = read_world_book(data, name)
    except WorldBookError as error:
        refusal = error
    if refusal is not None:
        assert refusal.code in WORLD_BOOK_ERROR_CODES
        assert str(refusal).isprintable()
        return
    dumped = reading.book.model_dump()
    assert json.loads(reading.book.model_dump_json()) == dumped
    uids = [entry.uid for entry in reading.book.entries]
    assert uids == sorted(set(uids))
    assert all(problem.reason for problem in reading.problems)
    again = world_book_from(dumped, name)
    assert (again.book.model_dump(), again.problems) == (dumped, ())
    activates(prepare(reading.book))


def activates(book: PreparedBook) -> None:
    """Fuzzed books do not stop a pass."""
    scene = Scene([BookUse("b", "global", book)], [ScanMessage("A", "text 0 \u00e9")], 4000)
    tools = Tools(lambda: 0.5, InProcessMatcher())
    result = activate(scene, ScanSettings(min_activations=2), tools)
    assert len(result.records) == len(book.entries)


def code_of(data: bytes, name: str = "x.json") -> str:
    with pytest.raises(WorldBookError) as caught:
        read_world_book(data, name)
    return caught.value.code


def test_a_depth_far_below_zero_takes_no_rounds() -> None:
    book = {"scan_depth": -(10**15), "entries": [{"keys": ["text"], "content": "c"}]}
    reading = read_world_book(json.dumps(book).encode(), "x.json")
    activates(prepare(reading.book))


def test_a_level_for_every_entry_ends() -> None:
    entries = [{"key": ["x"], "delayUntilRecursion": level} for level in range(1, 3000)]
    reading = read_world_book(json.dumps({"entries": entries}).encode(), "x.json")
    scene = Scene([BookUse("b", "global", prepare(reading.book))], [ScanMessage("A", "t")], 4000)
    result = activate(scene, ScanSettings(), Tools(lambda: 0.5, InProcessMatcher()))
    assert len(result.rounds) == 1000
    assert result.warnings == ("the scan was ended after 1000 rounds",)


def test_too_many_entries() -> None:
    many = b'{"entries":[' + b",".join([b"{}"] * 100_001) + b"]}"
    assert code_of(many) == "too_large"


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(b" " * (33 * MIB) + b"{}", id="text"),
        pytest.param(b"[" + b"0," * 3_000_000 + b"0]", id="values"),
    ],
)
def test_bombs_are_too_large(bomb: bytes) -> None:
    assert code_of(bomb) == "too_large"


def test_yaml_alias_bomb_is_too_large() -> None:
    levels = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert code_of("\n".join(["entries: []", *levels]).encode(), "x.yaml") == "too_large"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty_file"),
        (b" \n", "empty_file"),
        (b"\xff\xfe{", "bad_utf8"),
        (b"{oops", "bad_json"),
        (b'{"entries": ' + b"[" * 100_000, "bad_json"),
        (b'{"entries": NaN}', "bad_json"),
        (b"[]", "not_an_object"),
    ],
)
def test_faults_of_the_text(data: bytes, code: str) -> None:
    assert code_of(data) == code


@pytest.mark.parametrize("text", [b"entries: [", b"a: &x [*x]", b"a: !!python/object:os.system x"])
def test_yaml_faults(text: bytes) -> None:
    assert code_of(text, "x.yml") == "bad_yaml"


def test_long_lists_of_keys_in_one_text_take_no_time_to_speak_of() -> None:
    for text in ("," * 300_000, "/" + "," * 300_000, " " * 300_000 + "/,", "a/," * 100_000):
        data = json.dumps({"entries": [{"key": text}]}).encode()
        assert len(read_world_book(data, "x.json").book.entries) == 1


@FUZZ
@given(st.binary(max_size=200), names)
def test_any_bytes(data: bytes, name: str) -> None:
    reads_or_refuses(data, name)


@FUZZ
@given(books, names)
def test_any_fields(book: dict[str, object], name: str) -> None:
    reads_or_refuses(json.dumps(book).encode(), name)


@FUZZ
@given(st.sampled_from(VALID), st.data())
def test_damaged_files(valid: bytes, data: st.DataObject) -> None:
    content = bytearray(valid)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(start + 6, len(content))))
        content[start:end] = data.draw(st.binary(max_size=6))
    reads_or_refuses(bytes(content), "a.json")


# Few letters, so that keys are found; blanks of both languages, and neighbours of whole words.
texts = st.text("abAB_1 \n\x85\u00a0\u00e9\u56fd.\u0130\x01", max_size=12)
plain_keys = st.text("abAB_1 \n\x85\u00a0\u00e9\u56fd.\u0130", min_size=1, max_size=6)


def is_found(key: str, messages: list[str], *, case: bool, words: bool) -> bool:
    """Search as the specification says it, one key in one buffer."""
    blank = "[\t\n\v\f\r \u00a0]"
    buffer = "\x01" + "\n\x01".join(re.sub(f"^{blank}+|{blank}+$", "", text) for text in messages)
    key = re.sub(f"^{blank}+|{blank}+$", "", key)
    if not key or not messages:
        return False
    if not case:
        buffer, key = buffer.lower(), key.lower()
    if words and not re.search(blank, key):
        edge = "[^A-Za-z0-9_]"
        return re.search(f"(?:^|{edge}){re.escape(key)}(?:\\Z|{edge})", buffer) is not None
    return key in buffer


@settings(FUZZ, max_examples=600)
@given(
    st.lists(texts, max_size=5),
    st.lists(plain_keys, min_size=1, max_size=6),
    st.integers(0, 6),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_search_finds_what_the_rules_say(
    chat: list[str], keys: list[str], depth: int, case: bool, words: bool, many: bool
) -> None:
    # Enough other keys make the search sort them out by their ends first.
    padding = [{"key": [f"absent{number}"], "content": "c"} for number in range(60 * many)]
    raw = [*({"key": [key], "content": "c"} for key in keys), *padding]
    book = prepare(world_book_from({"entries": raw}, "b").book)
    scene = Scene([BookUse("b", "global", book)], [ScanMessage("", text) for text in chat], 10**6)
    rules = ScanSettings(
        scan_depth=depth, recursive=False, case_sensitive=case, match_whole_words=words
    )
    active = {
        entry.ref for entry in activate(scene, rules, Tools(float, InProcessMatcher())).active
    }
    newest = list(reversed(chat))[:depth]
    for number, key in enumerate(keys):
        if not key.startswith("/"):
            wanted = is_found(key, newest, case=case, words=words)
            assert (f"b.{number}" in active) == wanted, (key, newest)

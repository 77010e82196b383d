"""Encoding: any object becomes JSON, nothing raises, and large things become blobs."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections import OrderedDict, UserDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from comfytavern.chunks import Chunk
from comfytavern.encoding import to_json

Json = Any  # Any: a JSON value
MEGABYTE = 1 << 20


def wire(value: Json) -> bytes:
    """Return what goes over the network; the strictest encoder that a host may use."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


class Blobs:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, str]] = {}

    def __call__(self, digest: str, data: bytes, mime: str) -> None:
        self.kept[digest] = (data, mime)


class Colour(Enum):
    RED = "red"
    MIX = (1, 2)


class Level(IntEnum):
    LOW = 1


class Name(StrEnum):
    A = "a"


class Model(BaseModel):
    display_name: str = Field(serialization_alias="displayName")
    secret: SecretStr
    data: bytes = b"x"


@dataclass
class Point:
    x: int


class Whole(int):
    def __str__(self) -> str:
        return "not a number"


ALPHA = hashlib.sha256(b"x").hexdigest()
BLOB = {"$blob": {"sha256": ALPHA, "size": 1, "mime": "application/octet-stream"}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (0, 0),
        (2**53, 2**53),
        (-(2**53), -(2**53)),
        (2**53 + 1, "9007199254740993"),
        (-(2**53) - 1, "-9007199254740993"),
        (Whole(5), 5),
        (0.5, 0.5),
        (-0.0, -0.0),
        (math.nan, None),
        (math.inf, None),
        (-math.inf, None),
        ("text", "text"),
        ("", ""),
        ("Größe 🎉", "Größe 🎉"),
        ("half \ud83d", "half ?"),
        ([1, (2, 3)], [1, [2, 3]]),
        ({1}, [1]),
        (frozenset({"a"}), ["a"]),
        ({"a": {"b": math.nan}}, {"a": {"b": None}}),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (UserDict({"a": 1}), {"a": 1}),
        (b"x", BLOB),
        (bytearray(b"x"), BLOB),
        (memoryview(b"x"), BLOB),
        ([b"x"], [BLOB]),
        (Colour.RED, "red"),
        (Colour.MIX, [1, 2]),
        (Level.LOW, 1),
        (Name.A, "a"),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),
        (date(2026, 1, 2), "2026-01-02"),
        (Chunk.text("a"), ["text_chunk", "a"]),
        (Point(1), {"$opaque": "tests.core.test_encoding.Point"}),
        (object(), {"$opaque": "builtins.object"}),
        (len, {"$opaque": "builtins.builtin_function_or_method"}),
        (UUID(int=1), {"$opaque": "uuid.UUID"}),
        (iter([1]), {"$opaque": "builtins.list_iterator"}),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_values(value: object, expected: Json) -> None:
    found = to_json(value)
    assert (type(found), found) == (type(expected), expected)
    wire(found)


def test_paths_and_secrets_are_not_shown() -> None:
    kind = type(Path("a"))  # its module differs between releases of Python
    assert to_json(Path("a")) == {"$opaque": f"{kind.__module__}.{kind.__qualname__}"}
    model = Model(display_name="d", secret=SecretStr("hush"))
    assert to_json(model) == {
        "displayName": "d",
        "secret": {"$opaque": "pydantic.types.SecretStr"},
        "data": BLOB,
    }


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a", "a"),
        ("Größe", "Größe"),
        ("\ud83d", "?"),
        (1, "1"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        (("a", 1), "('a', 1)"),
        (Level.LOW, "1"),
    ],
    ids=ascii,
)
def test_keys_are_texts(key: object, expected: str) -> None:
    assert to_json({key: 1}) == {expected: 1}


@pytest.mark.parametrize("digits", [20, 3000, 5000, 100_000])
def test_integers_of_any_length(digits: int) -> None:
    for value in (10**digits, -(10**digits)):
        found = to_json([value])[0]
        assert isinstance(found, str)
        assert int(found, 0) == value if digits > 4300 else found == str(value)


# --- blobs --------------------------------------------------------------------------------


def test_bytes_go_to_the_blob_sink() -> None:
    blobs = Blobs()
    assert to_json({"a": b"x", "b": [b"x"]}, blobs) == {"a": BLOB, "b": [BLOB]}
    assert blobs.kept == {ALPHA: (b"x", "application/octet-stream")}


class Picture:
    """Shows itself as a notebook would; pictures of Pillow do."""

    def _repr_png_(self) -> bytes | None:
        return b"png"


class NoPicture(Picture):
    def _repr_png_(self) -> None:
        return None


def test_pictures_are_blobs() -> None:
    blobs = Blobs()
    digest = hashlib.sha256(b"png").hexdigest()
    assert to_json(Picture(), blobs) == {
        "$blob": {"sha256": digest, "size": 3, "mime": "image/png"}
    }
    assert blobs.kept == {digest: (b"png", "image/png")}
    assert to_json(NoPicture()) == {"$opaque": "tests.core.test_encoding.NoPicture"}


@pytest.mark.parametrize("letter", ["a", "ü"])
def test_a_large_text_is_a_blob_with_a_preview(letter: str) -> None:
    blobs = Blobs()
    text = letter * MEGABYTE
    found = to_json(text, blobs)
    data = text.encode()
    digest = hashlib.sha256(data).hexdigest()
    assert found == {
        "$blob": {
            "sha256": digest,
            "size": len(data),
            "mime": "text/plain; charset=utf-8",
            "preview": letter * 1000,
        }
    }
    assert blobs.kept == {digest: (data, "text/plain; charset=utf-8")}
    assert to_json(text[:-1]) == text[:-1]


LARGE: dict[str, object] = {
    "numbers": [0] * 600_000,
    "shared rows": [[0] * 1000] * 600,
    "texts": ["x" * 1000] * 2000,
    "named like a blob": {"$blob": [0] * 600_000},
    "keys": {str(number): number for number in range(200_000)},
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_structure_is_not_sent_whole(name: str) -> None:
    assert len(wire(to_json(LARGE[name], Blobs()))) <= MEGABYTE


# Events are encoded on the loop, which has other things to do: this takes half a second.
LOOKED_AT = 1_100_000


class Counted(list[object]):
    """A list that counts what is taken from it, and gives no more when that is too much."""

    def __init__(self, items: list[object], counter: list[int]) -> None:
        super().__init__(items)
        self.counter = counter

    def __iter__(self) -> Iterator[object]:
        for item in super().__iter__():
            self.counter[0] += 1
            if self.counter[0] > LOOKED_AT:
                return
            yield item


def shared_rows(counter: list[int]) -> list[object]:
    return Counted([Counted([0] * 1000, counter)] * 10_000, counter)


def shared_pairs(counter: list[int]) -> list[object]:
    value: list[object] = []
    for _ in range(60):
        value = Counted([value, value], counter)
    return value


def endless(counter: list[int]) -> list[object]:
    value = Counted([], counter)
    value += [value, {"again": value}]
    return value


@pytest.mark.parametrize("make", [shared_rows, shared_pairs, endless])
def test_no_more_is_looked_at_than_can_be_sent(
    make: Callable[[list[int]], list[object]],
) -> None:
    counter = [0]
    assert len(wire(to_json(make(counter), Blobs()))) <= MEGABYTE
    assert counter[0] <= LOOKED_AT


# --- nothing raises -----------------------------------------------------------------------


class BadMapping(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        raise ValueError(key)

    def __iter__(self) -> Iterator[str]:
        return iter("ab")

    def __len__(self) -> int:
        return 2


class BadRepr:
    def __repr__(self) -> str:
        raise ValueError("no repr")


class LoneRepr:
    def __repr__(self) -> str:
        return "\ud800"


class BadClass:
    """As lazy proxies do that nothing has been put into."""

    @property
    def __class__(self) -> type:  # foreign objects do it
        raise RuntimeError("not bound")

    @__class__.setter
    def __class__(self, value: type) -> None: ...


class BadPicture:
    def _repr_png_(self) -> bytes:
        raise OSError("no pixels")


class BadValue(Enum):
    A = 1

    @property
    def value(self) -> int:
        raise ValueError("no value")


class Odd:
    __module__ = "\ud800"


def released() -> memoryview:
    view = memoryview(b"x")
    view.release()
    return view


def deep() -> object:
    value: object = 1
    for _ in range(100_000):
        value = [value]
    return value


def unbuilt() -> Model:
    return Model.model_construct(display_name=object(), secret="plain")  # type: ignore[arg-type]  # as a pack may


HOSTILE: dict[str, object] = {
    "mapping": BadMapping(),
    "key without repr": {BadRepr(): 1},
    "key with a lone surrogate": {LoneRepr(): 1},
    "object without a class": BadClass(),
    "picture": BadPicture(),
    "enum": BadValue.A,
    "module name": Odd(),
    "released memory": released(),
    "depth": deep(),
    "model of wrong parts": unbuilt(),
    "class": BadMapping,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_objects_are_encoded(name: str) -> None:
    wire(to_json(HOSTILE[name]))
    wire(to_json([HOSTILE[name]]))
    wire(to_json({"a": HOSTILE[name]}))


def test_one_bad_object_leaves_its_neighbours_alone() -> None:
    found = to_json({"good": 1, "bad": BadMapping(), "list": [BadPicture(), 2]})
    here = "tests.core.test_encoding"
    assert found == {
        "good": 1,
        "bad": {"$opaque": f"{here}.BadMapping"},
        "list": [{"$opaque": f"{here}.BadPicture"}, 2],
    }


@pytest.mark.parametrize("error", [OSError("no space left"), sqlite3.OperationalError("full")])
@pytest.mark.parametrize(
    "value",
    [b"x", "x" * MEGABYTE, Picture(), ["x" * 1000] * 2000],
    ids=["bytes", "text", "png", "list"],
)
def test_a_full_disk_does_not_fail_the_run(value: object, error: Exception) -> None:
    def sink(digest: str, data: bytes, mime: str) -> None:
        raise error

    for given_value in (value, [value], {"a": value}):
        wire(to_json(given_value, sink))
    if not isinstance(value, list):  # what can be shown is shown
        assert to_json({"good": 1, "large": value}, sink)["good"] == 1


KEYS = st.one_of(
    st.text(st.characters(exclude_categories=())),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.binary(max_size=3),
    st.tuples(st.text(max_size=2), st.integers()),
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.datetimes(),
    st.decimals(),
    st.uuids(),
    st.sampled_from([Colour.RED, Level.LOW, object(), object, Point(1), ..., NotImplemented]),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
        st.sets(KEYS, max_size=3),
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(ANYTHING)
def test_anything_becomes_json(value: object) -> None:
    found = to_json(value, Blobs())
    assert json.loads(wire(found)) == found


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(JSON_VALUES)
def test_json_stays_as_it_is(value: Json) -> None:
    assert to_json(value) == value

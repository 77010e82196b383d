"""Cards made to hurt: bombs end early, and nothing but CardError ever comes out."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfytavern_core_nodes.cards import CARD_ERROR_CODES, CardError, CharacterCard, read_card

CARDS = Path(__file__).parent / "cases" / "cards"
VALID = {path.name: path.read_bytes() for path in sorted(CARDS.iterdir())}
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
    max_leaves=12,
)
card_keys = st.sampled_from(
    [*CharacterCard.model_fields, "data", "char_name", "context", "entries"]
)
card_objects = st.dictionaries(card_keys, json_values, max_size=8)
names = st.sampled_from(["a.png", "a.json", "a.yaml", "a.charx", "", "\ud800/\n.png"])


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(*chunks: bytes) -> bytes:
    frame = (chunk(b"IHDR", bytes(13)), *chunks, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(frame)


def zipped(member: str, content: bytes) -> bytes:
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return bundle.getvalue()


def reads_or_refuses(data: bytes, name: str) -> None:
    refusal: CardError | None = None
    try:
        card = read_card(data, name).card
    except CardError as error:
        refusal = error
    if refusal is None:
        assert card.name
        assert json.loads(card.model_dump_json()) == card.model_dump()
    else:
        assert refusal.code in CARD_ERROR_CODES
        assert str(refusal).isprintable()


def code_of(data: bytes, name: str) -> str:
    with pytest.raises(CardError) as caught:
        read_card(data, name)
    return caught.value.code


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(png(chunk(b"zTXt", b"chara\0\0" + zlib.compress(bytes(33 * MIB)))), id="zTXt"),
        pytest.param(
            png(chunk(b"iTXt", b"ccv3\0\1\0\0\0" + zlib.compress(bytes(33 * MIB)))), id="iTXt"
        ),
        pytest.param(png(chunk(b"tEXt", b"chara\0" + bytes(33 * MIB))), id="tEXt"),
        pytest.param(png(*[chunk(b"IDAT", b"")] * 70_000), id="chunks"),
        pytest.param(zipped("card.json", bytes(33 * MIB)), id="zip member"),
        pytest.param(b" " * (33 * MIB), id="text"),
        pytest.param(b"[" + b"0," * 3_000_000 + b"0]", id="values"),
    ],
)
def test_bombs_are_too_large(bomb: bytes) -> None:
    assert code_of(bomb, "") == "too_large"


def test_zip_with_a_huge_or_hidden_directory_is_too_large() -> None:
    bundle = zipped("card.json", b"{}")
    end = bundle.rindex(b"PK\x05\x06")
    huge = bundle[: end + 12] + struct.pack("<I", 5 * MIB) + bundle[end + 16 :]
    assert code_of(huge, "x.charx") == "too_large"
    hidden = bundle[:end] + b"PK\x06\x07" + bytes(16) + bundle[end:]
    assert code_of(hidden, "x.charx") == "too_large"


def test_zip_whose_directory_lies_about_the_size_is_bounded() -> None:
    bundle = zipped("card.json", bytes(33 * MIB))
    start = bundle.rindex(b"PK\x01\x02")
    lying = bundle[: start + 24] + struct.pack("<I", 10) + bundle[start + 28 :]
    assert code_of(lying, "x.charx") in ("bad_zip", "bad_json")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["bzip2", "lzma"])
def test_zip_method_that_cards_do_not_use(method: int) -> None:
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w", method) as archive:
        archive.writestr("card.json", b"{}")
    assert code_of(bundle.getvalue(), "x.charx") == "bad_zip"


def test_yaml_alias_bomb_is_too_large() -> None:
    levels = ["l0: &l0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert code_of("\n".join(["name: M", *levels]).encode(), "x.yaml") == "too_large"
    assert code_of(b"name: " + b"x" * (2 * MIB), "x.yaml") == "too_large"


@pytest.mark.parametrize("opening", [b"[", b'{"a":'], ids=["lists", "objects"])
@pytest.mark.parametrize("depth", [150, 100_000])
def test_deep_nesting_is_refused(opening: bytes, depth: int) -> None:
    assert code_of(b'{"name": ' + opening * depth, "x.json") == "bad_json"
    closing = b"]" if opening == b"[" else b"1}"[1:]
    whole = b'{"name": "M", "x": ' + opening * depth + b"1" + closing * depth + b"}"
    assert code_of(whole, "x.json") == "bad_json"
    assert code_of(whole.replace(b":", b": "), "x.yaml") == "bad_yaml"


def test_yaml_that_contains_itself_is_refused() -> None:
    assert code_of(b"name: M\nx: &x [*x]", "x.yaml") == "bad_yaml"


@FUZZ
@given(st.binary(max_size=200), names)
def test_any_bytes(data: bytes, name: str) -> None:
    reads_or_refuses(data, name)
    reads_or_refuses(b"PK\x03\x04" + data, name)
    reads_or_refuses(b"\x89PNG\r\n\x1a\n" + data, name)


@FUZZ
@given(st.text(max_size=120))
def test_any_yaml_text(text: str) -> None:
    reads_or_refuses(text.encode("utf-8", "replace"), "a.yaml")
    reads_or_refuses(f"name: M\nx: {text}".encode("utf-8", "replace"), "a.yaml")


@FUZZ
@given(card_objects, card_objects, st.sampled_from(["", "chara_card_v2", "chara_card_v3", "odd"]))
def test_any_fields(outer: dict[str, object], data: dict[str, object], spec: str) -> None:
    for card in (
        outer,
        {"name": "M", **outer},
        {**outer, "spec": spec, "data": {"name": 1, **data}},
    ):
        text = json.dumps(card).encode()
        reads_or_refuses(text, "a.json")
        reads_or_refuses(text, "a.yaml")
        reads_or_refuses(png(chunk(b"tEXt", b"chara\0" + base64.b64encode(text))), "a.png")


@FUZZ
@given(st.sampled_from(sorted(VALID)), st.data())
def test_damaged_files(name: str, data: st.DataObject) -> None:
    content = bytearray(VALID[name])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = data.draw(st.integers(start, min(start + 6, len(content))))
        content[start:end] = data.draw(st.binary(max_size=6))
    reads_or_refuses(bytes(content), name)


@FUZZ
@given(
    st.sampled_from([b"tEXt", b"zTXt", b"iTXt"]),
    st.sampled_from([b"chara\0", b"ccv3\0", b"chara\0\0", b"ccv3\0\1\0\0\0", b""]),
    st.binary(max_size=60),
    st.booleans(),
)
def test_text_chunks_with_good_checksums(
    kind: bytes, head: bytes, body: bytes, compress: bool
) -> None:
    text = zlib.compress(body) if compress else body
    reads_or_refuses(png(chunk(kind, head + text)), "a.png")

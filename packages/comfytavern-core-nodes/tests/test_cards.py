"""The card reader against the case files, and what the cases leave open."""

from __future__ import annotations

import base64
import io
import json
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from comfytavern_core_nodes.cards import CARD_ERROR_CODES, CardError, CharacterCard, read_card

CASES = Path(__file__).parent / "cases"
SKIPPED_TAGS = {"unsupported", "leave-out", "optional"}
PNG_START = b"\x89PNG\r\n\x1a\n"
V2 = {"spec": "chara_card_v2", "spec_version": "2.0"}

# Case files are JSON of many shapes, so their values stay Any.
Case = dict[str, Any]


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(*chunks: bytes) -> bytes:
    return PNG_START + chunk(b"IHDR", bytes(13)) + b"".join(chunks) + chunk(b"IEND", b"")


def packed(card: object) -> bytes:
    return base64.b64encode(json.dumps(card).encode())


def data_card(**fields: object) -> bytes:
    return json.dumps({**V2, "data": {"name": "Mira", **fields}}).encode()


def code_of(data: bytes, name: str) -> str:
    with pytest.raises(CardError) as caught:
        read_card(data, name)
    return caught.value.code


def load_cases() -> list[Any]:
    cases: list[Case] = json.loads((CASES / "cards.json").read_text("utf-8"))["cases"]
    wanted = [case for case in cases if not SKIPPED_TAGS.intersection(case.get("tags", ()))]
    return [pytest.param(case, id=Path(case["file"]).name) for case in wanted]


@pytest.mark.parametrize("case", load_cases())
def test_case(case: Case) -> None:
    path = CASES / case["file"]
    expected = case.get("recommended", case.get("expected_newer", case.get("expected")))
    if expected is None:
        assert code_of(path.read_bytes(), path.name) == case["error"]
        return
    reading = read_card(path.read_bytes(), path.name)
    assert reading.card.model_dump() == expected
    assert len(reading.warnings) == case.get("warnings", 0)


@pytest.mark.field_data
def test_real_card(field_data: Path) -> None:
    path = field_data / "data" / "default_Seraphina.png"
    reading = read_card(path.read_bytes(), path.name)
    assert (reading.card.spec, reading.card.name, reading.warnings) == ("v2", "Seraphina", ())
    assert reading.card.first_mes
    assert reading.card.character_book is not None
    assert reading.card.character_book["entries"]


def test_error_names_file_and_code_and_survives_pickling() -> None:
    with pytest.raises(CardError) as caught:
        read_card(b"[1]", "who.json")
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == (
        "card 'who.json' cannot be read (not_an_object): "
        "the card is not an object with named fields"
    )
    assert (error.code, error.source) == ("not_an_object", "who.json")
    assert error.code in CARD_ERROR_CODES


def test_card_is_frozen_and_keeps_unknown_fields_out_of_the_dump() -> None:
    card = read_card(data_card(future={"a": 1}), "x.json").card
    assert card.unknown == {"future": {"a": 1}}
    assert "unknown" not in card.model_dump()
    assert CharacterCard.model_validate(card.model_dump()).model_dump() == card.model_dump()
    field = "name"
    with pytest.raises(ValidationError):
        setattr(card, field, "other")


@pytest.mark.parametrize(("nickname", "char"), [("", "Mira"), ("Mi", "Mi")])
def test_char_is_the_nickname_if_there_is_one(nickname: str, char: str) -> None:
    assert read_card(data_card(nickname=nickname), "x.json").card.char == char


@pytest.mark.parametrize("name", ["card.png", "card.json", "card", ""])
def test_content_decides_before_the_name(name: str) -> None:
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("card.json", data_card())
    assert read_card(bundle.getvalue(), name).card.name == "Mira"
    picture = png(chunk(b"tEXt", b"chara\0" + packed({"name": "Mira"})))
    assert read_card(picture, name.replace("png", "yaml")).card.name == "Mira"


@pytest.mark.parametrize(
    ("chunks", "code"),
    [
        ([chunk(b"zTXt", b"chara\0\1" + zlib.compress(b"{}"))], "bad_compressed_text"),
        ([chunk(b"zTXt", b"chara\0\0no deflate")], "bad_compressed_text"),
        ([chunk(b"iTXt", b"chara\0\0\0en")], "bad_compressed_text"),
        ([chunk(b"iTXt", b"chara\0\7\0\0\0{}")], "bad_compressed_text"),
        ([chunk(b"tEXt", b"no separator")], "no_card_data"),
        ([chunk(b"tEXt", b"chara\0" + b"A" * 5)], "bad_base64"),
        ([chunk(b"tEXt", b"chara\0QU=JD")], "bad_base64"),
    ],
)
def test_png_chunk_faults(chunks: list[bytes], code: str) -> None:
    assert code_of(png(*chunks), "x.png") == code


def test_png_signature_damaged_by_a_text_transfer() -> None:
    assert code_of(b"\x89PNG\n\x1a\n" + bytes(20), "x.png") == "bad_png"
    assert code_of(PNG_START[:6], "x.png") == "png_truncated"


def test_broken_chunk_that_is_not_chosen_does_not_matter() -> None:
    broken = chunk(b"zTXt", b"chara\0\0no deflate")
    good = chunk(b"tEXt", b"chara\0" + packed({"name": "Mira"}))
    assert read_card(png(broken, good), "x.png").warnings == ()


def test_ccv3_with_a_field_of_the_wrong_kind_falls_back_to_chara() -> None:
    newer = {"spec": "chara_card_v3", "data": {"name": "Mira", "tags": 5}}
    older = packed({"name": "Old Mira"})
    data = png(chunk(b"tEXt", b"ccv3\0" + packed(newer)), chunk(b"tEXt", b"chara\0" + older))
    reading = read_card(data, "x.png")
    assert reading.card.name == "Old Mira"
    assert reading.warnings == (
        "chunk ccv3 cannot be read (bad_field); chunk chara is used instead",
    )


def test_yaml_scalars_are_those_of_json() -> None:
    text = "name: No\ncontext: 2024-01-31\ngreeting: 12:30\nx: [1, -2.5, true, ~, '7', 007]\n"
    card = read_card(text.encode(), "x.yml").card
    assert (card.name, card.description, card.first_mes) == ("No", "2024-01-31", "12:30")
    assert card.unknown == {"x": [1, -2.5, True, None, "7", "007"]}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("name: [", "bad_yaml"),
        ("? [a]\n: b", "bad_yaml"),
        ("name: !!python/object:os.system x", "bad_yaml"),
        ("name: !!binary AAAA", "bad_yaml"),
        ('name: "\\UFFFFFFFF"', "bad_yaml"),
        ("name: \x07", "bad_yaml"),
        ("a: 1\n---\nb: 2", "bad_yaml"),
        ("# nothing", "not_an_object"),
        ("- name", "not_an_object"),
    ],
)
def test_yaml_faults(text: str, code: str) -> None:
    assert code_of(text.encode(), "x.yaml") == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"name": NaN}', "bad_json"),
        ('{"name": 1e999}', "bad_json"),
        ('{"name": ' + "9" * 5000 + "}", "bad_json"),
        ('{"name": true}', "bad_field"),
        ('{"name": null}', "missing_name"),
        ('{"name": "M", "tags": {}}', "bad_field"),
        ('{"name": "M", "assets": "x"}', "bad_field"),
        ('{"spec": 7, "name": "M"}', "bad_card"),
        ('{"data": {}}', "not_a_card"),
    ],
)
def test_json_faults(text: str, code: str) -> None:
    assert code_of(text.encode(), "x.json") == code


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    card = read_card(b'{"name": "M\\ud800", "\\udfff": 1}', "x.json").card
    assert card.name == "M\ufffd"
    assert card.unknown == {"\ufffd": 1}


@pytest.mark.parametrize(
    ("version", "warnings"), [("3.0", 0), ("2.9", 0), ("3.1", 1), ("10", 1), ("soon", 0), (3.5, 1)]
)
def test_newer_v3_versions_are_read_with_a_warning(version: object, warnings: int) -> None:
    card = {"spec": "chara_card_v3", "spec_version": version, "data": {"name": "M"}}
    assert len(read_card(json.dumps(card).encode(), "x.json").warnings) == warnings


@pytest.mark.parametrize(
    ("depth", "read"), [(0, 0), (2.0, 2), (2.5, 4), (-1, 4), (True, 4), ("2", 4), (None, 4)]
)
def test_depth_of_a_depth_prompt(depth: object, read: int) -> None:
    extensions = {"depth_prompt": {"prompt": "P", "depth": depth}, "regex_scripts": [{"a": 1}, 2]}
    card = read_card(data_card(extensions=extensions), "x.json").card
    assert card.depth_prompt is not None
    assert card.depth_prompt.depth == read
    assert card.regex_scripts == [{"a": 1}]

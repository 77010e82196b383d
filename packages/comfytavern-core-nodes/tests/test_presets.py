"""The preset reader against the case file, and what the cases leave open."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfytavern_core_nodes.presets import (
    PRESET_ERROR_CODES,
    Preset,
    PresetError,
    PresetReading,
    preset_from,
    read_preset,
)

CASES = json.loads((Path(__file__).parent / "cases" / "presets.json").read_text("utf-8"))["cases"]
SKIPPED_TAGS = {"unsupported", "leave-out", "optional"}
WANTED = [case for case in CASES if not SKIPPED_TAGS.intersection(case.get("tags", ()))]

# Case files are JSON of many shapes, so their values stay Any.
Case = dict[str, Any]


def read(**fields: object) -> PresetReading:
    return read_preset(json.dumps(fields).encode(), "p.json")


def refusal(data: bytes) -> PresetError:
    with pytest.raises(PresetError) as caught:
        read_preset(data, "p.json")
    return caught.value


@pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in WANTED])
def test_case(case: Case) -> None:
    data = json.dumps(case["input"]).encode()
    expected = case.get("recommended", case.get("expected_newer", case.get("expected")))
    if expected is None:
        assert refusal(data).code == case["error"]
        return
    reading = read_preset(data, "p.json")
    preset = reading.preset
    texts = {prompt.identifier: prompt.content for prompt in preset.prompts}
    found = {
        "kind": preset.kind,
        "order": [entry.identifier for entry in preset.order if entry.enabled],
        "parameters": reading.parameters,
        "dropped": list(reading.dropped),
        "names_behavior": preset.names_behavior,
        "prompt_texts": {key: texts[key] for key in expected.get("prompt_texts", {})},
    }
    assert {key: found[key] for key in expected} == expected
    assert preset_from(preset.model_dump()).preset == preset


@pytest.mark.field_data
@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("openai_Default.json", "chat_completion"),
        ("sysprompt_Actor.json", "sysprompt"),
        ("textgen_Default.json", "unsupported_preset"),
        ("instruct_ChatML.json", "unsupported_preset"),
        ("context_Default.json", "unsupported_preset"),
    ],
)
def test_real_files(field_data: Path, name: str, result: str) -> None:
    data = (field_data / "data" / name).read_bytes()
    if result == "unsupported_preset":
        assert refusal(data).code == result
    else:
        assert read_preset(data, name).preset.kind == result


def test_formats_named_as_empty_stay_empty_and_missing_ones_are_ours() -> None:
    preset = read(prompts=[], scenario_format="", wi_format=None).preset
    assert (preset.scenario_format, preset.wi_format) == ("", "{0}")
    assert preset.personality_format == Preset().personality_format


def test_fields_of_a_prompt() -> None:
    prompt = {"identifier": "p", "role": "tool", "injection_position": 1, "injection_depth": "x"}
    reading = read(prompts=[{**prompt, "injection_order": 7, "injection_trigger": ["swipe", 1]}])
    [first] = reading.preset.prompts[:1]
    assert (first.name, first.role, first.in_chat, first.depth) == ("p", "system", True, 4)
    assert (first.injection_order, first.triggers) == (7, ("swipe",))
    assert reading.warnings == (
        "prompts[0].role is 'tool'; 'system' is used",
        "prompts[0].injection_depth is 'x'; 4 is used",
    )


def test_what_is_there_twice_counts_once() -> None:
    order = [{"identifier": key, "enabled": True} for key in ("a", "main", "a", "ghost")]
    prompts = [{"identifier": "a", "content": "one"}, {"identifier": "a", "content": "two"}]
    reading = read(prompts=prompts, prompt_order=order)
    assert [entry.identifier for entry in reading.preset.order] == ["a", "main"]
    assert reading.preset.prompts[0].content == "one"
    assert reading.warnings == (
        "prompt 'a' is there twice; the first one counts",
        "the order names 'ghost', which is no prompt",
    )


def test_private_fields_are_dropped_with_a_warning_and_empty_ones_silently() -> None:
    reading = read(prompts=[], openai_model="gpt", custom_url="", stream_openai=True, top_p="0.9")
    assert (reading.dropped, reading.ignored) == (("openai_model",), ("stream_openai",))
    assert reading.warnings == (
        "top_p is no number and was left out",
        "a preset decides nothing of models and addresses; left out: openai_model",
    )
    assert "gpt" not in reading.preset.model_dump_json() + str(reading.parameters)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"prompts": [{"identifier": "m", "content": ["x"]}]},
            "field prompts[0].content is a list; a text was expected",
        ),
        ({"prompts": [3]}, "field prompts[0] is a number; an object was expected"),
        ({"prompts": [], "prompt_order": 1}, "field prompt_order is a number; a list was expected"),
        (
            {"prompts": [], "prompt_order": [{"character_id": "100001"}]},
            "field prompt_order.order is null; a list was expected",
        ),
        ({"main_prompt": {}}, "field main_prompt is an object; a text was expected"),
        (
            {"temperature": 1},
            "the object has none of the fields prompts, prompt_order, main_prompt and content",
        ),
    ],
)
def test_refusals(fields: dict[str, object], reason: str) -> None:
    error = refusal(json.dumps(fields).encode())
    assert str(pickle.loads(pickle.dumps(error))) == (
        f"preset 'p.json' cannot be read ({error.code}): {reason}"
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b" ", "empty_file"),
        (b"\xff", "bad_utf8"),
        (b"{", "bad_json"),
        (b"[" * 9999, "bad_json"),
        (b"null", "not_an_object"),
        (json.dumps({"prompts": [{"identifier": "x"}] * 10_001}).encode(), "too_large"),
    ],
)
def test_files_that_are_no_presets(data: bytes, code: str) -> None:
    assert refusal(data).code == code


def test_values_between_nodes() -> None:
    nothing = Preset(squash_system_messages=True)
    assert preset_from(None).preset == preset_from({}).preset == nothing
    assert preset_from({"prompts": []}).preset.kind == "chat_completion"
    with pytest.raises(PresetError, match="field max_context: input should be greater than 0"):
        preset_from({**Preset().model_dump(), "max_context": 0})
    with pytest.raises(PresetError, match="it is a list"):
        preset_from([])


keys = st.sampled_from(
    "prompts prompt_order identifier name content role order enabled character_id data marker"
    " injection_depth injection_position injection_trigger names_behavior temperature seed n"
    " openai_max_context openai_max_tokens main_prompt wi_format squash_system_messages".split()
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(keys, children, max_size=4),
    max_leaves=12,
)
FUZZ = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def reads_or_refuses(data: bytes) -> None:
    refused: PresetError | None = None
    try:
        reading = read_preset(data, "p.json")
    except PresetError as error:
        refused = error
    if refused is None:
        dumped = json.loads(json.dumps(reading.preset.model_dump()))
        assert preset_from(dumped).preset == reading.preset
        json.dumps(reading.parameters, allow_nan=False)
    else:
        assert refused.code in PRESET_ERROR_CODES
        assert str(refused).isprintable()


@FUZZ
@given(st.dictionaries(keys, json_values, max_size=5), st.lists(json_values, max_size=3))
def test_any_fields(fields: dict[str, object], prompts: list[object]) -> None:
    reads_or_refuses(json.dumps(fields).encode())
    reads_or_refuses(json.dumps({**fields, "prompts": prompts}).encode())


@FUZZ
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    reads_or_refuses(data)
    reads_or_refuses(b'{"prompts": [' + data)

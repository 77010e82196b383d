"""The example material: readable, consistent, and made by the script that claims it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from comfytavern_core_nodes.cards import CardReading, read_card
from comfytavern_core_nodes.context import ContextRequest, ContextSettings, build_context
from comfytavern_core_nodes.histories import messages_from

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
SCRIPT = ROOT / "scripts" / "make_example_character.py"


def card_in(path: Path) -> CardReading:
    return read_card(path.read_bytes(), path.name)


def test_picture_and_json_hold_the_same_card() -> None:
    picture = card_in(EXAMPLES / "characters" / "hesper.png")
    text = card_in(EXAMPLES / "characters" / "hesper.json")
    assert picture == text
    assert (text.card.spec, text.card.name, text.warnings) == ("v2", "Hesper Dunmallow", ())
    assert text.card.unknown == {}
    assert text.card.alternate_greetings


@pytest.mark.slow
def test_script_draws_the_same_bytes_each_time(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    drawn = []
    for name in ("one.png", "two.png"):
        command = [sys.executable, str(SCRIPT), "--out", str(tmp_path / name)]
        subprocess.run(command, check=True, timeout=60)
        drawn.append((tmp_path / name).read_bytes())
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) < 200_000
    assert card_in(tmp_path / "one.png") == card_in(EXAMPLES / "characters" / "hesper.png")


def test_world_links_to_the_card_and_every_entry_can_be_found() -> None:
    world = json.loads((EXAMPLES / "worlds" / "ninth-lantern.json").read_text("utf-8"))
    assert world["name"] == card_in(EXAMPLES / "characters" / "hesper.json").card.world
    for uid, entry in world["entries"].items():
        assert entry["uid"] == int(uid)
        assert entry["content"]
        assert entry["key"] or entry["constant"]


def test_first_evening_gives_a_prompt_without_open_macros() -> None:
    path = EXAMPLES / "histories" / "first-evening.json"
    history = messages_from(path.read_text("utf-8"))
    # Its world book has plain keys only, so no expression needs the worker.
    card = card_in(EXAMPLES / "characters" / "hesper.json").card.model_dump()
    settings = ContextSettings(user_name="Ann")
    messages = build_context(ContextRequest(card=card, history=history, settings=settings)).messages
    said = [message for message in messages if message["role"] != "system"]
    assert messages[0]["role"] == "system"
    assert said == [message.to_json() for message in history]
    assert all("{{" not in str(message["content"]) for message in messages)
